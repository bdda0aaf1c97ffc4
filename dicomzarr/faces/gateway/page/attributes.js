/** The table of all attributes of an instance: searched, unfolded, by mouse and keyboard. */

import { getJson } from "./api.js";
import { debounced, h } from "./dom.js";

/**
 * @typedef {object} Row an attribute
 * @property {string} tag gggg,eeee
 * @property {string} keyword
 * @property {string} name
 * @property {string} vr
 * @property {string} [value]
 * @property {boolean} [hidden] it has a value that may identify somebody
 * @property {Row[][]} [items] of a sequence
 * @property {number} [more] items that are not told
 */

/** @typedef {{id: string, level: number, cells: string[], plain: string, parent: Line|null, folds: boolean, quiet: boolean}} Line a row of the table, or an item of a sequence */

const MOST_LINES = 1500;

/** Attributes and items in order, each with what it lies in. @param {Row[]} rows @param {Line|null} parent @returns {Line[]} */
export function lines(rows, parent = null) {
  const level = (parent?.level ?? 0) + 1;
  return rows.flatMap((row, place) => {
    const count = (row.items?.length ?? 0) + (row.more ?? 0);
    const value = row.items ? `${count} ${count === 1 ? "item" : "items"}` : row.hidden ? "hidden" : row.value ?? "";
    const cells = [row.tag, row.name, row.vr, value];
    const plain = [row.tag, row.tag.replace(",", ""), `(${row.tag})`, row.keyword, row.name, row.hidden ? "" : row.value ?? ""].join("\n").toLowerCase();
    /** @type {Line} */
    const line = { id: `${parent?.id ?? ""}/${place}`, level, cells, plain, parent, folds: count > 0, quiet: Boolean(row.hidden) };
    const items = (row.items ?? []).flatMap((item, index) => {
      /** @type {Line} */
      const head = { id: `${line.id}.${index}`, level: level + 1, cells: ["", `Item ${index + 1}`, "", ""], plain: "", parent: line, folds: item.length > 0, quiet: false };
      return [head, ...lines(item, head)];
    });
    if (row.more) items.push({ id: `${line.id}.more`, level: level + 1, cells: ["", `${row.more} more items`, "", ""], plain: "", parent: line, folds: false, quiet: true });
    return [line, ...items];
  });
}

/**
 * What of the lines is seen: those that match, and what they lie in; without words, all that is unfolded.
 * @param {Line[]} all @param {string} words @param {Set<string>} open ids of what is unfolded
 */
export function seen(all, words, open) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return all.filter((line) => isOpen(line.parent, open));
  /** @type {Set<Line>} */ const found = new Set();
  for (const line of all) {
    if (!line.plain || !wanted.every((word) => line.plain.includes(word))) continue;
    for (let each = /** @type {Line|null} */ (line); each; each = each.parent) found.add(each);
  }
  for (const line of all) if (line.parent && found.has(line.parent) && open.has(line.parent.id)) found.add(line);
  return all.filter((line) => found.has(line));
}

/** @param {Line|null} line @param {Set<string>} open @returns {boolean} */
const isOpen = (line, open) => !line || (open.has(line.id) && isOpen(line.parent, open));

/** Shows the attributes of the instances of one series, in a dialog that goes when it is closed. */
export class Attributes {
  /** @param {string} path of the series below the API @param {boolean} names patient data are wanted */
  constructor(path, names) {
    this.path = path;
    this.names = names;
    this.abort = new AbortController();
    /** @type {Line[]} */ this.all = [];
    /** @type {Set<string>} */ this.open = new Set();
    this.at = "";
    this.search = /** @type {HTMLInputElement} */ (h("input", { type: "search", placeholder: "Name, keyword, tag or value", "aria-label": "Search attributes", autocomplete: "off", oninput: debounced(120, () => this.#show()) }));
    this.instance = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Instance", hidden: true, onchange: () => void this.load(this.instance.value) }));
    this.said = h("p.quiet", { role: "status" }, "Opening …");
    this.body = h("tbody", { role: "rowgroup", onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event), onclick: (/** @type {MouseEvent} */ event) => this.#click(event) });
    const heads = ["Tag", "Name", "VR", "Value"].map((name) => h("th", { role: "columnheader", scope: "col" }, name));
    const table = h("table.attributes", { role: "treegrid", "aria-label": "Attributes" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), this.body);
    this.dialog = /** @type {HTMLDialogElement} */ (h("dialog.attributes", { "aria-label": "Attributes", onclose: () => this.close() },
      h("div.row.wrap", {}, this.search, this.instance, h("button", { type: "button", onclick: () => this.dialog.close() }, "Close")), this.said, h("div.scroll", {}, table)));
    document.body.append(this.dialog);
    this.dialog.showModal();
    void this.load();
  }

  close() {
    this.abort.abort();
    this.dialog.remove();
  }

  /** @param {string} [instance] SOP Instance UID */
  async load(instance) {
    this.dialog.dataset.state = "loading";
    const asked = new URLSearchParams(instance ? { instance } : {});
    if (this.names) asked.set("phi", "1");
    try {
      const found = await getJson(`/api/${this.path}/attributes?${asked}`, { signal: this.abort.signal });
      this.all = lines(found.rows);
      if (!this.instance.options.length) {
        this.instance.append(...found.instances.map((/** @type {any} */ each, /** @type {number} */ place) => h("option", { value: each.instance }, each.number ? `Instance ${each.number}` : `${place + 1} of ${found.instances.length}`)));
        this.instance.hidden = found.instances.length < 2;
      }
      this.note = found.phi ? "" : found.phi_allowed ? "Switch patient names on in the list to see what is hidden." : "What may identify somebody is hidden; dicomzarr serve --phi lets it be shown.";
      this.dialog.dataset.state = "ready";
      this.#show();
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.dialog.dataset.state = "failed";
      this.said.replaceChildren(error instanceof Error ? error.message : String(error), " ", h("button", { type: "button", onclick: () => void this.load(instance) }, "Try again"));
    }
  }

  #show() {
    const words = this.search.value;
    const shown = seen(this.all, words, this.open);
    const rows = shown.slice(0, MOST_LINES);
    if (!rows.some(({ id }) => id === this.at)) this.at = rows[0]?.id ?? "";
    this.visible = rows;
    this.body.replaceChildren(...rows.map((line, place) => this.#row(line, rows[place + 1]?.parent === line)));
    const count = shown.filter(({ plain }) => plain).length;
    this.said.textContent = [words ? `${count} of ${this.all.filter(({ plain }) => plain).length} attributes.` : "", shown.length > rows.length ? `The first ${MOST_LINES} lines are shown: search for fewer.` : "", this.note].filter(Boolean).join(" ");
  }

  /** @param {Line} line @param {boolean} unfolded */
  #row(line, unfolded) {
    const row = h("tr", { role: "row", "data-id": line.id, tabindex: line.id === this.at ? "0" : "-1", "aria-level": String(line.level), "aria-expanded": line.folds ? String(unfolded) : null, class: line.quiet ? "quiet" : null },
      line.cells.map((text, place) => h(place === 3 ? "td.value" : "td", { role: "gridcell" }, text)));
    const name = /** @type {HTMLElement} */ (row.children[1]);
    name.style.paddingLeft = `${(line.level - 1) * 16 + 8}px`;
    return row;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("tr");
    if (row && !getSelection()?.toString()) this.#fold(row.dataset.id ?? "");
  }

  /** Unfold, or fold again. @param {string} id @param {boolean} [open] */
  #fold(id, open = !this.open.has(id)) {
    const line = this.all.find((each) => each.id === id);
    this.at = id;
    if (line?.folds) {
      if (open) this.open.add(id);
      else this.open.delete(id);
    }
    this.#show();
    this.#focus();
  }

  #focus() {
    const row = [...this.body.children].find((each) => /** @type {HTMLElement} */ (each).dataset.id === this.at);
    /** @type {HTMLElement|undefined} */ (row)?.focus();
  }

  /** As in a tree (ARIA, treegrid). @param {KeyboardEvent} event */
  #key(event) {
    const rows = this.visible ?? [];
    const place = rows.findIndex(({ id }) => id === this.at), line = rows[place];
    if (!line) return;
    const go = (/** @type {number} */ to) => {
      this.at = rows[Math.min(Math.max(to, 0), rows.length - 1)].id;
      for (const row of /** @type {any} */ (this.body.children)) row.tabIndex = row.dataset.id === this.at ? 0 : -1;
      this.#focus();
    };
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => go(place + 1), ArrowUp: () => go(place - 1), PageDown: () => go(place + 20), PageUp: () => go(place - 20),
      Home: () => go(0), End: () => go(rows.length - 1), Enter: () => this.#fold(line.id),
      ArrowRight: () => (line.folds && !this.open.has(line.id) ? this.#fold(line.id, true) : go(place + 1)),
      ArrowLeft: () => (this.open.has(line.id) ? this.#fold(line.id, false) : line.parent && go(rows.indexOf(line.parent))),
      "/": () => this.search.focus(),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }
}
