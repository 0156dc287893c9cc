// A small Markdown as plain data: what answers use, and nothing that could carry markup of the page's own.
// Blocks: {kind: "paragraph" | "heading" | "code" | "list" | "quote" | "table" | "rule", source, ...}.
// Every pattern is bounded, so that no answer can make the reading of it slow.

const MAX_DEPTH = 5;
const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]{0,80})$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.{0,500}?)[ \t#]*$/;
const RULE = /^ {0,3}(?:-[ \t]*){3,}$|^ {0,3}(?:\*[ \t]*){3,}$|^ {0,3}(?:_[ \t]*){3,}$/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])(?:[ \t]+(.*))?$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const TABLE_LINE = /^ {0,3}\|?[ \t]*:?-{1,40}:?[ \t]*(?:\|[ \t]*:?-{1,40}:?[ \t]*){0,30}\|?[ \t]*$/;

/** The blocks of a text. An unclosed fence is a code block with `open: true`. */
export function parseBlocks(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].trim() === "") at += 1;
    else {
      const [block, end] = blockAt(lines, at, depth);
      blocks.push({ ...block, source: lines.slice(at, end).join("\n") });
      at = end;
    }
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return codeAt(lines, at);
  if (RULE.test(line)) return [{ kind: "rule" }, at + 1];
  const heading = HEADING.exec(line);
  if (heading) return [{ kind: "heading", level: heading[1].length, text: heading[2] }, at + 1];
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quoteAt(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return listAt(lines, at, depth);
  if (isTable(lines, at)) return tableAt(lines, at);
  return paragraphAt(lines, at, depth);
}

function codeAt(lines, at) {
  const [, fence, language] = FENCE.exec(lines[at]);
  const closes = (line) => line.trim().startsWith(fence) && line.trim() === fence[0].repeat(line.trim().length);
  let end = at + 1;
  while (end < lines.length && !closes(lines[end])) end += 1;
  const block = { kind: "code", language: language.trim().split(/\s/)[0], text: lines.slice(at + 1, end).join("\n") };
  return [{ ...block, open: end >= lines.length }, Math.min(end + 1, lines.length)];
}

function quoteAt(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => QUOTE.exec(line)[1]);
  return [{ kind: "quote", blocks: parseBlocks(inner.join("\n"), depth + 1) }, end];
}

function listAt(lines, at, depth) {
  const [, indent, marker] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(marker);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const found = RULE.test(lines[end]) ? null : ITEM.exec(lines[end]);
    if (!found || found[1].length > indent.length + 1 || /\d/.test(found[2]) !== ordered) break;
    const [inner, next] = itemAt(lines, end, found);
    items.push(parseBlocks(inner.join("\n"), depth + 1));
    end = next;
  }
  return [{ kind: "list", ordered, start: ordered ? Number.parseInt(marker, 10) : 1, items }, end];
}

/** The lines of one item, without its marker and indentation, and where it ends. */
function itemAt(lines, at, found) {
  const base = found[1].length;
  const inner = [found[3] ?? ""];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const indent = line.length - line.trimStart().length;
    if (line.trim() === "") {
      const next = lines.slice(end + 1).find((later) => later.trim() !== "");
      const belongs = next !== undefined && (next.length - next.trimStart().length > base + 1 || ITEM.test(next));
      if (!belongs) break;
      inner.push("");
    } else if (indent > base + 1) inner.push(line.slice(Math.min(indent, base + found[2].length + 1)));
    else if (inner.at(-1) === "" || startsBlock(line)) break;
    else inner.push(line.trim());
  }
  return [inner, end];
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

function isTable(lines, at) {
  const [head, ruler] = [lines[at], lines[at + 1] ?? ""];
  if (!head.includes("|") || !TABLE_LINE.test(ruler)) return false;
  return cells(head).length === cells(ruler).length;
}

function cells(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return bare.split("|").map((cell) => cell.trim());
}

function tableAt(lines, at) {
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim() !== "") end += 1;
  const head = cells(lines[at]);
  const rows = lines.slice(at + 2, end).map((line) => head.map((_, column) => cells(line)[column] ?? ""));
  return [{ kind: "table", head, rows }, end];
}

function paragraphAt(lines, at, depth) {
  let end = at + 1;
  const goesOn = (line) => line.trim() !== "" && (depth >= MAX_DEPTH || !startsBlock(line));
  while (end < lines.length && goesOn(lines[end])) end += 1;
  return [{ kind: "paragraph", text: lines.slice(at, end).join("\n") }, end];
}
