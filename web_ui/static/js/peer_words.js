// What is known of another computer, in words.

import { counted, longTime, number, t } from "./i18n.js";

const WAYS = ["bootstrap", "cache", "dht", "exchange", "gossip", "inbound", "invite", "mdns"];
// Bounds of the words only. What a score permits, the node decides (`inference.min_text_trust`).
const TRUSTED = 0.5;
const DOUBTED = 0.3;

/** Milliseconds in the precision that says something; "about" where nobody measured them. */
export function roundTripWords({ roundTrip, measured }) {
  if (roundTrip === null) return t("network.not_measured");
  const value = t("time.milliseconds", { value: number(roundTrip, roundTrip < 10 ? 1 : 0) });
  return measured === null ? t("network.about", { value }) : value;
}

export function foundWords({ how }) {
  return t(`network.found_${WAYS.includes(how) ? how : "other"}`);
}

export function trustWords({ trust }) {
  if (trust === null) return t("network.unknown");
  const word = trust >= TRUSTED ? "trusted" : trust >= DOUBTED ? "stranger" : "doubted";
  return t("network.trust_value", { word: t(`network.trust_${word}`), score: number(trust, 2) });
}

export const softwareWords = ({ software }) => software || t("network.unknown");

export function sinceWords({ connected, seconds }) {
  if (!connected) return t("network.not_connected");
  return seconds === null ? t("network.unknown") : longTime(seconds);
}

export const stateWords = ({ state }) => t(`network.state_${state}`);

/** How many there are, for the head of the panel. */
export function summaryWords(peers) {
  const connected = peers.filter((peer) => peer.connected).length;
  const others = peers.length - connected;
  const words = counted("network.connected", connected);
  return others ? t("network.summary_more", { connected: words, known: counted("network.known", others) }) : words;
}
