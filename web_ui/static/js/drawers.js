// The panels at the sides: one drawer at a time at the right, the conversations at the left on narrow screens.

import { byId } from "./dom.js";

const NARROW = matchMedia("(max-width: 860px)");
const OVERLAY = matchMedia("(max-width: 1180px)");

const DRAWERS = {
  settings: ["settings-drawer", "open-settings"],
  node: ["node-drawer", "open-node"],
  network: ["network-drawer", "open-network"],
};
/** Those that lie over the page however wide the window is. */
const WIDE = ["network"];

export class Drawers {
  #open = null;
  #sidebar = false;

  /** `changed(name)` is called with a name of `DRAWERS`, or null. */
  constructor(changed) {
    this.changed = changed;
    for (const [name, [drawer, opener]] of Object.entries(DRAWERS)) {
      byId(opener).addEventListener("click", () => this.toggle(name));
      byId(drawer).querySelector("[data-close]").addEventListener("click", () => this.close());
    }
    byId("open-sidebar").addEventListener("click", () => this.showSidebar(true));
    byId("close-sidebar").addEventListener("click", () => this.showSidebar(false));
    byId("backdrop").addEventListener("click", () => this.dismiss());
    for (const query of [NARROW, OVERLAY]) query.addEventListener("change", () => this.#settle());
    this.#settle();
  }

  get open() {
    return this.#open;
  }

  toggle(name) {
    if (this.#open === name) this.close();
    else this.show(name);
  }

  show(name) {
    this.#open = name;
    this.#sidebar = false;
    this.#settle();
    byId(DRAWERS[name][0]).querySelector("[data-close]").focus();
    this.changed(name);
  }

  close() {
    const was = this.#open;
    this.#open = null;
    this.#settle();
    if (was) byId(DRAWERS[was][1]).focus();
    this.changed(null);
  }

  showSidebar(flag) {
    this.#sidebar = flag;
    this.#settle();
    byId(flag ? "close-sidebar" : "open-sidebar").focus();
  }

  /** Close whatever lies over the page; returns whether something did. */
  dismiss() {
    if (this.#sidebar && NARROW.matches) this.showSidebar(false);
    else if (this.#covers()) this.close();
    else return false;
    return true;
  }

  #covers() {
    return this.#open !== null && (OVERLAY.matches || WIDE.includes(this.#open));
  }

  /** Whatever lies over the page keeps the keyboard: the page beneath is inert. */
  #settle() {
    for (const [name, [drawer, opener]] of Object.entries(DRAWERS)) {
      byId(drawer).hidden = this.#open !== name;
      byId(opener).setAttribute("aria-expanded", String(this.#open === name));
    }
    const sidebarOver = NARROW.matches && this.#sidebar;
    const over = sidebarOver || this.#covers();
    byId("sidebar").classList.toggle("shown", sidebarOver);
    byId("sidebar").inert = NARROW.matches ? !sidebarOver : over;
    byId("open-sidebar").setAttribute("aria-expanded", String(sidebarOver));
    byId("backdrop").hidden = !over;
    byId("main").inert = over;
    byId("skip").inert = over;
  }
}
