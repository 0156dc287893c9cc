// The models this node answers with, and the picker.

import { inWords } from "./api.js";
import { byId, el } from "./dom.js";
import { t } from "./i18n.js";
import { notice } from "./notice.js";
import { recall, remember } from "./stores.js";

const NAME = "model";
const BUILTIN = "builtin";
const OLD_MS = 30000;

const modelOf = (item) => ({ id: item.id, builtin: item.owned_by === BUILTIN });

export class Models {
  #list = [];
  #asked = -Infinity;

  /** `changed(model)` is called when another model is to be asked; the argument is null for none. */
  constructor(api, changed) {
    this.api = api;
    this.changed = changed;
    this.picker = byId("model");
    this.picker.addEventListener("change", () => {
      remember(NAME, this.picker.value);
      this.changed(this.chosen());
    });
    this.#offer([], t("models.loading"));
  }

  /** The model to ask, `{id, builtin}`, or null. */
  chosen() {
    return this.#list.find((model) => model.id === this.picker.value) ?? null;
  }

  /** Ask the node again when its last answer is half a minute old; a fault shows where the models would. */
  async refreshWhenOld(now = performance.now()) {
    if (this.#list.length && now - this.#asked < OLD_MS) return;
    this.#asked = now;
    await this.refresh().catch((fault) => notice(inWords(fault)));
  }

  /** Ask the node. The user's earlier choice holds where it still exists, else the node's first. */
  async refresh() {
    const answer = await this.api.json("/v1/models");
    const found = (answer.data ?? []).filter((item) => typeof item.id === "string").map(modelOf);
    if (JSON.stringify(found) === JSON.stringify(this.#list) && found.length) return;
    const before = this.chosen()?.id;
    this.#list = found;
    this.#offer(found, t("models.none"));
    const wish = [recall(NAME), before].find((id) => found.some((model) => model.id === id));
    if (wish) this.picker.value = wish;
    this.changed(this.chosen());
  }

  #offer(models, otherwise) {
    const name = ({ id, builtin }) => (builtin ? t("models.builtin", { model: id }) : id);
    const options = models.map((model) => el("option", { value: model.id, text: name(model) }));
    this.picker.replaceChildren(...(options.length ? options : [el("option", { value: "", text: otherwise })]));
    this.picker.disabled = options.length === 0;
  }
}
