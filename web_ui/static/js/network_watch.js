// Who is there, asked every two seconds while the panel is open and the page is looked at, and not else.

import { readPeers } from "./peers.js";

const ASK_MS = 2000;
const AFTER_FAULT_MS = 5000;

export class NetworkWatch {
  #timer = null;
  #round = 0;

  /** `show({peers, fault})`: one of the two is null. `isOpen()` says whether anybody looks. */
  constructor(api, isOpen, show) {
    Object.assign(this, { api, isOpen, show });
    document.addEventListener("visibilitychange", () => this.again());
  }

  /** Ask now, and from now on. */
  async again() {
    const round = (this.#round += 1);
    clearTimeout(this.#timer);
    if (document.hidden || !this.isOpen()) return;
    const news = await this.#ask();
    if (round !== this.#round) return;
    this.show(news);
    this.#timer = setTimeout(() => this.again(), news.fault ? AFTER_FAULT_MS : ASK_MS);
  }

  async #ask() {
    try {
      return { peers: readPeers(await this.api.json("/api/admin/peers")), fault: null };
    } catch (fault) {
      return { peers: null, fault };
    }
  }
}
