// The network panel: who is there, live; how the panel is used and looks.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { answerWith, DESKTOP, overflowing, PHONE, picture, remembered } from "./browser.mjs";
import { lowContrast } from "./contrast.mjs";
import { everyKind, focused, idOf, nextAnswer, peer, row, rows, summary, withSwarm } from "./network_peers.mjs";

const names = (page) => page.locator(".peers tbody th code").allInnerTexts();
const place = (page, name) => page.locator(".swarm-peers g").filter({ hasText: name }).getAttribute("transform");

suite("network: who is there", () => {
  test("each computer stands in the table in words, the nearest first, those not connected last", () =>
    withSwarm(everyKind(), async ({ page }) => {
      assert.deepEqual(await names(page), ["…nearby", "…strang", "…farfar", "…hearsy"]);
      const cells = async (name) => (await row(page, name).locator("td").allInnerTexts()).map((text) => text.trim());
      assert.deepEqual(await cells("…nearby"), ["0.4 ms", "in this local network", "stranger 0.40", "0.1.0", "1 min 15 s"]);
      assert.deepEqual(await cells("…strang"), ["31 ms", "found in the swarm's directory", "doubted 0.20", "js-libp2p/4.0.2", "1 h 1 min"]);
      assert.deepEqual(await cells("…farfar"), ["84 ms", "by invite or address", "trusted 0.61", "0.1.0", "1 h 1 min"]);
      assert.deepEqual(await cells("…hearsy"), ["about 140 ms", "heard of it", "stranger 0.40", "unknown", "not connected"]);
      assert.equal(await row(page, "…nearby").locator(".badge").isVisible(), true);
      assert.equal(await row(page, "…strang").locator(".badge").isVisible(), false);
      await summary(page, "3 computers connected, 1 more known");
      assert.equal(await page.locator("#network-empty").isVisible(), false);
    }));

  test("the picture shows state by shape, round trip by distance, and says so in words", () =>
    withSwarm(everyKind(), async ({ page }) => {
      const drawn = await page.locator(".swarm-peers g").evaluateAll((groups) => groups.map((group) => {
        const [x, y] = group.getAttribute("transform").match(/-?[\d.]+/g).map(Number);
        return { name: group.querySelector("text").textContent, far: Math.hypot(x, y), state: group.dataset.state, shape: group.querySelector("path").getAttribute("d") };
      }));
      assert.deepEqual(drawn.map(({ name, state }) => [name, state]),
        [["…nearby", "alive"], ["…strang", "alive"], ["…farfar", "quiet"], ["…hearsy", "known"]]);
      const distances = drawn.map(({ far }) => far);
      assert.deepEqual(distances, [...distances].sort((one, other) => one - other));
      assert.equal(new Set(drawn.map(({ shape }) => shape)).size, 3);
      const image = page.getByRole("img", { name: "Picture of the swarm" });
      assert.equal(await image.count(), 1);
      const description = await page.locator("#swarm-desc").textContent();
      assert.match(description, /3 computers connected, 1 more known\. The nearest, …nearby, answers in 0\.4 ms\. 1 is quiet\./);
    }));

  test("computers come, change and go while one looks, and nothing else moves", () =>
    withSwarm(everyKind(), async ({ page, swarm }) => {
      await row(page, "…strang").evaluate((node) => { node.mine = true; });
      await row(page, "…strang").getByRole("button").focus();
      const before = await place(page, "…strang");
      swarm.peers = [peer("newone", { latency_ms: 1 }), ...everyKind().filter(({ node_id }) => node_id !== idOf("nearby"))];
      swarm.peers[1].healthy = true;
      await nextAnswer(page);
      await row(page, "…newone").waitFor();
      assert.deepEqual(await names(page), ["…strang", "…farfar", "…newone", "…hearsy"]);
      assert.equal(await row(page, "…farfar").getAttribute("data-state"), "alive");
      assert.equal(await row(page, "…strang").evaluate((node) => node.mine && node.contains(document.activeElement)), true);
      assert.equal(await place(page, "…strang"), before);
      assert.equal(await page.locator(".swarm-peers g").filter({ hasText: "…nearby" }).count(), 0);
      assert.equal(await page.locator(".swarm-lines line").count(), 4);
      swarm.peers = [];
      await nextAnswer(page);
      await page.locator("#network-empty").waitFor();
      assert.equal(await rows(page).count(), 0);
    }));

  test("a curve grows with each measured round trip, to thirty of them", () =>
    withSwarm([peer("onepee", { latency_ms: 5 })], async ({ page, swarm }) => {
      const points = async () => ((await page.locator(".curve polyline").getAttribute("points")) ?? "").split(" ").filter(Boolean);
      assert.equal(await page.locator(".curve").count(), 0);
      for (let turn = 0; turn < 34; turn += 1) {
        swarm.peers = [peer("onepee", { latency_ms: 5 + turn })];
        await nextAnswer(page);
      }
      const found = (await points()).map((pair) => pair.split(",").map(Number));
      assert.equal(found.length, 30);
      assert.ok(found.every(([x, y], at) => at === 0 || (x > found[at - 1][0] && y < found[at - 1][1])), String(found));
      assert.ok(found.flat().every((value) => value >= 0 && value <= 60));
    }));

  test("the node is asked only while the panel is open and the page is looked at", () =>
    withSwarm([], async ({ page, swarm }) => {
      await nextAnswer(page);
      const hide = (flag) => page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, flag);
      await hide(true);
      const asked = swarm.asked;
      await page.clock.fastForward(60000);
      assert.equal(swarm.asked, asked);
      const again = page.waitForResponse("**/api/admin/peers");
      await hide(false);
      await again;
      await page.locator("#network-drawer [data-close]").click();
      const closed = swarm.asked;
      await page.clock.fastForward(60000);
      assert.equal(swarm.asked, closed);
      const opened = page.waitForResponse("**/api/admin/peers");
      await page.locator("#open-network").click();
      await opened;
    }));

  test("when the node refuses, the panel says so and keeps what it knew", () =>
    withSwarm(everyKind(), async ({ page, swarm }) => {
      swarm.status = 503;
      await nextAnswer(page);
      await page.getByText("The node is on no network. Look into its log.").waitFor();
      assert.equal(await rows(page).count(), 4);
      assert.equal(await page.locator(".network-list.stale").count(), 1);
      swarm.status = 200;
      await nextAnswer(page, 5000);
      await page.locator("#network-problem").filter({ hasText: "node" }).waitFor({ state: "detached" });
      assert.equal(await page.locator(".stale").count(), 0);
    }, { expected: /503/ }));

  test("where nobody is, the panel tells the three ways to others", () =>
    withSwarm([], async ({ page }) => {
      await summary(page, "No other computer is there yet");
      const words = await page.locator("#network-empty").innerText();
      for (const part of [/same local network/, /invite code/, /swarmnode run --bootstrap/]) assert.match(words, part);
      assert.equal(await page.locator(".swarm").isVisible(), false);
      assert.equal(await page.locator(".peers").isVisible(), false);
      await picture(page, "network-empty");
    }));
});

suite("network: how it is used and looks", () => {
  test("all of it can be reached from the keyboard, and Escape leads back", () =>
    withSwarm(everyKind(), async ({ page }) => {
      await page.keyboard.press("Escape");
      assert.equal(await page.locator("#network-drawer").isVisible(), false);
      assert.equal(await focused(page), "open-network");
      await page.keyboard.press("Enter");
      await page.locator("#network-drawer").waitFor();
      const seen = new Set();
      for (let step = 0; step < 40; step += 1) {
        await page.keyboard.press("Tab");
        const [id, inside] = await page.evaluate(() => [document.activeElement.id || document.activeElement.ariaLabel, Boolean(document.activeElement.closest("#network-drawer")) || document.activeElement === document.body]);
        assert.ok(inside, `Tab leaves the panel for ${id}`);
        seen.add(id);
      }
      for (const id of ["invite-make", "join-text", "join-submit", "Copy the id of …hearsy", "Copy this computer's id"]) assert.ok(seen.has(id), `${id} in ${[...seen]}`);
      const nameless = await page.evaluate(() => {
        const named = (node) => node.ariaLabel || node.innerText?.trim() || node.labels?.[0]?.innerText.trim();
        return [...document.querySelectorAll("#network-drawer :is(button, input)")].filter((node) => !named(node) && !node.textContent.trim()).map((node) => node.outerHTML);
      });
      assert.deepEqual(nameless, []);
    }));

  test("on a phone the rows are cards, and still a table to a screen reader", () =>
    withSwarm(everyKind(), async ({ page }) => {
      assert.deepEqual(await overflowing(page, "#network-panel"), []);
      const table = page.getByRole("table", { name: "The other computers" });
      assert.equal(await table.getByRole("row").count(), 5);
      assert.equal(await table.getByRole("columnheader").count(), 6);
      assert.equal(await table.getByRole("rowheader").count(), 4);
      assert.equal(await row(page, "…nearby").evaluate((node) => getComputedStyle(node).display), "grid");
      await page.locator("#invite-make").scrollIntoViewIfNeeded();
      assert.deepEqual(await overflowing(page, "#network-panel"), []);
    }, { viewport: PHONE }));

  for (const colours of ["dark", "light"]) {
    test(`text stands out from its ground (${colours})`, () =>
      withSwarm(everyKind(), async ({ page, swarm }) => {
        await answerWith(page, "/api/admin/network-code", 200, { code: "swarm://x", addresses: [] });
        await page.locator("#invite-make").click();
        await page.locator("#invite-warning").waitFor();
        await page.locator("#join-submit").click();
        await page.locator("#join-problem").filter({ hasText: "Paste" }).waitFor();
        assert.deepEqual(await lowContrast(page), []);
        swarm.peers = [];
        await nextAnswer(page);
        await page.locator("#network-empty").waitFor();
        assert.deepEqual(await lowContrast(page), []);
      }, { before: remembered(colours) }));
  }

  for (const [colours, viewport] of [["dark", DESKTOP], ["light", DESKTOP], ["dark", PHONE], ["light", PHONE]]) {
    const name = `network-${viewport === PHONE ? "phone" : "desktop"}-${colours}`;
    test(`pictures: ${name}`, () =>
      withSwarm(everyKind(), async ({ page, swarm }) => {
        for (let turn = 0; turn < 12; turn += 1) {
          swarm.peers = everyKind().map((one) => (one.latency_ms ? { ...one, latency_ms: one.latency_ms * (1 + 0.2 * Math.sin(turn)) } : one));
          await nextAnswer(page);
        }
        await picture(page, name);
        await page.locator(".peers").scrollIntoViewIfNeeded();
        await picture(page, `${name}-list`);
      }, { viewport, deviceScaleFactor: viewport === PHONE ? 2 : 1, before: remembered(colours) }));
  }
});
