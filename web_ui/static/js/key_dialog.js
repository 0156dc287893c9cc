// The dialog that asks for the API key, and does not go away before a right one.

import { byId } from "./dom.js";
import { t } from "./i18n.js";

/** Ask until `tryKey(key)` says `right`; a promise of that key. */
export function askForKey(tryKey) {
  const [dialog, form, input] = [byId("key-dialog"), byId("key-form"), byId("key-input")];
  const tell = (key) => (byId("key-problem").textContent = key ? t(key) : "");
  return new Promise((resolve) => {
    const listeners = new AbortController();
    const on = (node, type, listener) => node.addEventListener(type, listener, { signal: listeners.signal });
    on(form, "submit", async (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!key) return refuse(input, tell, "key.empty");
      const verdict = await checking(() => tryKey(key));
      if (verdict !== "right") return refuse(input, tell, `key.${verdict}`);
      listeners.abort();
      input.value = "";
      dialog.close();
      resolve(key);
    });
    on(input, "input", () => { tell(""); input.removeAttribute("aria-invalid"); });
    on(byId("key-show"), "click", () => reveal(input, byId("key-show")));
    on(dialog, "cancel", (event) => event.preventDefault());
    on(dialog, "close", () => dialog.showModal()); // A second Esc closes it in spite of `cancel`.
    form.noValidate = true;
    tell("");
    dialog.showModal();
    input.focus();
  });
}

async function checking(action) {
  const button = byId("key-submit");
  button.disabled = true;
  button.textContent = t("key.checking");
  try {
    return await action();
  } finally {
    button.disabled = false;
    button.textContent = t("key.submit");
  }
}

function refuse(input, tell, key) {
  tell(key);
  input.setAttribute("aria-invalid", "true");
  input.focus();
  input.select();
}

function reveal(input, button) {
  const shown = input.type === "password";
  input.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
}
