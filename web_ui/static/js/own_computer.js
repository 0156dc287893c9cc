// This computer as the others see it: its id, and the ways that lead to it.

import { copyFrom } from "./clipboard.js";
import { el, iconButton, setText } from "./dom.js";
import { t } from "./i18n.js";
import { plain, shortId } from "./peers.js";
import { byReach, onlyHere } from "./reach.js";

const MAX_SHOWN = 8;

/** Returns `{node, show(status)}` for the answers of GET /v1/status. */
export function ownComputer() {
  let id = "";
  let shown = "";
  const name = el("code");
  const copy = iconButton("copy", t("network.copy_own"), () => copyFrom(copy, id, t("node.copied")));
  const ways = el("ul", { class: "plain ways", id: "network-ways" });
  const warning = el("p", { class: "quiet small", id: "network-hidden", text: t("network.only_here"), hidden: true });
  const node = el("section", { class: "network-part", "aria-labelledby": "network-self-title" },
    el("h3", { id: "network-self-title", text: t("network.self") }),
    el("p", { class: "who" }, el("span", { text: t("network.self_name") }), name, copy),
    el("p", { class: "small", text: t("network.ways") }), ways, warning);
  const show = (status) => {
    id = plain(status.peer_id ?? status.node_id, 128);
    setText(name, shortId(id));
    const addresses = (status.addresses ?? []).filter((text) => typeof text === "string");
    if (JSON.stringify(addresses) === shown) return;
    shown = JSON.stringify(addresses);
    const nothing = el("li", { class: "quiet", text: t("network.no_ways") });
    const items = byReach(addresses).slice(0, MAX_SHOWN).map(way);
    ways.replaceChildren(...(items.length ? items : [nothing]));
    warning.hidden = addresses.length === 0 || !onlyHere(addresses);
  };
  return { node, show };
}

function way({ address, kind, place }) {
  const label = t("network.copy_address", { place });
  const copy = iconButton("copy", label, () => copyFrom(copy, address, t("node.copied")));
  const words = el("span", { class: "way" }, el("code", { text: place }), el("span", { class: "quiet small", text: t(`network.reach_${kind}`) }));
  return el("li", {}, words, copy);
}
