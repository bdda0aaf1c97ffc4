/** Studies and their series: search, cards, thumbnails that load as one scrolls. */

import { debounced, h } from "./dom.js";

/**
 * @typedef {object} Study
 * @property {string} study Study Instance UID
 * @property {string} upstream where it lies
 * @property {string} description
 * @property {string} date YYYYMMDD
 * @property {string[]} modalities
 * @property {number} [series] how many it has
 * @property {number} [instances]
 * @property {string} [patient] name and number, only where that is switched on
 */

/**
 * @typedef {object} Series
 * @property {string} series Series Instance UID
 * @property {string} description
 * @property {string} modality
 * @property {number} [number]
 * @property {number} [instances]
 * @property {boolean} pixels whether it has any
 */

/**
 * What the list asks for.
 * @typedef {object} Archive
 * @property {{name: string, title: string}[]} upstreams
 * @property {boolean} names whether patients are shown
 * @property {(shown: boolean) => void} showNames
 * @property {(query: URLSearchParams, upstream: string, skip: number, signal: AbortSignal) => Promise<{studies: Study[], next?: number, notice?: string}>} studies from one on; next is where those begin that follow
 * @property {(study: Study, signal: AbortSignal) => Promise<Study|undefined>} study what is known of it
 * @property {(study: Study, skip: number, signal: AbortSignal) => Promise<{series: Series[], next?: number}>} series likewise
 * @property {(study: Study, series: Series) => string} thumbnail URL of a picture
 * @property {(study: Study, series: string) => void} attributes shows all attributes of its instances
 * @property {(study: Study, series: string|null, title: () => string, signal: AbortSignal, counted?: boolean) => HTMLElement|null} kept a button that keeps it on disk; null where nothing can be kept
 * @property {(study: Study, series?: Series) => string} link to a study, or to a viewer
 */

const MODALITIES = ["CT", "MR", "PT", "SM", "US", "CR", "DX", "MG", "XA", "NM", "OPT", "SEG"];

/** What was seen before what was made of it, what has pixels before what has none, then by number. @param {Series[]} all */
export function inOrder(all) {
  const place = (/** @type {Series} */ each) => (each.pixels ? 0 : 2) + (each.modality === "SEG" ? 1 : 0);
  return [...all].sort((one, other) => place(one) - place(other) || (one.number ?? Infinity) - (other.number ?? Infinity) || 0);
}

/** The list of studies; what is searched for stands in the address. */
export class List {
  /** @param {HTMLElement} root @param {Archive} archive @param {(link: string) => void} go */
  constructor(root, archive, go) {
    this.root = root;
    this.archive = archive;
    this.go = go;
    this.abort = new AbortController();
    this.search = new AbortController();
    this.byPatient = false;
    this.watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      this.watch.unobserve(entry.target);
      entry.target.dispatchEvent(new Event("seen"));
    }), { rootMargin: "200px" });
    this.results = h("div.results", { "aria-live": "polite" });
    this.form = this.#form();
    root.replaceChildren(h("div.list", {}, h("h1.hidden", {}, "Studies"), this.form, this.results));
    void this.find();
  }

  close() {
    this.abort.abort();
    this.search.abort();
    this.watch.disconnect();
  }

  #form() {
    const asked = new URLSearchParams(location.search);
    const soon = debounced(350, () => void this.find());
    const chosen = asked.getAll("modality");
    const words = h("input", { type: "search", name: "text", placeholder: "Description", "aria-label": "Search studies", value: asked.get("text") ?? "", autocomplete: "off", oninput: soon });
    const modalities = h("details.choice", {}, h("summary", {}, "Modality"), h("div.box", {}, MODALITIES.map((name) =>
      h("label", {}, h("input", { type: "checkbox", name: "modality", value: name, checked: chosen.includes(name), onchange: soon }), name))));
    const patient = h("input", { type: "search", name: "patient", placeholder: "Patient name or ID", "aria-label": "Search patients", hidden: !this.archive.names, autocomplete: "off", oninput: soon });
    const dates = [["from", "From"], ["to", "To"]].map(([name, title]) => h("label.date", {}, title, h("input", { type: "date", name, value: asked.get(name) ?? "", onchange: soon })));
    const where = this.archive.upstreams.length > 1 ? [h("select", { name: "upstream", "aria-label": "Where", onchange: soon },
      h("option", { value: "" }, "Everywhere"), this.archive.upstreams.map(({ name, title }) => h("option", { value: name }, title)))] : [];
    const names = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", checked: this.archive.names, onchange: () => {
      this.archive.showNames(names.checked);
      grouped.hidden = patient.hidden = !names.checked;
      if (!names.checked) /** @type {HTMLInputElement} */ (patient).value = "";
      void this.find();
    } }));
    const by = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", checked: this.byPatient, onchange: () => {
      this.byPatient = by.checked;
      void this.find();
    } }));
    const grouped = h("label.names", { hidden: !this.archive.names }, by, "By patient");
    const form = h("form.search", { role: "search", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.find();
    } }, words, patient, modalities, ...dates, ...where, h("label.names", {}, names, "Patient names"), grouped, h("button", { type: "reset", onclick: () => setTimeout(soon) }, "Clear"));
    queueMicrotask(() => words.focus({ preventScroll: true }));
    return /** @type {HTMLFormElement} */ (form);
  }

  /** Search anew. */
  async find() {
    this.search.abort();
    this.search = new AbortController();
    const { signal } = this.search;
    const query = new URLSearchParams(/** @type {any} */ ([...new FormData(this.form)].filter(([, value]) => value)));
    const count = query.getAll("modality").length;
    /** @type {HTMLElement} */ (this.form.querySelector("summary")).textContent = count ? `Modality (${count})` : "Modality";
    const shown = new URLSearchParams(query);
    shown.delete("patient");  // an address is copied, and remembered
    history.replaceState(null, "", `${location.pathname}${shown.size ? `?${shown}` : ""}`);
    const chosen = query.get("upstream");
    query.delete("upstream");
    this.results.replaceChildren();
    const upstreams = this.archive.upstreams.filter(({ name }) => !chosen || name === chosen);
    await Promise.all(upstreams.map((upstream) => this.#one(upstream, query, signal)));
  }

  /** @param {{name: string, title: string}} upstream @param {URLSearchParams} query @param {AbortSignal} signal */
  async #one(upstream, query, signal) {
    const cards = h("div.cards"), said = h("p.quiet", { role: "status" }, skeleton());
    const part = h("section.upstream", { "data-state": "loading" }, this.archive.upstreams.length > 1 && h("h2", {}, upstream.title), cards, said);
    this.results.append(part);
    let skip = 0;
    /** Studies that are shown: one that came meanwhile moves the others to the next page. @type {Set<string>} */ const shown = new Set();
    /** What the cards of each patient lie in. @type {Map<string, HTMLElement>} */ const patients = new Map();
    const place = (/** @type {Study} */ study) => {
      if (!this.byPatient || !this.archive.names) return cards;
      const patient = study.patient || "No patient is named";
      let group = patients.get(patient);
      if (!group) {
        group = h("div.cards");
        patients.set(patient, group);
        cards.append(h("section.patient", {}, h("h3", {}, patient), group));
      }
      return group;
    };
    const next = async () => {
      try {
        const { studies, next: following, notice } = await this.archive.studies(query, upstream.name, skip, signal);
        for (const study of studies.filter((each) => !shown.has(each.study))) {
          shown.add(study.study);
          place(study).append(this.#card(study));
        }
        skip = following ?? skip;
        part.dataset.state = "ready";
        const none = query.size ? "No study matches. Try fewer words, or other dates." : "There is no study here yet.";
        const more = following !== undefined;
        const words = shown.size || more ? `${shown.size} ${shown.size === 1 ? "study" : "studies"}${more ? "; there are more." : "."}` : none;
        said.replaceChildren(notice ? `${words} ${notice}` : words, more ? h("button", { type: "button", onclick: next }, "Show more") : "");
      } catch (error) {
        if (signal.aborted) return;
        part.dataset.state = "failed";
        said.replaceChildren(error instanceof Error ? error.message : String(error), h("button", { type: "button", onclick: next }, "Try again"));
      }
    };
    await next();
  }

  /** @param {Study} study */
  #card(study) {
    const strip = h("div.strip");
    const link = this.archive.link(study);
    const card = h("article.card", {},
      h("a.about", { href: link, onclick: this.#follow(link) },
        h("b", {}, titleOf(study)),
        study.patient && h("span", {}, study.patient),
        h("span.quiet", {}, factsOf(study).join(" · ")),
        h("span.chips", {}, study.modalities.map((name) => h("i.chip", {}, name)))),
      strip);
    card.addEventListener("seen", () => void this.#thumbnails(study, strip), { once: true });
    this.watch.observe(card);
    return card;
  }

  /** @param {string} link */
  #follow(link) {
    return (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      this.go(link);
    };
  }

  /** @param {Study} study @param {HTMLElement} strip */
  async #thumbnails(study, strip) {
    try {
      const { series: all, next } = await this.archive.series(study, 0, this.search.signal);
      const series = all.filter(({ pixels }) => pixels), link = this.archive.link(study);
      const rest = Math.max(0, series.length - 4), more = next === undefined ? "" : " or more";
      strip.replaceChildren(...series.slice(0, 4).map((each) => this.#thumbnail(study, each)), rest || more ? h("a.rest", { href: link, onclick: this.#follow(link) }, `+${rest}${more}`) : "");
    } catch (error) {
      if (!this.search.signal.aborted) strip.replaceChildren(h("span.quiet", {}, error instanceof Error ? error.message : "No thumbnails."));
    }
  }

  /** @param {Study} study @param {Series} series */
  #thumbnail(study, series) {
    const link = this.archive.link(study, series);
    const name = [series.modality, series.description || "series"].join(" ");
    return h("a.thumb", { href: link, title: name, onclick: this.#follow(link) }, picture(this.archive.thumbnail(study, series), name));
  }
}

/** All series of one study. */
export class StudyPage {
  /** @param {HTMLElement} root @param {Archive} archive @param {Study} study @param {(link: string) => void} go */
  constructor(root, archive, study, go) {
    this.root = root;
    this.archive = archive;
    this.study = study;
    this.go = go;
    this.abort = new AbortController();
    /** Series that are shown, and their cards. @type {Map<string, {series: Series, card: HTMLElement}>} */ this.shown = new Map();
    this.body = h("div.cards.series", {}, skeleton());
    this.said = h("p.said.quiet", { role: "status" });
    this.title = h("h1", {}, "Study");
    this.about = h("p.quiet");
    root.replaceChildren(h("div.list", {}, h("div.heading", {}, h("div", {}, this.title, this.about), archive.kept(study, null, () => this.title.textContent || "Study", this.abort.signal)), this.body, this.said));
    void this.#load(0);
    archive.study(study, this.abort.signal).then((found) => found && this.#describe(found), () => {});  // the series say what went wrong
  }

  /** @param {Study} study */
  #describe(study) {
    this.title.textContent = titleOf(study);
    document.title = `${titleOf(study)} · dicomzarr`;
    this.about.textContent = [study.patient, ...factsOf(study), study.modalities.join(", ")].filter(Boolean).join(" · ");
  }

  close() {
    this.abort.abort();
  }

  /** @param {number} skip series that were asked for before */
  async #load(skip) {
    this.body.dataset.state = "loading";
    this.said.replaceChildren();
    try {
      const { series, next } = await this.archive.series(this.study, skip, this.abort.signal);
      for (const each of series) if (!this.shown.has(each.series)) this.shown.set(each.series, { series: each, card: this.#card(each) });
      this.#show(next);
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.body.dataset.state = "failed";
      this.body.querySelectorAll(".skeleton").forEach((each) => each.remove());
      this.said.replaceChildren(error instanceof Error ? error.message : String(error), " ", h("button", { type: "button", onclick: () => void this.#load(skip) }, "Try again"));
    }
  }

  /** @param {number | undefined} next where series begin that are not shown yet */
  #show(next) {
    const all = inOrder([...this.shown.values()].map(({ series }) => series));
    this.body.dataset.state = "ready";
    this.body.replaceChildren(...all.map(({ series }) => /** @type {{card: HTMLElement}} */ (this.shown.get(series)).card));
    if (next !== undefined) this.said.replaceChildren(`${all.length} series; there are more. `, h("button", { type: "button", onclick: () => void this.#load(next) }, "Show more"));
    else if (!all.length) this.said.textContent = "This study has no series.";
  }

  /** @param {Series} series */
  #card(series) {
    const about = [h("b", {}, series.description || "Series without a description"),
      h("span.quiet", {}, [series.number !== undefined && `no. ${series.number}`, series.instances && counted(series.instances, "instance")].filter(Boolean).join(" · ")),
      h("span.chips", {}, h("i.chip", {}, series.modality || "?"))];
    const table = h("button", { type: "button", onclick: () => this.archive.attributes(this.study, series.series) }, "Attributes");
    const title = [series.modality, series.description].filter(Boolean).join(" ") || "Series";
    if (!series.pixels) return h("article.card.tall", {}, h("div.nothing.quiet", {}, "No pixels"), h("div.about", {}, about), h("div.row.wrap", {}, table));
    const link = this.archive.link(this.study, series);
    return h("article.card.tall", {}, h("a.about", { href: link, onclick: (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      this.go(link);
    } }, h("span.thumb", {}, picture(this.archive.thumbnail(this.study, series), "")), about), h("div.row.wrap", {}, table), this.archive.kept(this.study, series.series, () => title, this.abort.signal));
  }
}

/** A thumbnail; a word where there is none. @param {string} source @param {string} name */
function picture(source, name) {
  const image = h("img", { src: source, alt: name, loading: "lazy", decoding: "async", onerror: () => image.replaceWith(h("span.quiet.nothing", {}, "No picture")) });
  return image;
}

/** @param {number} number @param {string} what */
const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** @param {Study} study */
const titleOf = (study) => study.description || "Study without a description";

/** @param {Study} study @returns {string[]} */
const factsOf = (study) => [dateText(study.date), study.series && `${study.series} series`, study.instances && counted(study.instances, "instance")].filter(Boolean).map(String);

/** @returns {HTMLElement[]} */
const skeleton = () => [1, 2, 3].map(() => h("span.skeleton", { "aria-hidden": "true" }));

/** @param {string} date YYYYMMDD */
export const dateText = (date) => (/^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date);
