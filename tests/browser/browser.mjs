// A real Chromium for the tests, a page that collects what went wrong in it, and a stream the test controls.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export const BASE_URL = required("BASE_URL");
export const API_KEY = required("API_KEY");
const SCREENSHOTS = process.env.SWARMNODE_SCREENSHOTS ?? "";

function required(name) {
  if (!process.env[name]) throw new Error(`Set ${name}: the address or the key of a running node`);
  return process.env[name];
}

/** A browser with an empty profile; `close()` ends it and removes the profile. */
export async function openBrowser(options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "swarmnode-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, close };
}

/** A page whose console errors, uncaught errors and CSP violations are gathered in `faults`. */
export async function openPage(context, path = "/") {
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
  page.on("pageerror", (fault) => faults.push(String(fault)));
  await page.exposeFunction("tellViolation", (text) => { faults.push(text); });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => tellViolation(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(BASE_URL + path);
  return { page, faults };
}

/** A page that has its key and knows its models. */
export async function openReady(context, path = "/") {
  const opened = await openPage(context, path);
  await opened.page.locator("#model:enabled").waitFor();
  return opened;
}

/** Replace the page's chat requests by a stream that `say(page, text)` and the others below feed. */
export async function controlStream(page) {
  await page.evaluate(() => {
    const real = globalThis.fetch;
    const encoder = new TextEncoder();
    globalThis.controlled = { requests: [], aborted: 0 };
    globalThis.fetch = (path, options) => {
      if (path !== "/v1/chat/completions") return real(path, options);
      controlled.requests.push(JSON.parse(options.body));
      let push;
      const body = new ReadableStream({ start: (sink) => { push = sink; } });
      controlled.event = (event) => push.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\n\n`));
      controlled.bytes = (bytes) => push.enqueue(new Uint8Array(bytes));
      controlled.end = () => { push.enqueue(encoder.encode("data: [DONE]\n\n")); push.close(); };
      controlled.breakOff = () => push.error(new TypeError("network error"));
      options.signal.addEventListener("abort", () => {
        controlled.aborted += 1;
        push.error(new DOMException("Aborted", "AbortError"));
      });
      return Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
    };
  });
}

/** Feed one event into the controlled stream. */
export const tell = (page, event) => page.evaluate((one) => controlled.event(one), event);

/** Feed a piece of the answer. */
export const say = (page, content) =>
  tell(page, { model: "guide", choices: [{ index: 0, delta: { content }, finish_reason: null }] });

/** End the controlled answer as a node does. */
export async function finish(page, tokens = 3, reason = "stop") {
  await tell(page, { model: "guide", choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  await tell(page, { choices: [], usage: { prompt_tokens: 5, completion_tokens: tokens, total_tokens: tokens + 5 } });
  await page.evaluate(() => controlled.end());
}

/** Ask by keyboard, as a user does. */
export async function ask(page, text) {
  await page.locator("#question").fill(text);
  await page.locator("#question").press("Enter");
}

/** Keep a picture where SWARMNODE_SCREENSHOTS says. */
export async function picture(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
