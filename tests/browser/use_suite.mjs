// Using the page: keyboard, conversations, settings, scrolling, copying, the node's panel.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { answerWith, ask, fromNode, withPage } from "./browser.mjs";
import { answer, controlStream, finish, requests, say } from "./stream.mjs";

const focused = (page) => page.evaluate(() => document.activeElement.id);
const titles = (page) => page.locator(".history-item").allInnerTexts();

suite("use", () => {
  test("everything can be done from the keyboard", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      assert.equal(await focused(page), "question");
      await page.keyboard.type("First line");
      await page.keyboard.press("Shift+Enter");
      await page.keyboard.type("second line");
      await page.keyboard.press("Enter");
      await say(page, "Coming");
      await page.locator(".prose").filter({ hasText: "Coming" }).waitFor();
      await page.keyboard.press("Escape");
      await page.locator(".measures").filter({ hasText: "Stopped" }).waitFor();
      assert.equal((await requests(page))[0].messages[0].content, "First line\nsecond line");
      assert.equal(await focused(page), "question");
      await page.locator("#open-settings").focus();
      await page.keyboard.press("Enter");
      assert.equal(await page.locator("#settings-drawer").isVisible(), true);
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "setting-system");
      await page.keyboard.press("Escape");
      assert.equal(await page.locator("#settings-drawer").isVisible(), false);
      assert.equal(await focused(page), "open-settings");
    }));

  test("the Tab key passes every control, each with a name, and begins with the skip link", () =>
    withPage({}, async ({ page }) => {
      await page.evaluate(() => { document.body.tabIndex = -1; document.body.focus(); });
      const seen = [];
      for (let step = 0; step < 40; step += 1) {
        await page.keyboard.press("Tab");
        const id = await page.evaluate(() => document.activeElement.id || document.activeElement.className);
        if (seen.includes(id) && id !== "suggestion") break;
        seen.push(id);
      }
      assert.equal(seen[0], "skip");
      for (const id of ["new-chat", "theme-toggle", "model", "open-node", "open-network", "open-settings", "question"]) {
        assert.ok(seen.includes(id), `Tab does not reach ${id}: ${seen}`);
      }
      const nameless = await page.evaluate(() => {
        const named = (node) => node.ariaLabel || node.innerText?.trim() || node.labels?.[0]?.innerText.trim();
        const controls = [...document.querySelectorAll("button, input, select, textarea, a")];
        return controls.filter((node) => !named(node) && !node.textContent.trim()).map((node) => node.outerHTML.slice(0, 90));
      });
      assert.deepEqual(nameless, []);
    }));

  test("conversations are kept, opened and deleted", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      for (const text of ["About bees", "About hives"]) {
        await page.locator("#new-chat").click();
        await ask(page, text);
        await answer(page, `${text}: so.`);
      }
      assert.deepEqual(await titles(page), ["About hives", "About bees"]);
      await page.reload();
      await page.locator("#model:enabled").waitFor();
      await page.getByRole("button", { name: "About bees", exact: true }).click();
      assert.equal(await page.locator(".prose").innerText(), "About bees: so.");
      await page.getByRole("button", { name: "Delete “About bees”" }).click();
      assert.deepEqual(await titles(page), ["About hives"]);
      assert.equal(await page.locator("#welcome").isVisible(), true);
      page.on("dialog", (dialog) => dialog.accept());
      await page.locator("#clear-history").click();
      assert.deepEqual(await titles(page), []);
      assert.equal(await page.evaluate(() => Object.keys(localStorage).some((name) => name.includes("chat."))), false);
    }));

  test("an answer under way ends when another conversation begins, and deleting it is final", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Endless?");
      await say(page, "On and on");
      await page.locator(".prose").filter({ hasText: "On and on" }).waitFor();
      await page.getByRole("button", { name: "Delete “Endless?”" }).click();
      await page.locator("#send").waitFor();
      assert.equal(await page.evaluate(() => controlled.aborted), 1);
      assert.deepEqual(await titles(page), []);
    }));

  test("conversations need not be kept", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Secret");
      await answer(page, "Hush.");
      const stored = () => page.evaluate(() => JSON.stringify(localStorage).includes("Secret"));
      assert.equal(await stored(), true);
      await page.locator("#open-settings").click();
      await page.getByLabel("Keep conversations in this browser").uncheck();
      assert.equal(await stored(), false);
      await ask(page, "Secret too");
      await answer(page, "Hush.");
      assert.equal(await stored(), false);
    }));

  test("settings reach the request, wrong ones do not", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await page.locator("#open-settings").click();
      await page.getByLabel("System prompt").fill("Be brief.");
      await page.getByLabel("Temperature").fill("0.25");
      await page.getByLabel("Longest answer").fill("64");
      await page.getByLabel("Seed").fill("-1");
      await page.getByText("Allowed: 0 to").waitFor();
      await ask(page, "Hello");
      await answer(page, "Hi.");
      const [request] = await requests(page);
      assert.deepEqual(request.messages[0], { role: "system", content: "Be brief." });
      assert.equal(request.temperature, 0.25);
      assert.equal(request.max_tokens, 64);
      assert.equal("seed" in request || "top_p" in request, false);
      await page.getByRole("button", { name: "Back to the defaults" }).click();
      await ask(page, "Again");
      await answer(page, "Hi.");
      const second = (await requests(page))[1];
      assert.deepEqual(Object.keys(second).sort(), ["messages", "model", "session_id", "stream", "stream_options"]);
    }));

  test("the page follows the answer until the reader scrolls away", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Long?");
      const lines = "One more line.\n\n".repeat(40);
      const place = () => page.locator("#scroller").evaluate((node) => node.scrollTop);
      const atEnd = () => page.locator("#scroller").evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop < 60);
      await say(page, lines);
      await page.waitForFunction(() => document.querySelectorAll(".prose p").length === 40);
      await page.waitForFunction(() => document.querySelector("#scroller").scrollTop > 100);
      assert.equal(await atEnd(), true);
      await page.locator("#scroller").hover();
      await page.mouse.wheel(0, -500);
      await page.locator("#jump").waitFor();
      const before = await place();
      await say(page, lines);
      await page.waitForFunction(() => document.querySelectorAll(".prose p").length === 80);
      assert.equal(await place(), before);
      await page.locator("#jump").click();
      assert.equal(await atEnd(), true);
      assert.equal(await page.locator("#jump").isVisible(), false);
      await finish(page);
    }));

  test("what grows between two frames does not stop the following", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Long?");
      const atEnd = await page.evaluate(() => new Promise((done) => {
        const grow = (height) => {
          const block = document.createElement("div");
          block.style.height = height;
          document.querySelector("#thread").append(block);
        };
        const scroller = document.querySelector("#scroller");
        const left = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
        const later = (frames, call) => requestAnimationFrame(() => (frames ? later(frames - 1, call) : call()));
        requestAnimationFrame(() => {
          grow("2000px");
          setTimeout(() => { grow("300px"); later(3, () => done(left() < 2)); });
        });
      }));
      assert.equal(atEnd, true);
      assert.equal(await page.locator("#jump").isVisible(), false);
      await finish(page);
    }));

  test("answers and code can be copied", () =>
    withPage({ permissions: ["clipboard-read", "clipboard-write"] }, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Code?");
      await answer(page, "So:\n\n```sh\nswarmnode run\n```");
      const pasted = () => page.evaluate(() => navigator.clipboard.readText());
      await page.getByRole("button", { name: "Copy the code" }).click();
      await page.locator(".code-copy.done").waitFor();
      assert.equal(await pasted(), "swarmnode run");
      await page.getByRole("button", { name: "Copy the answer" }).click();
      await page.locator(".answer-foot .done").waitFor();
      assert.equal(await pasted(), "So:\n\n```sh\nswarmnode run\n```");
    }));

  test("the panel shows what the node says of itself", () =>
    withPage({ path: "/admin" }, async ({ page }) => {
      const status = await fromNode("/v1/status");
      await page.locator(".peer-id").filter({ hasText: status.peer_id }).waitFor();
      assert.match(status.peer_id, /^12D3KooW/);
      assert.equal(await page.locator("#node-version").innerText(), status.version);
      assert.ok((await page.locator("#node-subsystems li").count()) > 0);
      assert.equal(await page.locator("#node-dot").getAttribute("data-state"), "ready");
    }));

  test("the panel names the models that cannot run, and why", () => {
    const status = { peer_id: "12D3KooWx", models: [], unusable_models: { "odd.gguf": "It ends after 12 bytes." } };
    const before = (page) => answerWith(page, "/v1/status", 200, status);
    return withPage({ path: "/admin", before }, async ({ page }) => {
      await page.getByText("odd.gguf: It ends after 12 bytes.").waitFor();
      await page.getByText("A model is loaded when it is first asked.").waitFor();
    });
  });

  test("a node that has gone shows at the top", () =>
    withPage({ expected: /Failed to load resource/ }, async ({ page }) => {
      await page.route("**/health/ready", (route) => route.abort("connectionrefused"));
      await page.locator("#open-node").click();
      await page.getByText("No answer").waitFor();
      assert.equal(await page.locator("#node-dot").getAttribute("data-state"), "unreachable");
    }));
});
