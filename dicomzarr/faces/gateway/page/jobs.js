/** What is kept on disk: the jobs that fetch it, and the buttons that begin, end and undo that. */

import { getJson } from "./api.js";
import { h } from "./dom.js";

/**
 * @typedef {object} Job
 * @property {number} job
 * @property {string} upstream
 * @property {string} study
 * @property {string|null} series
 * @property {"waiting"|"running"|"kept"|"incomplete"|"failed"|"cancelled"} state
 * @property {number} frames
 * @property {number} of
 * @property {number} series_begun
 * @property {number} series_of
 * @property {string} said
 */

const WORDS = { waiting: "Waits for its turn", running: "", kept: "On disk", incomplete: "Not all of it is on disk", failed: "Failed", cancelled: "Cancelled" };
const SECOND = 1000;

/** The same rule as the gateway's: JSON, from its own page. @param {string} path @param {string} method @returns {Promise<any>} */
const order = (path, method) => getJson(`/api/${path}`, { method, headers: { "Content-Type": "application/json" } });

/** @param {Job} job */
const isUnderWay = (job) => job.state === "waiting" || job.state === "running";

/** @param {Job} job what its path is below the API */
const pathOf = (job) => `${job.upstream}/studies/${job.study}${job.series ? `/series/${job.series}` : ""}`;

/** @param {Job} job */
function words(job) {
  if (job.state !== "running") return `${WORDS[job.state]}${job.said ? `: ${job.said}` : job.state === "kept" ? `: ${job.of} frames` : ""}`;
  const series = job.series_of > 1 ? `series ${job.series_begun} of ${job.series_of}, ` : "";
  return job.of ? `${series}${job.frames} of ${job.of} frames` : "Opening …";
}

/** All jobs of a gateway; asks how they are doing as long as one is under way. */
export class Jobs {
  /** @param {HTMLElement} button opens the list */
  constructor(button) {
    this.button = button;
    /** @type {Job[]} */ this.jobs = [];
    /** What paths are called. @type {Map<string, string>} */ this.titles = new Map(JSON.parse(sessionStorage.getItem("kept") ?? "[]"));
    /** @type {Set<() => void>} */ this.listeners = new Set();
    /** @type {ReturnType<typeof setTimeout>|undefined} */ this.timer = undefined;
    this.rows = h("ul.jobs", { "aria-live": "polite" });
    this.dialog = /** @type {HTMLDialogElement} */ (h("dialog.wide", { "aria-label": "Kept on disk" }));
    this.dialog.append(h("h2", {}, "Kept on disk"), this.rows, h("p.quiet", {}, "Frames go into the gateway's cache, behind all that somebody looks at. The oldest leave it when it is full. Removing empties the cache alone."), h("button", { type: "button", onclick: () => this.dialog.close() }, "Close"));
    document.body.append(this.dialog);
    button.addEventListener("click", () => {
      this.dialog.showModal();
      void this.ask();
    });
  }

  /** Ask what there is. */
  async ask() {
    clearTimeout(this.timer);
    try {
      this.jobs = (await getJson("/api/jobs")).jobs;
      this.#show();
      if (this.jobs.some(isUnderWay)) this.timer = setTimeout(() => void this.ask(), SECOND);
    } catch (error) {
      this.rows.replaceChildren(h("li.quiet", {}, error instanceof Error ? error.message : String(error)));
    }
  }

  #show() {
    const busy = this.jobs.filter(isUnderWay).length;
    this.button.hidden = false;
    this.button.textContent = busy ? `On disk (${busy})` : "On disk";
    this.rows.replaceChildren(...(this.jobs.length ? this.jobs.map((job) => this.#row(job)) : [h("li.quiet", {}, "Nothing was kept since the gateway began. What a series page or a viewer offers is listed here.")]));
    for (const listener of this.listeners) listener();
  }

  /** @param {Job} job */
  #row(job) {
    const act = (/** @type {string} */ name, /** @type {string} */ path, /** @type {string} */ method = "DELETE") => h("button", { type: "button", onclick: () => void this.#do(path, method) }, name);
    const title = this.titles.get(pathOf(job)) || (job.series ? "A series" : "A study");
    const bar = h("progress", { max: Math.max(1, job.of), "aria-label": title });
    if (job.state !== "waiting") bar.setAttribute("value", String(job.frames));
    return h("li", { "data-job": job.state }, h("b", {}, title), h("span.quiet", {}, words(job)), isUnderWay(job) && bar,
      h("span.row", {}, isUnderWay(job) ? act("Cancel", `jobs/${job.job}`) : [act("Remove from disk", `${pathOf(job)}/kept`), act("Dismiss", `jobs/${job.job}`)]));
  }

  /** @param {string} path @param {string} method */
  async #do(path, method) {
    try {
      await order(path, method);
      await this.ask();
    } catch (error) {
      this.rows.prepend(h("li", { role: "alert" }, error instanceof Error ? error.message : String(error)));
    }
  }

  /**
   * A button that keeps a study or series, and what is known of it.
   * @param {string} path below the API @param {() => string} title what it is called @param {string} name of the button
   * @param {AbortSignal} signal when it is shown no more
   * @param {boolean} [counted] ask how much is on disk, for which the gateway opens the series
   */
  control(path, title, name, signal, counted = false) {
    const said = h("output.quiet"), remove = h("button", { type: "button", hidden: true }, "Remove from disk");
    const keep = h("button", { type: "button" }, name);
    let seen = "";
    const count = async () => {
      const { frames, of } = await getJson(`/api/${path}/kept`, { signal });
      said.textContent = frames ? `${frames} of ${of} frames` : "Nothing of it is on disk.";
      Object.assign(keep, { hidden: frames >= of });
      remove.hidden = !frames;
    };
    const show = () => {
      const job = this.jobs.find((each) => pathOf(each) === path || (path.startsWith(`${pathOf(each)}/`) && isUnderWay(each)));
      Object.assign(keep, { disabled: Boolean(job && isUnderWay(job)) });
      if (job && (isUnderWay(job) || !counted)) said.textContent = words(job);
      if (!counted) {
        remove.hidden = !job || isUnderWay(job);
        keep.hidden = job?.state === "kept";
        if (!job && seen) said.textContent = "Removed.";
      }
      const now = job ? `${job.job} ${job.state}` : "";
      if (counted && now !== seen && !(job && isUnderWay(job))) void attempt(count);
      seen = now;
    };
    const attempt = async (/** @type {() => Promise<unknown>} */ act) => {
      try {
        await act();
      } catch (error) {
        if (!signal.aborted) said.textContent = error instanceof Error ? error.message : String(error);
      }
    };
    keep.addEventListener("click", () => attempt(async () => {
      this.titles.set(path, title());
      sessionStorage.setItem("kept", JSON.stringify([...this.titles].slice(-200)));
      await order(`${path}/kept`, "POST");
      await this.ask();
    }));
    remove.addEventListener("click", () => attempt(async () => {
      await order(`${path}/kept`, "DELETE");
      said.textContent = "Removed.";
      await this.ask();
      if (counted) await count();
    }));
    this.listeners.add(show);
    signal.addEventListener("abort", () => this.listeners.delete(show));
    if (counted) void attempt(count);
    show();
    return h("div.row.wrap.kept", {}, keep, remove, said);
  }
}
