// The dark and the light theme: which one shows, and the button that switches and remembers.

import { t } from "./i18n.js";
import { remember } from "./stores.js";

const system = matchMedia("(prefers-color-scheme: light)");

function current() {
  return document.documentElement.dataset.theme || (system.matches ? "light" : "dark");
}

/** Wire the toggle: `button` switches, `name` shows the theme in words. */
export function wireTheme(button, name) {
  const show = () => {
    const theme = current();
    name.textContent = t(`theme.${theme}`);
    button.setAttribute("aria-label", t(theme === "dark" ? "theme.to_light" : "theme.to_dark"));
  };
  button.addEventListener("click", () => {
    const theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remember("theme", theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}
