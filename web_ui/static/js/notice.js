// A line above the message box for what went wrong outside of an answer. Writing on clears it.

import { byId } from "./dom.js";

export function notice(text) {
  const line = byId("notice");
  line.textContent = text;
  line.hidden = text === "";
}

/** Let the notice go as soon as the user writes on. */
export function wireNotice() {
  byId("question").addEventListener("input", () => notice(""));
}
