// Every text of the page, by key, from one JSON file a language.

const LANGUAGES = ["en"];
const SPOTS = [
  ["i18n", (node, text) => (node.textContent = text)],
  ["i18nLabel", (node, text) => { node.setAttribute("aria-label", text); node.title = text; }],
  ["i18nPlaceholder", (node, text) => (node.placeholder = text)],
];

let texts = {};
let language = "en";

function wanted() {
  const offers = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return offers.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
}

/** Load the texts in the reader's language. Raises where the file cannot be had. */
export async function loadTexts() {
  language = wanted();
  const response = await fetch(`/static/i18n/${language}.json`);
  if (!response.ok) throw new Error(`The texts of the page could not be loaded (status ${response.status}).`);
  texts = await response.json();
  document.documentElement.lang = language;
}

/** The text under `key` with its {places} filled; an unknown key shows itself. */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
}

/** The text for a count, in the plural form that the language wants. */
export function counted(key, count) {
  const form = `${key}.${new Intl.PluralRules(language).select(count)}`;
  return t(form in texts ? form : `${key}.other`, { count: number(count) });
}

/** A number as the reader's language writes it. */
export function number(value, digits = 0) {
  const form = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, form).format(value);
}

/** Milliseconds below a second, seconds above. */
export function shortTime(milliseconds) {
  if (milliseconds < 1000) return t("time.milliseconds", { value: number(milliseconds) });
  return t("time.seconds", { value: number(milliseconds / 1000, 1) });
}

/** A span of whole seconds in its two largest units. */
export function longTime(total) {
  const seconds = Math.floor(total);
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (days) return t("time.days", { days, hours: hours % 24 });
  if (hours) return t("time.hours", { hours, minutes: minutes % 60 });
  if (minutes) return t("time.minutes", { minutes, seconds: seconds % 60 });
  return t("time.seconds", { value: seconds });
}

/** Put texts into everything under `root` that names a key. */
export function translate(root) {
  for (const [name, put] of SPOTS) {
    const attribute = `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    for (const node of root.querySelectorAll(`[${attribute}]`)) put(node, t(node.dataset[name]));
  }
}
