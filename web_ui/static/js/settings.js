// System prompt and sampling. A value of null is not sent: the node's own default then holds.

import { parsed, recall, remember } from "./stores.js";

const NAME = "settings";

/** What may be set, with the node's limits. `slider` ones show where the default stands. */
export const SAMPLING = [
  { name: "temperature", min: 0, max: 2, step: 0.05, slider: true, usual: 0.7, hint: true },
  { name: "top_p", min: 0, max: 1, step: 0.01, slider: true, usual: 1, hint: true },
  { name: "max_tokens", min: 1, max: 32768, step: 1, hint: true },
  { name: "seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, hint: true },
  { name: "top_k", min: 0, max: 1000, step: 1 },
  { name: "min_p", min: 0, max: 1, step: 0.01 },
  { name: "repetition_penalty", min: 0.1, max: 2, step: 0.05 },
];

const withinRange = (value, { min, max }) => typeof value === "number" && value >= min && value <= max;

/** What this browser remembers, with anything odd left out. */
export function loadSettings() {
  const found = parsed(recall(NAME), {});
  const settings = { system: typeof found.system === "string" ? found.system : "", keep: found.keep !== false };
  for (const field of SAMPLING) settings[field.name] = withinRange(found[field.name], field) ? found[field.name] : null;
  return settings;
}

export function storeSettings(settings) {
  remember(NAME, JSON.stringify(settings));
}

/** The number in a text: null when empty, undefined when it is none or out of the field's range. */
export function readNumber(text, field) {
  if (text.trim() === "") return null;
  const value = Number(text);
  const fits = withinRange(value, field) && (field.step !== 1 || Number.isInteger(value));
  return fits ? value : undefined;
}

/** The fields of a request that the user has set. */
export function samplingFields(settings) {
  const chosen = SAMPLING.filter(({ name }) => settings[name] !== null);
  return Object.fromEntries(chosen.map(({ name }) => [name, settings[name]]));
}

export const systemPrompt = (settings) => settings.system.trim();
