// The panel that shows what the node says of itself, and the dot at the top of the page.

import { copyFrom } from "./clipboard.js";
import { byId, el, iconButton } from "./dom.js";
import { longTime, number, t } from "./i18n.js";

const FACTS = ["peer_id", "version", "uptime", "active", "peers", "addresses"];

/** Build the panel; returns `show(facts)` for the facts of `NodeStatus`. */
export function wireNodePanel() {
  const value = Object.fromEntries(FACTS.map((name) => [name, el("dd", { id: `node-${name}` })]));
  const lists = ["models", "unusable", "subsystems"].map((name) => el("ul", { class: "plain", id: `node-${name}` }));
  const [models, unusable, subsystems] = lists;
  const peerId = el("code", { class: "peer-id" });
  const copyPeer = () => copyFrom(copyButton, peerId.textContent, t("node.copied"));
  const copyButton = iconButton("copy", t("node.copy_peer"), copyPeer);
  value.peer_id.append(peerId, copyButton);
  const row = (name) => el("div", { class: `fact fact-${name}` }, el("dt", { text: t(`node.${name}`) }), value[name]);
  byId("node-panel").replaceChildren(
    el("dl", { class: "facts" }, ...FACTS.map(row)),
    el("h3", { text: t("node.models") }), models,
    el("h3", { id: "node-unusable-title", text: t("node.unusable"), hidden: true }), unusable,
    el("h3", { text: t("node.subsystems") }), subsystems,
  );
  return ({ state, subsystems: parts, status }) => {
    showDot(state);
    changeList(subsystems, Object.entries(parts), subsystemItem);
    if (status) showStatus(status, { value, peerId, models, unusable });
  };
}

function showDot(state) {
  byId("node-dot").dataset.state = state;
  byId("node-state").textContent = t(`node.${state}`);
}

function showStatus(status, { value, peerId, models, unusable }) {
  peerId.textContent = status.peer_id ?? status.node_id ?? "";
  value.version.textContent = status.version ?? "";
  value.uptime.textContent = status.uptime_seconds === undefined ? "" : longTime(status.uptime_seconds);
  value.active.textContent = number(status.active_requests ?? 0);
  value.peers.textContent = number(status.peers ?? 0);
  const addresses = status.addresses ?? [];
  const none = el("span", { class: "quiet", text: t("node.no_addresses") });
  changeList(value.addresses, addresses, (text) => el("div", { text }), none);
  const loaded = (status.loaded_models ?? []).map(loadedWords);
  const unloaded = el("li", { class: "quiet", text: t("node.no_models") });
  changeList(models, loaded, (text) => el("li", { text }), unloaded);
  const problems = Object.entries(status.unusable_models ?? {});
  byId("node-unusable-title").hidden = problems.length === 0;
  changeList(unusable, problems, ([name, problem]) => el("li", { text: t("node.problem", { name, problem }) }));
}

/** A loaded model with the memory it holds, where that is known, or that it is not there yet. */
function loadedWords({ id, state, resident_bytes: bytes }) {
  if (state === "starting") return t("node.loading", { model: id });
  return bytes ? t("node.loaded", { model: id, megabytes: number(bytes / 1e6) }) : id;
}

/**
 * Build the list again only when it differs, so that a selection in it survives the next answer. `none` stands
 * in an empty one.
 */
function changeList(list, items, build, none = null) {
  const key = JSON.stringify(items);
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...(items.length || !none ? items.map(build) : [none]));
}

function subsystemItem([name, up]) {
  const dot = el("span", { class: "dot", "data-state": up ? "ready" : "starting", "aria-hidden": "true" });
  const words = name.replaceAll("_", " ");
  const said = el("span", { class: "visually-hidden", text: t(up ? "node.subsystem_up" : "node.subsystem_down") });
  return el("li", {}, dot, el("span", { text: words }), said);
}
