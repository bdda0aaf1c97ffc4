/** The picture of one image: where the eye is, which frames that needs, and how they are drawn. */

import { Painter } from "./gl.js";

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {import("./zarr.js").Level} Level */
/** @typedef {import("./gl.js").Picture} Picture */
/** @typedef {import("./frames.js").Frames} Frames */
/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").Wanted} Wanted */
/** @typedef {import("./values.js").Values} Units */

/**
 * What is seen of an image. x and y count pixels of the finest level from its upper left corner, y stretched where pixels are not square.
 * @typedef {object} View
 * @property {number} x centre of the screen
 * @property {number} y
 * @property {number} zoom CSS pixels for one unit
 * @property {number} turn quarter turns, clockwise
 * @property {boolean} flip left and right are exchanged
 * @property {number} z
 * @property {number} t
 * @property {number} c the channel, where one is seen at a time
 * @property {ChannelView[]} channels
 * @property {boolean} invert
 * @property {number} opacity of segments
 * @property {boolean} outline segments are outlined
 * @property {Set<string>} hidden segments that are not seen, by `path#number`
 * @property {Look} look
 */

/**
 * How planes and 3D are seen.
 * @typedef {object} Look
 * @property {number[]} at column and row that the planes pass; the slice is the view's
 * @property {number} zoom 1 shows all of the volume
 * @property {number[]} angles radians around the patient, and above
 * @property {boolean} surface rather than the brightest value
 * @property {number|null} cut the least value of the surface, in modality units; null is the middle of the window
 */

/**
 * @typedef {object} ChannelView its window in units of modality values
 * @property {boolean} active
 * @property {string} color RRGGBB
 * @property {number} low
 * @property {number} high
 * @property {import("./values.js").VoiFunction} function
 * @property {boolean} measure it follows the pixels
 * @property {Map<string, import("./values.js").Window>} each what was measured on each frame
 */

/** Bytes of textures that are kept. */
const MOST_BYTES = 384 * 2 ** 20;
/** CSS pixels of a unit from which on single pixels are shown as squares. */
const SQUARES = 6;
/** Tiles of one channel that are seen at once, of an image whose smallest level has more. */
const MOST_TILES = 400;
/** Neighbouring slices that are fetched ahead, as one scrolls. */
const AHEAD = 12;

/** @typedef {{level: Level, number: number, key: string, at: Record<string, number>, column: number, row: number}} Tile */

/** Draws one image on a canvas, and says what it needs to. */
export class Stage {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Image} image
   * @param {Units} units
   * @param {View} view
   * @param {(wanted: Wanted[]) => void} want
   */
  constructor(canvas, image, units, view, want) {
    this.painter = new Painter(canvas);
    this.canvas = canvas;
    this.image = image;
    this.units = units;
    this.view = view;
    this.want = want;
    /** Frames that came, the one used last at the end. @type {Map<string, Picture|"absent"|Error>} */
    this.held = new Map();
    this.bytes = 0;
    this.direction = 1;
    /** Times, or slices where there is one time, go by by themselves. */ this.plays = false;
    this.aspect = image.aspect;
    /** @type {Map<Image, WebGLTexture>} */ this.tables = new Map();
    this.drawing = 0;
    this.missing = 0;
    /** Told after each drawing. @type {() => void} */ this.drawn = () => {};
  }

  /** Size of the image in units of the view. */
  get size() {
    return { width: this.image.finest.length("x"), height: this.image.finest.length("y") * this.aspect };
  }

  /** Let all of the image be seen. */
  fit() {
    const { width, height } = this.size;
    const turned = this.view.turn % 2;
    const [across, down] = turned ? [height, width] : [width, height];
    const { clientWidth, clientHeight } = this.canvas;
    Object.assign(this.view, { x: width / 2, y: height / 2, zoom: Math.max(this.widest, 0.96 * Math.min(clientWidth / across, clientHeight / down)) });
  }

  /** The zoom below which more tiles would be seen than can be fetched and held; 0 where all of the image can be. */
  get widest() {
    const level = this.image.levels[this.image.levels.length - 1];
    const count = Math.ceil(level.length("x") / level.chunk("x")) * Math.ceil(level.length("y") / level.chunk("y"));
    const { stepX, stepY } = this.#grid(level);
    const { clientWidth, clientHeight } = this.canvas;
    return count > MOST_TILES ? Math.sqrt((clientWidth * clientHeight) / (MOST_TILES * level.chunk("x") * stepX * level.chunk("y") * stepY)) : 0;
  }

  /** Let the image be drawn soon. */
  redraw() {
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.#draw());
  }

  /** @param {string} key @param {Frame|Error} frame */
  take(key, frame) {
    if (frame instanceof Error) this.held.set(key, frame);
    else if (frame.absent) this.held.set(key, "absent");
    else {
      const picture = this.painter.upload(frame, this.units.channels[0]?.window?.max);
      this.bytes += picture.bytes;
      this.held.set(key, picture);
    }
    this.redraw();
  }

  /** Try again what failed. */
  retry() {
    for (const [key, held] of this.held) if (held instanceof Error) this.held.delete(key);
    this.redraw();
  }

  /** @returns {Error[]} what failed of what is held */
  get failures() {
    return [...this.held.values()].filter((held) => held instanceof Error);
  }

  /** From the view's units to CSS pixels of the canvas. @param {number} x @param {number} y @returns {[number, number]} */
  toScreen(x, y) {
    const { view, canvas } = this;
    let [dx, dy] = [(x - view.x) * view.zoom, (y - view.y) * view.zoom];
    if (view.flip) dx = -dx;
    for (let turn = 0; turn < view.turn; turn += 1) [dx, dy] = [-dy, dx];
    return [canvas.clientWidth / 2 + dx, canvas.clientHeight / 2 + dy];
  }

  /** The reverse. @param {number} left @param {number} top @returns {[number, number]} */
  toWorld(left, top) {
    const { view, canvas } = this;
    let [dx, dy] = [left - canvas.clientWidth / 2, top - canvas.clientHeight / 2];
    for (let turn = 0; turn < view.turn; turn += 1) [dx, dy] = [dy, -dx];
    if (view.flip) dx = -dx;
    return [view.x + dx / view.zoom, view.y + dy / view.zoom];
  }

  /** Zoom so that what is under a point of the canvas stays there. @param {number} factor @param {number} left @param {number} top */
  zoomAt(factor, left, top) {
    const [x, y] = this.toWorld(left, top);
    const { width, height } = this.size;
    const least = 0.3 * Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
    this.view.zoom = Math.min(Math.max(this.view.zoom * factor, this.widest, Math.min(least, 1)), 64);
    const [nowX, nowY] = this.toWorld(left, top);
    this.view.x += x - nowX;
    this.view.y += y - nowY;
    this.redraw();
  }

  /** Move the picture by CSS pixels. @param {number} left @param {number} top */
  pan(left, top) {
    const [x, y] = this.toWorld(this.canvas.clientWidth / 2 - left, this.canvas.clientHeight / 2 - top);
    const { width, height } = this.size;
    this.view.x = Math.min(Math.max(x, 0), width);
    this.view.y = Math.min(Math.max(y, 0), height);
    this.redraw();
  }

  /** Where pixels of a level begin and how large they are. @param {Level} level */
  #grid(level) {
    const { scale, translation } = level;
    const first = this.image.finest;
    return {
      stepX: scale.x / first.scale.x,
      stepY: (scale.y / first.scale.y) * this.aspect,
      left: (translation.x - first.translation.x - scale.x / 2) / first.scale.x + 0.5,
      top: ((translation.y - first.translation.y - scale.y / 2) / first.scale.y + 0.5) * this.aspect,
    };
  }

  /** The level that has a pixel for each of the screen's, or the next finer one. @param {Image} image */
  #sharp(image) {
    const each = 1 / (this.view.zoom * devicePixelRatio);
    let best = 0;
    image.levels.forEach((/** @type {Level} */ level, /** @type {number} */ number) => {
      if (this.#grid(level).stepX <= 1.05 * each) best = number;
    });
    return best;
  }

  /** Tiles of a level that are seen, those in the middle first. @param {Image} image @param {number} number @param {number} channel @returns {Tile[]} */
  #tiles(image, number, channel, z = this.view.z, t = this.view.t) {
    const level = image.levels[number];
    const { stepX, stepY, left, top } = this.#grid(level);
    const corners = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([x, y]) => this.toWorld(x * this.canvas.clientWidth, y * this.canvas.clientHeight));
    const span = (/** @type {number} */ axis, /** @type {number} */ start, /** @type {number} */ step, /** @type {number} */ chunk, /** @type {number} */ length) => {
      const ends = corners.map((corner) => (corner[axis] - start) / step / chunk);
      return [Math.max(0, Math.floor(Math.min(...ends))), Math.min(Math.ceil(length / chunk) - 1, Math.floor(Math.max(...ends)))];
    };
    const [firstColumn, lastColumn] = span(0, left, stepX, level.chunk("x"), level.length("x"));
    const [firstRow, lastRow] = span(1, top, stepY, level.chunk("y"), level.length("y"));
    const tiles = [];
    for (let row = firstRow; row <= lastRow; row += 1) {
      for (let column = firstColumn; column <= lastColumn; column += 1) {
        const at = { t, c: channel, z, y: row, x: column };
        tiles.push({ level, number, key: level.key(clipped(at, level)), at, column, row });
      }
    }
    const middle = (/** @type {Tile} */ tile) => Math.hypot(
      left + (tile.column + 0.5) * level.chunk("x") * stepX - this.view.x, top + (tile.row + 0.5) * level.chunk("y") * stepY - this.view.y);
    return tiles.sort((one, other) => middle(one) - middle(other));
  }

  /** Whether a slice of a stack is seen that the archive does not have. */
  get isAbsent() {
    const { image } = this;
    if (image.finest.length("z") < 2 && image.finest.length("t") < 2) return false;
    const tiles = this.channels.flatMap((channel) => this.#tiles(image, this.#sharp(image), channel));
    return tiles.length > 0 && tiles.every(({ key }) => this.held.get(key) === "absent");
  }

  /** @returns {number[]} channels that are seen */
  get channels() {
    if (this.image.isRgb) return [0];
    if (this.units.oneByOne) return [this.view.c];
    return this.view.channels.flatMap((channel, index) => (channel.active ? [index] : []));
  }

  /** @returns {Image[]} segments that are seen */
  get #labels() {
    return this.image.labels.filter((label) => segments(label).some(({ id }) => !this.view.hidden.has(id)));
  }

  #draw() {
    this.drawing = 0;
    const { canvas, painter: { gl } } = this;
    const [width, height] = [Math.round(canvas.clientWidth * devicePixelRatio), Math.round(canvas.clientHeight * devicePixelRatio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.view.zoom = Math.max(this.view.zoom, this.widest);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    /** @type {Set<string>} */ const used = new Set();
    const channels = this.channels;
    gl.disable(gl.BLEND);
    channels.forEach((channel, place) => {
      gl.clear(gl.DEPTH_BUFFER_BIT);
      if (place === 1) {
        gl.enable(gl.BLEND);
        gl.blendFunc(gl.ONE, gl.ONE);
      }
      this.#layer(this.image, channel, used, (tile, picture) => this.#frame(tile, picture, channel));
    });
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    for (const label of this.#labels) {
      gl.clear(gl.DEPTH_BUFFER_BIT);
      this.#layer(label, 0, used, (tile, picture) => this.#segment(label, tile, picture));
    }
    this.#ask();
    this.#evict(used);
    this.drawn();
  }

  /** Draw what has come of one channel: fine tiles first, coarse ones where there are none. @param {Image} image @param {number} channel @param {Set<string>} used @param {(tile: Tile, picture: Picture) => void} draw */
  #layer(image, channel, used, draw) {
    const sharp = this.#sharp(image);
    const last = image.levels.length - 1;
    for (let number = sharp; number <= last; number += 1) {
      for (const tile of this.#tiles(image, number, channel)) {
        const held = this.held.get(tile.key);
        used.add(tile.key);
        if (held && typeof held === "object" && !(held instanceof Error)) draw(tile, held);
        else if (!image.label && held === "absent") this.#plain(tile, this.#fill(image), 0);
        else if (!image.label && held && number === sharp) this.#plain(tile, [0.35, 0.02, 0.02], 0.25);
        else if (!image.label && !held && number === last) this.#plain(tile, [0.05, 0.05, 0.06], 0.05);
      }
    }
  }

  /** @param {Image} image @returns {number[]} */
  #fill(image) {
    const bright = image.isRgb && image.finest.fill > 0;
    return bright ? [1, 1, 1] : [0, 0, 0];
  }

  /** @param {Tile} tile @returns {{place: Float32Array, shown: number[], depth: number}} */
  #place(tile) {
    const { level, column, row, number } = tile;
    const { stepX, stepY, left, top } = this.#grid(level);
    const columns = Math.min(level.chunk("x"), level.length("x") - column * level.chunk("x"));
    const rows = Math.min(level.chunk("y"), level.length("y") - row * level.chunk("y"));
    const x = left + column * level.chunk("x") * stepX, y = top + row * level.chunk("y") * stepY;
    const clip = (/** @type {[number, number]} */ [across, down]) => [(2 * across) / this.canvas.clientWidth - 1, 1 - (2 * down) / this.canvas.clientHeight];
    const [origin, right, below] = [this.toScreen(x, y), this.toScreen(x + columns * stepX, y), this.toScreen(x, y + rows * stepY)].map(clip);
    return {
      place: new Float32Array([right[0] - origin[0], right[1] - origin[1], 0, below[0] - origin[0], below[1] - origin[1], 0, origin[0], origin[1], 1]),
      shown: [columns, rows],
      depth: (number + 1) / (this.image.levels.length + 2),
    };
  }

  /** @param {Tile} tile @param {number[]} tint @param {number} hatch */
  #plain(tile, tint, hatch) {
    this.painter.program("plain").set({ ...this.#place(tile), tint, hatch });
    this.painter.quad();
  }

  /** @param {Tile} tile @param {Picture} picture @param {number} channel */
  #frame(tile, picture, channel) {
    const { painter, view } = this;
    const size = [picture.width, picture.height];
    if (picture.kind === "bitmap" && this.image.isRgb) {
      const program = painter.program("bitmap");
      program.set({ ...this.#place(tile), size });
      program.texture("picture", 0, picture.texture);
    } else {
      const program = painter.program(`windowed ${picture.kind}`);
      const window = this.units.shownIn(view.channels[channel], tile.at);
      const inverted = view.invert !== this.units.inverted(channel);
      const unit = picture.kind === "bitmap" ? 255 : 1;
      program.set({ ...this.#place(tile), size, ramp: this.units.ramp(window, tile.at), sigmoid: window.function === "SIGMOID", inverted, unit, nearest: view.zoom >= SQUARES, tint: this.units.oneByOne ? [1, 1, 1] : rgb(view.channels[channel].color) });
      program.texture("picture", 0, picture.texture);
    }
    painter.quad();
  }

  /** The window that a channel is seen in now. @param {number} channel */
  window(channel) {
    return this.units.shownIn(this.view.channels[channel], { t: this.view.t, c: channel, z: this.view.z });
  }

  /** @param {Image} label @param {Tile} tile @param {Picture} picture */
  #segment(label, tile, picture) {
    if (picture.kind === "bitmap" || picture.kind === "float") return;
    const table = this.#table(label);
    const program = this.painter.program(`labelled ${picture.kind}`);
    const outline = this.view.outline ? Math.max(1, 1.5 / (this.view.zoom * this.#grid(tile.level).stepX)) : 0;
    program.set({ ...this.#place(tile), size: [picture.width, picture.height], opacity: this.view.opacity, outline });
    program.texture("picture", 0, picture.texture);
    program.texture("table", 1, table);
    this.painter.quad();
  }

  /** Forget the colours of segments, which are other ones now. */
  recolor() {
    for (const [label, texture] of this.tables) this.painter.table(colorsOf(label, this.view), texture);
    this.redraw();
  }

  /** @param {Image} label */
  #table(label) {
    let table = this.tables.get(label);
    if (!table) this.tables.set(label, (table = this.painter.table(colorsOf(label, this.view))));
    return table;
  }

  /** Say what is needed: a coarse picture, then a sharp one, then segments, then what may be looked at next. */
  #ask() {
    /** @type {Wanted[]} */ const now = [];
    const add = (/** @type {Image} */ image, /** @type {Tile[]} */ tiles) => tiles.forEach(({ key, level }) => {
      if (!this.held.has(key)) now.push({ key, level, label: Boolean(image.label) });
    });
    const last = this.image.levels.length - 1;
    const sharp = this.#sharp(this.image);
    for (const channel of this.channels) if (last > sharp) add(this.image, this.#tiles(this.image, last, channel));
    for (const channel of this.channels) add(this.image, this.#tiles(this.image, sharp, channel));
    for (const label of this.#labels) add(label, this.#tiles(label, this.#sharp(label), 0));
    this.missing = now.length;
    for (const [z, t] of this.#near) for (const channel of this.channels) add(this.image, this.#tiles(this.image, sharp, channel, z, t));
    this.want(now);
  }

  /** @returns {[number, number][]} slices and times that may be seen next, the likeliest first */
  get #near() {
    const { view: { z, t }, direction, plays } = this;
    const [slices, times] = [this.image.finest.length("z"), this.image.finest.length("t")];
    /** @type {[number, number][]} */ const near = [];
    for (let step = 1; step <= AHEAD; step += 1) {
      if (plays) {
        near.push(times > 1 ? [z, (t + step) % times] : [(z + step) % slices, t]);
        continue;
      }
      const around = [z + step * direction, ...(step <= 3 ? [z - step * direction] : [])].filter((each) => each >= 0 && each < slices);
      near.push(...around.map((each) => /** @type {[number, number]} */ ([each, t])));
      if (times > 1 && step <= 3) near.push([z, (t + step) % times]);
    }
    return near;
  }

  /** Whether a slice at a time could be drawn now. @param {number} z @param {number} t */
  holds(z, t) {
    const sharp = this.#sharp(this.image);
    return this.channels.every((channel) => this.#tiles(this.image, sharp, channel, z, t).every(({ key }) => this.held.has(key)));
  }

  /** @param {Set<string>} used */
  #evict(used) {
    for (const [key, held] of this.held) {
      if (this.bytes <= MOST_BYTES) return;
      if (used.has(key) || typeof held === "string" || held instanceof Error) continue;
      this.painter.gl.deleteTexture(held.texture);
      this.bytes -= held.bytes;
      this.held.delete(key);
    }
  }

  /**
   * What lies under a point of the canvas.
   * @param {number} left @param {number} top
   * @returns {{column: number, row: number, values: (number|null)[]} | null} pixel of the finest level; null beside the image
   */
  probe(left, top) {
    const [x, y] = this.toWorld(left, top);
    const column = Math.floor(x), row = Math.floor(y / this.aspect);
    const { finest } = this.image;
    if (column < 0 || row < 0 || column >= finest.length("x") || row >= finest.length("y")) return null;
    return { column, row, values: this.channels.flatMap((channel) => this.#values(column, row, channel)) };
  }

  /** @param {number} column @param {number} row @param {number} channel @returns {(number|null)[]} */
  #values(column, row, channel) {
    const { finest } = this.image;
    const at = { t: this.view.t, c: channel, z: this.view.z, y: Math.floor(row / finest.chunk("y")), x: Math.floor(column / finest.chunk("x")) };
    const held = this.held.get(finest.key(at));
    if (!held || typeof held === "string" || held instanceof Error) return [null];
    const [dx, dy] = [column % finest.chunk("x"), row % finest.chunk("y")];
    const pixel = dy * held.width + dx, { values } = held;
    if (this.image.isRgb && values) return [0, 1, 2].map((part) => values[part * held.width * held.height + pixel]);
    if (held.kind === "bitmap") {
      const color = this.painter.pixel(held, dx, dy);
      return this.image.isRgb ? color : [this.units.modality(color[0], at)];
    }
    return [this.units.modality(/** @type {any} */ (values)[pixel], at)];
  }

  /** Let go of the memory of the graphics card. */
  close() {
    cancelAnimationFrame(this.drawing);
    for (const held of this.held.values()) if (typeof held === "object" && !(held instanceof Error)) this.painter.gl.deleteTexture(held.texture);
    this.held.clear();
    this.painter.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** Indices within the axes of a level: labels may lack some. @param {Record<string, number>} at @param {Level} level */
function clipped(at, level) {
  return Object.fromEntries(Object.entries(at).map(([name, index]) => [name, Math.min(index, Math.max(0, Math.ceil(level.length(name) / level.chunk(name)) - 1))]));
}

/** @param {string} color RRGGBB @returns {number[]} parts of 1 */
export const rgb = (color) => [0, 2, 4].map((start) => parseInt(color.slice(start, start + 2), 16) / 255);

const TONES = ["e6194b", "3cb44b", "4363d8", "f58231", "911eb4", "42d4f4", "f032e6", "bfef45", "fabed4", "469990"];

/**
 * The segments of a label image, without those that its document gives no opacity: its background.
 * @param {Image} label
 * @returns {{id: string, number: number, name: string, color: string}[]}
 */
export function segments(label) {
  const colors = new Map((label.label.colors ?? []).map((/** @type {any} */ each) => [each["label-value"], each.rgba]));
  const isSegment = (/** @type {any} */ each) => each["label-value"] !== 0 && colors.get(each["label-value"])?.[3] !== 0;
  return (label.label.properties ?? []).filter(isSegment).map((/** @type {any} */ each) => {
    const number = each["label-value"];
    const rgba = colors.get(number);
    const color = rgba ? rgba.slice(0, 3).map((/** @type {number} */ part) => part.toString(16).padStart(2, "0")).join("") : TONES[number % TONES.length];
    return { id: `${label.path}#${number}`, number, name: each.name || `Segment ${number}`, color };
  });
}

/** The colour of each value of a label image, RGBA of 0 to 255. @param {Image} label @param {View} view */
export const colorsOf = (label, view) =>
  new Map(segments(label).map(({ id, number, color }) => [number, [...rgb(color).map((part) => Math.round(255 * part)), view.hidden.has(id) ? 0 : 255]]));
