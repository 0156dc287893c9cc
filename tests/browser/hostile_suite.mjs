// The network panel among hostile computers, and among many.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { DESKTOP, overflowing, PHONE } from "./browser.mjs";
import { nextAnswer, peer, row, rows, summary, withSwarm } from "./network_peers.mjs";

const MARKUP = '<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=2</script>';
const HOSTILE = [
  { ...peer("evil01"), agent: MARKUP, version: MARKUP, how_found: MARKUP },
  { ...peer("evil02"), node_id: MARKUP.repeat(40) },
  { ...peer("evil03"), node_id: "Z".repeat(100000), agent: "W".repeat(100000), version: undefined },
  { ...peer("evil04"), agent: "js\u202egnp.exe\u0000\u200b\n\n\u2028x", version: undefined },
  { ...peer("evil05"), latency_ms: -5, predicted_rtt_ms: 1e300, trust_score: 99, connected_seconds: "soon", is_lan_peer: "yes" },
  { ...peer("evil06"), latency_ms: 0, trust_score: null, healthy: "maybe", how_found: "__proto__", agent: 7, version: {} },
  { ...peer("evil07"), latency_ms: 9e11, connected_seconds: 9e11 },
  peer("evil05"), null, 7, "peer", [], { node_id: 9 }, { node_id: "" }, { node_id: "\u202e\u200b" }, { node_id: "__proto__" },
];

suite("network: hostile computers", () => {
  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    test(`nothing they say harms the page (${name})`, () =>
      withSwarm(HOSTILE, async ({ page, swarm }) => {
        assert.equal(await rows(page).count(), 8);
        assert.equal(await page.locator("#network-panel :is(img, script, iframe)").count(), 0);
        assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
        assert.equal(await row(page, "…evil04").locator("td").nth(3).innerText(), "jsgnp.exex");
        assert.match(await row(page, "…evil01").innerText(), /<img src=x onerror=/);
        const longest = await page.evaluate(() => Math.max(...[...document.querySelectorAll("#network-panel *")].map((node) => node.childElementCount ? 0 : node.textContent.length)));
        assert.ok(longest < 400, String(longest));
        const transforms = await page.locator(".swarm-peers g").evaluateAll((nodes) => nodes.map((node) => node.getAttribute("transform")));
        for (const text of transforms) assert.ok(text.match(/-?[\d.]+/g).every((value) => Math.abs(value) <= 160), text);
        assert.deepEqual(await overflowing(page, "#network-panel"), []);
        for (const answer of [{}, { peers: "all" }, { peers: { 0: peer("a") } }, [], 7]) {
          swarm.peers = answer.peers;
          await nextAnswer(page, 5000);
          await page.getByText("The node sent something this page does not understand.").waitFor();
        }
      }, { viewport }));
  }

  test("five hundred of them: a part is shown, the rest on demand, and an answer without news changes nothing", () => {
    const many = Array.from({ length: 500 }, (_, at) => peer(String(at).padStart(6, "0"), { latency_ms: undefined, predicted_rtt_ms: at + 1 }));
    return withSwarm(many, async ({ page, swarm }) => {
      await summary(page, "500 computers connected");
      assert.equal(await rows(page).count(), 100);
      assert.equal(await page.locator(".swarm-peers g").count(), 80);
      await page.getByText("420 more are in the list only.").waitFor();
      const more = page.getByRole("button", { name: "Show more (400 left)" });
      await more.focus();
      await page.keyboard.press("Enter");
      assert.equal(await rows(page).count(), 200);
      assert.equal(await rows(page).nth(100).evaluate((node) => node.contains(document.activeElement)), true);
      for (let turn = 0; turn < 3; turn += 1) await page.locator(".peers-box > button").click();
      assert.equal(await rows(page).count(), 500);
      assert.equal(await page.locator(".peers-box > button").isVisible(), false);
      await page.evaluate(() => {
        globalThis.changes = 0;
        const watch = new MutationObserver((list) => { globalThis.changes += list.length; });
        watch.observe(document.querySelector("#network-panel"), { subtree: true, childList: true, attributes: true, characterData: true });
      });
      await nextAnswer(page);
      assert.equal(await page.evaluate(() => globalThis.changes), 0);
      swarm.peers = many.slice(1);
      await nextAnswer(page);
      await summary(page, "499 computers connected");
      assert.ok((await page.evaluate(() => globalThis.changes)) < 30, "one that goes moves all the others");
    });
  });

  test("more than the node may ever tell of are cut", () =>
    withSwarm(Array.from({ length: 3000 }, (_, at) => peer(String(at).padStart(6, "0"))), async ({ page }) => {
      await summary(page, "1,000 computers connected");
      assert.equal(await rows(page).count(), 100);
    }));
});
