// The browser's two stores, which may be full or switched off: then nothing is remembered, nothing breaks.

const PREFIX = "swarmnode.";

function attempt(action) {
  try {
    return action();
  } catch {
    return null; // Storage refused: SecurityError when switched off, QuotaExceededError when full.
  }
}

/** The remembered text, or null. */
export const recall = (name) => attempt(() => localStorage.getItem(PREFIX + name));

/** Remember text in this browser; returns whether that worked. */
export const remember = (name, text) => attempt(() => (localStorage.setItem(PREFIX + name, text), true)) === true;

/** Forget what was remembered. */
export const forget = (name) => attempt(() => localStorage.removeItem(PREFIX + name));

/** The names that begin with `prefix`, of everything remembered. */
export const names = (prefix) =>
  (attempt(() => Object.keys(localStorage)) ?? [])
    .filter((name) => name.startsWith(PREFIX + prefix))
    .map((name) => name.slice(PREFIX.length));

/** The same for this tab alone, gone when it is closed. */
export const tab = {
  recall: (name) => attempt(() => sessionStorage.getItem(PREFIX + name)),
  remember: (name, text) => attempt(() => sessionStorage.setItem(PREFIX + name, text)),
  forget: (name) => attempt(() => sessionStorage.removeItem(PREFIX + name)),
};

/** The JSON object in `text`, or `otherwise` where there is none. */
export function parsed(text, otherwise) {
  if (!text) return otherwise;
  const value = attempt(() => JSON.parse(text));
  return value !== null && typeof value === "object" ? value : otherwise;
}
