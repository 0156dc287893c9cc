// The page's reading of streams, Markdown and other computers' words, without a browser.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { parseInline } from "../../web_ui/static/js/inline.js";
import { parseBlocks } from "../../web_ui/static/js/markdown.js";
import { PeerOrder, plain, readPeers, shortId } from "../../web_ui/static/js/peers.js";
import { byReach, onlyHere, reachOf } from "../../web_ui/static/js/reach.js";
import { EventParser, MAX_EVENT_CHARS } from "../../web_ui/static/js/sse.js";

const kinds = (text) => parseBlocks(text).map((block) => block.kind);
const inline = (text) => parseInline(text).map((piece) => [piece.kind, piece.text ?? piece.pieces?.map((one) => one.text).join("")]);

suite("streams", () => {
  // The example streams of the HTML standard, section 9.2.6.
  const EXAMPLES = [
    ["data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]],
    [": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n", ["first event", "second event"]],
    ["data\n\ndata\ndata\n\ndata:", ["", "\n"]],
    ["data:test\n\ndata: test\n\n", ["test", "test"]],
  ];
  for (const [stream, events] of EXAMPLES) {
    for (const ending of ["\n", "\r\n", "\r"]) {
      test(`${JSON.stringify(stream)} with ${JSON.stringify(ending)}, whole and in single characters`, () => {
        const text = stream.replaceAll("\n", ending) + (ending === "\r" ? ":\n" : "");
        assert.deepEqual(new EventParser().push(text), events);
        const parser = new EventParser();
        assert.deepEqual([...text].flatMap((character) => parser.push(character)), events);
      });
    }
  }

  test("an endless line or event is refused", () => {
    assert.throws(() => new EventParser().push("x".repeat(MAX_EVENT_CHARS + 1)), RangeError);
    const parser = new EventParser();
    const line = `data: ${"x".repeat(MAX_EVENT_CHARS / 2)}\n`;
    assert.throws(() => parser.push(line + line + line), RangeError);
  });
});

suite("Markdown", () => {
  test("blocks", () => {
    const text = "# Title\n\nwords\nmore\n\n- a\n- b\n\n1. x\n2. y\n\n> said\n\n---\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```py\nx = 1\n```";
    assert.deepEqual(kinds(text), ["heading", "paragraph", "list", "list", "quote", "rule", "table", "code"]);
  });

  test("code keeps its text to the letter and may be open while it streams", () => {
    const [block] = parseBlocks("```python\ndef f():\n    return '<b>' * 2\n\n# not a heading");
    assert.deepEqual([block.kind, block.language, block.open], ["code", "python", true]);
    assert.equal(block.text, "def f():\n    return '<b>' * 2\n\n# not a heading");
    assert.deepEqual(kinds("````\n```\nx\n```\n````\nafter"), ["code", "paragraph"]);
  });

  test("lists nest, hold code, and go on over blank lines", () => {
    const [list, after] = parseBlocks("1. one\n   - a\n   - b\n\n2. two\n\n   ```\n   code\n   ```\n3. three\n\nafter");
    assert.deepEqual([list.ordered, list.start, list.items.length], [true, 1, 3]);
    assert.deepEqual(list.items[0].map((block) => block.kind), ["paragraph", "list"]);
    assert.deepEqual(list.items[1].map((block) => block.kind), ["paragraph", "code"]);
    assert.equal(list.items[1][1].text, "code");
    assert.equal(after.text, "after");
    assert.equal(parseBlocks("7. seven")[0].start, 7);
  });

  test("every block knows its source, so that a grown text changes its last blocks only", () => {
    const text = "one\n\n- a\n- b\n\nthree";
    const [before, after] = [parseBlocks(text), parseBlocks(`${text} and more`)];
    assert.deepEqual(before.slice(0, 2).map((block) => block.source), after.slice(0, 2).map((block) => block.source));
  });

  test("inline pieces", () => {
    assert.deepEqual(inline("a `b*c*` **d** *e* _f_ g"), [
      ["text", "a "], ["code", "b*c*"], ["text", " "], ["strong", "d"], ["text", " "], ["em", "e"], ["text", " "], ["em", "f"], ["text", " g"],
    ]);
    assert.deepEqual(inline("snake_case_name and 2 * 3 * 4"), [["text", "snake_case_name and 2 * 3 * 4"]]);
    assert.deepEqual(inline("see https://example.org/a."), [["text", "see "], ["link", "https://example.org/a"], ["text", "."]]);
    assert.deepEqual(inline("``a`b``"), [["code", "a`b"]]);
  });

  test("only http and https become links", () => {
    for (const target of ["javascript:alert(1)", "data:text/html,x", "//host/x", "file:///etc/passwd", "JaVaScRiPt:x"]) {
      assert.deepEqual(parseInline(`[x](${target})`).map((piece) => piece.kind), ["text"], target);
    }
  });

  test("hostile text is read in reasonable time, and all of it comes out", () => {
    const shapes = ["*", "**a ", "_a ", "`", "[a](", "> ", "- ", "1. ", "|", "|a", "```", "#", "\\", "https://", "  - ", "__", "*a_"];
    for (const shape of shapes) {
      for (const joint of ["", "\n"]) {
        const text = (shape + joint).repeat(20000);
        parseBlocks(text);
        parseInline(text);
      }
    }
    const deep = parseBlocks(`${">".repeat(500)} deep`);
    assert.match(JSON.stringify(deep), /deep/);
  });
});

suite("other computers", () => {
  test("text of others loses what cannot be seen, and its length", () => {
    assert.equal(plain("  swarmnode/0.1.0 "), "swarmnode/0.1.0");
    assert.equal(plain("a\u202eb\u0000c\u200bd\ne\u2028f"), "abcdef");
    assert.equal(plain("x".repeat(1e6)).length, 48);
    assert.deepEqual([undefined, null, 7, {}, ["x"]].map((value) => plain(value)), ["", "", "", "", ""]);
    assert.equal(shortId("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), "…AJU5SA");
    assert.equal(shortId("12D3Koo"), "12D3Koo");
  });

  test("an address says who can use it", () => {
    const kind = (host, family = host.includes(":") ? "ip6" : "ip4") => reachOf(`/${family}/${host}/tcp/8810/p2p/12D3`).kind;
    const expected = {
      self: ["127.0.0.1", "127.8.9.1", "::1"],
      house: ["10.0.0.1", "172.16.0.1", "172.31.255.1", "192.168.0.9", "fd00::1", "fc12:3::1"],
      vpn: ["100.64.0.1", "100.101.7.9", "100.127.255.1", "fd7a:115c:a1e0::5"],
      cable: ["169.254.1.1", "fe80::1", "febf::1"],
      internet: ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.169.0.1", "2001:db8::1", "fec0::1"],
    };
    for (const [name, hosts] of Object.entries(expected)) for (const host of hosts) assert.equal(kind(host), name, host);
    assert.deepEqual(reachOf("/dns4/home.example/udp/8800/quic-v1"), { kind: "name", place: "home.example:8800" });
    assert.equal(reachOf("/ip6/fd00::1/tcp/9").place, "[fd00::1]:9");
    assert.deepEqual(reachOf("/memory/7"), { kind: "other", place: "/memory/7" });
    assert.deepEqual(byReach(["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"]).map((one) => one.kind), ["internet", "house", "self"]);
    assert.deepEqual([["/ip4/127.0.0.1/tcp/1"], ["/ip6/::1/tcp/1", "/ip4/10.0.0.1/tcp/1"]].map(onlyHere), [true, false]);
  });

  test("nobody moves for a faster answer, and a place that was given up is not kept", () => {
    const [order, one] = [new PeerOrder(), (id, roundTrip, connected = true) => ({ id, roundTrip, connected })];
    const ids = (peers) => order.arrange(peers).map(({ id }) => id).join("");
    assert.equal(ids([one("c", null), one("b", 9), one("a", 30), one("d", 1, false)]), "bacd");
    assert.equal(ids([one("a", 1), one("b", 90), one("c", 2), one("d", 1)]), "dbac");
    assert.equal(ids([one("b", 90), one("c", 2), one("x", 0.1)]), "bcx");
    assert.equal(ids([one("a", 1), one("b", 90), one("c", 2), one("x", 0.1)]), "bcxa");
  });

  test("a list is read whatever stands in it, and what is no list is refused", () => {
    const [peer, ...more] = readPeers({ peers: [null, { node_id: "a", trust_score: 7, latency_ms: "1", healthy: 1 }, { node_id: "a" }] });
    assert.equal(more.length, 0);
    assert.deepEqual([peer.state, peer.trust, peer.roundTrip], ["quiet", null, null]);
    for (const answer of [null, {}, [], { peers: {} }, "peers"]) assert.throws(() => readPeers(answer), { name: "ApiError" });
  });
});
