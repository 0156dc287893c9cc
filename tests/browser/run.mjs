// The browser tests: `BASE_URL=http://127.0.0.1:8800 API_KEY=... node tests/browser/run.mjs`.
// SWARMNODE_SCREENSHOTS names a folder for the pictures, CHROMIUM another browser than Debian's.

import { after, before } from "node:test";

import { startBrowser, stopBrowser } from "./browser.mjs";

before(startBrowser);
after(stopBrowser);

await import("./text_suite.mjs");
await import("./chat_suite.mjs");
await import("./safety_suite.mjs");
await import("./use_suite.mjs");
await import("./network_suite.mjs");
await import("./joining_suite.mjs");
await import("./hostile_suite.mjs");
await import("./look_suite.mjs");
