/** A volume in three planes and in 3D: axial, coronal, sagittal as radiologists hang them, whichever way it was taken. */

import { layout, numbers, Painter, SHADE } from "./gl.js";
import { dot, inverse, letters, opposite, shear, toPatient, turned, upright } from "./geometry.js";
import { colorsOf, segments } from "./stage.js";
import { steepness } from "./values.js";

/** @typedef {import("./zarr.js").Image} Image */
/** @typedef {import("./zarr.js").Level} Level */
/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").Wanted} Wanted */
/** @typedef {import("./frames.js").Values} FrameValues */
/** @typedef {import("./values.js").Values} Units */
/** @typedef {import("./stage.js").View} View */

/** Bytes that volume and segments may take of the graphics card. */
const MOST_BYTES = 768 * 2 ** 20;
/** Milliseconds between drawings in 3D while slices come. */
const PATIENCE = 700;
/** Hounsfield units from which on bone is seen rather than skin. */
const BONE = 160;
/** Pixels of the picture in 3D, across and down. */
const SIZE_3D = 220;

/**
 * Which voxel axis runs along each patient axis, and with which sign.
 * @typedef {{axis: number, sign: number}} Along
 */

/**
 * A plane as it hangs on the wall: what runs to the right, what runs down, what one looks through. Patient axes: 0 left, 1 posterior, 2 head.
 * @type {{name: string, right: number, rightSign: number, down: number, downSign: number, through: number}[]}
 */
const PLANES = [
  { name: "Axial", right: 0, rightSign: 1, down: 1, downSign: 1, through: 2 },
  { name: "Coronal", right: 0, rightSign: 1, down: 2, downSign: -1, through: 1 },
  { name: "Sagittal", right: 1, rightSign: 1, down: 2, downSign: -1, through: 0 },
];

const VERTEX = `#version 300 es
precision highp float;
in vec2 corner; uniform vec4 pane; out vec2 at;
void main() { at = vec2(corner.x, 1.0 - corner.y); gl_Position = vec4(pane.xy + corner * pane.zw, 0.0, 1.0); }`;

/** @param {string} sampler */
const head = (sampler) => `#version 300 es
precision highp float; precision highp int; precision highp ${sampler};
in vec2 at; out vec4 color;
uniform ${sampler} volume; uniform vec3 extent; uniform sampler2D rows;
float voxel(ivec3 p) { return float(texelFetch(volume, clamp(p, ivec3(0), ivec3(extent) - 1), 0).r); }
vec3 slice(int z) { return texelFetch(rows, ivec2(clamp(z, 0, int(extent.z) - 1), 0), 0).rgb; }`;

/** Values in modality units, between voxels too. @param {string} sampler */
const plane = (sampler) => `${head(sampler)}
uniform vec3 origin; uniform vec3 right; uniform vec3 down;
${numbers(sampler)}
${SHADE}
float here;
float value(ivec3 p) { vec3 s = slice(p.z); return voxel(p) * s.x + s.y; }
float scaled(ivec3 p) { return beside(value(p), here); }
void main() {
  vec3 p = origin + at.x * right + at.y * down;
  if (any(lessThan(p, vec3(-0.5))) || any(greaterThan(p, extent - 0.5))) { color = vec4(0.0, 0.0, 0.0, 1.0); return; }
  if (slice(int(floor(p.z + 0.5))).z == 0.0) {
    color = vec4(vec3(0.06 + 0.06 * step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 14.0))), 1.0);
    return;
  }
  here = value(ivec3(floor(p + 0.5)));
  if (!known(here)) { color = vec4(missing(here) ? vec3(0.0) : vec3(shaded(here)), 1.0); return; }
  vec3 low = floor(p), part = p - low; ivec3 q = ivec3(low);
  if (slice(q.z).z == 0.0) { q.z += 1; part.z = 0.0; }
  if (slice(q.z + 1).z == 0.0) part.z = 0.0;
  float a = mix(mix(scaled(q), scaled(q + ivec3(1, 0, 0)), part.x), mix(scaled(q + ivec3(0, 1, 0)), scaled(q + ivec3(1, 1, 0)), part.x), part.y);
  float b = part.z == 0.0 ? a : mix(mix(scaled(q + ivec3(0, 0, 1)), scaled(q + ivec3(1, 0, 1)), part.x), mix(scaled(q + ivec3(0, 1, 1)), scaled(q + ivec3(1, 1, 1)), part.x), part.y);
  color = vec4(vec3(shaded(mix(a, b, part.z))), 1.0);
}`;

/** @param {string} sampler */
const mask = (sampler) => `${head(sampler)}
uniform vec3 origin; uniform vec3 right; uniform vec3 down; uniform float opacity; uniform sampler2D table; uniform vec2 pixel;
int value(vec2 at) {
  vec3 p = origin + at.x * right + at.y * down;
  if (any(lessThan(p, vec3(-0.5))) || any(greaterThan(p, extent - 0.5))) return 0;
  return int(voxel(ivec3(floor(p + 0.5))));
}
void main() {
  int here = value(at);
  vec4 tone = texelFetch(table, ivec2(here & 255, (here >> 8) & 255), 0);
  bool edge = pixel.x > 0.0 && (value(at + vec2(pixel.x, 0.0)) != here || value(at - vec2(pixel.x, 0.0)) != here
    || value(at + vec2(0.0, pixel.y)) != here || value(at - vec2(0.0, pixel.y)) != here);
  color = here == 0 ? vec4(0.0) : vec4(tone.rgb, tone.a * (edge ? min(1.0, opacity + 0.6) : opacity));
}`;

/** The brightest value on each ray, or the first surface: what is above the middle of the window. @param {string} sampler */
const rays = (sampler) => `${head(sampler)}
uniform mat3 turn; uniform vec3 spacing; uniform bool surface; uniform float cut; uniform float reach;
${numbers(sampler)}
${SHADE}
float value(vec3 p) { ivec3 q = ivec3(floor(p + 0.5)); vec3 s = slice(q.z); return s.z == 0.0 ? -1e30 : beside(voxel(q) * s.x + s.y, -1e30); }
bool inside(vec3 p) { return all(greaterThan(p, vec3(-0.5))) && all(lessThan(p, extent - 0.5)); }
void main() {
  vec3 middle = (extent - 1.0) / 2.0;
  vec3 start = turn * vec3((at - 0.5) * reach, -reach / 2.0), forth = turn * vec3(0.0, 0.0, 1.0);
  float step = reach / 180.0, most = -1e30;
  vec3 hit = vec3(0.0); bool found = false;
  for (int i = 0; i < 180; i += 1) {
    vec3 p = start + forth * (float(i) * step) + middle;
    if (!inside(p)) continue;
    float v = value(p);
    if (surface && v > cut) { hit = p; found = true; break; }
    most = max(most, v);
  }
  if (surface) {
    if (!found) { color = vec4(0.0, 0.0, 0.0, 1.0); return; }
    vec3 g = vec3(value(hit + vec3(2, 0, 0)) - value(hit - vec3(2, 0, 0)), value(hit + vec3(0, 2, 0)) - value(hit - vec3(0, 2, 0)),
      value(hit + vec3(0, 0, 1)) - value(hit - vec3(0, 0, 1))) / (spacing * vec3(4.0, 4.0, 2.0));
    float light = 0.25 + 0.75 * abs(dot(normalize(g + 1e-6), normalize(forth * spacing)));
    color = vec4(light * vec3(0.93, 0.88, 0.8), 1.0);
    return;
  }
  color = vec4(vec3(shaded(most)), 1.0);
}`;

const SAMPLERS = { float: "sampler3D", int: "isampler3D", uint: "usampler3D", bitmap: "sampler3D" };

/** One volume on the graphics card, with its slices' rescaling and which of them have come. */
class Volume {
  /** @param {Painter} painter @param {Image} image @param {Units} units @param {FrameValues} like @param {number} t @param {number} c */
  constructor(painter, image, units, like, t, c) {
    const { gl } = painter;
    this.painter = painter;
    this.units = units;
    this.t = t;
    this.c = c;
    const { finest } = image;
    this.extent = [finest.length("x"), finest.length("y"), finest.length("z")];
    const [internal, format, type, kind] = layout(gl, like);
    this.format = format;
    this.type = type;
    this.kind = kind;
    this.texture = /** @type {WebGLTexture} */ (gl.createTexture());
    gl.bindTexture(gl.TEXTURE_3D, this.texture);
    gl.texStorage3D(gl.TEXTURE_3D, 1, internal, this.extent[0], this.extent[1], this.extent[2]);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, name, gl.NEAREST);
    this.rows = new Float32Array(4 * this.extent[2]);
    this.rowsTexture = /** @type {WebGLTexture} */ (gl.createTexture());
    this.#write();
  }

  #write() {
    const { gl } = this.painter;
    gl.bindTexture(gl.TEXTURE_2D, this.rowsTexture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, this.extent[2], 1, 0, gl.RGBA, gl.FLOAT, this.rows);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }

  /** @param {number} z @param {FrameValues} values */
  put(z, values) {
    const { gl } = this.painter;
    const at = { t: this.t, c: this.c, z };
    gl.bindTexture(gl.TEXTURE_3D, this.texture);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, z, this.extent[0], this.extent[1], 1, this.format, this.type, values);
    const intercept = this.units.modality(0, at);
    this.rows.set([this.units.modality(1, at) - intercept, intercept, 1, 1], 4 * z);
    this.#write();
  }

  /** @param {ReturnType<Painter["program"]>} program */
  bind(program) {
    const { gl } = this.painter;
    program.texture("volume", 0, this.texture, gl.TEXTURE_3D);
    program.texture("rows", 1, this.rowsTexture);
    program.set({ extent: this.extent });
  }

  close() {
    for (const texture of [this.texture, this.rowsTexture]) this.painter.gl.deleteTexture(texture);
  }
}

/** Why an image has no planes; null if it has. @param {Image} image */
export function whyNoPlanes(image) {
  const { finest, facts } = image;
  if (finest.length("z") < 2) return "There is only one slice.";
  if (image.isRgb) return "Planes are for values, not for colours.";
  if (!facts.affine) return "The slices are unevenly spaced: planes would be distorted.";
  if (finest.chunk("x") < finest.length("x") || finest.chunk("y") < finest.length("y")) return "The slices come in tiles.";
  const bytes = finest.length("x") * finest.length("y") * finest.length("z") * (/8$|bool/.test(finest.dtype) ? 1 : /16$/.test(finest.dtype) ? 2 : 4);
  return bytes > MOST_BYTES ? `The volume takes ${Math.round(bytes / 2 ** 20)} MiB: too much for planes.` : null;
}

/** How planes and 3D are first seen: they pass the middle voxel. @param {Image} image @returns {import("./stage.js").Look} */
export function firstLook({ finest, facts: { units } }) {
  const at = [finest.length("x") / 2, finest.length("y") / 2].map(Math.floor);
  return { at, zoom: 1, angles: [0.5, 0.25], surface: units === "HU", cut: units === "HU" ? BONE : null };
}

/** Draws three planes and 3D on one canvas. */
export class Planes {
  /**
   * @param {HTMLCanvasElement} canvas @param {Image} image @param {Units} units @param {View} view
   * @param {(wanted: Wanted[]) => void} want
   */
  constructor(canvas, image, units, view, want) {
    this.painter = new Painter(canvas);
    this.painter.gl.getExtension("EXT_color_buffer_float");
    this.canvas = canvas;
    this.image = image;
    this.units = units;
    this.view = view;
    this.want = want;
    this.affine = image.facts.affine;
    this.back = inverse(this.affine);
    /** What planes are cut along, whatever the slices are sheared by. */
    this.axes = upright(this.affine);
    this.along = nearest(this.axes);
    this.spacing = [0, 1, 2].map((axis) => Math.hypot(...[0, 1, 2].map((i) => this.affine[i][axis])));
    /** @type {Map<Image, Volume>} */ this.volumes = new Map();
    /** What has come or failed, by key. @type {Map<string, FrameValues|"absent"|Error>} */ this.held = new Map();
    /** @type {Map<string, {image: Image, z: number}>} */ this.slots = new Map();
    /** @type {Map<Image, WebGLTexture>} */ this.tables = new Map();
    this.drawing = 0;
    this.missing = 0;
    this.last3d = 0;
    /** @type {() => void} */ this.drawn = () => {};
    this.#list();
  }

  /** Voxel that all planes pass: column, row, slice. */
  get cursor() {
    return [...this.view.look.at, this.view.z];
  }

  /** Whether no axis of the volume runs within about 6 degrees of a patient axis. */
  get isOblique() {
    return this.along.some(({ axis }, patient) => Math.abs(this.axes[axis][patient]) < 0.995);
  }

  /** Whether its slices are sheared by more than is called so (`dicomzarr.plan.remarks`). */
  get isSheared() {
    return shear(this.affine) > 0.1;
  }

  /** How many voxels it has along each axis. */
  get lengths() {
    const { finest } = this.image;
    return [finest.length("x"), finest.length("y"), finest.length("z")];
  }

  /** Millimetres from its first corner to its last along each of `axes`. */
  get spans() {
    const sides = this.lengths.map((length, axis) => turned(this.affine, [0, 1, 2].map((each) => (each === axis ? length : 0))));
    return this.axes.map((axis) => sides.reduce((sum, side) => sum + Math.abs(dot(side, axis)), 0));
  }

  /** Which slices belong where: keys of the image and of its segments. */
  #list() {
    for (const image of [this.image, ...this.image.labels]) {
      const level = image.finest;
      for (let z = 0; z < level.length("z"); z += 1) {
        this.slots.set(level.key({ t: Math.min(this.view.t, level.length("t") - 1), c: image === this.image ? this.view.c : 0, z, y: 0, x: 0 }), { image, z });
      }
    }
  }

  redraw() {
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.#draw());
  }

  recolor() {
    for (const [label, texture] of this.tables) this.painter.table(colorsOf(label, this.view), texture);
    this.redraw();
  }

  /** Other times or channels are other volumes. */
  restart() {
    this.slots.clear();
    this.held.clear();
    for (const volume of this.volumes.values()) volume.close();
    this.volumes.clear();
    this.#list();
    this.redraw();
  }

  /** @param {string} key @param {Frame|Error} frame */
  take(key, frame) {
    const slot = this.slots.get(key);
    if (!slot) return;
    if (frame instanceof Error) this.held.set(key, frame);
    else if (frame.absent) this.held.set(key, "absent");
    else if (!frame.values) this.held.set(key, new Error("A slice came without its values."));  // never an absent one
    else {
      let volume = this.volumes.get(slot.image);
      if (!volume) {
        volume = new Volume(this.painter, slot.image, slot.image === this.image ? this.units : IDENTITY, frame.values, this.view.t, this.view.c);
        this.volumes.set(slot.image, volume);
      }
      volume.put(slot.z, frame.values);
      this.held.set(key, slot.image === this.image ? frame.values : "absent");
    }
    this.redraw();
  }

  retry() {
    for (const [key, held] of this.held) if (held instanceof Error) this.held.delete(key);
    this.redraw();
  }

  /** @returns {Error[]} */
  get failures() {
    return [...this.held.values()].filter((held) => held instanceof Error);
  }

  /** The four panes in CSS pixels. @returns {{left: number, top: number, width: number, height: number}[]} */
  get panes() {
    const width = this.canvas.clientWidth / 2, height = this.canvas.clientHeight / 2;
    return [0, 1, 2, 3].map((pane) => ({ left: (pane % 2) * width, top: Math.floor(pane / 2) * height, width, height }));
  }

  /** How a plane lies in a pane: voxel at its upper left corner, and what its width and height are in voxels. @param {number} index */
  frame(index) {
    const which = PLANES[index];
    const pane = this.panes[index];
    const { affine, back, axes, spans, cursor, view: { look: { zoom } } } = this;
    const [right, down] = [this.along[which.right], this.along[which.down]];
    const each = Math.max(spans[right.axis] / pane.width, spans[down.axis] / pane.height) / (0.94 * zoom);
    const vector = (/** @type {Along} */ of, /** @type {number} */ sign, /** @type {number} */ pixels) =>
      turned(back, axes[of.axis].map((value) => value * of.sign * sign * pixels * each));
    const across = vector(right, which.rightSign, pane.width), along = vector(down, which.downSign, pane.height);
    const middle = this.lengths.map((length, axis) => (zoom > 1 ? cursor[axis] : (length - 1) / 2));
    const normal = axes[this.along[which.through].axis];
    const apart = dot(turned(affine, cursor.map((value, axis) => value - middle[axis])), normal);
    const through = turned(back, normal.map((value) => value * apart));  // from the middle to the plane that the cursor lies in
    const origin = middle.map((value, axis) => value + through[axis] - across[axis] / 2 - along[axis] / 2);
    return { ...which, pane, origin, right: across, down: along, millimetres: each };
  }

  /** The letters at the edges of a plane, from where its axes truly run: left, right, top, bottom. @param {number} index */
  letters(index) {
    const { right, down } = this.frame(index);
    const to = (/** @type {number[]} */ voxels) => {
      const vector = turned(this.affine, voxels);
      const length = Math.hypot(...vector) || 1;
      return vector.map((value) => value / length);
    };
    const [east, south] = [to(right), to(down)];
    const isAnimal = this.image.facts.anatomical_orientation === "QUADRUPED";
    return [opposite(east), east, opposite(south), south].map((vector) => letters(vector, isAnimal));
  }

  /** Where the cursor lies in a plane: parts of its width and height. @param {number} index */
  crossing(index) {
    const { origin, right, down } = this.frame(index);
    const from = turned(this.affine, this.cursor.map((value, axis) => value - origin[axis]));
    return [right, down].map((voxels) => turned(this.affine, voxels)).map((side) => dot(from, side) / dot(side, side));
  }

  /** The voxel under a point of the canvas; null in 3D and beside the volume. @param {number} left @param {number} top */
  voxel(left, top) {
    const index = this.panes.findIndex((pane) => left >= pane.left && left < pane.left + pane.width && top >= pane.top && top < pane.top + pane.height);
    if (index < 0 || index > 2) return null;
    const { pane, origin, right, down } = this.frame(index);
    const [u, v] = [(left - pane.left) / pane.width, (top - pane.top) / pane.height];
    const at = origin.map((value, axis) => Math.round(value + u * right[axis] + v * down[axis]));
    return at.every((value, axis) => value >= 0 && value < this.lengths[axis]) ? { index, at } : null;
  }

  /** @param {number} left @param {number} top @returns {{column: number, row: number, slice: number, values: (number|null)[]} | null} */
  probe(left, top) {
    const found = this.voxel(left, top);
    if (!found) return null;
    const [column, row, slice] = found.at;
    const { finest } = this.image;
    const held = this.held.get(finest.key({ t: this.view.t, c: this.view.c, z: slice, y: 0, x: 0 }));
    const value = held && typeof held === "object" && !(held instanceof Error) ? this.units.modality(held[row * finest.length("x") + column], { t: this.view.t, c: this.view.c, z: slice }) : null;
    return { column, row, slice, values: [value] };
  }

  /** Let all planes pass a voxel. @param {number[]} at */
  go(at) {
    this.view.look.at = at.slice(0, 2);
    this.view.z = at[2];
    this.redraw();
  }

  /** Move through the plane under a point. @param {number} left @param {number} top @param {number} steps */
  scroll(left, top, steps) {
    const index = this.panes.findIndex((pane) => left < pane.left + pane.width && top < pane.top + pane.height);
    const { axis } = this.along[PLANES[Math.max(0, Math.min(2, index))].through];
    const at = this.cursor;
    at[axis] = Math.min(this.lengths[axis] - 1, Math.max(0, at[axis] + steps));
    this.go(at);
  }

  /** @param {Image} label */
  #table(label) {
    let table = this.tables.get(label);
    if (!table) this.tables.set(label, (table = this.painter.table(colorsOf(label, this.view))));
    return table;
  }

  #draw() {
    this.drawing = 0;
    const { canvas, painter } = this;
    const { gl } = painter;
    const [width, height] = [Math.round(canvas.clientWidth * devicePixelRatio), Math.round(canvas.clientHeight * devicePixelRatio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    const volume = this.volumes.get(this.image);
    this.#ask();  // so that 3D is drawn once all has come
    const in3d = !this.missing || performance.now() - this.last3d > PATIENCE;
    if (in3d || !volume) gl.clear(gl.COLOR_BUFFER_BIT);
    if (volume) {
      for (const index of [0, 1, 2]) this.#plane(index, volume);
      if (in3d) this.#rays(volume);
    }
    clearTimeout(this.patience);
    if (this.missing && !in3d) this.patience = setTimeout(() => this.redraw(), PATIENCE);
    this.drawn();
  }

  /** A pane in clip space. @param {number} index */
  #clip(index) {
    const { left, top, width, height } = this.panes[index];
    const { clientWidth, clientHeight } = this.canvas;
    return [(2 * left) / clientWidth - 1, 1 - (2 * (top + height)) / clientHeight, (2 * width) / clientWidth, (2 * height) / clientHeight];
  }

  /** The window that a channel is seen in: one for the volume. @param {number} channel */
  window(channel) {
    return this.view.channels[channel] ?? this.view.channels[0];
  }

  get #window() {
    const window = this.window(this.view.c);
    return { ramp: [window.low, steepness(window)], sigmoid: window.function === "SIGMOID" };
  }

  /** @param {number} index @param {Volume} volume */
  #plane(index, volume) {
    const { painter, view } = this;
    const { gl } = painter;
    const { pane, origin, right, down } = this.frame(index);
    const program = painter.program(`plane ${volume.kind}`, VERTEX, plane(SAMPLERS[volume.kind]));
    volume.bind(program);
    program.set({ pane: this.#clip(index), origin, right, down, ...this.#window, inverted: view.invert !== this.units.inverted(view.c) });
    painter.quad();
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    for (const label of this.image.labels) {
      const segment = this.volumes.get(label);
      if (!segment || segments(label).every(({ id }) => view.hidden.has(id))) continue;
      const over = painter.program(`mask ${segment.kind}`, VERTEX, mask(SAMPLERS[segment.kind]));
      segment.bind(over);
      over.texture("table", 2, this.#table(label));
      over.set({ pane: this.#clip(index), origin, right, down, opacity: view.opacity, pixel: view.outline ? [1.5 / pane.width, 1.5 / pane.height] : [0, 0] });
      painter.quad();
    }
    gl.disable(gl.BLEND);
  }

  /** @param {Volume} volume */
  #rays(volume) {
    const { painter, view } = this;
    const { gl } = painter;
    this.last3d = performance.now();
    const target = this.#small();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.buffer);
    gl.viewport(0, 0, SIZE_3D, SIZE_3D);
    const program = painter.program(`rays ${volume.kind}`, VERTEX, rays(SAMPLERS[volume.kind]));
    volume.bind(program);
    const { low, high } = view.channels[view.c] ?? view.channels[0];
    const reach = Math.hypot(...this.spans) * 0.85;
    program.set({ pane: [-1, 1, 2, -2], turn: this.#turn(), spacing: this.spacing, ...this.#window, inverted: false, surface: view.look.surface, cut: view.look.cut ?? (low + high) / 2, reach });
    painter.quad();
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, target.buffer);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    const { left, top, width, height } = this.panes[3];
    const side = Math.min(width, height);
    const scale = devicePixelRatio;
    const x = (left + (width - side) / 2) * scale, bottom = (this.canvas.clientHeight - top - height + (height - side) / 2) * scale;
    gl.blitFramebuffer(0, SIZE_3D, SIZE_3D, 0, x, bottom, x + side * scale, bottom + side * scale, gl.COLOR_BUFFER_BIT, gl.LINEAR);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @returns {{buffer: WebGLFramebuffer}} */
  #small() {
    if (!this.target) {
      const { gl } = this.painter;
      const texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, SIZE_3D, SIZE_3D);
      const buffer = /** @type {WebGLFramebuffer} */ (gl.createFramebuffer());
      gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      this.target = { buffer };
    }
    return this.target;
  }

  /** From millimetres right, down and forth of the eye to voxels, with the patient upright and seen from the front. Column-major. */
  #turn() {
    const [around, above] = this.view.look.angles;
    const [c, s, k, l] = [Math.cos(around), Math.sin(around), Math.cos(above), Math.sin(above)];
    const patient = [[c, s, 0], [-s * l, c * l, -k], [-s * k, c * k, l]];  // right, down, forth in LPS
    return new Float32Array(patient.flatMap((vector) =>
      turned(this.back, [0, 1, 2].map((i) => this.along.reduce((sum, { axis, sign }, index) => sum + this.axes[axis][i] * sign * vector[index], 0)))));
  }

  #ask() {
    const middle = this.cursor[2];
    const near = [...this.slots].filter(([key]) => !this.held.has(key)).sort(([, one], [, other]) =>
      Number(one.image !== this.image) - Number(other.image !== this.image) || Math.abs(one.z - middle) - Math.abs(other.z - middle));
    this.missing = near.length;
    this.want(near.map(([key, { image }]) => ({ key, level: image.finest, label: true })));
  }

  close() {
    cancelAnimationFrame(this.drawing);
    clearTimeout(this.patience);
    this.painter.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** @type {any} */
const IDENTITY = { modality: (/** @type {number} */ value) => value };

/** The axis that runs the most along each patient axis, each taken once. @param {number[][]} axes @returns {Along[]} */
export function nearest(axes) {
  const pairs = [0, 1, 2].flatMap((patient) => [0, 1, 2].map((axis) => ({ patient, axis, part: axes[axis][patient] })));
  /** @type {Along[]} */ const along = [];
  const taken = new Set();
  for (const { patient, axis, part } of pairs.sort((one, other) => Math.abs(other.part) - Math.abs(one.part))) {
    if (along[patient] || taken.has(axis)) continue;
    along[patient] = { axis, sign: part < 0 ? -1 : 1 };
    taken.add(axis);
  }
  return along;
}

/** @param {Planes} planes @param {number[]} at @returns {[number, number, number]} millimetres */
export const millimetres = (planes, at) => toPatient(planes.affine, at[0], at[1], at[2]);
