/** OME-Zarr 0.5 as the gateway serves it: images, levels, chunk keys. No DOM. */

import { getJson } from "./api.js";

/**
 * @typedef {object} Axis
 * @property {"t"|"c"|"z"|"y"|"x"} name
 * @property {string} [unit]
 */

/** A resolution of an image. One chunk is one frame. */
export class Level {
  /**
   * @param {string} path of its array, below the series
   * @param {any} array its zarr.json
   * @param {any} dataset of `multiscales`
   * @param {Axis[]} axes
   */
  constructor(path, array, dataset, axes) {
    this.path = path;
    this.axes = axes;
    /** @type {number[]} */ this.shape = array.shape;
    /** @type {number[]} */ this.chunks = array.chunk_grid.configuration.chunk_shape;
    /** @type {string} */ this.dtype = array.data_type;
    this.fill = Number(array.fill_value);
    const transforms = dataset.coordinateTransformations;
    const none = axes.map(() => 0);
    this.scale = spatial(axes, transforms.find((/** @type {any} */ each) => each.type === "scale").scale);
    this.translation = spatial(axes, transforms.find((/** @type {any} */ each) => each.type === "translation")?.translation ?? none);
  }

  /** @param {string} name @returns {number} how long an axis is; 1 where there is none */
  length(name) {
    const index = this.axes.findIndex((axis) => axis.name === name);
    return index < 0 ? 1 : this.shape[index];
  }

  /** @param {string} name @returns {number} how long a chunk is along it */
  chunk(name) {
    const index = this.axes.findIndex((axis) => axis.name === name);
    return index < 0 ? 1 : this.chunks[index];
  }

  /**
   * The key of the chunk that holds an element.
   * @param {Record<string, number>} at indices of chunks by axis; absent ones are 0
   */
  key(at) {
    return `${this.path}/c/${this.axes.map((axis) => at[axis.name] ?? 0).join("/")}`;
  }
}

/** @param {Axis[]} axes @param {number[]} values */
function spatial(axes, values) {
  const of = (/** @type {string} */ name) => {
    const index = axes.findIndex((axis) => axis.name === name);
    return index < 0 ? 1 : values[index];
  };
  return { x: of("x"), y: of("y"), z: of("z") };
}

/** One multiscale image: its levels, finest first, its channels and its labels. */
export class Image {
  /**
   * @param {string} path of its group, below the series; "" for the root
   * @param {Map<string, any>} nodes documents by path
   */
  constructor(path, nodes) {
    const attributes = nodes.get(path).attributes;
    const multiscale = attributes.ome.multiscales[0];
    const inside = path ? `${path}/` : "";
    this.path = path;
    /** @type {string} */ this.name = multiscale.name ?? path;
    /** @type {Axis[]} */ this.axes = multiscale.axes;
    this.levels = multiscale.datasets.map((/** @type {any} */ each) => new Level(inside + each.path, nodes.get(inside + each.path), each, this.axes));
    this.facts = attributes.dicomzarr ?? {};
    this.omero = attributes.ome.omero ?? { channels: [] };
    this.label = attributes.ome["image-label"];
    const names = nodes.get(`${inside}labels`)?.attributes?.ome?.labels ?? [];
    /** @type {Image[]} */
    this.labels = this.label ? [] : names.map((/** @type {string} */ name) => new Image(`${inside}labels/${name}`, nodes));
  }

  /** @returns {Level} the finest */
  get finest() {
    return this.levels[0];
  }

  /** Whether its channels are red, green and blue of one frame. */
  get isRgb() {
    return this.finest.chunk("c") === 3;
  }

  /** How pixels are as high and as wide: by their spacing, at the detector or on film where no other is known, else by PixelAspectRatio (PS3.3 section C.7.6.3.1.7). */
  get aspect() {
    const { x, y } = this.finest.scale;
    const { pixel_spacing, imager_pixel_spacing, nominal_scanned_pixel_spacing, image_plane_pixel_spacing, pixel_aspect_ratio } = this.facts;
    const told = this.unit ? [[y, x]] : [pixel_spacing, imager_pixel_spacing, nominal_scanned_pixel_spacing, image_plane_pixel_spacing, pixel_aspect_ratio];
    return told.map((pair) => pair?.[0] / pair?.[1]).find((ratio) => ratio > 1e-3 && ratio < 1e3) ?? 1;
  }

  /** Unit of the plane, as OME-Zarr names it. */
  get unit() {
    return this.axes.find((axis) => axis.name === "x")?.unit;
  }
}

/**
 * A series that is open: where its keys lie, and which state of it they are of.
 * @typedef {object} Opened
 * @property {Image[]} images
 * @property {Image[]} associated
 * @property {string} zarr path of its OME-Zarr 0.5
 * @property {string} frames path of what is drawn
 * @property {string} query which state, and which values of it, are drawn
 * @property {string[]} notices
 */

/**
 * Open a series: two requests, for the root has all documents in it.
 * @param {string} path of the API
 * @param {{signal?: AbortSignal, cache?: RequestCache}} [init] of the requests
 * @returns {Promise<Opened>}
 */
export async function openSeries(path, { signal, cache } = {}) {
  const { zarr, frames, drawn, notices } = await getJson(path, { signal, cache });
  const query = String(new URLSearchParams(drawn));
  const root = await getJson(`${zarr["0.5"]}/zarr.json?${query}`, { signal });
  const nodes = new Map(Object.entries(root.consolidated_metadata?.metadata ?? {}));
  nodes.set("", root);
  const groups = [...nodes].filter(([, node]) => node.attributes?.ome?.multiscales).map(([group]) => group);
  const own = groups.filter((group) => !/(^|\/)(labels|associated)(\/|$)/.test(group));
  const associated = groups.filter((group) => /^associated\/[^/]+$/.test(group));
  return {
    images: own.sort(new Intl.Collator("en", { numeric: true }).compare).map((group) => new Image(group, nodes)),
    associated: associated.map((group) => new Image(group, nodes)),
    zarr: zarr["0.5"], frames, query, notices,
  };
}
