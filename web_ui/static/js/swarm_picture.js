// A drawing of the swarm: this computer in the middle, the others around it, the nearer the faster they answer.
// The table beside it says the same in words.

import { drawn, setAttribute, setText } from "./dom.js";
import { counted, t } from "./i18n.js";
import { roundTripWords, stateWords, summaryWords } from "./peer_words.js";

const MAX_DRAWN = 80;
const MAX_NAMED = 12;
const RINGS_MS = [1, 10, 100];
const [NEAREST, FARTHEST, UNMEASURED] = [40, 142, 160];
const [NEAREST_MS, FARTHEST_MS] = [0.3, 600];
/** The golden angle: whatever the number of places, each new one falls into a wide gap. */
const TURN = Math.PI * (3 - Math.sqrt(5));
/** Where the first one stands: so, the first seven leave the names of the rings free, which are at the top. */
const START = Math.PI / 6;
const HEXAGON = "M0-9 7.8-4.5v9L0 9-7.8 4.5v-9z";
/** A state shows by its shape as well as its colour. */
const SHAPES = { alive: HEXAGON, quiet: "M0-9 9 7H-9z", known: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z" };
const STATES = Object.keys(SHAPES);

const span = (ms) => Math.log(ms / NEAREST_MS) / Math.log(FARTHEST_MS / NEAREST_MS);
const share = (ms) => Math.min(1, Math.max(0, span(Math.max(ms, NEAREST_MS))));
const radius = (ms) => (ms === null ? UNMEASURED : NEAREST + (FARTHEST - NEAREST) * share(ms));
const round = (value) => Math.round(value * 10) / 10;

export class SwarmPicture {
  #places = new Map();
  #drawn = new Map();

  constructor() {
    this.title = drawn("title", { id: "swarm-title" });
    this.desc = drawn("desc", { id: "swarm-desc" });
    this.lines = drawn("g", { class: "swarm-lines" });
    this.peers = drawn("g", { class: "swarm-peers" });
    this.node = drawn(
      "svg",
      { class: "swarm", viewBox: "-190 -174 380 362", role: "img", "aria-labelledby": "swarm-title", "aria-describedby": "swarm-desc" },
      this.title, this.desc, ...RINGS_MS.map(ring), this.lines, middle(), this.peers,
    );
    setText(this.title, t("network.picture"));
  }

  /** Draw the first 80 of `peers`, a list in its order; returns how many were left out. */
  show(peers) {
    const shown = peers.slice(0, MAX_DRAWN);
    this.#forget(new Set(shown.map(({ id }) => id)));
    for (const peer of shown) this.#place(peer);
    this.peers.classList.toggle("named", shown.length <= MAX_NAMED);
    setText(this.desc, description(peers));
    return peers.length - shown.length;
  }

  #forget(present) {
    for (const [id, parts] of this.#drawn) {
      if (present.has(id)) continue;
      parts.group.remove();
      parts.line.remove();
      this.#drawn.delete(id);
      this.#places.delete(id);
    }
  }

  #place(peer) {
    const parts = this.#drawn.get(peer.id) ?? this.#begin(peer);
    const angle = START + this.#places.get(peer.id) * TURN;
    const far = radius(peer.roundTrip);
    const [x, y] = [round(far * Math.cos(angle)), round(far * Math.sin(angle))];
    setAttribute(parts.group, "transform", `translate(${x} ${y})`);
    setAttribute(parts.group, "data-state", peer.state);
    setAttribute(parts.shape, "d", SHAPES[peer.state]);
    setAttribute(parts.line, "data-state", peer.state);
    setAttribute(parts.line, "x2", x);
    setAttribute(parts.line, "y2", y);
    setText(parts.tip, t("network.tip", { name: peer.short, state: stateWords(peer), time: roundTripWords(peer) }));
  }

  /** A new computer takes the first place that is free, so that nobody else has to move. */
  #begin(peer) {
    const taken = new Set(this.#places.values());
    let place = 0;
    while (taken.has(place)) place += 1;
    this.#places.set(peer.id, place);
    const parts = { tip: drawn("title"), shape: drawn("path"), name: drawn("text", { y: 21, "text-anchor": "middle" }), line: drawn("line") };
    setText(parts.name, peer.short);
    parts.group = drawn("g", { class: "swarm-peer" }, parts.tip, parts.shape, parts.name);
    this.peers.append(parts.group);
    this.lines.append(parts.line);
    this.#drawn.set(peer.id, parts);
    return parts;
  }
}

function ring(ms) {
  const r = round(radius(ms));
  const label = drawn("text", { y: -r + 4, "text-anchor": "middle" });
  setText(label, t("time.milliseconds", { value: ms }));
  return drawn("g", { class: "swarm-ring" }, drawn("circle", { r }), label);
}

const middle = () => drawn("g", { class: "swarm-self" }, drawn("path", { d: HEXAGON, transform: "scale(1.7)" }));

function description(peers) {
  const quiet = peers.filter(({ state }) => state === "quiet").length;
  const nearest = peers.filter(({ roundTrip }) => roundTrip !== null).sort((one, other) => one.roundTrip - other.roundTrip)[0];
  const sentences = [t("network.picture_middle"), `${summaryWords(peers)}.`];
  if (nearest) sentences.push(t("network.picture_nearest", { name: nearest.short, time: roundTripWords(nearest) }));
  if (quiet) sentences.push(counted("network.picture_quiet", quiet));
  return [...sentences, t("network.picture_table")].join(" ");
}

/** What the shapes mean. */
export function legend() {
  const facts = (state) => ({ viewBox: "-11 -11 22 22", "aria-hidden": "true", class: "swarm-peer", "data-state": state });
  const shape = (state) => drawn("svg", facts(state), drawn("path", { d: SHAPES[state] }));
  return STATES.map((state) => [shape(state), stateWords({ state })]);
}
