// Untrusted text, the content security policy, and the key.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { API_KEY, ask, picture, withoutNonce, withPage } from "./browser.mjs";
import { answer, controlStream } from "./stream.mjs";

const HOSTILE = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=2</script>

[click](javascript:globalThis.pwned=3) ![x](https://example.org/x.png) [ok](https://example.org/)

- <svg onload="globalThis.pwned=4">

\`\`\`html
</code></pre><img src=x onerror="globalThis.pwned=5">
\`\`\`

| <b>a</b> | b |
|---|---|
| <iframe src="javascript:globalThis.pwned=6"> | c |`;

const REFUSED = /Failed to load resource.*40[13]/;

const dialogOpen = (page) => page.locator("#key-dialog[open]");

async function enterKey(page, key) {
  await page.locator("#key-input").fill(key);
  await page.locator("#key-input").press("Enter");
}

suite("safety", () => {
  test("markup in questions, answers and titles is text", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, HOSTILE);
      await answer(page, HOSTILE);
      const made = await page.locator(".thread :is(img, script, iframe, svg[onload], b), #history-list img").count();
      assert.equal(made, 0, "text of an answer became an element");
      assert.match(await page.locator(".prose").innerText(), /<img src=x onerror=/);
      assert.match(await page.locator(".bubble").innerText(), /<script>/);
      assert.match(await page.locator(".code code").innerText(), /<\/code><\/pre><img/);
      const links = await page.locator(".prose a").evaluateAll((nodes) => nodes.map((node) => node.href));
      assert.deepEqual(links, ["https://example.org/x.png", "https://example.org/"]);
      assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
    }));

  test("the policy forbids inline code, and the tests would see a breach", () =>
    withPage({ expected: /CSP|Content Security Policy/ }, async ({ page, faults }) => {
      await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "globalThis.pwned = 7";
        document.body.append(script);
        document.body.setAttribute("style", "color: red");
      });
      await page.waitForFunction(() => globalThis.pwned === undefined);
      assert.ok(faults.some((fault) => fault.startsWith("CSP: script-src")), String(faults));
      assert.ok(faults.some((fault) => fault.startsWith("CSP: style-src")), String(faults));
    }));

  test("the page exchanges its nonce for the key without a question", () =>
    withPage({}, async ({ page }) => {
      assert.equal(await dialogOpen(page).count(), 0);
      assert.equal(await page.evaluate(() => sessionStorage.getItem("swarmnode.key")), API_KEY);
      assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("swarmnode.key")), false);
    }));

  test("without a nonce the page asks for the key, and tells a wrong one", () =>
    withPage({ before: withoutNonce, expected: REFUSED, ready: false }, async ({ page, context }) => {
      await dialogOpen(page).waitFor();
      assert.match(await page.locator("#key-dialog").innerText(), /api_key/);
      await picture(page, "key-dialog");
      await enterKey(page, "");
      await page.getByText("Paste the key first.").waitFor();
      for (const wrong of ["0".repeat(64), "ключ"]) {
        await enterKey(page, wrong);
        await page.getByText("That is not the key of this node.").waitFor();
        await page.locator("#key-input").fill("");
      }
      await page.keyboard.press("Escape");
      await page.keyboard.press("Escape");
      await dialogOpen(page).waitFor();
      await enterKey(page, `  ${API_KEY}\n`);
      await page.locator("#model:enabled").waitFor();
      assert.equal(await dialogOpen(page).count(), 0);
      await page.reload();
      await page.locator("#model:enabled").waitFor();
      assert.equal(await dialogOpen(page).count(), 0, "the tab forgot its key");
      const other = await context.newPage();
      await withoutNonce(other);
      await other.goto(page.url());
      await dialogOpen(other).waitFor();
    }));

  test("a key that has changed meanwhile is asked for again, and the question still goes out", () =>
    withPage({ expected: REFUSED }, async ({ page }) => {
      let refusals = 0;
      await page.route("**/v1/chat/completions", async (route) => {
        if (refusals++) return route.continue();
        return route.fulfill({ status: 401, json: { error: { message: "wrong key" } } });
      });
      await ask(page, "What is swarmnode?");
      await dialogOpen(page).waitFor();
      await enterKey(page, API_KEY);
      await page.locator(".measures").filter({ hasText: "tokens" }).waitFor();
    }));
});
