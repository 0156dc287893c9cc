// The page's reading of streams and Markdown, without a browser.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { parseInline } from "../../web_ui/static/js/inline.js";
import { parseBlocks } from "../../web_ui/static/js/markdown.js";
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
