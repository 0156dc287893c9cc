// Answers as nodes. While one streams, only blocks that changed are built again: what the reader has
// selected above stays selected, and a long answer costs no more than its last paragraph.

import { copyFrom } from "./clipboard.js";
import { el, icon } from "./dom.js";
import { t } from "./i18n.js";
import { parseInline } from "./inline.js";
import { parseBlocks } from "./markdown.js";

const BUILD = {
  paragraph: (block) => el("p", {}, ...inline(block.text)),
  heading: (block) => el(`h${Math.min(block.level + 2, 6)}`, {}, ...inline(block.text)),
  quote: (block) => el("blockquote", {}, ...block.blocks.map(build)),
  rule: () => el("hr"),
  code: codeBlock,
  list: listBlock,
  table: tableBlock,
};

const build = (block) => BUILD[block.kind](block);

function inline(text) {
  return parseInline(text).map(pieceNode);
}

function pieceNode(piece) {
  if (piece.kind === "text") return document.createTextNode(piece.text);
  if (piece.kind === "break") return el("br");
  if (piece.kind === "code") return el("code", { text: piece.text });
  if (piece.kind === "link") return linkNode(piece);
  return el(piece.kind, {}, ...piece.pieces.map(pieceNode));
}

/** Only http and https become links; `parseInline` lets no other address through. */
function linkNode({ text, href }) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer", text });
}

function codeBlock(block) {
  const code = el("code", { text: block.text });
  const button = el("button", { type: "button", class: "code-copy", "aria-label": t("code.copy_label") },
    icon("copy"), el("span", { text: t("code.copy") }));
  button.addEventListener("click", () => copyFrom(button, code.textContent, t("code.copied")));
  const head = el("div", { class: "code-head" }, el("span", { text: block.language || "text" }), button);
  // A block that is wider than the page scrolls by itself, so the keyboard must reach it.
  return el("div", { class: "code", "data-language": block.language }, head, el("pre", { tabindex: "0" }, code));
}

function listBlock(block) {
  const items = block.items.map((blocks) => {
    const tight = blocks.length > 0 && blocks[0].kind === "paragraph";
    const first = tight ? inline(blocks[0].text) : [];
    return el("li", {}, ...first, ...blocks.slice(tight ? 1 : 0).map(build));
  });
  if (!block.ordered) return el("ul", {}, ...items);
  return el("ol", { start: block.start === 1 ? null : block.start }, ...items);
}

function tableBlock(block) {
  const row = (tag, texts) => el("tr", {}, ...texts.map((text) => el(tag, {}, ...inline(text))));
  const body = el("tbody", {}, ...block.rows.map((texts) => row("td", texts)));
  return el("div", { class: "table", tabindex: "0" }, el("table", {}, el("thead", {}, row("th", block.head)), body));
}

/** A code block that has only grown gets its new text in place; returns whether it was one. */
function grown(node, block) {
  if (block?.kind !== "code" || node?.className !== "code" || node.dataset.language !== block.language) return false;
  node.querySelector("code").textContent = block.text;
  return true;
}

export class Prose {
  #sources = [];

  constructor(container) {
    this.container = container;
  }

  /** Show `text`, all of it, keeping the nodes of blocks that are as they were. */
  show(text) {
    const blocks = parseBlocks(text);
    let same = 0;
    while (same < blocks.length && blocks[same].source === this.#sources[same]) same += 1;
    if (grown(this.container.children[same], blocks[same])) same += 1;
    while (this.container.children.length > same) this.container.lastElementChild.remove();
    this.container.append(...blocks.slice(same).map(build));
    this.#sources = blocks.map((block) => block.source);
  }
}
