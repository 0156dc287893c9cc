// Where the page is put together: every part is made here and told only what it needs.

import { Api } from "./api.js";
import { Chat } from "./chat.js";
import { wireComposer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { byId } from "./dom.js";
import { Drawers } from "./drawers.js";
import { showHistory } from "./history_list.js";
import { loadTexts, t, translate } from "./i18n.js";
import { askForKey } from "./key_dialog.js";
import { Keys } from "./keys.js";
import { Models } from "./models.js";
import { wireNetworkPanel } from "./network_panel.js";
import { wireNodePanel } from "./node_panel.js";
import { NodeStatus } from "./node_status.js";
import { wireNotice } from "./notice.js";
import { followEnd } from "./scrolling.js";
import { loadSettings } from "./settings.js";
import { wireSettings } from "./settings_form.js";
import { wireTheme } from "./theme.js";
import { showWelcome } from "./welcome.js";

function wireChat(api, models) {
  const settings = loadSettings();
  const conversations = new Conversations(() => settings.keep, () => list());
  const { follow } = followEnd(byId("scroller"), byId("thread"), byId("jump"));
  const composer = wireComposer({ send: (text) => chat.ask(text), stop: () => chat.stop() });
  const chat = new Chat({ api, models, conversations, settings, busy: composer.busy, follow, opened: () => list() });
  const remove = (conversation) => {
    conversations.remove(conversation.id);
    if (conversation.id === chat.conversation.id) chat.startFresh();
    byId("new-chat").focus();
  };
  const list = () => showHistory(conversations.list(), chat.conversation.id, { open: (one) => open(one), remove });
  const open = (conversation) => {
    chat.open(conversation);
    composer.focus();
  };
  wireSettings(settings, () => conversations.keepingChanged());
  byId("clear-history").addEventListener("click", () => {
    if (!confirm(t("history.clear_sure"))) return;
    conversations.clear();
    chat.startFresh();
  });
  list();
  return { chat, composer };
}

function wireKeyboard(chat, drawers) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || byId("key-dialog").open) return;
    if (drawers.dismiss()) return;
    if (chat.answering) chat.stop();
    else if (drawers.open) drawers.close();
  });
}

function wireNode(api, models, drawers) {
  const show = wireNodePanel();
  const network = wireNetworkPanel(api, () => drawers.open === "network");
  const status = new NodeStatus(api, () => ["node", "network"].includes(drawers.open), (facts) => {
    show(facts);
    if (facts.status) network.showStatus(facts.status);
    if (facts.state === "ready") models.refreshWhenOld();
  });
  drawers.changed = () => {
    status.again();
    network.again();
  };
  return status;
}

async function start() {
  await loadTexts();
  translate(document);
  byId("node-state").textContent = t("node.unknown");
  wireTheme(byId("theme-toggle"), byId("theme-name"));
  const keys = new Keys(askForKey);
  const api = new Api(keys);
  const models = new Models(api, (model) => showWelcome(model, (text) => chat.ask(text)));
  const { chat, composer } = wireChat(api, models);
  const drawers = new Drawers(() => {});
  wireKeyboard(chat, drawers);
  wireNotice();
  byId("new-chat").addEventListener("click", () => {
    chat.startFresh();
    drawers.dismiss();
    composer.focus();
  });
  byId("history-list").addEventListener("click", (event) => {
    if (event.target.closest(".history-item")) drawers.dismiss();
  });
  addEventListener("pagehide", () => chat.leave());
  await keys.obtain();
  await wireNode(api, models, drawers).again();
  if (location.pathname.startsWith("/admin/network")) drawers.show("network");
  else if (location.pathname.startsWith("/admin")) drawers.show("node");
  else composer.focus();
}

start().catch((fault) => {
  // Without texts there are no words to look up: say it in the one language at hand.
  byId("welcome").hidden = false;
  byId("welcome-text").textContent = `The page could not start: ${fault.message} Reload it once the node runs again.`;
});
