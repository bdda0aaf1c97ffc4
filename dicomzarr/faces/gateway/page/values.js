/** From stored values to those that people read (modality values), and the windows that they are seen in. No DOM. */

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {{name: string, low: number, high: number}} Preset in modality values */

const CT = [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 480, 2500], ["Brain", 40, 80]];

/** Rescaling and windows of one image. */
export class Values {
  /** @param {Image} image */
  constructor(image) {
    const { facts, axes, omero } = image;
    this.channels = omero.channels ?? [];
    this.rescale = facts.rescale ?? { slope: 1, intercept: 0 };
    this.axes = axes.map((axis) => axis.name).filter((name) => ["t", "c", "z"].includes(name));
    /** @type {string} */ this.unit = unitText(facts.units, facts.modality);
    this.modalityName = facts.modality;
    this.dtype = image.finest.dtype;
    /** @type {{center: number, width: number, name?: string}[]} */ this.windows = facts.windows ?? [];
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

  /** @param {number} channel whether small values are bright, as in MONOCHROME1 */
  inverted(channel) {
    return Boolean(this.channels[channel]?.inverted);
  }

  /** @returns {Preset[]} windows of the header first, then those that are usual */
  get presets() {
    const own = this.windows.map(({ center, width, name }, index) => preset(spoken(name) || (index ? `Window ${index + 1}` : "Header"), center, width));
    const usual = this.modalityName === "CT" ? CT.map(([name, center, width]) => preset(String(name), Number(center), Number(width))) : [];
    const said = new Set(own.map(({ name }) => name));
    return [...own, ...usual.filter(({ name }) => !said.has(name))];
  }

  /**
   * The window that a channel is first seen in; null where only the pixels can tell.
   * @param {number} channel @returns {{low: number, high: number} | null}
   */
  first(channel) {
    const [header] = this.windows;
    if (header && this.channels.length <= 1) return preset("", header.center, header.width);
    const said = this.channels[channel]?.window;
    if (!said || (said.start === said.min && said.end === said.max && this.dtype !== "uint8")) return null;
    return { low: this.modality(said.start, {}), high: this.modality(said.end, {}) };
  }

  /** Where 2 and 99.8 % of the values lie. @param {ArrayLike<number>} values as stored @param {Record<string, number>} at */
  measured(values, at) {
    /** @type {number[]} */ const some = [];
    const step = Math.max(1, Math.floor(values.length / 20000));
    for (let i = 0; i < values.length; i += step) some.push(values[i]);
    some.sort((one, other) => one - other);
    const part = (/** @type {number} */ share) => some[Math.min(some.length - 1, Math.floor(share * some.length))];
    const ends = [this.modality(part(0.02), at), this.modality(part(0.998), at)];
    const low = Math.min(...ends), high = Math.max(...ends);
    return { low, high: high > low ? high : low + 1 };
  }
}

/** Names that headers write in capitals. @param {string|undefined} name */
const spoken = (name) => (name && name === name.toUpperCase() ? name[0] + name.slice(1).toLowerCase() : (name ?? ""));

/** A window of DICOM's linear function (PS3.3 section C.11.2.1.2.1). @param {string} name @param {number} center @param {number} width @returns {Preset} */
export function preset(name, center, width) {
  const half = Math.max(width - 1, 1e-6) / 2;
  return { name, low: center - 0.5 - half, high: center - 0.5 + half };
}

/** @param {{low: number, high: number}} window @returns {{center: number, width: number}} as DICOM has it */
export const centered = ({ low, high }) => ({ center: (low + high) / 2 + 0.5, width: high - low + 1 });

/** @param {string|undefined} units @param {string|undefined} modality */
function unitText(units, modality) {
  if (!units || units === "US" || units === "UNSPECIFIED") return modality === "CT" ? "HU" : "";
  return units === "BQML" ? "Bq/ml" : units;
}
