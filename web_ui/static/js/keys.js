// The node's API key: by the one-time nonce of a page served on loopback, else from the user.

import { bodyOf, reach } from "./api.js";
import { tab } from "./stores.js";

const NAME = "key";

function pageNonce() {
  const nonce = document.querySelector('meta[name="page-nonce"]')?.content ?? "";
  return nonce.startsWith("{{") ? "" : nonce;
}

async function exchange(nonce) {
  const response = await reach("/api/admin/page-key", { method: "POST", headers: { "x-page-nonce": nonce } });
  return response.ok ? ((await bodyOf(response))?.api_key ?? "") : "";
}

/** What the node says to a key: `right`, `wrong`, `busy` or `unreachable`. */
export async function tryKey(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "wrong"; // No header can carry it, so no key looks like that.
  try {
    const response = await reach("/v1/models", { headers: { authorization: `Bearer ${key}` } });
    if (response.ok || response.status === 503) return "right"; // 503: let in, but the node is still starting
    return response.status === 429 ? "busy" : "wrong";
  } catch {
    return "unreachable";
  }
}

export class Keys {
  #ask;
  #asking = null;
  value = "";

  /** `ask` shows the dialog and promises a key that was tried and found right. */
  constructor(ask) {
    this.#ask = ask;
  }

  /** Get a key: the nonce first, then what this tab remembers, then the user. */
  async obtain() {
    const nonce = pageNonce();
    const exchanged = nonce ? await exchange(nonce).catch(() => "") : "";
    const key = exchanged || tab.recall(NAME);
    if (key) this.#take(key);
    else await this.renew(this.value);
  }

  /** A key other than `used`, which the node refused. All callers share one dialog. */
  async renew(used) {
    if (this.value !== used) return this.value;
    tab.forget(NAME);
    this.#asking ??= this.#ask(tryKey).finally(() => (this.#asking = null));
    this.#take(await this.#asking);
    return this.value;
  }

  #take(key) {
    this.value = key;
    tab.remember(NAME, key);
  }
}
