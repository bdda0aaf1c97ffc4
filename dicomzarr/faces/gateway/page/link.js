/** What an address says of a view. Read and written by the same names, so that a link keeps all of it. No DOM. */

import { firstLook } from "./planes.js";
import { windowOf } from "./values.js";

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {import("./values.js").Values} Values */
/** @typedef {import("./stage.js").View} View */

/** The URL of a series for dicomzarr; what is no folder of this machine stands behind `::`. @param {string} base @param {string} study @param {string} series */
export function seriesUrl(base, study, series) {
  const chained = "dicomfile://::", resource = `studies/${study}/series/${series}`;
  return base.startsWith(chained) ? `dicomfile://${resource}::${base.slice(chained.length)}` : `${base}/${resource}`;
}

/** What a link says even where it is usual: another screen, or a series that has grown, would have it otherwise. */
const ALWAYS = new Set(["x", "y", "zoom", "z", "t", "c", "w", "mode"]);

/** @param {string|null|undefined} text */
const isNumber = (text) => Boolean(text?.trim()) && Number.isFinite(Number(text));

/** @param {number} value @param {number} least @param {number} most */
const within = (value, least, most) => Math.min(Math.max(value, least), most);

/**
 * The view that an address asks for; what it does not say is as usual.
 * @param {Image} image @param {Values} units @param {URLSearchParams} asked @returns {View}
 */
export function viewOf(image, units, asked) {
  const number = (/** @type {string} */ name, /** @type {number} */ usual) => (isNumber(asked.get(name)) ? Number(asked.get(name)) : usual);
  const switched = (/** @type {string} */ name, /** @type {boolean} */ usual) => (asked.has(name) ? asked.get(name) === "1" : usual);
  const listed = (/** @type {string} */ name, /** @type {string} */ separator) => (asked.get(name) ?? "").split(separator);
  const index = (/** @type {string} */ name, /** @type {number} */ usual) => within(Math.round(number(name, usual)), 0, image.finest.length(name) - 1);
  const [windows, colors, at, angles] = [listed("w", ";").map((text) => text.split(",")), listed("colors", ","), listed("at", ","), listed("angles", ",")];
  const count = image.isRgb ? 1 : image.finest.length("c");
  const first = firstLook(image);
  return {
    x: number("x", 0), y: number("y", 0), zoom: within(number("zoom", 1), 1e-4, 64), turn: ((number("turn", 0) % 4) + 4) % 4, flip: switched("flip", false),
    z: index("z", Math.floor(image.finest.length("z") / 2)), t: index("t", 0), c: image.isRgb ? 0 : index("c", 0),
    channels: Array.from({ length: count }, (_, channel) => {
      const known = windowOf(windows[channel] ?? []) ?? units.first(channel);
      const usual = count === 1 || image.isRgb ? "FFFFFF" : units.channels[channel]?.color ?? "FFFFFF";
      return {
        active: !windows[channel]?.includes("0", 2), color: /^[0-9a-f]{6}$/i.test(colors[channel]) ? colors[channel] : usual,
        low: known?.low ?? 0, high: known?.high ?? 1, function: known?.function ?? "LINEAR_EXACT", measure: !known && !image.isRgb, each: new Map(),
      };
    }),
    invert: switched("invert", image.facts.modality === "PT"),
    opacity: within(number("opacity", 0.45), 0, 1), outline: switched("outline", true),
    hidden: new Set(asked.get("hidden")?.split(",").filter(Boolean) ?? []),
    look: {
      at: [0, 1].map((axis) => (isNumber(at[axis]) ? within(Math.round(Number(at[axis])), 0, image.finest.length(axis ? "y" : "x") - 1) : first.at[axis])),
      zoom: within(number("closer", first.zoom), 1, 8),
      angles: isNumber(angles[0]) && isNumber(angles[1]) ? [Number(angles[0]), within(Number(angles[1]), -1.5, 1.5)] : first.angles,
      surface: switched("surface", first.surface), cut: isNumber(asked.get("cut")) ? Number(asked.get("cut")) : first.cut,
    },
  };
}

/**
 * What an address has to say so that `viewOf` gives a view again.
 * @param {View} view @param {Image} image @param {Values} units @param {boolean} planes it is seen in planes
 */
export function sayView(view, image, units, planes) {
  const said = texts(view, image, units, planes), usual = texts(viewOf(image, units, new URLSearchParams()), image, units, planes);
  return new URLSearchParams([...said].filter(([name, text]) => ALWAYS.has(name) || usual.get(name) !== text));
}

/** @param {View} view @param {Image} image @param {Values} units @param {boolean} planes @returns {Map<string, string>} */
function texts(view, image, units, planes) {
  const { channels, look } = view;
  const digits = (/** @type {number} */ value, /** @type {number} */ count) => String(Number(value.toPrecision(count)));
  const flag = (/** @type {boolean} */ on) => (on ? "1" : "0");
  const said = new Map(Object.entries({ x: digits(view.x, 9), y: digits(view.y, 9), zoom: digits(view.zoom, 6) }));
  for (const name of /** @type {const} */ (["z", "t"])) if (image.finest.length(name) > 1) said.set(name, String(view[name]));
  if (units.oneByOne) said.set("c", String(view.c));
  if (!image.isRgb) {
    const windows = channels.map((channel, index) => units.told(channel, index).concat(channel.active ? "" : ",0")).join(";");
    if (/\d/.test(windows)) said.set("w", windows);
    said.set("colors", channels.map(({ color }) => color.toLowerCase()).join(","));
  }
  const { turn, flip, invert, opacity, outline, hidden } = view;
  for (const [name, text] of Object.entries({ turn: String(turn), flip: flag(flip), invert: flag(invert), opacity: digits(opacity, 3), outline: flag(outline), hidden: [...hidden].join(",") })) said.set(name, text);
  if (!planes) return said;
  const { at, zoom, angles, surface, cut } = look;
  const seen = { mode: "planes", at: at.join(","), closer: digits(zoom, 6), angles: angles.map((angle) => digits(angle, 9)).join(","), surface: flag(surface), cut: cut === null ? "" : digits(cut, 7) };
  return new Map([...said, ...Object.entries(seen)]);
}
