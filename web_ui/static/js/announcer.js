// One line for screen readers, and for nobody else.

import { byId } from "./dom.js";

/** Say it; the same words twice are said twice. */
export function announce(text) {
  const line = byId("announcer");
  line.textContent = line.textContent === text ? `${text} ` : text;
}
