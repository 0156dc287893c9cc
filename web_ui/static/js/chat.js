// The conversation on the page: asking, answering, stopping, asking again.

import { announce } from "./announcer.js";
import { runAnswer } from "./answer.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { AnswerView, questionView } from "./message_view.js";
import { notice } from "./notice.js";
import { samplingFields, systemPrompt } from "./settings.js";
import { explainWait } from "./waiting.js";

/** The guide looks at the last message only; what came before would merely fill its context. */
const GUIDE_MESSAGES = 1;

export class Chat {
  #running = null;
  #last = null;

  /**
   * `models.chosen()` is the model to ask; `conversations` stores; `busy(flag)` tells the composer;
   * `follow()` scrolls to the end; `opened()` is called when another conversation is shown.
   */
  constructor({ api, models, conversations, settings, busy, follow, opened }) {
    Object.assign(this, { api, models, conversations, settings, busy, follow, opened });
    this.conversation = conversations.fresh();
  }

  get answering() {
    return this.#running !== null;
  }

  /** Show a conversation; an answer under way in another one is stopped first. */
  open(conversation) {
    if (conversation === this.conversation) return;
    this.stop();
    this.conversation = conversation;
    this.#draw();
    this.follow();
    this.opened();
  }

  startFresh() {
    this.open(this.conversations.fresh());
  }

  /** Ask what the user wrote. Returns false where there is nobody to ask or an answer is under way. */
  ask(text) {
    if (!this.#mayAsk()) return false;
    const message = { role: "user", content: text };
    this.conversation.messages.push(message);
    byId("thread").append(questionView(message));
    this.#answer();
    return true;
  }

  /** Ask the last question again, in place of its answer. */
  retry() {
    if (!this.#mayAsk() || !this.#last) return;
    this.conversation.messages.pop();
    this.#last.node.remove();
    this.#answer();
    byId("question").focus();
  }

  /** Stop the answer under way; what came before stays. */
  stop() {
    this.#running?.abort();
  }

  /** The page is being left: keep what there is of an answer under way. */
  leave() {
    if (this.answering) this.#save(this.conversation);
  }

  #mayAsk() {
    const model = this.models.chosen();
    if (!model) notice(`${t("error.no_models")} ${t("error.no_models_hint")}`);
    return model !== null && !this.answering;
  }

  async #answer() {
    const { conversation } = this;
    const model = this.models.chosen();
    const message = { role: "assistant", content: "", model: model.id, builtin: model.builtin };
    const request = this.#request(model);
    const stopper = new AbortController();
    this.#running = stopper;
    this.busy(true);
    conversation.messages.push(message);
    this.#save(conversation);
    const view = this.#begin(message);
    const stopExplaining = explainWait(this.api, model.id, (text) => view.explain(text));
    await runAnswer(this.api, request, message, stopper.signal, () => {
      if (message.content || message.thinking) stopExplaining();
      view.grow();
    });
    stopExplaining();
    this.#running = null;
    this.busy(false);
    if (this.conversations.holds(conversation.id)) this.#save(conversation);
    view.finish({ isLast: true, noteBelow: noteBelongs(conversation, message) });
    if (!message.error) announce(t(message.stopped ? "answer.stopped_spoken" : "answer.done"));
  }

  #begin(message) {
    const view = this.#answerView(message);
    this.#last?.withdrawRetry();
    this.#last = view;
    byId("welcome").hidden = true;
    byId("thread").append(view.node);
    view.grow();
    this.follow();
    announce(t("answer.started"));
    return view;
  }

  #request(model) {
    const turns = turnsOf(this.conversation.messages);
    const sent = model.builtin ? turns.slice(-GUIDE_MESSAGES) : turns;
    const system = systemPrompt(this.settings);
    const messages = system ? [{ role: "system", content: system }, ...sent] : sent;
    return { model: model.id, messages, session_id: this.conversation.id, ...samplingFields(this.settings) };
  }

  #save(conversation) {
    if (!this.conversations.save(conversation)) notice(t("error.storage"));
  }

  #draw() {
    const { messages } = this.conversation;
    this.#last = null;
    const views = messages.map((message, index) => this.#view(message, index === messages.length - 1));
    byId("thread").replaceChildren(...views.map((view) => view.node));
    byId("welcome").hidden = messages.length > 0;
  }

  #answerView(message) {
    return new AnswerView(message, { retry: () => this.retry(), startFresh: () => this.startFresh() });
  }

  #view(message, isLast) {
    if (message.role === "user") return { node: questionView(message) };
    if (!message.done) message.stopped = true; // The page was left in the middle of it.
    const view = this.#answerView(message);
    view.finish({ isLast, noteBelow: noteBelongs(this.conversation, message) });
    if (isLast) this.#last = view;
    return view;
  }
}

/** What the model gets to see: a question without an answer is left out, so that roles alternate. */
function turnsOf(messages) {
  const unanswered = (index) => index + 1 < messages.length && !messages[index + 1].content;
  return messages
    .filter((message, index) => (message.role === "user" ? !unanswered(index) : message.content))
    .map(({ role, content }) => ({ role, content }));
}

/** The note on the guide stands once, under its first answer in a conversation. */
function noteBelongs(conversation, message) {
  return conversation.messages.find((other) => other.builtin && other.content) === message;
}
