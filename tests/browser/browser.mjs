// A real Chromium for the tests, pages that gather what went wrong in them, and pictures.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const SCREENSHOTS = process.env.SWARMNODE_SCREENSHOTS ?? "";

export const BASE_URL = required("BASE_URL").replace(/\/$/, "");
export const API_KEY = required("API_KEY");
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

let browser = null;

function required(name) {
  if (!process.env[name]) throw new Error(`Set ${name}: the address or the API key of a running node`);
  return process.env[name];
}

/** Start the one browser of a run, with an empty profile of its own. */
export async function startBrowser() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

export const stopBrowser = () => browser.close();

/** What a page complains of: console errors, uncaught errors, violations of the content security policy. */
async function gatherFaults(page) {
  const faults = [];
  page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
  page.on("pageerror", (fault) => faults.push(String(fault)));
  await page.exposeFunction("tellViolation", (text) => { faults.push(text); });
  await page.addInitScript(() => {
    const tell = (event) => tellViolation(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    addEventListener("securitypolicyviolation", tell);
  });
  return faults;
}

/**
 * Run `body({page, context, faults})` on a fresh page of a fresh profile, which must complain of nothing but
 * `expected` (a pattern). `before(page)` runs before the page is loaded; `ready: false` does not wait for models.
 */
export async function withPage(options, body) {
  const { path = "/", viewport = DESKTOP, expected = null, before = null, ready = true, ...more } = options;
  const context = await browser.newContext({ viewport, locale: "en-GB", ...more });
  try {
    const page = await context.newPage();
    const faults = await gatherFaults(page);
    await before?.(page);
    await page.goto(BASE_URL + path);
    if (ready) await page.locator("#model:enabled").waitFor();
    await body({ page, context, faults });
    assert.deepEqual(faults.filter((fault) => !expected?.test(fault)), [], "the page complained");
  } finally {
    await context.close();
  }
}

/** Answer requests to `path` with a JSON body. */
export const answerWith = (page, path, status, body) =>
  page.route(`**${path}`, (route) => route.fulfill({ status, json: body }));

/** Whatever is wider than the window, or than `frame`, without a scroller of its own. */
export const overflowing = (page, frame = "#scroller") =>
  page.evaluate((selector) => {
    const inScroller = (node) => node.parentElement.closest("pre, .table");
    const visible = (node) => node.checkVisibility({ visibilityProperty: true });
    const wide = [...document.body.querySelectorAll("*")].filter((node) => {
      const box = node.getBoundingClientRect();
      const outside = box.right > innerWidth + 0.5 || box.left < -0.5;
      return box.width > 1 && outside && visible(node) && !inScroller(node);
    });
    const frames = [document.scrollingElement, document.querySelector(selector)];
    const scrolled = frames.filter((node) => node.scrollWidth > node.clientWidth);
    return [...wide, ...scrolled].map((node) => `${node.tagName}.${node.getAttribute("class")}`);
  }, frame);

/** The page opens in these colours. */
export const remembered = (colours) => (page) =>
  page.addInitScript((name) => localStorage.setItem("swarmnode.theme", name), colours);

/** The page gets no key by its nonce, as when it is opened from another computer. */
export const withoutNonce = (page) => answerWith(page, "/api/admin/page-key", 403, { error: { message: "no" } });

/** Ask by keyboard, as a user does. */
export async function ask(page, text) {
  await page.locator("#question").fill(text);
  await page.locator("#question").press("Enter");
}

/** What the node says on a route, with its key, straight from the test. */
export async function fromNode(path) {
  const response = await fetch(BASE_URL + path, { headers: { authorization: `Bearer ${API_KEY}` } });
  assert.equal(response.status, 200, path);
  return response.json();
}

/** Keep a picture where SWARMNODE_SCREENSHOTS says. */
export async function picture(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: "disabled" });
}
