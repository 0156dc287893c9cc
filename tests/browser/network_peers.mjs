// Computers for the tests of the network panel: a list that a test changes and the page asks for.

import { withPage } from "./browser.mjs";

const HEAD = "12D3KooWAbCdEfGhJkLmNpQrStUvWxYz12345678901234";

export const idOf = (end) => HEAD.slice(0, 52 - end.length) + end;

/** One computer as GET /api/admin/peers tells of it. `end`: the last six characters of its id. */
export const peer = (end, more = {}) => ({
  node_id: idOf(end), connected: true, healthy: true, latency_ms: 12, trust_score: 0.4, how_found: "mdns",
  agent: "swarmnode/0.1.0", version: "0.1.0", addresses: [], is_lan_peer: false, connected_seconds: 3700, ...more,
});

/** One in each state that the panel knows. */
export const everyKind = () => [
  peer("farfar", { latency_ms: 84.4, how_found: "invite", trust_score: 0.61, healthy: false }),
  peer("nearby", { latency_ms: 0.42, is_lan_peer: true, connected_seconds: 75 }),
  peer("strang", { latency_ms: 31, agent: "js-libp2p/4.0.2", version: undefined, how_found: "dht", trust_score: 0.2 }),
  peer("hearsy", { connected: false, latency_ms: undefined, predicted_rtt_ms: 140, how_found: "gossip", version: undefined, agent: undefined }),
];

/** The page asks for `swarm.peers` instead of the node's; `swarm.asked` counts, `swarm.status` refuses. */
async function serveSwarm(page, peers) {
  const swarm = { peers, asked: 0, status: 200 };
  await page.clock.install();
  await page.route("**/api/admin/peers", (route) => {
    swarm.asked += 1;
    const fault = { error: { message: "The node is on no network.", hint: "Look into its log." } };
    return route.fulfill({ status: swarm.status, json: swarm.status === 200 ? { peers: swarm.peers } : fault });
  });
  return swarm;
}

/** Let so much time go by that the page asks again, and wait until it has. */
export async function nextAnswer(page, milliseconds = 2000) {
  const answered = page.waitForResponse("**/api/admin/peers");
  await page.clock.fastForward(milliseconds);
  await (await answered).finished();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => done())));
}

export const rows = (page) => page.locator(".peers tbody tr");
export const row = (page, name) => rows(page).filter({ hasText: name });
export const focused = (page) => page.evaluate(() => document.activeElement.id);
export const summary = (page, words) => page.locator("#network-summary").filter({ hasText: words }).waitFor();

/** The panel shows the node's first answer. */
export const answered = (page) => page.locator("#network-summary").filter({ hasNotText: "Looking" }).waitFor();

/** Run `body({page, swarm, context, faults})` on the open panel, with these computers. */
export function withSwarm(peers, body, options = {}) {
  let swarm = null;
  const before = async (page) => {
    swarm = await serveSwarm(page, peers);
    await options.before?.(page);
  };
  return withPage({ path: "/admin/network", ...options, before }, async (parts) => {
    await answered(parts.page);
    await body({ ...parts, swarm });
  });
}
