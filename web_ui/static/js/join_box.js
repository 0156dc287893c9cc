// Joining another computer by its invite code or address.

import { announce } from "./announcer.js";
import { inWords } from "./api.js";
import { el } from "./dom.js";
import { number, t } from "./i18n.js";
import { plain, shortId } from "./peers.js";
import { whyBox } from "./why_box.js";

const MAX_CHARS = 4096;
const MAX_NOTE_CHARS = 300;
const SCHEME = "swarm://";
const REFUSED = 400; // The text itself is wrong, and the node has said how: there is no way to examine.

/** What is wrong with a text before the node is asked; empty where nothing is. Keys of texts. */
function mistake(text) {
  if (!text) return "network.join_empty";
  if (text.length > MAX_CHARS || !(text.toLowerCase().startsWith(SCHEME) || text.startsWith("/"))) return "network.join_odd";
  return "";
}

/** `joined()` is called when the two are connected. */
export function joinBox(api, joined) {
  let trying = null;
  const field = el("input", {
    type: "text", id: "join-text", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    placeholder: t("network.join_placeholder"), "aria-describedby": "join-problem join-state",
  });
  const submit = el("button", { type: "submit", class: "button primary", id: "join-submit", text: t("network.join_submit") });
  const stop = el("button", { type: "button", class: "button", id: "join-stop", text: t("network.join_stop"), hidden: true, on: { click: () => trying?.abort() } });
  const state = el("p", { class: "quiet small", id: "join-state" });
  const problem = el("p", { class: "problem", id: "join-problem", role: "alert" });
  const why = whyBox(api, joined);
  const form = el("form", { id: "join-form", novalidate: true },
    el("label", { class: "small", for: "join-text", text: t("network.join_label") }),
    el("div", { class: "field-row" }, field, submit, stop), state, problem);

  function complain(words) {
    problem.textContent = words;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  function show(busy) {
    submit.hidden = busy;
    stop.hidden = !busy;
    field.readOnly = busy;
    form.setAttribute("aria-busy", String(busy));
    if (busy) stop.focus();
  }

  async function join(text) {
    trying = new AbortController();
    show(true);
    why.clear();
    const counting = count(state);
    const body = text.startsWith("/") ? { address: text } : { code: text };
    try {
      done(await api.json("/api/admin/join-network", { method: "POST", body, signal: trying.signal }));
    } catch (fault) {
      state.textContent = fault.name === "AbortError" ? t("network.join_stopped") : "";
      if (fault.name !== "AbortError") complain(inWords(fault));
      else field.focus();
      if (fault.status > REFUSED) why.offer(body);
    } finally {
      clearInterval(counting);
      trying = null;
      const atStop = document.activeElement === stop;
      show(false);
      if (atStop) field.focus();
    }
  }

  function done(answer) {
    const name = shortId(plain(answer.node_id, 128));
    const note = plain(answer.note, MAX_NOTE_CHARS);
    state.textContent = [t("network.joined", { name }), note && inWords({ message: note })].filter(Boolean).join(" ");
    announce(state.textContent);
    field.value = "";
    field.focus();
    joined();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (trying) return;
    const text = field.value.replace(/\s+/g, ""); // Mail programs break long lines.
    const wrong = mistake(text);
    if (wrong) complain(t(wrong));
    else join(text.toLowerCase().startsWith(SCHEME) ? SCHEME + text.slice(SCHEME.length) : text);
  });
  field.addEventListener("input", () => {
    problem.textContent = state.textContent = "";
    field.removeAttribute("aria-invalid");
    why.clear();
  });
  return el("section", { class: "network-part", "aria-labelledby": "join-title" }, el("h3", { id: "join-title", text: t("network.join") }), form, why.node);
}

/** Say how long it takes already, each second; returns the timer. */
function count(state) {
  let seconds = 0;
  const say = () => (state.textContent = t("network.joining", { seconds: number(seconds++) }));
  say();
  return setInterval(say, 1000);
}
