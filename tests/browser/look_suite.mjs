// How the page looks: themes, contrast, phones, motion; and the pictures for people to judge.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { ask, DESKTOP, overflowing, PHONE, picture, remembered, withoutNonce, withPage } from "./browser.mjs";
import { CONVERSATION, LONG_ANSWER } from "./sample_text.mjs";
import { answer, controlStream, finish, say } from "./stream.mjs";
import { lowContrast } from "./contrast.mjs";

const theme = (page) => page.evaluate(() => document.documentElement.dataset.theme);

async function converse(page) {
  await controlStream(page);
  for (const [question, reply] of CONVERSATION) {
    await ask(page, question);
    await answer(page, reply);
  }
}

suite("look", () => {
  test("the toggle switches the theme, and the browser remembers it", () =>
    withPage({}, async ({ page }) => {
      const first = await theme(page);
      await page.locator("#theme-toggle").click();
      const second = await theme(page);
      assert.notEqual(first, second);
      assert.deepEqual([first, second].sort(), ["dark", "light"]);
      await page.reload({ waitUntil: "commit" });
      await page.locator("#model:enabled").waitFor();
      assert.equal(await theme(page), second);
    }));

  test("where the node asks for no theme, the system's holds", async () => {
    const before = (page) => page.route("**/", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace(/data-theme="\w*"/, 'data-theme="auto"');
      await route.fulfill({ response, body });
    });
    const ground = {};
    for (const colorScheme of ["light", "dark"]) {
      await withPage({ before, colorScheme }, async ({ page }) => {
        ground[colorScheme] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      });
    }
    assert.deepEqual(ground, { light: "rgb(246, 245, 240)", dark: "rgb(15, 20, 21)" });
  });

  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    test(`nothing is wider than a ${name}, whatever the answer holds`, () =>
      withPage({ viewport }, async ({ page }) => {
        assert.deepEqual(await overflowing(page), []);
        await controlStream(page);
        await ask(page, `${"Supercalifragilistic".repeat(12)} https://example.org/${"a/".repeat(120)}`);
        await answer(page, `${LONG_ANSWER}\n\n${"unbroken".repeat(60)} \`${"x".repeat(300)}\` # ${"H".repeat(200)}`);
        assert.deepEqual(await overflowing(page), []);
        for (const opener of ["#open-settings", "#open-node", "#open-network"]) {
          await page.locator(opener).click();
          await page.locator(".drawer:visible").waitFor();
          assert.deepEqual(await overflowing(page), []);
          await page.locator(".drawer:visible [data-close]").click();
        }
      }));
  }

  test("on a phone the list of conversations comes and goes", () =>
    withPage({ viewport: PHONE }, async ({ page }) => {
      assert.equal(await page.locator("#new-chat").isVisible(), false);
      await page.locator("#open-sidebar").click();
      await page.locator("#new-chat").waitFor();
      await page.locator("#new-chat").click();
      await page.locator("#new-chat").waitFor({ state: "hidden" });
      assert.equal(await page.evaluate(() => document.activeElement.id), "question");
    }));

  test("text stands out from its ground in both themes", () =>
    withPage({}, async ({ page }) => {
      await converse(page);
      for (const opener of ["#open-node", "#open-settings"]) {
        await page.locator(opener).click();
        for (let turn = 0; turn < 2; turn += 1) {
          await page.locator("#theme-toggle").click();
          await page.mouse.move(640, 300);
          assert.deepEqual(await lowContrast(page), [], `theme ${await theme(page)}`);
        }
      }
    }));

  test("nothing moves for those who asked for that", () =>
    withPage({ reducedMotion: "reduce" }, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Wait");
      const moving = () => page.evaluate(() => document.getAnimations().length);
      await page.locator(".waiting i").first().waitFor();
      assert.equal(await moving(), 0);
      await page.emulateMedia({ reducedMotion: "no-preference" });
      assert.ok((await moving()) > 0, "there is nothing to switch off");
      await finish(page);
    }));

  for (const [colours, viewport] of [["dark", DESKTOP], ["light", DESKTOP], ["dark", PHONE], ["light", PHONE]]) {
    const name = viewport === PHONE ? "phone" : "desktop";
    test(`pictures: ${name}, ${colours}`, () =>
      withPage({ viewport, deviceScaleFactor: viewport === PHONE ? 2 : 1, before: remembered(colours) }, async ({ page }) => {
        assert.equal(await theme(page), colours);
        await picture(page, `${name}-${colours}-welcome`);
        await converse(page);
        await picture(page, `${name}-${colours}`);
        await ask(page, "And the long story?");
        await say(page, LONG_ANSWER.slice(0, 640));
        await page.locator(".prose").last().locator("li").first().waitFor();
        await picture(page, `${name}-${colours}-streaming`);
        await say(page, LONG_ANSWER.slice(640));
        await finish(page, { tokens: 312 });
        await page.locator(".measures").filter({ hasText: "312" }).waitFor();
        await picture(page, `${name}-${colours}-long`);
        await page.locator("#open-node").click();
        await page.locator(".peer-id").filter({ hasText: "12D3" }).waitFor();
        await picture(page, `${name}-${colours}-node`);
        await page.locator("#node-drawer [data-close]").click();
        await page.locator("#open-settings").click();
        await picture(page, `${name}-${colours}-settings`);
      }));
  }

  test("pictures: the key dialog on a phone", () =>
    withPage({ viewport: PHONE, before: withoutNonce, expected: /403/, ready: false }, async ({ page }) => {
      await page.locator("#key-dialog[open]").waitFor();
      assert.deepEqual(await overflowing(page), []);
      await picture(page, "phone-key-dialog");
    }));
});
