// What stands inside a line: code, strong, emphasis, links, line breaks, as plain data.

const MAX_DEPTH = 3;
const PIECE = new RegExp(
  [
    "(?<ticks>`{1,3})(?<code>[^`](?:[^\\n`]|`(?!\\k<ticks>)){0,1000}?)\\k<ticks>(?!`)",
    "\\*\\*(?<strong>[^\\s*](?:[^*\\n]|\\*(?!\\*)){0,1000}?)\\*\\*",
    "\\*(?<em>[^\\s*][^*\\n]{0,500})(?<!\\s)\\*",
    "(?<![\\w_])_(?<under>[^\\s_][^_\\n]{0,500})_(?![\\w_])",
    "(?<!!)\\[(?<label>[^\\]\\n]{1,300})\\]\\((?<target>https?:\\/\\/[^\\s)]{1,2000})\\)",
    "(?<bare>https?:\\/\\/[^\\s<>\"'`)\\]]{1,2000})",
    "\\\\(?<escaped>[\\\\`*_{}[\\]()#+.!|-])",
    "(?<lines>\\n)",
  ].join("|"),
  "g",
);

/** Pieces {kind: "text" | "code" | "strong" | "em" | "link" | "break", text | pieces, href}. */
export function parseInline(text, depth = 0) {
  const pieces = [];
  let at = 0;
  for (const found of text.matchAll(PIECE)) {
    if (found.index > at) pieces.push({ kind: "text", text: text.slice(at, found.index) });
    pieces.push(pieceOf(found.groups, depth));
    at = found.index + found[0].length;
    if (found.groups.bare !== undefined) at -= trailing(found.groups.bare, pieces);
  }
  if (at < text.length) pieces.push({ kind: "text", text: text.slice(at) });
  return pieces;
}

function pieceOf(groups, depth) {
  const inner = (text) => (depth < MAX_DEPTH ? parseInline(text, depth + 1) : [{ kind: "text", text }]);
  if (groups.code !== undefined) return { kind: "code", text: groups.code.trim() || groups.code };
  if (groups.strong !== undefined) return { kind: "strong", pieces: inner(groups.strong) };
  if (groups.em !== undefined) return { kind: "em", pieces: inner(groups.em) };
  if (groups.under !== undefined) return { kind: "em", pieces: inner(groups.under) };
  if (groups.label !== undefined) return { kind: "link", text: groups.label, href: groups.target };
  if (groups.bare !== undefined) return { kind: "link", text: groups.bare, href: groups.bare };
  if (groups.escaped !== undefined) return { kind: "text", text: groups.escaped };
  return { kind: "break" };
}

/** A full stop after a bare address is the sentence's: give it back; returns how many characters. */
function trailing(address, pieces) {
  const kept = address.replace(/[.,;:!?]+$/, "");
  pieces[pieces.length - 1] = { kind: "link", text: kept, href: kept };
  return address.length - kept.length;
}
