/** From stored values to those that people read (modality values), and the windows that they are seen in. No DOM. */

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {"LINEAR"|"LINEAR_EXACT"|"SIGMOID"} VoiFunction VOILUTFunction (PS3.3 section C.11.2.1.3) */
/**
 * Which modality values are black and white; of a sigmoid, where the tangent at its centre reaches black and white.
 * @typedef {{low: number, high: number, function: VoiFunction}} Window
 */
/** @typedef {{name: string, window: Window}} Preset */
/**
 * The window of a channel, and how it came about.
 * @typedef {Window & {measure: boolean, each: Map<string, Window>}} Seen `measure`: it follows the pixels; `each`: what was measured on each frame
 */

/** @type {[string, number, number][]} name, center and width */
const CT = [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 480, 2500], ["Brain", 40, 80]];

/** Shades for each value of a window that has no width: a threshold. */
const STEEPEST = 1e30;

/** Rescaling and windows of one image. */
export class Values {
  /** @param {Image} image */
  constructor(image) {
    const { facts, axes, omero } = image;
    this.channels = omero.channels ?? [];
    this.rescale = facts.rescale ?? { slope: 1, intercept: 0 };
    this.axes = axes.map((axis) => axis.name).filter((name) => ["t", "c", "z"].includes(name));
    /** Stored values are shown though a table leads to others. */ this.isStored = Boolean(facts.modality_lut && !facts.rescale);
    /** The table could not be read: what is shown should have been what it leads to. */ this.isWithoutTable = this.isStored && !facts.windows_of_stored;
    /** @type {string} */ this.unit = image.isRgb ? "" : this.isStored ? "stored" : unitText(facts.units);
    this.dtype = image.finest.dtype;
    this.lengths = { t: image.finest.length("t"), z: image.finest.length("z") };
    /** @type {Map<number, boolean>} */ this.differing = new Map();
    /** PhotometricInterpretation; of a slide each channel has its own. @type {string|undefined} */
    this.photometric = facts.affine_reference === "patient" ? facts.levels?.[0]?.photometric_interpretation : undefined;
    /** @type {{center: number, width: number, name?: string, function?: VoiFunction}[]} */ this.windows = this.isWithoutTable ? [] : (facts.windows ?? []);
    this.isIndexed = !image.isRgb && facts.levels?.[0]?.photometric_interpretation === "PALETTE COLOR";
    const colors = new Set(this.channels.map((/** @type {any} */ channel) => channel.color));
    /** Channels of one colour (echoes, directions) are seen one at a time: their sum would mean nothing. */
    this.oneByOne = this.channels.length > 1 && colors.size === 1;
  }

  /** A factor for a frame: a number, or lists along t, c and z. @param {any} factor @param {Record<string, number>} at @returns {number} */
  #of(factor, at) {
    for (const axis of this.axes) if (Array.isArray(factor)) factor = factor[factor.length === 1 ? 0 : at[axis] ?? 0];
    return typeof factor === "number" ? factor : 1;
  }

  /** @param {number} value as stored @param {Record<string, number>} at indices of the frame */
  modality(value, at) {
    return value * this.#of(this.rescale.slope, at) + this.#of(this.rescale.intercept, at);
  }

  /** @param {number} value in modality units @param {Record<string, number>} at */
  stored(value, at) {
    return (value - this.#of(this.rescale.intercept, at)) / (this.#of(this.rescale.slope, at) || 1);
  }

  /**
   * A window among the stored values of a frame: which one is black, and by how much each above it is brighter.
   * @param {Window} window @param {Record<string, number>} at @returns {[number, number]}
   */
  ramp(window, at) {
    const slope = this.#of(this.rescale.slope, at) || 1;
    return [this.stored(window.low, at), Math.sign(slope) * Math.min(Math.abs(slope) * steepness(window), STEEPEST)];
  }

  /** Whether values are Hounsfield units, in which windows of organs and bone are known. */
  get isHounsfield() {
    return this.unit === "HU";
  }

  /** What is not as it should be about the grey; empty where all is. @returns {string} */
  get caution() {
    if (this.isWithoutTable) return "Stored values are shown: the Modality LUT of the series cannot be read, so windows of its header do not apply.";
    return this.isIndexed ? "The palette of the series cannot be read: the grey is that of its indices, and means nothing." : "";
  }

  /** Whether small modality values are bright; what `omero` says is of stored ones. @param {number} channel */
  inverted(channel) {
    return this.photometric ? this.photometric === "MONOCHROME1" : Boolean(this.channels[channel]?.inverted);
  }

  /** The first window of the header, of the frame in the middle: channels may have others, of which only `omero` tells. @returns {Window | null} */
  get #header() {
    const [first] = this.windows;
    return first ? windowAround(first.center, first.width, first.function) : null;
  }

  /** @returns {Preset[]} windows of the header first, if they are of all channels, then those that are usual */
  get presets() {
    const header = this.#header;
    const isOfAll = Array.from(this.channels, (_, channel) => this.first(channel)).every((first) => !header || !first || isAbout(header, first));
    const own = (isOfAll ? this.windows : []).map(({ center, width, name, function: shape }, index) => ({ name: spoken(name) || (index ? `Window ${index + 1}` : "Header"), window: windowAround(center, width, shape) }));
    const usual = this.isHounsfield ? CT.map(([name, center, width]) => ({ name, window: windowAround(center, width) })) : [];
    const said = new Set(own.map(({ name }) => name));
    return [...own, ...usual.filter(({ name }) => !said.has(name))];
  }

  /**
   * The window that a channel is first seen in; null where only the pixels can tell.
   * @param {number} channel @returns {Window | null}
   */
  first(channel) {
    const header = this.#header;
    if (header && this.channels.length <= 1) return header;
    const said = this.channels[channel]?.window;
    const isWhole = !said || (said.start === said.min && said.end === said.max);
    if (!said || this.differs(channel) || (isWhole && this.dtype !== "uint8")) return null;
    const [low, high] = [this.modality(said.start, {}), this.modality(said.end, {})].sort((one, other) => one - other);
    return header && isAbout(header, { low, high }) ? header : { low, high, function: "LINEAR_EXACT" };
  }

  /**
   * Where 2 and 99.8 % of the numbers lie; null where there are none.
   * @param {ArrayLike<number>} values as stored @param {Record<string, number>} at @returns {Window | null}
   */
  measured(values, at) {
    /** @type {number[]} */ const some = [];
    const step = Math.max(1, Math.floor(values.length / 20000));
    for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(this.modality(values[i], at));
    if (!some.length) return null;
    some.sort((one, other) => one - other);
    const part = (/** @type {number} */ share) => some[Math.min(some.length - 1, Math.floor(share * some.length))];
    const low = part(0.02), most = part(0.998), high = most > low ? most : low + (Math.abs(low) || 1);
    const each = 10 ** Math.floor(Math.log10((high - low) / 500));
    return { low: tidy(Math.floor(low / each) * each), high: tidy(Math.ceil(high / each) * each), function: "LINEAR_EXACT" };
  }

  /** Whether frames of a channel are rescaled differently. @param {number} c */
  differs(c) {
    if (![this.rescale.slope, this.rescale.intercept].some(Array.isArray)) return false;
    let differs = this.differing.get(c);
    if (differs === undefined) {
      const factors = new Set();
      for (let t = 0; t < this.lengths.t; t += 1) for (let z = 0; z < this.lengths.z; z += 1) factors.add(`${this.modality(0, { t, c, z })} ${this.modality(1, { t, c, z })}`);
      this.differing.set(c, (differs = factors.size > 1));
    }
    return differs;
  }

  /** Whether each frame is seen in a window of its own, as long as none is chosen: values without a unit are not to be compared. @param {number} c */
  isApart(c) {
    return this.differs(c) && !this.unit;
  }

  /**
   * Measure a frame that came; the window of its channel follows the first, or all where they are rescaled differently.
   * @param {Seen} seen @param {ArrayLike<number>} values @param {Record<string, number>} at
   * @returns {boolean} the window is another now
   */
  learn(seen, values, at) {
    const found = seen.measure || this.isApart(at.c ?? 0) ? this.measured(values, at) : null;
    if (!found) return false;
    seen.each.set(place(at), found);
    if (!seen.measure) return false;
    const all = [...seen.each.values()];
    Object.assign(seen, { ...found, low: Math.min(...all.map(({ low }) => low)), high: Math.max(...all.map(({ high }) => high)) });
    seen.measure = this.differs(at.c ?? 0);
    return true;
  }

  /** The window that a frame is seen in. @param {Seen} seen of its channel @param {Record<string, number>} at @returns {Window} */
  shownIn(seen, at) {
    return (seen.measure && this.isApart(at.c ?? 0) && seen.each.get(place(at))) || seen;
  }

  /** Let the window of a channel follow the pixels no more. @param {Seen} seen @param {Window} window */
  choose(seen, { low, high, function: shape }) {
    Object.assign(seen, { low, high, function: shape, measure: false });
  }

  /** What an address says of the window of a channel; nothing where the pixels say it. @param {Seen} seen @param {number} c */
  told(seen, c) {
    return seen.measure && (this.isApart(c) || !seen.each.size) ? "," : windowText(seen);
  }

  /** A window after a drag: right is wider, down is darker. @param {Window} window @param {number} right @param {number} down @returns {Window} */
  dragged({ low, high, function: shape }, right, down) {
    const center = (low + high) / 2;
    const least = /int/.test(this.dtype) ? Math.abs(this.#of(this.rescale.slope, {})) / 10 : Math.abs(center) * 1e-6 || 1e-12;
    const width = Math.max((high - low) * 1.01 ** right, least), moved = center + (down * width) / 300;
    return { low: moved - width / 2, high: moved + width / 2, function: shape };
  }

  /** What is under the pointer, as people read it; what has not come is null. @param {(number|null)[]} values */
  said(values) {
    const known = values.flatMap((value) => (value === null ? [] : [value]));
    if (!known.length) return "…";
    return known.every(Number.isNaN) ? "no value" : `${known.map(numberText).join(" ")} ${this.unit}`.trim();
  }
}

/** Whether a window has the ends of another, as far as they are computed. @param {Window} window @param {{low: number, high: number}} other */
const isAbout = (window, { low, high }) => Math.max(Math.abs(window.low - low), Math.abs(window.high - high)) <= 1e-6 * (window.high - window.low);

/** Names that headers write in capitals. @param {string|undefined} name */
const spoken = (name) => (name && name === name.toUpperCase() ? name[0] + name.slice(1).toLowerCase() : (name ?? ""));

/** How much brighter a value is than the one below it, of 1 in all. @param {{low: number, high: number}} window */
export const steepness = ({ low, high }) => (high > low ? Math.min(1 / (high - low), STEEPEST) : STEEPEST);

/**
 * A window as the header gives it (PS3.3 sections C.11.2.1.2 and C.11.2.1.3); narrower than 1 none is LINEAR.
 * @param {number} center @param {number} width @param {VoiFunction} [shape] @returns {Window}
 */
export function windowAround(center, width, shape = "LINEAR") {
  const linear = shape === "LINEAR" && width >= 1;
  const [middle, half] = linear ? [center - 0.5, (width - 1) / 2] : [center, width / 2];
  return { low: middle - half, high: middle + half, function: shape === "LINEAR" && !linear ? "LINEAR_EXACT" : shape };
}

/** @param {{low: number, high: number, function?: VoiFunction}} window @returns {{center: number, width: number}} as DICOM has it */
export function centered({ low, high, function: shape = "LINEAR" }) {
  const more = shape === "LINEAR" ? 1 : 0;
  return { center: (low + high + more) / 2, width: high - low + more };
}

/** @param {Record<string, number>} at indices of a frame */
const place = ({ t, z }) => `${t ?? 0} ${z ?? 0}`;

/** Milliseconds of a frame of which the header says nothing. */
const FRAME_TIME = 100;

/**
 * Milliseconds that a time is seen: those until the next, the last as long as the one before.
 * @param {{axis: string, values: (number|null)[]} | undefined} times milliseconds along t, as FrameTime has them (PS3.3 section C.7.6.5)
 * @param {number} t
 */
export function frameTime(times, t) {
  if (times?.axis !== "t") return FRAME_TIME;
  const { values } = times, next = Math.min(t + 1, values.length - 1);
  const step = (values[next] ?? NaN) - (values[next - 1] ?? NaN);
  return step > 0 ? Math.max(20, step) : FRAME_TIME;
}

/** A number without the noise of the arithmetic before it. @param {number} value */
export const tidy = (value) => Number(value.toPrecision(12));

/** A number with the digits that it has in 32 bits of floating point; whole ones with all. @param {number} value */
export function numberText(value) {
  if (Number.isInteger(value)) return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "no value" : value > 0 ? "∞" : "-∞";
  const digits = [1, 2, 3, 4, 5, 6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === Math.fround(value)) ?? 9;
  return String(Number(value.toPrecision(digits)));
}

/** A window as addresses have it. @param {Window} window */
export const windowText = ({ low, high, function: shape }) => [low, high].map((value) => String(tidy(value))).concat(shape === "LINEAR" ? [] : [shape]).join(",");

/** The window that the parts of such a text are; null where they are none. @param {string[]} parts @returns {Window | null} */
export function windowOf(parts) {
  const [low, high] = parts.slice(0, 2).map(parseFloat);
  const shape = /** @type {VoiFunction|undefined} */ (["LINEAR_EXACT", "SIGMOID"].find((name) => parts.includes(name)));
  return Number.isFinite(low) && low <= high && high < Infinity ? { low, high, function: shape ?? "LINEAR" } : null;
}

/** @param {string|undefined} units as the header has them; US is unspecified (PS3.3 section C.11.1.1.2) */
function unitText(units) {
  if (!units || units === "US") return "";
  return units === "BQML" ? "Bq/ml" : units;
}
