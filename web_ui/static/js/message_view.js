// One message of the conversation on the page.

import { copyFrom } from "./clipboard.js";
import { el, icon, iconButton } from "./dom.js";
import { guideNote } from "./guide_note.js";
import { counted, number, shortTime, t } from "./i18n.js";
import { Prose } from "./prose.js";

/** The node's word for a conversation that has outgrown its model. */
const CONTEXT_FULL = "context_length_exceeded";

/** What the user wrote, exactly as written. */
export function questionView(message) {
  const who = el("span", { class: "visually-hidden", text: t("answer.you") });
  return el("article", { class: "message question" }, who, el("div", { class: "bubble", text: message.content }));
}

/** An answer, under way or complete. Messages are described in `answer.js`. */
export class AnswerView {
  #prose;
  #shown = false;

  /** `retry()` asks again, `startFresh()` begins another conversation: the buttons call them. */
  constructor(message, { retry, startFresh }) {
    Object.assign(this, { message, retry, startFresh });
    this.name = el("span", { class: "answer-model" });
    this.head = el("header", { class: "answer-head" }, icon("cell"), this.name);
    this.thinking = el("div", { class: "thinking-text" });
    const summary = el("summary", { text: t("answer.thinking") });
    this.thoughts = el("details", { class: "thinking", hidden: true }, summary, this.thinking);
    this.body = el("div", { class: "prose" });
    this.reason = el("span", { class: "waiting-reason" });
    this.waiting = el("div", { class: "waiting", "aria-hidden": "true" }, el("i"), el("i"), el("i"), this.reason);
    this.tail = el("div", { class: "answer-tail" });
    const parts = [this.head, this.thoughts, this.body, this.waiting, this.tail];
    this.node = el("article", { class: "message answer" }, ...parts);
    this.#prose = new Prose(this.body);
  }

  /** Show what the message holds so far, at the browser's next frame. */
  grow() {
    this.node.setAttribute("aria-busy", "true");
    if (this.#shown) return;
    this.#shown = true;
    requestAnimationFrame(() => {
      this.#shown = false;
      if (!this.message.done) this.#text();
    });
  }

  /** Say beside the dots what is being waited for. */
  explain(text) {
    this.reason.textContent = text;
  }

  /** Show the complete message with its counts, buttons, notes and errors. */
  finish({ isLast = false, noteBelow = false } = {}) {
    const { message } = this;
    this.node.setAttribute("aria-busy", "false");
    this.#text();
    this.waiting.hidden = true;
    const box = message.error ? errorBox(message.error) : null;
    const parts = [remark(message), box, this.#foot(isLast), noteBelow ? guideNote() : null];
    this.tail.replaceChildren(...parts.filter((part) => part !== null));
  }

  /** It is no longer the last answer: only the last one can be asked for again. */
  withdrawRetry() {
    this.again?.remove();
  }

  /** After a fault the way on stands there in words. */
  #againButton() {
    if (!this.message.error) return iconButton("retry", t("answer.retry"), this.retry);
    return textButton("retry", t("answer.try_again"), this.retry);
  }

  #text() {
    const { message } = this;
    this.name.textContent = message.model ?? "";
    this.thoughts.hidden = !message.thinking;
    if (message.thinking) this.thinking.textContent = message.thinking;
    this.waiting.hidden = Boolean(message.content);
    this.#prose.show(message.content);
  }

  #foot(isLast) {
    const { message } = this;
    const copyButton = iconButton("copy", t("answer.copy"), () =>
      copyFrom(copyButton, message.content, t("answer.copied")));
    this.again = isLast ? this.#againButton() : null;
    const full = message.error?.code === CONTEXT_FULL;
    const fresh = full ? textButton("plus", t("history.new"), this.startFresh) : null;
    const buttons = [message.content ? copyButton : null, this.again, fresh];
    const counts = el("span", { class: "measures", text: measures(message) });
    return el("footer", { class: "answer-foot" }, ...buttons, counts);
  }
}

function textButton(drawing, text, onClick) {
  const facts = { type: "button", class: "ghost-button", on: { click: onClick } };
  return el("button", facts, icon(drawing), el("span", { text }));
}

function remark(message) {
  if (message.finish === "length") return el("p", { class: "remark", text: t("answer.cut") });
  const silent = message.finish === "stop" && !message.content && !message.thinking;
  return silent ? el("p", { class: "remark", text: t("answer.empty") }) : null;
}

/** Tokens, speed and the wait for the first one; only what was measured. */
function measures({ stopped, usage, speed, firstMs }) {
  const parts = [stopped ? t("answer.stopped") : null];
  if (usage) parts.push(counted("answer.tokens", usage.completion_tokens));
  if (speed) parts.push(t("answer.speed", { speed: number(speed, speed < 100 ? 1 : 0) }));
  if (firstMs !== undefined) parts.push(t("answer.first", { time: shortTime(firstMs) }));
  return parts.filter((part) => part !== null).join(" · ");
}

function errorBox({ message, hint }) {
  const advice = hint ? el("p", { class: "error-hint", text: hint }) : null;
  const words = el("div", {}, el("p", { class: "error-text", text: message }), advice);
  return el("div", { class: "error-box", role: "alert" }, icon("warning"), words);
}
