// Two real nodes meet on the page: a code made on one is joined on the other; then one is killed.
// BASE_URL and API_KEY are those of the node that invites, OTHER_URL and OTHER_PID of the one that joins.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { fromNode, picture, startBrowser, stopBrowser, withPage } from "./browser.mjs";
import { answered, row } from "./network_peers.mjs";

const SEEN_GONE_MS = 20000;

before(startBrowser);
after(stopBrowser);

test("two computers meet by an invite, see each other, and one sees the other go", () =>
  withPage({ path: "/admin/network" }, async ({ page, context }) => {
    await answered(page);
    await page.locator("#network-empty").waitFor();
    await page.locator("#invite-make").click();
    await page.locator("#invite-copy").waitFor();
    const code = await page.locator("#invite-code").inputValue();

    const other = await context.newPage();
    await other.goto(`${process.env.OTHER_URL}/admin/network`);
    await answered(other);
    await other.locator("#join-text").fill(code);
    await other.locator("#join-submit").click();
    await other.locator("#join-state").filter({ hasText: "Connected to …" }).waitFor();

    const here = (await fromNode("/v1/status")).peer_id.slice(-6);
    const there = (await other.locator("#network-panel .who code").first().innerText()).replace("…", "");
    await row(other, here).filter({ hasText: /\d ms/ }).waitFor();
    await row(page, there).filter({ hasText: /\d ms/ }).waitFor();
    assert.match(await row(other, here).innerText(), /by invite or address[^]*trusted 0\.\d\d/);
    assert.match(await row(page, there).innerText(), /it called here[^]*trusted 0\.\d\d/);
    await page.locator("#network-summary").filter({ hasText: "1 computer connected" }).waitFor();
    await picture(page, "network-pair");

    process.kill(Number(process.env.OTHER_PID), "SIGKILL");
    await row(page, there).waitFor({ state: "detached", timeout: SEEN_GONE_MS });
    await page.locator("#network-empty").waitFor();
  }));
