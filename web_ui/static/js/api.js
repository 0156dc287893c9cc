// Requests to the node with its key, and its errors in words.

import { t } from "./i18n.js";

/** What went wrong: `message` says it, `hint` says the way out, `code` is the stable word for it. */
export class ApiError extends Error {
  constructor(message, { hint = "", code = "", status = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.hint = hint;
    this.code = code;
    this.status = status;
  }
}

/** What went wrong and the way out, as sentences: the node's own messages end without a full stop. */
export function inWords({ message, hint }) {
  const ended = /[.!?…]$/.test(message) ? message : `${message}.`;
  return hint ? `${ended} ${hint}` : ended;
}

/** The error inside a body or stream event `{"error": {message, hint, code}}`. */
export function errorOf(body, status = 0) {
  const said = body?.error ?? {};
  const message = typeof said.message === "string" && said.message ? said.message : t("error.http", { status });
  return new ApiError(message, { hint: said.hint ?? "", code: said.code ?? "", status });
}

/** `fetch`, with a node that cannot be reached as an ApiError. An abort stays an AbortError. */
export async function reach(path, options = {}) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new ApiError(t("error.unreachable"), { hint: t("error.unreachable_hint"), code: "unreachable" });
  }
}

/** The body as JSON; null where it is something else. */
export async function bodyOf(response) {
  try {
    return await response.json();
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    return null;
  }
}

export class Api {
  #keys;

  /** `keys` has `value` and `renew(used)`, a promise of a key that works. */
  constructor(keys) {
    this.#keys = keys;
  }

  /** Send it; the key is asked for again when the node no longer knows it. Raises ApiError. */
  async send(path, { method = "GET", body = null, signal = undefined } = {}) {
    let used = this.#keys.value;
    let response = await this.#once(path, method, body, signal, used);
    if (response.status === 401) {
      used = await this.#keys.renew(used);
      response = await this.#once(path, method, body, signal, used);
    }
    if (!response.ok) throw errorOf(await bodyOf(response), response.status);
    return response;
  }

  /** The answer as JSON. Raises ApiError. */
  async json(path, options = {}) {
    const answer = await bodyOf(await this.send(path, options));
    if (answer === null) throw new ApiError(t("error.odd_answer"), { hint: t("error.odd_answer_hint") });
    return answer;
  }

  #once(path, method, body, signal, key) {
    const headers = { authorization: `Bearer ${key}` };
    if (body !== null) headers["content-type"] = "application/json";
    return reach(path, { method, headers, signal, body: body === null ? undefined : JSON.stringify(body) });
  }
}
