// The table of the other computers. Rows live as long as their computer is there and change only where it did.

import { copyFrom } from "./clipboard.js";
import { drawn, el, iconButton, setAttribute, setHidden, setText } from "./dom.js";
import { counted, t } from "./i18n.js";
import { foundWords, roundTripWords, sinceWords, softwareWords, stateWords, trustWords } from "./peer_words.js";

const ROWS_AT_ONCE = 100;
const MAX_SAMPLES = 30;
const [CURVE_WIDTH, CURVE_HEIGHT] = [60, 18];
const COLUMNS = ["computer", "round_trip", "found", "trust", "version", "since"];

export class PeerTable {
  #rows = new Map();
  #limit = ROWS_AT_ONCE;
  #peers = [];

  constructor() {
    const head = COLUMNS.map((name) => el("th", { scope: "col", role: "columnheader", text: t(`network.${name}`) }));
    this.body = el("tbody", { role: "rowgroup" });
    const more = { type: "button", class: "button wide", hidden: true, text: counted("network.more", 0) };
    this.more = el("button", { ...more, on: { click: () => this.#showMore() } });
    this.table = el("table", { class: "peers", role: "table", "aria-label": t("network.table"), tabindex: "-1" },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)), this.body);
    this.node = el("div", { class: "peers-box" }, this.table, this.more);
  }

  /** Show the first of `peers`, a list in its order, and offer the rest. */
  show(peers) {
    this.#peers = peers;
    const shown = peers.slice(0, this.#limit);
    this.#forget(new Set(shown.map(({ id }) => id)));
    shown.forEach((peer, at) => this.#put(peer, at));
    const left = peers.length - shown.length;
    setHidden(this.more, left === 0);
    setText(this.more, counted("network.more", left));
  }

  #forget(present) {
    const held = this.table.contains(document.activeElement);
    for (const [id, row] of this.#rows) {
      if (present.has(id)) continue;
      row.node.remove();
      this.#rows.delete(id);
    }
    // A keyboard user whose row has gone stays at the table, not at the top of the page.
    if (held && !this.table.contains(document.activeElement)) this.table.focus();
  }

  #put(peer, at) {
    let row = this.#rows.get(peer.id);
    if (!row) this.#rows.set(peer.id, (row = new Row(peer)));
    row.update(peer);
    if (this.body.children[at] !== row.node) this.body.insertBefore(row.node, this.body.children[at] ?? null);
  }

  #showMore() {
    const first = this.#limit;
    this.#limit += ROWS_AT_ONCE;
    this.show(this.#peers);
    this.body.children[first]?.querySelector("button").focus();
  }
}

class Row {
  #samples = [];

  constructor(peer) {
    this.dot = el("span", { class: "dot", "aria-hidden": "true" });
    this.state = el("span");
    this.near = el("span", { class: "badge", text: t("network.near"), title: t("network.near_hint") });
    const name = el("code", { text: peer.short, title: peer.id });
    const copy = iconButton("copy", t("network.copy_id", { name: peer.short }), () => copyFrom(copy, peer.id, t("node.copied")));
    this.curve = drawn("polyline");
    this.drawing = drawn("svg", { class: "curve", viewBox: `0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`, "aria-hidden": "true" }, this.curve);
    this.values = Object.fromEntries(COLUMNS.slice(1).map((column) => [column, el("span")]));
    const cell = (column, ...parts) => el("td", { role: "cell", "data-label": t(`network.${column}`) }, ...parts);
    this.node = el("tr", { role: "row" },
      el("th", { scope: "row", role: "rowheader" }, el("span", { class: "who" }, this.dot, name, copy, this.near, this.state)),
      ...COLUMNS.slice(1).map((column) => cell(column, this.values[column])));
  }

  update(peer) {
    setAttribute(this.node, "data-state", peer.state);
    setAttribute(this.dot, "data-state", peer.state);
    setText(this.state, stateWords(peer));
    setAttribute(this.state, "class", peer.state === "quiet" ? "badge warned" : "visually-hidden");
    setHidden(this.near, !peer.near);
    setText(this.values.round_trip, roundTripWords(peer));
    setText(this.values.found, foundWords(peer));
    setText(this.values.trust, trustWords(peer));
    setText(this.values.version, softwareWords(peer));
    setText(this.values.since, sinceWords(peer));
    this.#sample(peer.measured);
  }

  /** The last minute of round trips, from zero to the longest of them. */
  #sample(milliseconds) {
    if (milliseconds === null) return;
    this.#samples = [...this.#samples, milliseconds].slice(-MAX_SAMPLES);
    const top = Math.max(...this.#samples, Number.MIN_VALUE);
    const x = (at) => CURVE_WIDTH - 1 - ((this.#samples.length - 1 - at) * (CURVE_WIDTH - 2)) / (MAX_SAMPLES - 1);
    const y = (value) => CURVE_HEIGHT - 1 - ((CURVE_HEIGHT - 4) * value) / top;
    const points = this.#samples.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    if (points.length < 2) return;
    setAttribute(this.curve, "points", points.join(" "));
    if (!this.drawing.isConnected) this.values.round_trip.after(this.drawing);
  }
}
