// Asking and answering: streaming, stopping, errors, asking again.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { answerWith, ask, DESKTOP, fromNode, PHONE, picture, withPage } from "./browser.mjs";
import { answer, controlStream, finish, requests, say, tell } from "./stream.mjs";

const prose = (page) => page.locator(".answer").last().locator(".prose");
const shows = (locator, text) => locator.filter({ hasText: text }).waitFor();
const FAILED = /Failed to load resource/;

suite("chat", () => {
  test("an answer of the node itself grows on the page and is counted", () =>
    withPage({}, async ({ page }) => {
      await page.evaluate(() => {
        globalThis.lengths = new Set();
        const note = () => lengths.add(document.querySelector(".prose")?.textContent.length ?? 0);
        new MutationObserver(note).observe(document.querySelector("#thread"), { childList: true, subtree: true, characterData: true });
      });
      const models = (await fromNode("/v1/models")).data.map((model) => model.id);
      if (models.includes("steady")) await page.getByLabel("Model").selectOption("steady");
      await ask(page, "one two three four five six seven eight nine ten eleven twelve");
      await shows(page.locator(".measures"), /\d+ tokens/);
      assert.ok((await page.evaluate(() => lengths.size)) > 3, "the answer came in one piece");
      assert.ok((await prose(page).innerText()).length > 10);
    }));

  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    test(`the built-in guide answers the welcome's suggestions, on a ${name}`, async (context) => {
      const [first] = (await fromNode("/v1/models")).data;
      if (first.owned_by !== "builtin") return context.skip(`the node's first model is ${first.id}`);
      return withPage({ viewport, deviceScaleFactor: name === "phone" ? 2 : 1 }, async ({ page }) => {
        const texts = await fromNode("/static/i18n/en.json");
        const questions = [texts["welcome.suggestion_1"], texts["welcome.suggestion_3"]];
        for (const [index, question] of questions.entries()) {
          await ask(page, question);
          await shows(page.locator(".measures").nth(index), /\d+ tokens/);
        }
        assert.equal(await page.getByRole("alert").count(), 0);
        await picture(page, `node-answers-${name}`);
      });
    });
  }

  test("stopping ends the work on the node", () =>
    withPage({}, async ({ page }) => {
      await ask(page, "What is swarmnode?");
      await page.locator(".prose > *").first().waitFor();
      await page.keyboard.press("Escape");
      await page.locator("#send").waitFor();
      for (let tries = 0; tries < 200; tries += 1) {
        if ((await fromNode("/v1/status")).active_requests === 0) return;
        await new Promise((resolve) => { setTimeout(resolve, 50); });
      }
      assert.fail("the node still works on a request that nobody waits for");
    }));

  test("tokens appear one by one", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Hello?");
      for (const [piece, whole] of [["Hel", "Hel"], ["lo", "Hello"], [" there", "Hello there"]]) {
        await say(page, piece);
        await page.waitForFunction((text) => document.querySelector(".prose").textContent === text, whole);
        assert.equal(await page.locator(".answer").getAttribute("aria-busy"), "true");
      }
      await finish(page, { tokens: 3 });
      await shows(page.locator(".measures"), "3 tokens");
      assert.equal(await page.locator(".answer").getAttribute("aria-busy"), "false");
      const [request] = await requests(page);
      assert.equal(request.stream, true);
      assert.deepEqual(request.stream_options, { include_usage: true });
      assert.deepEqual(request.messages, [{ role: "user", content: "Hello?" }]);
    }));

  test("a character split between two pieces of the stream stays whole", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Price?");
      const event = { choices: [{ index: 0, delta: { content: "5 € 🐝" }, finish_reason: null }] };
      const bytes = [...Buffer.from(`data: ${JSON.stringify(event)}\r\n\r\n`)];
      for (const byte of bytes) await page.evaluate((one) => controlled.bytes([one]), byte);
      await shows(prose(page), "5 € 🐝");
      await finish(page);
    }));

  test("stop keeps the partial answer and frees the composer", () =>
    withPage({ before: twoModels }, async ({ page }) => {
      await controlStream(page);
      await page.getByLabel("Model").selectOption("big-model");
      await ask(page, "Tell me");
      await say(page, "Half an");
      await shows(prose(page), "Half an");
      assert.equal(await page.locator("#send").isVisible(), false);
      await page.locator("#stop").click();
      await shows(page.locator(".measures"), "Stopped");
      assert.equal(await page.evaluate(() => controlled.aborted), 1);
      assert.equal(await prose(page).innerText(), "Half an");
      await ask(page, "Go on");
      const [, second] = await requests(page);
      assert.deepEqual(second.messages.map((message) => message.content), ["Tell me", "Half an", "Go on"]);
      await answer(page, "answer.");
    }));

  test("an answer can be asked for again", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "Which?");
      await answer(page, "This one.");
      await page.getByRole("button", { name: "Answer again" }).click();
      await answer(page, "That one.");
      assert.equal(await page.locator(".answer").count(), 1);
      assert.equal(await prose(page).innerText(), "That one.");
      assert.deepEqual((await requests(page))[1].messages, [{ role: "user", content: "Which?" }]);
    }));

  test("the node's refusal is shown in its words, with its hint", () => {
    const hint = "Try again in a minute, or raise inference.max_concurrent_requests.";
    const error = { message: "512 requests are waiting already.", type: "server_error", code: "queue_full", hint };
    const before = (page) => answerWith(page, "/v1/chat/completions", 503, { error });
    return withPage({ before, expected: FAILED }, async ({ page }) => {
      await ask(page, "Anybody?");
      await shows(page.getByRole("alert"), error.message);
      await shows(page.getByRole("alert"), hint);
      await picture(page, "error");
      await page.unroute("**/v1/chat/completions");
      await controlStream(page);
      await ask(page, "And now?");
      assert.deepEqual((await requests(page))[0].messages, [{ role: "user", content: "And now?" }]);
      await answer(page, "Yes.");
    });
  });

  test("a conversation that has outgrown its model leads to a new one", () => {
    const error = { message: "The prompt has 600 tokens, the context 512.", code: "context_length_exceeded" };
    const before = (page) => answerWith(page, "/v1/chat/completions", 400, { error });
    return withPage({ before, expected: FAILED }, async ({ page }) => {
      await ask(page, "Long?");
      await page.locator(".answer").getByRole("button", { name: "New chat" }).click();
      await page.locator("#welcome").waitFor();
      assert.equal(await page.locator(".message").count(), 0);
    });
  });

  test("a fault in mid-stream keeps what came before", () =>
    withPage({}, async ({ page }) => {
      await controlStream(page);
      await ask(page, "One?");
      await say(page, "First words");
      await tell(page, { error: { message: "The worker ended.", code: "worker_lost", hint: "Ask again." } });
      await shows(page.getByRole("alert"), "The worker ended.");
      assert.equal(await prose(page).innerText(), "First words");
      await ask(page, "Two?");
      await say(page, "More");
      await page.evaluate(() => controlled.breakOff());
      await shows(page.getByRole("alert").last(), "The answer broke off.");
      await ask(page, "Three?");
      await say(page, "Less");
      await page.evaluate(() => controlled.end());
      await shows(page.locator(".answer").last().getByRole("alert"), "The answer broke off.");
    }));

  test("a node that is gone is named, and an answer that was cut, too", () =>
    withPage({ expected: FAILED }, async ({ page }) => {
      await page.route("**/v1/chat/completions", (route) => route.abort("connectionrefused"));
      await ask(page, "Anybody?");
      await shows(page.getByRole("alert"), "The node does not answer.");
      await controlStream(page);
      await ask(page, "Long?");
      await say(page, "so long");
      await finish(page, { reason: "length" });
      await shows(page.locator(".remark"), "token limit");
    }));

  test("answers of the built-in guide say what they are, once", () =>
    withPage({ before: twoModels }, async ({ page }) => {
      await controlStream(page);
      for (const text of ["One?", "Two?", "Three?"]) {
        await ask(page, text);
        await answer(page, "So.");
      }
      assert.equal(await page.locator(".guide-note").count(), 1);
      await page.locator(".guide-note summary").click();
      await shows(page.locator(".guide-note"), "swarmnode run --model FILE.gguf");
      const sent = (await requests(page))[2].messages.map((message) => message.content);
      assert.deepEqual(sent, ["Three?"], "the guide is small and gets the last message only");
    }));

  test("while nothing comes the page says what the node is at", () =>
    withPage({}, async ({ page }) => {
      const model = await page.getByLabel("Model").inputValue();
      const loaded = (state, loading) =>
        answerWith(page, "/v1/status", 200, { loaded_models: [{ id: model, state, loading }] });
      await controlStream(page);
      await loaded("starting");
      await ask(page, "Hello");
      await shows(page.locator(".waiting-reason"), `Loading ${model}`);
      await shows(page.locator("#announcer"), `Loading ${model}`);
      await picture(page, "loading");
      await loaded("starting", 0.42);
      await shows(page.locator(".waiting-reason"), `Loading ${model}: 42 %`);
      await loaded("ready");
      await shows(page.locator(".waiting-reason"), "Reading your message");
      await answer(page, "Hi.");
      assert.equal(await page.locator(".waiting").isVisible(), false);
    }));

  test("the picker's model is the one that is asked, and stays chosen", () =>
    withPage({ before: twoModels }, async ({ page }) => {
      await controlStream(page);
      await page.getByLabel("Model").selectOption("big-model");
      await ask(page, "Hello");
      await answer(page, "Hi.");
      assert.equal((await requests(page))[0].model, "big-model");
      assert.equal(await page.locator(".guide-note").count(), 0);
      await page.reload();
      await page.locator("#model:enabled").waitFor();
      assert.equal(await page.getByLabel("Model").inputValue(), "big-model");
    }));

  test("a node without a model says how to get one", () =>
    withPage({ before: (page) => answerWith(page, "/v1/models", 200, { data: [] }), ready: false }, async ({ page }) => {
      await shows(page.locator("#welcome-text"), "swarmnode run --model FILE.gguf");
      await ask(page, "Hello");
      await shows(page.locator("#notice"), "no model to ask");
      assert.equal(await page.locator("#question").inputValue(), "Hello", "what was written is kept");
    }));
});

const twoModels = (page) =>
  answerWith(page, "/v1/models", 200, {
    object: "list",
    data: [{ id: "guide", object: "model", owned_by: "builtin" }, { id: "big-model", object: "model", owned_by: "local" }],
  });
