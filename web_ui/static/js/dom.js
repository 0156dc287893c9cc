// Building the page from nodes. There is no innerHTML here, and must not be: answers are untrusted text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `facts`: `class`, `text`, `on` (event name to listener), and attributes by their names;
 * null, undefined and false leave an attribute out. Children: nodes and strings.
 */
export function el(tag, facts = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name === "text") node.textContent = value;
    else if (name === "on") listen(node, value);
    else if (![null, undefined, false].includes(value)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function listen(node, listeners) {
  for (const [type, listener] of Object.entries(listeners)) node.addEventListener(type, listener);
}

/** An element of a drawing, with attributes by their names. */
export function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Change what differs and nothing else: a selection, and the browser's layout, survive. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same for being seen at all. */
export function setHidden(node, flag) {
  if (node.hidden !== flag) node.hidden = flag;
}

/** The same for an attribute. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** A drawing of the sprite, for decoration: hidden from assistive technology. */
export function icon(name) {
  return drawn("svg", { "aria-hidden": "true" }, drawn("use", { href: `#icon-${name}` }));
}

/** A button that shows a drawing only; `label` is what it says to everybody else. */
export function iconButton(name, label, onClick, facts = {}) {
  return el(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click: onClick }, ...facts },
    icon(name),
  );
}

/** The element with this id, which the page must have. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no element #${id}`);
  return node;
}
