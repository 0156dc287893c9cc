// The network: this computer, the others, and how to meet more of them.

import { announce } from "./announcer.js";
import { inWords } from "./api.js";
import { byId, el, setAttribute, setHidden, setText } from "./dom.js";
import { counted, number, t } from "./i18n.js";
import { inviteBox } from "./invite_box.js";
import { joinBox } from "./join_box.js";
import { NetworkWatch } from "./network_watch.js";
import { ownComputer } from "./own_computer.js";
import { PeerTable } from "./peer_table.js";
import { PeerOrder } from "./peers.js";
import { summaryWords } from "./peer_words.js";
import { legend, SwarmPicture } from "./swarm_picture.js";

/** Build the panel; returns `{again(), showStatus(status)}`. `isOpen()` says whether it is looked at. */
export function wireNetworkPanel(api, isOpen) {
  const own = ownComputer();
  const others = otherComputers();
  const watch = new NetworkWatch(api, isOpen, others.show);
  byId("network-panel").replaceChildren(
    others.head,
    el("div", { class: "network-columns" },
      el("div", { class: "network-left" }, others.nobody, others.figure),
      el("div", { class: "network-right" }, own.node, inviteBox(api), joinBox(api, () => watch.again()))),
    others.table,
  );
  return {
    again: () => watch.again(),
    showStatus(status) {
      own.show(status);
      const peers = Number(status.peers) || 0;
      setText(byId("network-count"), number(peers));
      setAttribute(byId("open-network"), "aria-label", t("network.open", { connected: counted("network.connected", peers) }));
    },
  };
}

/** Everything that shows who else is there; `show` takes what `NetworkWatch` finds. */
function otherComputers() {
  const [order, picture, table] = [new PeerOrder(), new SwarmPicture(), new PeerTable()];
  const summary = el("p", { class: "network-summary", id: "network-summary", text: t("network.looking") });
  const problem = el("p", { class: "problem", id: "network-problem", role: "alert" });
  const leftOut = el("p", { class: "quiet small", id: "network-left-out" });
  const figure = el("figure", { class: "network-figure", hidden: true }, picture.node,
    el("figcaption", {}, el("ul", { class: "legend" }, ...legend().map(([shape, words]) => el("li", {}, shape, el("span", { text: words })))), leftOut));
  const nobody = wayToOthers();
  const list = el("section", { class: "network-list", hidden: true, "aria-labelledby": "network-list-title" },
    el("h3", { id: "network-list-title", text: t("network.list") }), table.node, el("p", { class: "quiet small", text: t("network.trust_hint") }));

  function show({ peers, fault }) {
    setText(problem, fault ? inWords(fault) : "");
    for (const part of [figure, list]) part.classList.toggle("stale", fault !== null);
    if (fault) return;
    const arranged = order.arrange(peers);
    const left = picture.show(arranged);
    table.show(arranged);
    setText(leftOut, left ? counted("network.left_out", left) : "");
    for (const part of [figure, list]) setHidden(part, arranged.length === 0);
    setHidden(nobody, arranged.length > 0);
    const words = arranged.length ? summaryWords(arranged) : t("network.alone");
    if (summary.textContent !== words) announce(words);
    setText(summary, words);
  }

  return { head: el("div", { class: "network-head" }, summary, problem), figure, nobody, table: list, show };
}

/** What to do where nobody else is. */
function wayToOthers() {
  const way = (name) => el("li", {}, el("strong", { text: t(`network.way_${name}`) }), el("span", { text: t(`network.way_${name}_text`) }));
  return el("div", { class: "network-empty", id: "network-empty", hidden: true },
    el("h3", { text: t("network.empty") }), el("ol", { class: "ways-in" }, ...["house", "invite", "start"].map(way)),
    el("pre", { tabindex: "0" }, el("code", { text: t("network.way_start_command") })));
}
