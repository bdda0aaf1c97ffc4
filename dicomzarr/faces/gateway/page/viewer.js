/** One series on the screen: the picture, what lies over it, the panel beside it, and what hands and keys do. */

import { GatewayError } from "./api.js";
import { debounced, h, short } from "./dom.js";
import { Frames } from "./frames.js";
import { affineAt, direction, lengthText, letters, opposite, roundLength, toPatient } from "./geometry.js";
import { sayView, viewOf } from "./link.js";
import { Panel } from "./panel.js";
import { Planes, whyNoPlanes } from "./planes.js";
import { segments, Stage } from "./stage.js";
import { frameTime, Values } from "./values.js";
import { openSeries } from "./zarr.js";

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {import("./stage.js").View} View */
/** @typedef {import("./frames.js").Frame} Frame */

/** Whether a series is no more what it was when it was opened. @param {unknown} error */
const isOutdated = (error) => error instanceof GatewayError && error.status === 409;

/** A viewer of one series, in an element of the page. */
export class Viewer {
  /**
   * @param {HTMLElement} root
   * @param {{attributes: () => void, kept: (title: () => string) => HTMLElement|null, path: string, thumbnail: string, code: (image: Image, view: View) => {name: string, text: string}[], zarrUrl: (image: Image) => string, back: () => void, description: string}} series
   */
  constructor(root, series) {
    this.root = root;
    this.series = series;
    /** @type {import("./zarr.js").Opened | undefined} */ this.opened = undefined;
    /** @type {Image[]} */ this.images = [];
    /** @type {Image[]} */ this.associated = [];
    this.canvas = h("canvas", { tabindex: "0", "aria-label": "The image. Arrow keys scroll, plus and minus zoom." });
    this.over = h("div.over", { "aria-hidden": "true" });
    this.probe = h("output.probe");
    this.bar = h("div.bar");
    this.state = h("div.message", { role: "status" });
    this.progress = h("div.progress", { hidden: true });
    this.stageElement = h("div.stage", { "data-state": "opening" }, this.canvas, this.over, this.bar, this.probe, this.progress, this.state);
    this.aside = h("aside.panel", { "aria-label": "Controls" });
    root.replaceChildren(h("div.viewer", {}, this.stageElement, this.aside));
    const remember = debounced(250, () => this.#remember());
    this.remember = () => {
      this.stageElement.dataset.address = "stale";
      remember();
    };
    this.abort = new AbortController();
    this.playing = 0;
    /** @type {HTMLImageElement | undefined} */ this.small = undefined;
    /** Where the pointer is. @type {[number, number] | null} */ this.pointer = null;
    this.#listen();
  }

  /** Open the series, and show what the address says. @param {RequestCache} [cache] "reload" for what the archive has now */
  async open(cache) {
    const { signal } = this.abort;
    this.stageElement.dataset.state = "opening";
    this.state.textContent = "Opening …";
    try {
      const opened = await openSeries(this.series.path, { signal, cache });
      signal.throwIfAborted();
      const { images, associated } = opened;
      if (!images.length && !associated.length) throw new Error("This series has no image.");
      Object.assign(this, { opened, images, associated });
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#showAddress();
  }

  #showAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    this.show(this.images.concat(this.associated).find((image) => image.path === asked.get("image")) ?? this.images[0] ?? this.associated[0], asked);
  }

  /** Say what went wrong, with a way out. @param {unknown} error */
  fail(error) {
    if (this.abort.signal.aborted) return;
    this.#end();
    const name = isOutdated(error) ? "Open again" : "Try again";
    this.#instead("failed", error instanceof Error ? error.message : String(error), name, () => void this.open("reload"));
  }

  /** Words in the place of a picture. @param {string} state @param {string} words @param {string} name of the button @param {() => void} act */
  #instead(state, words, name, act) {
    this.stageElement.dataset.state = state;
    this.bar.hidden = this.progress.hidden = true;
    this.over.replaceChildren();
    this.probe.textContent = "";
    this.state.replaceChildren(
      h("p", {}, words),
      h("button", { type: "button", onclick: act }, name),
      h("button", { type: "button", onclick: this.series.back }, "Back to the list"),
    );
  }

  /** Show an image. @param {Image} image @param {URLSearchParams} [asked] what the address says of the view */
  show(image, asked = new URLSearchParams()) {
    this.#end();
    this.image = image;
    this.units = new Values(image);
    this.view = viewOf(image, this.units, asked);
    this.#begin(asked.get("mode") === "planes" && !whyNoPlanes(image) ? "planes" : "slice", asked.has("zoom"));
    this.panel = new Panel(this.aside, this);
  }

  /** Show an image that somebody has chosen. @param {Image} image */
  choose(image) {
    this.show(image);
    this.remember();
  }

  /** @returns {string} the address of what is seen now */
  link() {
    this.#remember();
    return location.href;
  }

  /** @param {"slice"|"planes"} mode @param {boolean} placed the view says where the eye is */
  #begin(mode, placed) {
    const image = /** @type {Image} */ (this.image), view = /** @type {View} */ (this.view), units = /** @type {Values} */ (this.units);
    const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { tabindex: "0", "aria-label": this.canvas.getAttribute("aria-label") }));
    this.canvas.replaceWith(canvas);  // a context that is lost stays with its canvas
    this.canvas = canvas;
    this.mode = mode;
    this.state.replaceChildren();
    this.stageElement.dataset.state = "loading";
    const frames = this.frames = new Frames(/** @type {import("./zarr.js").Opened} */ (this.opened), (key, frame) => this.#came(key, frame));
    try {
      this.stage = new (mode === "planes" ? Planes : Stage)(canvas, image, units, view, (wanted) => frames.want(wanted));
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.stage instanceof Stage && !placed) this.stage.fit();
    this.stage.drawn = () => this.#drawn();
    this.#hands(canvas);
    this.#keepContext(canvas);
    this.stage.redraw();
  }

  /** Draw again when the browser has taken the context away (WebGL 1.0 section 5.15.2). @param {HTMLCanvasElement} canvas */
  #keepContext(canvas) {
    const { signal } = this.abort;
    const again = () => this.#begin(/** @type {"slice"|"planes"} */ (this.mode), true);
    canvas.addEventListener("webglcontextlost", (event) => {
      if (canvas !== this.canvas || !this.stage) return;  // it was let go
      event.preventDefault();  // without that it never comes back
      this.#end();
      this.#instead("lost", "The browser has taken the graphics card from this picture. It is drawn again as soon as it may be.", "Draw again", again);
    }, { signal });
    canvas.addEventListener("webglcontextrestored", () => canvas === this.canvas && !this.stage && again(), { signal });
  }

  #end() {
    this.play(false);
    this.frames?.close();
    this.stage?.close();
    this.stage = undefined;
  }

  /** Let go of everything. */
  close() {
    this.abort.abort();
    this.#end();
  }

  /** Slices, or planes and 3D. @param {"slice"|"planes"} mode */
  setMode(mode) {
    if (mode === this.mode || (mode === "planes" && whyNoPlanes(/** @type {Image} */ (this.image)))) return;
    this.#end();
    this.#begin(mode, false);
    this.changed();
  }

  /** Say what the series is called. @param {string} description */
  describe(description) {
    this.series.description = description;
    this.panel?.update();
  }

  /** @param {string} key @param {Frame|Error} frame */
  #came(key, frame) {
    if (isOutdated(frame)) {
      this.#remember();
      this.fail(frame);  // frames of two states of a series are never seen together
      return;
    }
    const view = /** @type {View} */ (this.view), units = /** @type {Values} */ (this.units);
    if (!(frame instanceof Error) && !frame.absent && !this.image?.isRgb && !key.includes("labels/")) {
      const { image } = this;
      const at = /** @type {Image} */ (image).axes.map((axis) => axis.name);
      const indices = key.split("/c/")[1].split("/").map(Number);
      const where = Object.fromEntries(at.map((name, place) => [name, indices[place]]));
      const channel = view.channels[where.c ?? 0];
      if (channel && units.learn(channel, frame.values ?? [0, 255], where)) this.panel?.update();
    }
    this.stage?.take(key, frame);
  }

  /** Something of the view is another now. */
  changed() {
    this.stage?.redraw();
    this.panel?.update();
    this.remember();
  }

  #remember() {
    const { view, image, units } = this;
    if (!view || !image || !units || this.abort.signal.aborted) return;
    const said = sayView(view, image, units, this.mode === "planes");
    if (image !== this.images[0]) said.set("image", image.path);
    history.replaceState(null, "", `#${said}`);
    this.stageElement.dataset.address = "told";
  }

  /** @param {number} z */
  toSlice(z) {
    const { view, image, stage } = this;
    if (!view || !image) return;
    const next = Math.min(Math.max(z, 0), image.finest.length("z") - 1);
    if (stage instanceof Stage) stage.direction = next < view.z ? -1 : 1;
    if (stage instanceof Planes) stage.go([stage.cursor[0], stage.cursor[1], next]);
    view.z = next;
    this.changed();
  }

  /** @param {number} t */
  toTime(t) {
    const { view, image, stage } = this;
    if (!view || !image) return;
    const times = image.finest.length("t");
    view.t = ((t % times) + times) % times;
    if (stage instanceof Planes) stage.restart();
    this.changed();
  }

  /** @param {number} c */
  toChannel(c) {
    if (!this.view) return;
    this.view.c = c;
    if (this.stage instanceof Planes) this.stage.restart();
    this.changed();
  }

  /** Play times, or slices where there is one time. @param {boolean} [on] */
  play(on = !this.playing) {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    if (this.stage instanceof Stage) this.stage.plays = on;
    if (on && this.view && this.image && this.stage) {
      const times = this.image.finest.length("t") > 1, count = this.image.finest.length(times ? "t" : "z");
      let last = performance.now();
      this.stage.redraw();  // which asks for what is seen next
      const step = (/** @type {number} */ now) => {
        this.playing = requestAnimationFrame(step);
        const { stage, image, view: { z, t } } = /** @type {{stage: Stage | Planes, image: Image, view: View}} */ (/** @type {unknown} */ (this));
        const next = /** @type {[number, number]} */ (times ? [z, (t + 1) % count] : [(z + 1) % count, t]);
        // What has not come is waited for, neither skipped nor shown as a gap.
        if (now - last < frameTime(image.facts.coordinates?.frame_time, t) || stage.missing || (stage instanceof Stage && !stage.holds(...next))) return;
        last = now;
        if (times) this.toTime(next[1]);
        else this.toSlice(next[0]);
      };
      this.playing = requestAnimationFrame(step);
    }
    this.panel?.update();
  }

  #drawn() {
    const { stage, image, view } = this;
    if (!stage || !image || !view) return;
    const failed = stage.failures;
    this.stageElement.dataset.state = stage.missing ? "loading" : failed.length ? "incomplete" : "ready";
    this.progress.hidden = !stage.missing;
    if (failed.length) {
      this.state.replaceChildren(
        h("p", {}, `${failed.length === 1 ? "One frame" : `${failed.length} frames`} did not come. ${failed[0].message}`),
        h("button", { type: "button", onclick: () => stage.retry() }, "Try again"),
      );
    } else this.state.replaceChildren(stage instanceof Stage && stage.isAbsent ? "The archive has no such slice." : "");
    this.#scaleBar();
    this.#letters();
    if (this.pointer) this.#point(...this.pointer);
  }

  #scaleBar() {
    const { stage, image, view } = this;
    if (!(stage instanceof Stage) || !image || !view) {
      this.bar.hidden = true;
      return;
    }
    this.bar.hidden = false;
    const each = (image.unit ? image.finest.scale.x : 1) / view.zoom;
    const length = roundLength(140 * each);
    this.bar.style.width = `${length / each}px`;
    this.bar.textContent = lengthText(length, image.unit);
    if (image.unit === "micrometer") this.bar.append(h("span", {}, `${short(10 / each)}×`));
  }

  #letters() {
    const { stage, image, view } = this;
    /** @type {HTMLElement[]} */ const marks = [];
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const mark = (/** @type {string} */ text, /** @type {number} */ left, /** @type {number} */ top) => {
      if (!text) return;
      const element = h("span.letter", {}, text);
      element.style.left = `${left}px`;
      element.style.top = `${top}px`;
      marks.push(element);
    };
    if (stage instanceof Planes) {
      for (const index of [0, 1, 2]) {
        const { left, top, width: across, height: down } = stage.panes[index];
        const [west, east, north, south] = stage.letters(index);
        mark(west, left + 14, top + down / 2);
        mark(east, left + across - 14, top + down / 2);
        mark(north, left + across / 2, top + 14);
        mark(south, left + across / 2, top + down - 14);
        const place = stage.crossing(index);
        const lines = h("div.cross");
        Object.assign(lines.style, { left: `${left}px`, top: `${top}px`, width: `${across}px`, height: `${down}px` });
        const across2 = h("i.across"), down2 = h("i.down");
        across2.style.top = `${100 * place[1]}%`;
        down2.style.left = `${100 * place[0]}%`;
        lines.append(across2, down2);
        marks.push(lines);
      }
    } else if (stage && image && view) {
      const affine = image.facts.affine ?? image.facts.plane_affine;
      if (affine && image.facts.affine_reference === "patient") {
        const isAnimal = image.facts.anatomical_orientation === "QUADRUPED";
        let [right, down] = [direction(affine, 0), direction(affine, 1)];
        if (view.flip) right = opposite(right);
        for (let turn = 0; turn < view.turn; turn += 1) [right, down] = [opposite(down), right];
        mark(letters(opposite(right), isAnimal), 14, height / 2);
        mark(letters(right, isAnimal), width - 14, height / 2);
        mark(letters(opposite(down), isAnimal), width / 2, 16);
        mark(letters(down, isAnimal), width / 2, height - 16);
      }
      marks.push(...this.#navigator(stage));
    }
    this.over.replaceChildren(...marks);
  }

  /** Where one is in an image that is larger than the screen. @param {Stage} stage @returns {HTMLElement[]} */
  #navigator(stage) {
    const { width, height } = stage.size;
    const corners = [[0, 0], [1, 1]].map(([x, y]) => stage.toWorld(x * this.canvas.clientWidth, y * this.canvas.clientHeight));
    const part = (/** @type {number} */ axis, /** @type {number} */ size) => {
      const ends = corners.map((corner) => Math.min(1, Math.max(0, corner[axis] / size))).sort((one, other) => one - other);
      return { start: ends[0], length: ends[1] - ends[0] };
    };
    const [x, y] = [part(0, width), part(1, height)];
    if (x.length > 0.8 && y.length > 0.8) return [];
    const box = h("div.navigator"), inner = h("i");
    if (this.image === this.images[0] && !stage.widest && this.#overview().naturalWidth) box.style.backgroundImage = `url("${this.series.thumbnail}")`;
    const side = 130 / Math.max(width, height);
    Object.assign(box.style, { width: `${width * side}px`, height: `${height * side}px` });
    Object.assign(inner.style, { left: `${100 * x.start}%`, top: `${100 * y.start}%`, width: `${Math.max(2, 100 * x.length)}%`, height: `${Math.max(2, 100 * y.length)}%` });
    box.append(inner);
    return [box];
  }

  /** All of the first image, small; asked for once, whatever comes. */
  #overview() {
    if (!this.small) {
      this.small = new Image();
      this.small.addEventListener("load", () => this.#drawn());
      this.small.src = this.series.thumbnail;
    }
    return this.small;
  }

  /** What lies under the pointer. @param {number} left @param {number} top */
  #point(left, top) {
    this.pointer = [left, top];
    const { stage, image, view, units } = this;
    if (!stage || !image || !view || !units) return;
    const found = stage.probe(left, top);
    if (!found) {
      this.probe.textContent = "";
      return;
    }
    const { column, row, values } = found;
    const slice = "slice" in found ? Number(found.slice) : view.z;
    const parts = [`x ${column}`, `y ${row}`, ...(image.finest.length("z") > 1 ? [`z ${slice}`] : []), units.said(values)];
    const affine = affineAt(image.facts, view.t);
    if (affine && image.facts.affine_origin_known !== false) parts.push(`(${toPatient(affine, column, row, slice).map((value) => value.toFixed(image.unit === "micrometer" ? 3 : 1)).join(", ")}) mm`);
    this.probe.textContent = parts.join("   ");
  }

  /** @param {HTMLCanvasElement} canvas */
  #hands(canvas) {
    /** @type {Map<number, {x: number, y: number}>} */ const pointers = new Map();
    const { signal } = this.abort;
    let distance = 0;
    const place = (/** @type {MouseEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      canvas.classList.add("held");
      if (this.stage instanceof Planes && event.button === 0) {
        const found = this.stage.voxel(place(event).x, place(event).y);
        if (found) {
          this.stage.go(found.at);
          this.changed();
        }
      }
    }, { signal });
    canvas.addEventListener("pointerup", (event) => {
      pointers.delete(event.pointerId);
      distance = 0;
      canvas.classList.remove("held");
    }, { signal });
    canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId), { signal });
    canvas.addEventListener("pointerleave", () => {
      this.probe.textContent = "";
      this.pointer = null;
    }, { signal });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event), before = pointers.get(event.pointerId);
      this.#point(now.x, now.y);
      if (!before) return;
      pointers.set(event.pointerId, now);
      if (pointers.size === 2) {
        const [one, other] = [...pointers.values()];
        const apart = Math.hypot(one.x - other.x, one.y - other.y);
        if (distance && this.stage instanceof Stage) this.stage.zoomAt(apart / distance, (one.x + other.x) / 2, (one.y + other.y) / 2);
        distance = apart;
      } else if (event.buttons & 2) this.#window(now.x - before.x, now.y - before.y);
      else this.#drag(before, now);
      this.remember();
    }, { signal });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      const steps = Math.sign(event.deltaY);
      const slices = /** @type {Image} */ (this.image).finest.length("z");
      if (this.stage instanceof Planes) {
        if (event.ctrlKey) this.zoom(1.15 ** -steps);
        else {
          this.stage.scroll(x, y, steps);
          this.changed();
        }
      } else if (slices > 1 && !event.ctrlKey) this.toSlice(/** @type {View} */ (this.view).z + steps);
      else {
        this.stage?.zoomAt(2 ** (-event.deltaY / (event.ctrlKey ? 120 : 300)), x, y);
        this.changed();
      }
    }, { signal, passive: false });
  }

  /** @param {{x: number, y: number}} before @param {{x: number, y: number}} now */
  #drag(before, now) {
    const { stage } = this;
    if (stage instanceof Stage) stage.pan(now.x - before.x, now.y - before.y);
    if (!(stage instanceof Planes)) return;
    const found = stage.voxel(now.x, now.y);
    const pane = stage.panes[3];
    if (found) {
      stage.go(found.at);
      this.changed();
    } else if (now.x >= pane.left && now.y >= pane.top) {
      const { look } = stage.view, [around, above] = look.angles;
      look.angles = [around + (now.x - before.x) / 120, Math.max(-1.5, Math.min(1.5, above + (now.y - before.y) / 120))];
      stage.redraw();
    }
  }

  /** Change the window by a drag: right is wider, down is darker. @param {number} right @param {number} down */
  #window(right, down) {
    const { view, units, image, stage } = this;
    if (!view || !units || !image || !stage || image.isRgb) return;
    const channel = units.oneByOne ? view.c : Math.max(0, view.channels.findIndex((each) => each.active));
    units.choose(view.channels[channel], units.dragged(stage.window(channel), right, down));
    this.changed();
  }

  #listen() {
    const { signal } = this.abort;
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    new ResizeObserver(() => this.stage?.redraw()).observe(this.stageElement);
    addEventListener("hashchange", () => this.opened && this.#showAddress(), { signal });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { view, image, stage, units } = this;
    if (!view || !image || !stage || !units || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const on = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, button, a, summary");
    if (on && (on.matches("input, select, textarea") || event.key === " " || event.key === "Enter")) return;
    const slide = image.finest.length("z") === 1 && image.finest.length("t") === 1;
    const move = (/** @type {number} */ x, /** @type {number} */ y) => stage instanceof Stage && stage.pan(x * 90, y * 90);
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ArrowUp: () => (slide ? move(0, 1) : this.toSlice(view.z - 1)), ArrowDown: () => (slide ? move(0, -1) : this.toSlice(view.z + 1)),
      ArrowLeft: () => (slide ? move(1, 0) : this.toTime(view.t - 1)), ArrowRight: () => (slide ? move(-1, 0) : this.toTime(view.t + 1)),
      PageUp: () => this.toSlice(view.z - 10), PageDown: () => this.toSlice(view.z + 10), Home: () => this.toSlice(0), End: () => this.toSlice(Infinity),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fit(),
      i: () => (view.invert = !view.invert), m: () => this.setMode(this.mode === "planes" ? "slice" : "planes"), s: () => this.toggleSegments(),
      r: () => (view.turn = (view.turn + 1) % 4), f: () => (view.flip = !view.flip), " ": () => this.play(), a: this.series.attributes, "?": () => this.panel?.help(), Escape: this.series.back,
    };
    const act = keys[event.key];
    if (act) act();
    else if (/^[1-9]$/.test(event.key)) this.#number(Number(event.key) - 1);
    else return;
    event.preventDefault();
    if (event.key !== "Escape") this.changed();
  }

  /** @param {number} index */
  #number(index) {
    const { view, units } = this;
    if (!view || !units) return;
    if (units.oneByOne && view.channels[index]) this.toChannel(index);
    else if (view.channels.length > 1 && view.channels[index]) view.channels[index].active = !view.channels[index].active;
    else if (units.presets[index]) units.choose(view.channels[0], units.presets[index].window);
  }

  /** @param {number} factor */
  zoom(factor) {
    if (this.stage instanceof Stage) this.stage.zoomAt(factor, this.canvas.clientWidth / 2, this.canvas.clientHeight / 2);
    else if (this.view) this.view.look.zoom = Math.min(8, Math.max(1, this.view.look.zoom * factor));
    this.changed();
  }

  fit() {
    if (this.stage instanceof Stage) this.stage.fit();
    else if (this.view) this.view.look.zoom = 1;
    this.changed();
  }

  toggleSegments() {
    const { view, image } = this;
    if (!view || !image) return;
    const all = image.labels.flatMap((label) => segments(label).map(({ id }) => id));
    view.hidden = view.hidden.size ? new Set() : new Set(all);
    this.stage?.recolor();
    this.changed();
  }
}
