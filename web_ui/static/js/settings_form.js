// The settings drawer.

import { byId, el } from "./dom.js";
import { number, t } from "./i18n.js";
import { readNumber, SAMPLING, storeSettings } from "./settings.js";

/** Build the form over `settings`, which it changes and stores; `keepChanged()` follows the privacy switch. */
export function wireSettings(settings, keepChanged) {
  const form = byId("settings-form");
  const build = () => form.replaceChildren(...sections(settings, () => storeSettings(settings), keepChanged, reset));
  const reset = () => {
    settings.system = "";
    for (const { name } of SAMPLING) settings[name] = null;
    storeSettings(settings);
    build();
    form.querySelector("textarea").focus();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  build();
}

function sections(settings, changed, keepChanged, reset) {
  const [sliders, numbers] = [SAMPLING.filter((field) => field.slider), SAMPLING.filter((field) => !field.slider)];
  return [
    systemBox(settings, changed),
    el("fieldset", {},
      el("legend", { text: t("settings.sampling") }),
      ...sliders.map((field) => sliderRow(field, settings, changed)),
      el("div", { class: "number-grid" }, ...numbers.map((field) => numberBox(field, settings, changed)))),
    el("fieldset", {}, el("legend", { text: t("settings.privacy") }), keepSwitch(settings, changed, keepChanged)),
    el("button", { type: "button", class: "button wide", text: t("settings.reset"), on: { click: reset } }),
  ];
}

function systemBox(settings, changed) {
  const box = el("textarea", { id: "setting-system", rows: "4", placeholder: t("settings.system_placeholder") });
  box.value = settings.system;
  box.addEventListener("input", () => {
    settings.system = box.value;
    changed();
  });
  return el("div", { class: "setting" }, el("label", { for: box.id, text: t("settings.system") }), box);
}

/** An untouched slider stands at the usual value and says `default`. */
function sliderRow(field, settings, changed) {
  const { name, min, max, step, usual } = field;
  const shown = el("output", { for: `setting-${name}` });
  const slider = el("input", { id: `setting-${name}`, type: "range", min, max, step });
  const show = () => {
    const set = settings[name] !== null;
    slider.value = String(settings[name] ?? usual);
    shown.textContent = set ? number(settings[name], 2) : t("settings.default");
    shown.classList.toggle("set", set);
    slider.setAttribute("aria-valuetext", shown.textContent);
  };
  slider.addEventListener("input", () => {
    settings[name] = Number(slider.value);
    show();
    changed();
  });
  show();
  const label = el("label", { for: slider.id, text: t(`settings.${name}`) });
  const head = el("div", { class: "setting-head" }, label, shown);
  return el("div", { class: "setting" }, head, slider, hintOf(field));
}

function numberBox(field, settings, changed) {
  const { name, min, max } = field;
  const range = { min: number(min, min % 1 ? 1 : 0), max: number(max) };
  const id = `setting-${name}`;
  const problem = el("p", { class: "problem small", id: `${id}-problem`, role: "alert" });
  const box = el("input", {
    id, type: "text", inputmode: field.step === 1 ? "numeric" : "decimal", autocomplete: "off",
    placeholder: t("settings.default"), "aria-describedby": problem.id,
  });
  box.value = settings[name] === null ? "" : String(settings[name]);
  box.addEventListener("input", () => {
    const value = readNumber(box.value, field);
    const wrong = value === undefined;
    box.setAttribute("aria-invalid", String(wrong));
    problem.textContent = wrong ? t("settings.out_of_range", range) : "";
    settings[name] = value ?? null; // What cannot be sent is not: the default holds until it is mended.
    changed();
  });
  const label = el("label", { for: id, text: t(`settings.${name}`) });
  return el("div", { class: "setting" }, label, box, hintOf(field), problem);
}

function hintOf(field) {
  return field.hint ? el("p", { class: "quiet small", text: t(`settings.${field.name}_hint`) }) : null;
}

function keepSwitch(settings, changed, keepChanged) {
  const box = el("input", { type: "checkbox", id: "setting-keep" });
  box.checked = settings.keep;
  box.addEventListener("change", () => {
    settings.keep = box.checked;
    changed();
    keepChanged();
  });
  return el("label", { class: "check", for: box.id }, box, el("span", { text: t("settings.keep") }));
}
