// What the page says beside answers of the built-in guide, so that nobody takes it for a general model.

import { el, icon } from "./dom.js";
import { t } from "./i18n.js";

/** A note that opens to the way to a real model. */
export function guideNote() {
  const title = el("summary", {}, icon("info"), el("span", { text: t("guide.title") }));
  const command = el("pre", { tabindex: "0" }, el("code", { text: t("guide.command") }));
  return el("details", { class: "guide-note" }, title, el("p", { text: t("guide.body") }), command);
}
