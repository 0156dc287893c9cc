// The network panel: this computer, inviting others, joining them.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { answerWith, withPage } from "./browser.mjs";
import { answered, everyKind, focused, idOf, nextAnswer, peer, row, withSwarm } from "./network_peers.mjs";

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

  test("where nobody is reached, the node is asked why, and says what it tried", () =>
    withSwarm([], async ({ page, swarm }) => {
      await answerWith(page, "/api/admin/join-network", 503, { error: { code: "unreachable", message: "Nobody answers there.", hint: "" } });
      const found = { meets: false, cause: "firewall", message: "A firewall <b>is</b> in the way.", advice: "Open port 8810.", steps: [
        { step: "connect /ip4/192.0.2.1/tcp/1", ok: false, detail: "timed out" }, { step: "resolve", ok: true, detail: "known" }, null] };
      const { release, bodies } = await holdUp(page, "/api/admin/doctor", 200, found);
      const join = async () => {
        await page.locator("#join-text").fill("/ip4/192.0.2.1/tcp/1");
        await page.locator("#join-submit").click();
        await page.locator("#why-ask:enabled").waitFor();
      };
      await join();
      await page.locator("#why-ask").click();
      await page.getByText("Trying the way there…").waitFor();
      release();
      await page.getByText("A firewall <b>is</b> in the way. Open port 8810.").waitFor();
      assert.deepEqual(bodies, [{ address: "/ip4/192.0.2.1/tcp/1" }]);
      assert.deepEqual((await page.locator(".steps li").allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim()),
        ["failed: connect /ip4/192.0.2.1/tcp/1: timed out", "passed: resolve: known"]);
      await page.locator("#join-text").press("End");
      await page.keyboard.type("1");
      await page.locator(".why-box").waitFor({ state: "hidden" });
      await page.unroute("**/api/admin/doctor");
      await answerWith(page, "/api/admin/doctor", 200, { meets: true, steps: [] });
      await join();
      const asked = swarm.asked;
      await page.locator("#why-ask").click();
      await page.getByText("The other computer answers now").waitFor();
      assert.equal(swarm.asked, asked + 1);
    }, { expected: /503/ }));

  test("the node itself makes a code and refuses it from its own hands", () =>
    withPage({ path: "/admin/network", expected: /40\d|50\d/ }, async ({ page }) => {
      await answered(page);
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
      assert.equal(await page.locator(".why-box").isVisible(), false);
      await page.locator("#join-text").fill("/ip4/127.0.0.1/tcp/9");
      await page.locator("#join-submit").click();
      await page.locator("#why-ask").click();
      await page.locator("#why-found p").filter({ hasText: /\w{3}/ }).waitFor();
      assert.ok((await page.locator(".steps li").count()) > 0);
    }));
});
