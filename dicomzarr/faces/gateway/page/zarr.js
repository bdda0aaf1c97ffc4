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

  /** Unit of the plane, as OME-Zarr names it. */
  get unit() {
    return this.axes.find((axis) => axis.name === "x")?.unit;
  }
}

/**
 * Open a series: one request, for the root has all documents in it.
 * @param {string} base URL of the series, ending in `.zarr`
 * @returns {Promise<{images: Image[], associated: Image[]}>}
 */
export async function openSeries(base) {
  const root = await getJson(`${base}/zarr.json`);
  const nodes = new Map(Object.entries(root.consolidated_metadata?.metadata ?? {}));
  nodes.set("", root);
  const groups = [...nodes].filter(([, node]) => node.attributes?.ome?.multiscales).map(([path]) => path);
  const own = groups.filter((path) => !/(^|\/)(labels|associated)(\/|$)/.test(path));
  const associated = groups.filter((path) => /^associated\/[^/]+$/.test(path));
  return {
    images: own.sort(new Intl.Collator("en", { numeric: true }).compare).map((path) => new Image(path, nodes)),
    associated: associated.map((path) => new Image(path, nodes)),
  };
}
