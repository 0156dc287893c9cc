// The conversations of this browser: kept in its local storage, one entry each, within bounds.

import { forget, names, parsed, recall, remember } from "./stores.js";

const PREFIX = "chat.";
export const MAX_CONVERSATIONS = 100;
const MAX_TITLE = 80;

/** An id of 128 random bits in hex (`randomUUID` is missing on plain HTTP from another computer). */
function freshId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The first words of what was asked, for the list. */
function titleOf(conversation) {
  const words = conversation.messages.find((message) => message.role === "user")?.content ?? "";
  const line = words.trim().replace(/\s+/g, " ");
  return line.length > MAX_TITLE ? `${line.slice(0, MAX_TITLE - 1)}…` : line;
}

function readAll() {
  return names(PREFIX)
    .map((name) => parsed(recall(name), null))
    .filter((found) => Array.isArray(found?.messages) && typeof found.id === "string");
}

export class Conversations {
  #byId;

  /** `keeps()` says whether the user wants them stored; `changed()` is called after every change. */
  constructor(keeps, changed) {
    this.keeps = keeps;
    this.changed = changed;
    this.#byId = new Map(readAll().map((found) => [found.id, found]));
  }

  /** An empty one, listed once it holds a message. */
  fresh() {
    return { id: freshId(), title: "", updated: 0, messages: [] };
  }

  /** All of them, the latest first. */
  list() {
    return [...this.#byId.values()].sort((a, b) => b.updated - a.updated);
  }

  /** Whether it is listed: kept once, and not removed since. */
  holds(id) {
    return this.#byId.has(id);
  }

  /** Keep what it holds now; returns false where the browser had no room. */
  save(conversation) {
    conversation.title = titleOf(conversation);
    conversation.updated = Date.now();
    this.#byId.set(conversation.id, conversation);
    for (const old of this.list().slice(MAX_CONVERSATIONS)) this.#drop(old.id);
    const stored = !this.keeps() || this.#store(conversation);
    this.changed();
    return stored;
  }

  remove(id) {
    this.#drop(id);
    this.changed();
  }

  clear() {
    for (const id of [...this.#byId.keys()]) this.#drop(id);
    this.changed();
  }

  /** The user's choice has changed: store all of them, or none. */
  keepingChanged() {
    for (const conversation of this.#byId.values()) {
      if (this.keeps()) this.#store(conversation);
      else forget(PREFIX + conversation.id);
    }
  }

  #drop(id) {
    this.#byId.delete(id);
    forget(PREFIX + id);
  }

  /** Make room by forgetting the oldest stored ones; they stay listed until the tab is closed. */
  #store(conversation) {
    const text = JSON.stringify(conversation);
    const oldest = this.list().reverse().filter((other) => other.id !== conversation.id);
    while (!remember(PREFIX + conversation.id, text)) {
      const victim = oldest.shift();
      if (!victim) return false;
      forget(PREFIX + victim.id);
    }
    return true;
  }
}
