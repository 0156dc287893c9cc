// The list of conversations at the side.

import { byId, el, iconButton } from "./dom.js";
import { t } from "./i18n.js";

/** Show `conversations`; the one with id `current` is marked. */
export function showHistory(conversations, current, { open, remove }) {
  const items = conversations.map((conversation) => item(conversation, conversation.id === current, open, remove));
  byId("history-list").replaceChildren(...items);
  byId("history-empty").hidden = items.length > 0;
  byId("clear-history").hidden = items.length === 0;
}

function item(conversation, isCurrent, open, remove) {
  const title = conversation.title || t("history.untitled");
  const button = el("button", {
    type: "button",
    class: "history-item",
    text: title,
    title,
    "aria-current": isCurrent ? "true" : null,
    on: { click: () => open(conversation) },
  });
  const bin = iconButton("trash", t("history.delete", { title }), () => remove(conversation));
  return el("li", { class: isCurrent ? "current" : null }, button, bin);
}
