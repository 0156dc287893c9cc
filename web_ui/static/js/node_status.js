// What the node says of itself, asked every few seconds while the page is looked at.

import { bodyOf, reach } from "./api.js";

const STARTING_MS = 1000;
const OPEN_MS = 5000;
const CLOSED_MS = 20000;

export class NodeStatus {
  #timer = null;
  #round = 0;

  /**
   * `show(facts)` gets `{state: "ready" | "starting" | "unreachable", subsystems, status}`; `status` is the
   * answer of GET /v1/status, or null. `isOpen()` says whether the panel is looked at.
   */
  constructor(api, isOpen, show) {
    Object.assign(this, { api, isOpen, show });
    document.addEventListener("visibilitychange", () => this.again());
  }

  /** Ask now, and from now on. A hidden page asks nothing. */
  async again() {
    const round = (this.#round += 1);
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const facts = await this.#facts();
    this.show(facts);
    const pause = facts.state === "starting" ? STARTING_MS : this.isOpen() ? OPEN_MS : CLOSED_MS;
    if (round === this.#round) this.#timer = setTimeout(() => this.again(), pause);
  }

  async #facts() {
    try {
      const health = await bodyOf(await reach("/health/ready"));
      const status = await this.api.json("/v1/status").catch(() => null);
      const state = health?.ready ? "ready" : "starting";
      return { state, subsystems: health?.subsystems ?? {}, status };
    } catch {
      return { state: "unreachable", subsystems: {}, status: null };
    }
  }
}
