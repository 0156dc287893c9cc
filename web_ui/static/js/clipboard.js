// Copying, also where the page came over plain HTTP from another computer and the clipboard API is absent.

import { icon } from "./dom.js";
import { t } from "./i18n.js";
import { announce } from "./announcer.js";
import { notice } from "./notice.js";

const SHOWN_MS = 1600;

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

/** Copy text; returns whether the browser did. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // No permission, or no secure context: the older way may still work.
  }
}

/** Copy, and say on `button` for a moment that it happened. `said` is the text for everybody. */
export async function copyFrom(button, text, said) {
  if (!(await copy(text))) {
    notice(t("copy.failed"));
    return;
  }
  announce(said);
  const drawing = button.querySelector("svg");
  const before = drawing?.cloneNode(true);
  drawing?.replaceWith(icon("check"));
  button.classList.add("done");
  setTimeout(() => {
    button.classList.remove("done");
    if (before) button.querySelector("svg")?.replaceWith(before);
  }, SHOWN_MS);
}
