// What stands on the page before the first question.

import { byId, el } from "./dom.js";
import { t } from "./i18n.js";

const SUGGESTIONS = ["welcome.suggestion_1", "welcome.suggestion_2", "welcome.suggestion_3", "welcome.suggestion_4"];

/** Suit it to the model that will answer; `ask(text)` sends a suggestion. */
export function showWelcome(model, ask) {
  const guide = Boolean(model?.builtin);
  const text = guide ? t("welcome.guide") : model ? t("welcome.model", { model: model.id }) : t("error.no_models_hint");
  byId("welcome-text").textContent = text;
  byId("suggestions").replaceChildren(...(guide ? SUGGESTIONS : []).map((key) => suggestion(t(key), ask)));
}

function suggestion(text, ask) {
  return el("li", {}, el("button", { type: "button", class: "suggestion", text, on: { click: () => ask(text) } }));
}
