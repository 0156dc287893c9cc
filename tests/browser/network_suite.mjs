// The network panel: who is there, live; inviting and joining; hostile computers; how it looks.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { answerWith, DESKTOP, overflowing, PHONE, picture, remembered, withPage } from "./browser.mjs";
import { lowContrast } from "./contrast.mjs";
import { everyKind, idOf, nextAnswer, peer, serveSwarm } from "./network_peers.mjs";

const rows = (page) => page.locator(".peers tbody tr");
const names = (page) => page.locator(".peers tbody th code").allInnerTexts();
const row = (page, name) => rows(page).filter({ hasText: name });
const focused = (page) => page.evaluate(() => document.activeElement.id);
const place = (page, name) => page.locator(".swarm-peers g").filter({ hasText: name }).getAttribute("transform");
const summary = (page, words) => page.locator("#network-summary").filter({ hasText: words }).waitFor();

/** Run `body({page, swarm})` on the open panel, with these computers. */
function withSwarm(peers, body, options = {}) {
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

const answered = (page) => page.locator("#network-summary").filter({ hasNotText: "Looking" }).waitFor();

/** The way to the node's answer is held up until the returned function is called. */
async function holdUp(page, path, status, json) {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const bodies = [];
  await page.route(`**${path}`, async (route) => {
    bodies.push(route.request().postDataJSON());
    await held;
    await route.fulfill({ status, json }).catch(() => {}); // The page may have given up.
  });
  return { release, bodies };
}

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
      assert.equal((await points()).length, 0);
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

suite("network: this computer, inviting, joining", () => {
  test("ids and addresses can be copied whole, and say who can use them", () => {
    const id = idOf("myself");
    const addresses = ["127.0.0.1", "192.168.1.20", "100.101.7.9", "203.0.113.7"].map((ip) => `/ip4/${ip}/tcp/8810/p2p/${id}`);
    const before = (page) => answerWith(page, "/v1/status", 200, { peer_id: id, addresses, peers: 1 });
    return withSwarm(everyKind(), async ({ page }) => {
      const pasted = () => page.evaluate(() => navigator.clipboard.readText());
      const ways = page.locator("#network-ways li");
      await ways.first().filter({ hasText: "203.0.113.7:8810" }).waitFor();
      assert.deepEqual(await page.locator("#network-ways .quiet").allInnerTexts(), [
        "from the internet, if the router lets calls in", "in the local network", "over a VPN", "on this very computer only"]);
      assert.equal(await page.locator("#network-hidden").isVisible(), false);
      await page.getByRole("button", { name: "Copy this computer's id" }).click();
      await page.locator(".network-part .done").waitFor();
      assert.equal(await pasted(), id);
      await page.getByRole("button", { name: "Copy the address 192.168.1.20:8810" }).click();
      await page.locator("#network-ways .done").waitFor();
      assert.equal(await pasted(), addresses[1]);
      await page.getByRole("button", { name: "Copy the id of …nearby" }).click();
      await page.locator(".peers .done").waitFor();
      assert.equal(await pasted(), idOf("nearby"));
      assert.equal(await page.locator("#announcer").innerText(), "Copied");
      assert.equal(await page.locator("#network-count").textContent(), "1");
    }, { before, permissions: ["clipboard-read", "clipboard-write"] });
  });

  test("a computer that only its own programs reach says how to change that", () => {
    const before = (page) => answerWith(page, "/v1/status", 200, { peer_id: idOf("myself"), addresses: ["/ip4/127.0.0.1/tcp/1"] });
    return withSwarm([], async ({ page }) => {
      await page.locator("#network-hidden").filter({ hasText: "network.listen_address" }).waitFor();
    }, { before });
  });

  test("an invite code is made when asked for, and copied", () =>
    withSwarm([], async ({ page }) => {
      let made = 0;
      await page.route("**/api/admin/network-code", (route) => {
        made += 1;
        return route.fulfill({ json: { code: `swarm://code${made}`, addresses: ["/ip4/192.168.1.2/tcp/1"] } });
      });
      await nextAnswer(page);
      assert.equal(made, 0);
      assert.equal(await page.locator("#invite-code").isVisible(), false);
      await page.locator("#invite-make").click();
      await page.locator("#invite-copy").waitFor();
      assert.equal(await focused(page), "invite-copy");
      await page.keyboard.press("Enter");
      await page.locator("#invite-copy.done").waitFor();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "swarm://code1");
      assert.equal(await page.locator("#invite-warning").isVisible(), false);
      await page.getByRole("button", { name: "Make another code" }).click();
      await page.waitForFunction(() => document.querySelector("#invite-code").value === "swarm://code2");
    }, { permissions: ["clipboard-read", "clipboard-write"] }));

  test("a code that leads nowhere is called so, and a refusal is told", () =>
    withSwarm([], async ({ page }) => {
      await answerWith(page, "/api/admin/network-code", 200, { code: "swarm://x", addresses: ["/ip4/127.0.0.1/tcp/1"] });
      await page.locator("#invite-make").click();
      await page.locator("#invite-warning").filter({ hasText: "leads nowhere" }).waitFor();
      await page.unroute("**/api/admin/network-code");
      await answerWith(page, "/api/admin/network-code", 503, { error: { message: "No codes here.", hint: "Give its address." } });
      await page.locator("#invite-make").click();
      await page.locator("#invite-problem").filter({ hasText: "No codes here. Give its address." }).waitFor();
    }, { expected: /503/ }));

  test("joining shows that it goes on, then that it worked", () =>
    withSwarm([], async ({ page, swarm }) => {
      const { release, bodies } = await holdUp(page, "/api/admin/join-network", 200, { node_id: idOf("friend"), vouched: false, note: "The invite is used up" });
      await page.locator("#join-text").fill("  Swarm://abc\n def ");
      await page.locator("#join-text").press("Enter");
      await page.getByText("Calling the other computer… 0 s").waitFor();
      await page.clock.fastForward(3000);
      await page.locator("#join-state").filter({ hasText: /… [1-9]\d* s/ }).waitFor();
      assert.equal(await page.locator("#join-submit").isVisible(), false);
      swarm.peers = [peer("friend")];
      release();
      await page.getByText("Connected to …friend. The invite is used up.").waitFor();
      await row(page, "…friend").waitFor();
      assert.deepEqual(bodies, [{ code: "swarm://abcdef" }]);
      assert.equal(await page.locator("#join-text").inputValue(), "");
      assert.equal(await focused(page), "join-text");
    }));

  test("an address is sent as one, and the node's reason is shown in words", () =>
    withSwarm([], async ({ page }) => {
      const { release, bodies } = await holdUp(page, "/api/admin/join-network", 503, { error: { code: "unreachable", message: "Nobody answers there.", hint: "Is it running?" } });
      release();
      await page.locator("#join-text").fill("/ip4/192.0.2.1/tcp/1");
      await page.locator("#join-submit").click();
      await page.locator("#join-problem").filter({ hasText: "Nobody answers there. Is it running?" }).waitFor();
      assert.deepEqual(bodies, [{ address: "/ip4/192.0.2.1/tcp/1" }]);
      assert.equal(await page.locator("#join-text").getAttribute("aria-invalid"), "true");
      assert.equal(await page.locator("#join-text").inputValue(), "/ip4/192.0.2.1/tcp/1");
      assert.equal(await page.locator("#join-state").innerText(), "");
      await page.locator("#join-text").press("End");
      await page.keyboard.type("1");
      assert.equal(await page.locator("#join-problem").innerText(), "");
    }, { expected: /503/ }));

  test("what is neither code nor address is not sent", () =>
    withSwarm([], async ({ page }) => {
      const { bodies } = await holdUp(page, "/api/admin/join-network", 200, {});
      for (const [text, said] of [["", "Paste an invite code"], ["hello", "neither a code nor an address"], [`/${"x".repeat(5000)}`, "neither a code"]]) {
        await page.locator("#join-text").fill(text);
        await page.locator("#join-submit").click();
        await page.locator("#join-problem").filter({ hasText: said }).waitFor();
        assert.equal(await focused(page), "join-text");
      }
      assert.deepEqual(bodies, []);
    }));

  test("joining can be stopped", () =>
    withSwarm([], async ({ page }) => {
      const { release, bodies } = await holdUp(page, "/api/admin/join-network", 200, { node_id: idOf("friend") });
      await page.locator("#join-text").fill("swarm://abc");
      await page.locator("#join-submit").click();
      await page.getByText("Calling the other computer").waitFor();
      assert.equal(await focused(page), "join-stop");
      await page.keyboard.press("Enter");
      await page.getByText("Stopped.").waitFor();
      assert.equal(await page.locator("#join-submit").isVisible(), true);
      assert.equal(await focused(page), "join-text");
      release();
      assert.equal(bodies.length, 1);
    }));

  test("the node itself makes a code and refuses it from its own hands", () =>
    withPage({ path: "/admin/network", expected: /40\d|50\d/ }, async ({ page }) => {
      await page.locator("#network-summary").filter({ hasNotText: "Looking" }).waitFor();
      await page.locator("#invite-make").click();
      await page.locator("#invite-copy").waitFor();
      const code = await page.locator("#invite-code").inputValue();
      assert.match(code, /^swarm:\/\/[\w-]{80,}$/);
      await page.locator("#join-text").fill(code);
      await page.locator("#join-submit").click();
      await page.locator("#join-problem").filter({ hasText: "This code is this node's own" }).waitFor();
      await page.locator("#join-text").fill("swarm://nonsense");
      await page.locator("#join-submit").click();
      await page.waitForFunction(() => /\w{3}/.test(document.querySelector("#join-problem").textContent));
      assert.doesNotMatch(await page.locator("#join-problem").innerText(), /own|status \d|Traceback/);
    }));
});

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
        for (let turn = 0; turn < 20; turn += 1) {
          swarm.peers = everyKind().map((one) => (one.latency_ms ? { ...one, latency_ms: one.latency_ms * (1 + 0.2 * Math.sin(turn)) } : one));
          await nextAnswer(page);
        }
        await picture(page, name);
        await page.locator(".peers").scrollIntoViewIfNeeded();
        await picture(page, `${name}-list`);
      }, { viewport, deviceScaleFactor: viewport === PHONE ? 2 : 1, before: remembered(colours) }));
  }
});
