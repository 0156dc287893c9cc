// Why another computer cannot be joined: the node tries the way there step by step and tells what it found.

import { inWords } from "./api.js";
import { el } from "./dom.js";
import { t } from "./i18n.js";
import { plain } from "./peers.js";

const DOCTOR = "/api/admin/doctor";
const MAX_STEPS = 24;
const MAX_CHARS = 300;

const words = (value) => plain(value, MAX_CHARS);

/** Returns `{node, offer(body), clear()}`; `body` is what could not be joined. `met()`: now it could. */
export function whyBox(api, met) {
  let wanted = null;
  const button = el("button", { type: "button", class: "button", id: "why-ask", text: t("network.why"), on: { click: ask } });
  const found = el("div", { class: "why", id: "why-found", role: "status" });
  const node = el("div", { class: "why-box", hidden: true }, button, found);

  function clear() {
    wanted = null;
    node.hidden = true;
    found.replaceChildren();
  }

  function offer(body) {
    clear();
    wanted = body;
    node.hidden = button.hidden = false;
    button.disabled = false;
    button.textContent = t("network.why");
  }

  async function ask() {
    const body = wanted;
    button.disabled = true;
    button.textContent = t("network.why_trying");
    const answer = await api.json(DOCTOR, { method: "POST", body }).catch((fault) => fault);
    if (wanted !== body) return; // Something else is to be joined by now.
    button.hidden = true;
    found.replaceChildren(...(answer instanceof Error ? [reason(answer)] : told(answer)));
    if (answer.meets === true) met();
  }

  return { node, offer, clear };
}

function told({ meets, message, advice, steps }) {
  const objects = (Array.isArray(steps) ? steps : []).filter((item) => item !== null && typeof item === "object");
  const list = objects.slice(0, MAX_STEPS).map(step);
  const cause = { message: words(message) || t("network.why_unknown"), hint: words(advice) };
  const verdict = meets === true ? { message: t("network.why_meets") } : cause;
  return [reason(verdict), el("ol", { class: "plain steps" }, ...list)];
}

const reason = (fault) => el("p", { class: "small" }, el("strong", { text: inWords(fault) }));

function step(item) {
  const ok = item.ok === true;
  const said = el("span", { class: "visually-hidden", text: t(ok ? "network.why_passed" : "network.why_failed") });
  const dot = el("span", { class: "dot", "data-state": ok ? "ready" : "unreachable", "aria-hidden": "true" });
  const text = t("network.why_step", { step: words(item.step), detail: words(item.detail) });
  return el("li", { class: "small" }, dot, said, el("span", { text }));
}
