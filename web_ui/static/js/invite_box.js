// Inviting another computer: a code is made when somebody asks for one, for whoever has it is let in.

import { announce } from "./announcer.js";
import { inWords } from "./api.js";
import { copyFrom } from "./clipboard.js";
import { el, icon } from "./dom.js";
import { t } from "./i18n.js";
import { onlyHere } from "./reach.js";

export function inviteBox(api) {
  const button = el("button", { type: "button", class: "button", id: "invite-make", text: t("network.invite_make"), on: { click: make } });
  const code = el("input", { type: "text", id: "invite-code", readonly: true, "aria-label": t("network.invite_code"), on: { focus: () => code.select() } });
  const copy = el("button", { type: "button", class: "button primary", id: "invite-copy", on: { click: copyCode } }, icon("copy"), el("span", { text: t("network.copy") }));
  const result = el("div", { class: "field-row", hidden: true }, code, copy);
  const note = el("p", { class: "quiet small", text: t("network.invite_text") });
  const warning = el("p", { class: "small warned", id: "invite-warning", hidden: true }, icon("warning"), el("span", { text: t("network.invite_only_here") }));
  const problem = el("p", { class: "problem", id: "invite-problem", role: "alert" });

  function copyCode() {
    return copyFrom(copy, code.value, t("node.copied"));
  }

  async function make() {
    button.disabled = true;
    problem.textContent = "";
    try {
      const answer = await api.json("/api/admin/network-code");
      code.value = String(answer.code ?? "");
      const addresses = (answer.addresses ?? []).filter((text) => typeof text === "string");
      warning.hidden = !onlyHere(addresses);
      result.hidden = false;
      button.textContent = t("network.invite_again");
      announce(t("network.invite_made"));
      copy.focus();
    } catch (fault) {
      problem.textContent = inWords(fault);
    } finally {
      button.disabled = false;
    }
  }

  return el("section", { class: "network-part", "aria-labelledby": "invite-title" },
    el("h3", { id: "invite-title", text: t("network.invite") }), note, result, warning, problem, button);
}
