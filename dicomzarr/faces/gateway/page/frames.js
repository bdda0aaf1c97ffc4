/** Frames from the gateway: what is on screen first, a few at a time, each once. No WebGL here. */

import { get } from "./api.js";

/** @typedef {import("./zarr.js").Level} Level */

/**
 * @typedef {object} Frame
 * @property {number} width
 * @property {number} height
 * @property {ImageBitmap} [bitmap] RGB or grey of 8 bits, as the browser decoded the stored JPEG: bit for bit what the chunk holds
 * @property {Values} [values] one plane, or three planes of red, green and blue
 * @property {boolean} [absent] the archive has no such frame, and says so
 */

/** @typedef {Uint8Array|Int8Array|Uint16Array|Int16Array|Uint32Array|Int32Array|Float32Array} Values */

/**
 * @typedef {object} Wanted
 * @property {string} key of the chunk
 * @property {Level} level
 * @property {boolean} [label] a mask, whose values must not pass a picture's decoder
 */

/** Requests at once: what HTTP/1.1 lets a browser have to one host. */
const AT_ONCE = 6;
/** Milliseconds after which a request that nobody wants any more is given up. */
const LINGERS = 400;

/** What is asked for: the stored picture where the browser shows the very values of the chunk, else these. */
const PICTURES = "image/jpeg, application/octet-stream;q=0.9";
const VALUES = "application/octet-stream";

/** Fetches what `want` names, in its order, and tells of each frame that came or failed. */
export class Frames {
  /**
   * @param {{frames: string, query: string}} series
   * @param {(key: string, frame: Frame|Error) => void} told
   */
  constructor(series, told) {
    this.series = series;
    this.told = told;
    /** @type {Wanted[]} */ this.queue = [];
    /** @type {Map<string, {abort: AbortController, unwanted: number}>} */ this.flying = new Map();
    this.bytes = 0;
    this.closed = false;
  }

  /** @returns {number} frames that are still to come */
  get pending() {
    return this.queue.length + this.flying.size;
  }

  /** Replace what is wanted. @param {Wanted[]} wanted the most urgent first, none that has come */
  want(wanted) {
    const keys = new Set(wanted.map((each) => each.key));
    const now = performance.now();
    for (const [key, { abort, unwanted }] of this.flying) {
      const entry = /** @type {{abort: AbortController, unwanted: number}} */ (this.flying.get(key));
      if (keys.has(key)) entry.unwanted = 0;
      else if (!unwanted) entry.unwanted = now;
      else if (now - unwanted > LINGERS) abort.abort();
    }
    this.queue = wanted.filter((each) => !this.flying.has(each.key));
    this.#pump();
  }

  /** Let go of everything. */
  close() {
    this.closed = true;
    this.queue = [];
    for (const { abort } of this.flying.values()) abort.abort();
  }

  #pump() {
    while (!this.closed && this.flying.size < AT_ONCE && this.queue.length) {
      const next = /** @type {Wanted} */ (this.queue.shift());
      const abort = new AbortController();
      this.flying.set(next.key, { abort, unwanted: 0 });
      void this.#bring(next, abort.signal);
    }
  }

  /** @param {Wanted} wanted @param {AbortSignal} signal */
  async #bring({ key, level, label }, signal) {
    /** @type {Frame|Error|undefined} */
    let outcome;
    try {
      outcome = await this.#fetch(key, level, !label, signal);
    } catch (error) {
      if (!signal.aborted) outcome = error instanceof Error ? error : new Error(String(error));
    }
    this.flying.delete(key);
    if (outcome && !this.closed) this.told(key, outcome);
    this.#pump();
  }

  /** @param {string} key @param {Level} level @param {boolean} picture @param {AbortSignal} signal @returns {Promise<Frame>} */
  async #fetch(key, level, picture, signal) {
    const [width, height] = [level.chunk("x"), level.chunk("y")];
    const Accept = picture && level.dtype === "uint8" ? PICTURES : VALUES;
    const response = await get(`${this.series.frames}/${key}?${this.series.query}`, { signal, headers: { Accept } });
    if (response.status === 204) return { absent: true, width, height };
    const blob = await response.blob();
    this.bytes += blob.size;
    if (!response.headers.get("Content-Type")?.startsWith("image/")) return { values: typed(await blob.arrayBuffer(), level), width, height };
    if (Accept === VALUES) throw new Error("The gateway gave a picture where values were asked for.");
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    if (bitmap.width === width && bitmap.height === height) return { bitmap, width, height };
    throw new Error(`The frame has ${bitmap.width} x ${bitmap.height} pixels, not ${width} x ${height}.`);
  }
}

const TYPES = {
  bool: Uint8Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array,
};

/**
 * The elements of a chunk, which are little-endian as every machine is that runs a browser.
 * @param {ArrayBuffer} body @param {Level} level @returns {Values}
 */
export function typed(body, level) {
  const count = level.chunk("c") * level.chunk("z") * level.chunk("t") * level.chunk("y") * level.chunk("x");
  if (level.dtype === "float64") return Float32Array.from(checked(new Float64Array(body), count));
  const type = TYPES[/** @type {keyof typeof TYPES} */ (level.dtype)];
  if (!type) throw new Error(`The page does not show ${level.dtype}.`);
  return checked(new type(body), count);
}

/** @template {{length: number}} T @param {T} values @param {number} count @returns {T} */
function checked(values, count) {
  if (values.length !== count) throw new Error(`The frame has ${values.length} values, not ${count}.`);
  return values;
}
