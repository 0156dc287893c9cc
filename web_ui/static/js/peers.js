// The other computers, as GET /api/admin/peers tells of them. What they say of themselves is untrusted: it is
// measured, cut and cleaned here, once, and everything else on the page sees only what this file lets through.

import { ApiError } from "./api.js";
import { t } from "./i18n.js";

const MAX_PEERS = 1000;
const MAX_ID_CHARS = 128;
const MAX_TEXT_CHARS = 48;
const SHORT_CHARS = 6;
const OWN_AGENT = "swarmnode/";

/** Control, format and direction characters: they can make one text look like another. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Text fit to be shown on one line: no unseen characters, and no more than `most` of the others. */
export function plain(value, most = MAX_TEXT_CHARS) {
  if (typeof value !== "string") return "";
  const seen = value.slice(0, 4 * most).replace(UNSEEN, "").trim();
  return seen.length > most ? `${seen.slice(0, most - 1)}…` : seen;
}

/** The end of an id, by which people tell computers apart; the beginnings are all alike. */
export const shortId = (id) => (id.length > SHORT_CHARS + 4 ? `…${id.slice(-SHORT_CHARS)}` : id);

const measure = (value) => (typeof value === "number" && value >= 0 && value < 1e12 ? value : null);

/** `alive`: connected and answering; `quiet`: silent, or suspected; `known`: alive, and not connected to us. */
function stateOf(item) {
  if (item.healthy !== true) return "quiet";
  return item.connected === false ? "known" : "alive";
}

function softwareOf(item) {
  const [agent, version] = [plain(item.agent), plain(item.version)];
  if (version && (!agent || agent.startsWith(OWN_AGENT))) return version;
  return agent || version;
}

function peerOf(item) {
  const id = plain(item.node_id, MAX_ID_CHARS);
  const [measured, predicted] = [measure(item.latency_ms), measure(item.predicted_rtt_ms)];
  return {
    id,
    short: shortId(id),
    state: stateOf(item),
    connected: item.connected !== false,
    near: item.is_lan_peer === true,
    measured,
    roundTrip: measured ?? predicted,
    trust: measure(item.trust_score) === null ? null : Math.min(1, item.trust_score),
    how: plain(item.how_found),
    software: softwareOf(item),
    seconds: measure(item.connected_seconds),
  };
}

/** The peers in an answer of the node, each once, at most 1000. Raises ApiError where there is no list. */
export function readPeers(answer) {
  if (!Array.isArray(answer?.peers)) throw new ApiError(t("error.odd_answer"), { hint: t("error.odd_answer_hint") });
  const objects = answer.peers.filter((item) => item !== null && typeof item === "object");
  const found = objects.slice(0, MAX_PEERS).map(peerOf).filter(({ id }) => id !== "");
  return [...new Map(found.map((peer) => [peer.id, peer])).values()];
}

/**
 * Who stands where in the list: the connected before the others, the nearest first when they are first seen;
 * after that nobody moves for a faster answer, or no row could be read in peace.
 */
export class PeerOrder {
  #places = new Map();
  #next = 0;

  /** The peers in their order. Those that are not among them lose their places. */
  arrange(peers) {
    const present = new Set(peers.map(({ id }) => id));
    for (const id of this.#places.keys()) if (!present.has(id)) this.#places.delete(id);
    const fresh = peers.filter(({ id }) => !this.#places.has(id));
    const distance = ({ roundTrip }) => roundTrip ?? Infinity;
    fresh.sort((one, other) => compare(distance(one), distance(other)) || compare(one.id, other.id));
    for (const { id } of fresh) this.#places.set(id, (this.#next += 1));
    const place = ({ id, connected }) => this.#places.get(id) + (connected ? 0 : Number.MAX_SAFE_INTEGER / 2);
    return [...peers].sort((one, other) => compare(place(one), place(other)));
  }
}

const compare = (one, other) => (one < other ? -1 : Number(one > other));
