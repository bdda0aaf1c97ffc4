/** WebGL2: textures of frames, and a small program for each kind of picture. */

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").Values} Values */
/** @typedef {"bitmap"|"float"|"int"|"uint"} Kind */

/**
 * A frame as a texture. `bitmap` is RGBA of 0 to 1, the others hold values as they are.
 * @typedef {{texture: WebGLTexture, kind: Kind, width: number, height: number, bytes: number, values?: Values}} Picture
 */

const QUAD = `#version 300 es
precision highp float;
in vec2 corner;
uniform mat3 place;      // from the unit square to clip space
uniform vec2 shown;      // part of the texture that lies inside the matrix
uniform float depth;
out vec2 at;
void main() { at = corner * shown; gl_Position = vec4((place * vec3(corner, 1.0)).xy, depth, 1.0); }`;

const BITMAP = `#version 300 es
precision highp float;
in vec2 at; out vec4 color;
uniform sampler2D picture; uniform vec2 size;
void main() { color = vec4(texture(picture, at / size).rgb, 1.0); }`;

/**
 * Whether a value is finite, or none at all, and what stands for one that is not finite. By its bits, for isnan need not tell (GLSL ES 3.00 section 4.5.1).
 * @param {string} sampler
 */
export const numbers = (sampler) => (sampler.startsWith("sampler") ? `
bool known(float value) { return (floatBitsToUint(value) & 0x7fffffffu) < 0x7f800000u; }
bool missing(float value) { return (floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u; }` : `
bool known(float value) { return true; }
bool missing(float value) { return false; }`) + `
float beside(float value, float here) { return known(value) ? value : here; }`;

/** Bilinear by hand, since textures of integers do not filter; nearest where pixels are to be seen, or beside what is no number. */
const SAMPLE = `
float texel(ivec2 at) { return unit * float(texelFetch(picture, clamp(at, ivec2(0), ivec2(size) - 1), 0).r); }
float sampled(vec2 at) {
  float here = texel(ivec2(floor(at)));
  if (nearest || !known(here)) return here;
  vec2 low = floor(at - 0.5), part = at - 0.5 - low;
  ivec2 corner = ivec2(low);
  return mix(mix(beside(texel(corner), here), beside(texel(corner + ivec2(1, 0)), here), part.x),
             mix(beside(texel(corner + ivec2(0, 1)), here), beside(texel(corner + ivec2(1, 1)), here), part.x), part.y);
}`;

/** From values to shades (PS3.3 sections C.11.2.1.2 and C.11.2.1.3). */
export const SHADE = `
uniform vec2 ramp;  // the value that is black, and by how much each above it is brighter
uniform bool sigmoid; uniform bool inverted;
float shaded(float value) {
  float part = clamp((value - ramp.x) * ramp.y, -20.0, 20.0);
  float shade = sigmoid ? 1.0 / (1.0 + exp(-4.0 * (part - 0.5))) : clamp(part, 0.0, 1.0);
  return inverted ? 1.0 - shade : shade;
}`;

/** @param {string} sampler */
const windowed = (sampler) => `#version 300 es
precision highp float; precision highp int; precision highp ${sampler};
in vec2 at; out vec4 color;
uniform ${sampler} picture; uniform vec2 size; uniform bool nearest; uniform float unit; uniform vec3 tint;
${numbers(sampler)}
${SAMPLE}
${SHADE}
void main() {
  float value = sampled(at);
  color = vec4(missing(value) ? vec3(0.0) : shaded(value) * tint, 1.0);
}`;

/** Segments: the colour of each value out of a table; their outlines on request. @param {string} sampler */
const labelled = (sampler) => `#version 300 es
precision highp float; precision highp int; precision highp ${sampler};
in vec2 at; out vec4 color;
uniform ${sampler} picture; uniform vec2 size; uniform sampler2D table; uniform float opacity; uniform float outline;
int value(vec2 at) { return int(texelFetch(picture, clamp(ivec2(floor(at)), ivec2(0), ivec2(size) - 1), 0).r); }
void main() {
  int here = value(at);
  vec4 tone = texelFetch(table, ivec2(here & 255, (here >> 8) & 255), 0);
  bool edge = outline > 0.0 && (value(at + vec2(outline, 0.0)) != here || value(at - vec2(outline, 0.0)) != here
    || value(at + vec2(0.0, outline)) != here || value(at - vec2(0.0, outline)) != here);
  color = here == 0 ? vec4(0.0) : vec4(tone.rgb, tone.a * (edge ? min(1.0, opacity + 0.6) : opacity));
}`;

const PLAIN = `#version 300 es
precision highp float;
in vec2 at; out vec4 color; uniform vec3 tint; uniform float hatch;
void main() {
  float stripe = hatch > 0.0 ? step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 14.0)) * hatch : 0.0;
  color = vec4(tint + stripe, 1.0);
}`;

const SAMPLERS = { bitmap: "sampler2D", float: "sampler2D", int: "isampler2D", uint: "usampler2D" };

/** A context, its programs and what is drawn with them. */
export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, depth: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL2, which the viewer needs.");
    this.gl = gl;
    this.canvas = canvas;
    /** @type {Map<string, Program>} */ this.programs = new Map();
    this.corners = gl.createVertexArray();
    gl.bindVertexArray(this.corners);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  }

  /**
   * A program, compiled when it is first needed.
   * @param {string} name @param {string} [vertex] @param {string} [fragment] its sources; the kinds of this module need none
   */
  program(name, vertex = QUAD, fragment = source(name)) {
    let program = this.programs.get(name);
    if (!program) {
      program = new Program(this.gl, vertex, fragment);
      this.programs.set(name, program);
    }
    this.gl.useProgram(program.program);
    this.gl.bindVertexArray(this.corners);
    return program;
  }

  /** Put a frame into a texture. @param {Frame} frame @param {number} [most] the value of colours that is bright @returns {Picture} */
  upload(frame, most = 255) {
    const { gl } = this;
    const texture = /** @type {WebGLTexture} */ (gl.createTexture());
    const { width, height } = frame;
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    const bitmap = frame.bitmap ?? (frame.values && frame.values.length === 3 * width * height ? interleaved(frame, most) : null);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, bitmap ? gl.LINEAR : gl.NEAREST);
    if (bitmap) {
      if (bitmap instanceof Uint8Array) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
      else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
      frame.bitmap?.close();
      const values = frame.values instanceof Uint8Array ? undefined : frame.values;  // which a texture of eight bits does not tell
      return { texture, kind: "bitmap", width, height, bytes: 4 * width * height + (values?.byteLength ?? 0), values };
    }
    const values = /** @type {Values} */ (frame.values);
    const [internal, format, type, kind] = layout(gl, values);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, values);
    return { texture, kind, width, height, bytes: values.byteLength, values };
  }

  /** A table of colours by value. @param {Map<number, number[]>} colors RGBA of 0 to 255 @param {WebGLTexture} [texture] to write it to */
  table(colors, texture = /** @type {WebGLTexture} */ (this.gl.createTexture())) {
    const { gl } = this;
    const rows = new Uint8Array(256 * 256 * 4);
    for (const [value, rgba] of colors) rows.set(rgba, 4 * (value & 0xffff));
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 256, 0, gl.RGBA, gl.UNSIGNED_BYTE, rows);
    return texture;
  }

  /** Draw the unit square. */
  quad() {
    this.gl.drawArrays(this.gl.TRIANGLE_STRIP, 0, 4);
  }

  /** One pixel of a texture as the browser decoded it. @param {Picture} picture @param {number} x @param {number} y */
  pixel(picture, x, y) {
    const { gl } = this;
    const target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture.texture, 0);
    const rgba = new Uint8Array(4);
    gl.readPixels(x, y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(target);
    return [...rgba.subarray(0, 3)];
  }
}

/** A linked program and its uniforms by name. */
class Program {
  /** @param {WebGL2RenderingContext} gl @param {string} vertex @param {string} fragment */
  constructor(gl, vertex, fragment) {
    const program = gl.createProgram();
    for (const [type, text] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(type));
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "A shader does not compile.");
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "corner");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "A program does not link.");
    this.gl = gl;
    this.program = program;
    /** @type {Map<string, WebGLUniformLocation|null>} */ this.locations = new Map();
  }

  /** @param {string} name */
  #at(name) {
    if (!this.locations.has(name)) this.locations.set(name, this.gl.getUniformLocation(this.program, name));
    return this.locations.get(name) ?? null;
  }

  /** Set uniforms of floats, vectors and matrices. @param {Record<string, number|boolean|number[]|Float32Array>} values */
  set(values) {
    const { gl } = this;
    for (const [name, value] of Object.entries(values)) {
      const at = this.#at(name);
      if (typeof value === "boolean") gl.uniform1i(at, value ? 1 : 0);
      else if (typeof value === "number") gl.uniform1f(at, value);
      else if (value.length === 2) gl.uniform2fv(at, value);
      else if (value.length === 3) gl.uniform3fv(at, value);
      else if (value.length === 4) gl.uniform4fv(at, value);
      else if (value.length === 9) gl.uniformMatrix3fv(at, false, value);
      else gl.uniformMatrix4fv(at, false, value);
    }
  }

  /** @param {string} name @param {number} unit @param {WebGLTexture} texture @param {number} [target] */
  texture(name, unit, texture, target = this.gl.TEXTURE_2D) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, texture);
    gl.uniform1i(this.#at(name), unit);
    gl.activeTexture(gl.TEXTURE0);
  }
}

/** @param {string} name "bitmap", "plain", "windowed int", "labelled uint" and so on */
function source(name) {
  const [what, kind] = name.split(" ");
  if (what === "bitmap") return BITMAP;
  if (what === "plain") return PLAIN;
  const sampler = SAMPLERS[/** @type {keyof typeof SAMPLERS} */ (kind)];
  return what === "labelled" ? labelled(sampler) : windowed(sampler);
}

/** @param {WebGL2RenderingContext} gl @param {Values} values @returns {[number, number, number, Kind]} */
export function layout(gl, values) {
  if (values instanceof Float32Array) return [gl.R32F, gl.RED, gl.FLOAT, "float"];
  if (values instanceof Uint8Array) return [gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE, "uint"];
  if (values instanceof Int8Array) return [gl.R8I, gl.RED_INTEGER, gl.BYTE, "int"];
  if (values instanceof Uint16Array) return [gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, "uint"];
  if (values instanceof Int16Array) return [gl.R16I, gl.RED_INTEGER, gl.SHORT, "int"];
  if (values instanceof Uint32Array) return [gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, "uint"];
  return [gl.R32I, gl.RED_INTEGER, gl.INT, "int"];
}

/** Three planes as RGBA of eight bits. @param {Frame} frame @param {number} most the value that is bright */
function interleaved(frame, most) {
  const values = /** @type {Values} */ (frame.values);
  const count = frame.width * frame.height;
  const each = 255 / most;
  const rgba = new Uint8ClampedArray(4 * count);
  for (let i = 0; i < count; i += 1) {
    rgba[4 * i] = values[i] * each;
    rgba[4 * i + 1] = values[count + i] * each;
    rgba[4 * i + 2] = values[2 * count + i] * each;
    rgba[4 * i + 3] = 255;
  }
  return new Uint8Array(rgba.buffer);
}
