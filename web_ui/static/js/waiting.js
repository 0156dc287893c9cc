// Why an answer has not begun yet, when it takes longer than one expects.

import { announce } from "./announcer.js";
import { counted, number, t } from "./i18n.js";

const QUIET_MS = 1000;
const READING_MS = 3000;

/**
 * Until the returned function is called: once a second, ask the node what it is at and pass it in words to
 * `show(text)`. `model` is the one that was asked.
 */
export function explainWait(api, model, show, now = () => performance.now()) {
  const began = now();
  let timer = setTimeout(look, QUIET_MS);
  let said = "";

  async function look() {
    const status = await api.json("/v1/status").catch(() => null); // The request itself will tell of a fault.
    if (timer === null) return;
    const { kind, text } = reason(status, model, now() - began);
    show(text);
    if (kind && kind !== said) announce(text);
    said = kind;
    timer = setTimeout(look, QUIET_MS);
  }

  return () => {
    clearTimeout(timer);
    timer = null;
  };
}

function reason(status, model, waited) {
  const { state, loading } = status?.loaded_models?.find(({ id }) => id === model) ?? {};
  const seconds = number(waited / 1000);
  if (state === "starting") {
    if (!loading) return { kind: "loading", text: t("wait.loading", { model, seconds }) };
    return { kind: "loading", text: t("wait.loading_part", { model, percent: number(100 * loading), seconds }) };
  }
  const queued = status?.queued_requests ?? 0;
  if (queued) return { kind: "queued", text: counted("wait.queued", queued) };
  if (state === "ready" && waited >= READING_MS) return { kind: "reading", text: t("wait.reading", { seconds }) };
  return { kind: "", text: "" };
}
