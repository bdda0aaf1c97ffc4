import assert from "node:assert/strict";
import { test } from "node:test";

import { centered, frameTime, numberText, steepness, Values, windowAround, windowOf, windowText } from "../../dicomzarr/faces/gateway/page/values.js";
import { typed } from "../../dicomzarr/faces/gateway/page/frames.js";
import { segments } from "../../dicomzarr/faces/gateway/page/stage.js";
import { image } from "./images.mjs";

test("stored values and modality values lead to each other, for each slice its own slope", () => {
  const values = new Values(image({ facts: { rescale: { slope: [1, 2, 0.5, 4], intercept: -10 } } }));
  assert.equal(values.modality(100, { z: 1 }), 190);
  assert.equal(values.modality(100, { z: 2 }), 40);
  for (const z of [0, 1, 2, 3]) assert.equal(values.stored(values.modality(37, { z }), { z }), 37);
});

test("slopes of time and slice are found by the axes that the image has", () => {
  const slope = [[1, 2], [3, 4], [5, 6]];
  const values = new Values(image({ axes: "tzyx", shape: [3, 2, 8, 8], facts: { rescale: { slope, intercept: 0 } } }));
  assert.equal(values.modality(1, { t: 2, z: 1 }), 6);
});

test("a window is DICOM's linear function: its ends are black and white exactly", () => {
  const { low, high } = windowAround(40, 400);
  assert.deepEqual([low, high], [-160, 239]);
  assert.deepEqual(centered({ low, high }), { center: 40, width: 400 });
});

test("each function has its own ends, which lead back to center and width, and come through an address", () => {
  const ends = { LINEAR: [-160, 239], LINEAR_EXACT: [-160, 240], SIGMOID: [-160, 240] };
  for (const [name, [low, high]] of Object.entries(ends)) {
    const window = windowAround(40, 400, name);
    assert.deepEqual(window, { low, high, function: name });
    assert.deepEqual(centered(window), { center: 40, width: 400 });
    assert.deepEqual(windowOf(windowText(window).split(",")), window);
  }
  assert.deepEqual(windowAround(0.002, 0.004).function, "LINEAR_EXACT");
  for (const text of ["", "1", "a,b", ",", "2,1"]) assert.equal(windowOf(text.split(",")), null);
});

test("the header's function counts", () => {
  const values = new Values(image({ facts: { windows: [{ center: 2, width: 4, function: "LINEAR_EXACT" }, { center: 2, width: 4, function: "SIGMOID" }] } }));
  assert.deepEqual(values.first(0), { low: 0, high: 4, function: "LINEAR_EXACT" });
  assert.deepEqual(values.presets.map(({ window }) => window.function), ["LINEAR_EXACT", "SIGMOID"]);
});

test("a window of width 1 is a threshold", () => {
  const { low, high } = windowAround(100, 1);
  assert.deepEqual([low, high], [99.5, 99.5]);
  assert.equal(Math.fround(steepness({ low, high })) < Infinity, true);
});

test("with a negative slope brightness falls from the same value on", () => {
  const values = new Values(image({ facts: { rescale: { slope: -2, intercept: 100 } } }));
  const window = { low: 20, high: 60, function: "LINEAR_EXACT" };
  const [black, each] = values.ramp(window, {});
  for (const stored of [40, 35, 20]) assert.ok(Math.abs((stored - black) * each - (values.modality(stored, {}) - 20) / 40) < 1e-9);
  assert.ok(values.ramp({ ...window, high: 20 }, {})[1] < -1e20);
});

test("MONOCHROME1 inverts modality values, whatever stored ones do", () => {
  const of = (photometric_interpretation, inverted) => new Values(image({ facts: { affine_reference: "patient", levels: [{ photometric_interpretation }] }, channels: [{ inverted }] })).inverted(0);
  assert.deepEqual([of("MONOCHROME1", false), of("MONOCHROME2", true)], [true, false]);
  const paths = new Values(image({ axes: "cyx", shape: [2, 8, 8], channels: [{ inverted: true }, { inverted: false }] }));
  assert.deepEqual([paths.inverted(0), paths.inverted(1)], [true, false]);
});

test("a window that `omero` alone has is in stored values, which a negative slope turns round", () => {
  const said = { window: { min: 0, max: 4095, start: 0, end: 100 } };
  const values = new Values(image({ axes: "cyx", shape: [2, 8, 8], facts: { rescale: { slope: -1, intercept: 4095 } }, channels: [said, said] }));
  assert.deepEqual(values.first(0), { low: 3995, high: 4095, function: "LINEAR_EXACT" });
});

test("the header's window comes first; usual ones that it names are not said twice", () => {
  const values = new Values(image({ facts: { modality: "CT", units: "HU", windows: [{ center: 50, width: 350, name: "SOFT TISSUE" }] } }));
  assert.deepEqual(values.presets.map(({ name }) => name), ["Soft tissue", "Lung", "Bone", "Brain"]);
  assert.deepEqual(values.first(0)?.low, windowAround(50, 350).low);
});

test("each channel is first seen in its own window, and the header's is offered only if it is of all", () => {
  const said = (start, end) => ({ color: "FFFFFF", window: { min: 0, max: 4095, start, end } });
  const of = (...channels) => new Values(image({ axes: "czyx", shape: [2, 4, 8, 8], facts: { windows: [{ center: 2048, width: 3000, function: "LINEAR" }] }, channels }));
  const apart = of(said(0, 600), said(548, 3547));
  assert.deepEqual(apart.first(0), { low: 0, high: 600, function: "LINEAR_EXACT" });
  assert.deepEqual(apart.first(1), { low: 548, high: 3547, function: "LINEAR" });
  assert.deepEqual(apart.presets, []);
  const alike = of(said(548, 3547), said(548, 3547));
  assert.deepEqual(alike.presets.map(({ name }) => name), ["Header"]);
});

test("a channel that has the header's window has its function too", () => {
  const facts = { windows: [{ center: 300, width: 600, function: "SIGMOID" }] };
  const channel = { color: "FFFFFF", window: { min: 0, max: 4095, start: 0, end: 600 } };
  const values = new Values(image({ axes: "czyx", shape: [2, 4, 8, 8], facts, channels: [channel, channel] }));
  assert.deepEqual(values.first(0), { low: 0, high: 600, function: "SIGMOID" });
});

test("a time is seen as long as FrameTime says, and a tenth of a second where it says nothing", () => {
  const even = { axis: "t", values: [0, 40, 80], unit: "ms" }, uneven = { axis: "t", values: [0, 40, 240] };
  assert.deepEqual([0, 1, 2].map((t) => frameTime(even, t)), [40, 40, 40]);
  assert.deepEqual([0, 1, 2].map((t) => frameTime(uneven, t)), [40, 200, 200]);
  assert.equal(frameTime({ axis: "t", values: [0, 5] }, 0), 20);
  for (const unknown of [undefined, { axis: "z", values: [0, 40] }, { axis: "t", values: [0, null] }, { axis: "t", values: [0] }]) assert.equal(frameTime(unknown, 0), 100);
});

test("only values that are Hounsfield units have that unit, and the windows that are usual in it", () => {
  for (const units of [undefined, "US", "PCT", "HU_MOD", "Z_EFF"]) {
    const values = new Values(image({ facts: { modality: "CT", units } }));
    assert.deepEqual([values.unit, values.presets.length], [units === "US" ? "" : (units ?? ""), 0]);
  }
  assert.equal(new Values(image({ facts: { modality: "CT", units: "HU" } })).presets.length, 4);
});

test("windows of stored values apply to these, though a table leads to others", () => {
  const windows = [{ center: 1000, width: 1000, function: "LINEAR_EXACT" }];
  const values = new Values(image({ facts: { modality_lut: true, windows_of_stored: true, windows } }));
  assert.deepEqual(values.first(0), { low: 500, high: 1500, function: "LINEAR_EXACT" });
  assert.deepEqual([values.unit, values.caution], ["stored", ""]);
  const without = new Values(image({ facts: { modality_lut: true, windows } }));
  assert.deepEqual([without.windows.length, without.caution === ""], [0, false]);
});

test("where the header gives no window the pixels do", () => {
  const full = { window: { min: -32768, max: 32767, start: -32768, end: 32767 }, color: "FFFFFF" };
  const values = new Values(image({ channels: [full] }));
  assert.equal(values.first(0), null);
  const { low, high } = values.measured(Int16Array.from({ length: 1000 }, (_, i) => i), {});
  assert.deepEqual([low, high], [20, 998]);
});

test("channels of one colour are seen one at a time, those of several together", () => {
  const of = (...colors) => new Values(image({ axes: "cyx", shape: [colors.length, 8, 8], channels: colors.map((color) => ({ color })) })).oneByOne;
  assert.equal(of("FFFFFF", "FFFFFF"), true);
  assert.equal(of("FF0000", "00FF00"), false);
  assert.equal(of("FFFFFF"), false);
});

test("a chunk of the wrong size is an error and no picture", () => {
  const { finest } = image({ shape: [4, 8, 8] });
  assert.equal(typed(new ArrayBuffer(128), finest).length, 64);
  assert.throws(() => typed(new ArrayBuffer(126), finest), /63 values, not 64/);
});

test("the key of a chunk has an index for each axis", () => {
  assert.equal(image({ axes: "tzyx", shape: [3, 2, 8, 8] }).finest.key({ t: 2, z: 1, c: 9 }), "0/c/2/1/0/0");
});

test("segments have names and colours, and some when the header gives none", () => {
  const label = { properties: [{ "label-value": 1, name: "Liver" }, { "label-value": 7, name: "" }], colors: [{ "label-value": 1, rgba: [255, 0, 16, 255] }] };
  const [liver, other] = segments(image({ dtype: "uint8", label }));
  assert.deepEqual([liver.name, liver.color, other.name], ["Liver", "ff0010", "Segment 7"]);
  assert.match(other.color, /^[0-9a-f]{6}$/);
});

test("the background that a label map describes is no segment", () => {
  const properties = [0, 1, 255].map((number) => ({ "label-value": number, name: `number ${number}` }));
  const label = { properties, colors: [{ "label-value": 255, rgba: [0, 0, 0, 0] }] };
  assert.deepEqual(segments(image({ dtype: "uint8", label })).map(({ number }) => number), [1]);
});

test("what is no number is left out of a measured window, and is no value", () => {
  const values = new Values(image({ dtype: "float32", facts: { units: "US" } }));
  const numbers = Float32Array.from({ length: 1000 }, (_, i) => i / 1e6);
  const some = Float32Array.from([...numbers, NaN, Infinity, -Infinity, ...new Array(3000).fill(NaN)]);
  assert.deepEqual(values.measured(some, {}), values.measured(numbers, {}));
  assert.equal(values.measured(Float32Array.of(NaN, NaN), {}), null);
  assert.equal(values.said([NaN]), "no value");
  assert.equal(values.said([null]), "…");
});

test("a measured window is of few digits, of values of any size", () => {
  for (const scale of [1e-9, 1e-6, 1, 1e6]) {
    const { low, high } = new Values(image({ dtype: "float32" })).measured(Float32Array.from({ length: 1000 }, (_, i) => (300 + i) * scale), {});
    assert.ok(Math.abs(low / scale - 320) < 3 && Math.abs(high / scale - 1298) < 3, `${low} ${high}`);
    assert.ok([low, high].every((value) => Number(value.toPrecision(4)) === value), `${low} ${high}`);
  }
});

test("numbers have the digits of their 32 bits, and no more", () => {
  const numbers = { 136.25: 136.25, 42.5442: 34 * 0.001298346 + 42.500056, 0.1: Math.fround(0.1), 2147483647: 2147483647, "3.8e-9": Math.fround(3.8e-9) };
  for (const [text, value] of Object.entries(numbers)) assert.equal(numberText(value).slice(0, 7), text.slice(0, 7));
  assert.equal(numberText(136.25), "136.25");
  assert.equal(numberText(0.1 + 0.2), "0.3");
});

test("a drag widens and moves windows of any size, a threshold too", () => {
  const values = new Values(image({ facts: { rescale: { slope: 1e-6, intercept: 0 } } }));
  const { low, high } = values.dragged({ low: 0, high: 0.004, function: "SIGMOID" }, 100, 150);
  assert.ok(high - low > 0.01 && (low + high) / 2 > 0.004 && high < 0.1);
  const opened = values.dragged({ low: 0.002, high: 0.002, function: "LINEAR" }, 100, 0);
  assert.ok(opened.high > opened.low && opened.high - opened.low < 0.001);
});

const seen = () => ({ low: 0, high: 1, function: "LINEAR_EXACT", measure: true, each: new Map() });
const frame = Int16Array.from({ length: 1001 }, (_, i) => i);

test("where slices are rescaled differently each has a window of its own, until one is chosen", () => {
  const values = new Values(image({ dtype: "uint8", facts: { rescale: { slope: [1, 1, 2, 1], intercept: [0, 5000, 0, 0] } }, channels: [{ window: { min: 0, max: 255, start: 0, end: 255 } }] }));
  assert.equal(values.first(0), null);
  const channel = seen();
  assert.equal(values.told(channel, 0), ",");
  for (const z of [0, 1, 2]) values.learn(channel, frame, { z });
  const at = (z) => [values.shownIn(channel, { z }).low, values.shownIn(channel, { z }).high];
  assert.deepEqual([at(0), at(1), at(2)], [[20, 998], [5020, 5998], [40, 1996]]);
  assert.deepEqual([channel.low, channel.high, channel.measure], [20, 5998, true]);
  assert.deepEqual(at(3), [20, 5998]);
  assert.equal(values.told(channel, 0), ",");
  values.choose(channel, windowAround(100, 50));
  values.learn(channel, frame, { z: 3 });
  assert.deepEqual(at(1), [75, 124]);
  assert.equal(values.told(channel, 0), "75,124");
  channel.measure = true;
  assert.deepEqual(at(3), [20, 998]);
});

test("values with a unit are compared, so one window grows until it holds for all slices", () => {
  const values = new Values(image({ facts: { units: "BQML", rescale: { slope: [1, 2, 3, 1], intercept: 0 } } }));
  const channel = seen();
  for (const z of [0, 2]) values.learn(channel, frame, { z });
  assert.deepEqual([values.shownIn(channel, { z: 0 }).low, values.shownIn(channel, { z: 0 }).high], [20, 2994]);
  assert.equal(values.told(channel, 0), "20,2994,LINEAR_EXACT");
});

test("where all are rescaled alike the first frame is measured, and no other", () => {
  const values = new Values(image({ axes: "czyx", shape: [2, 4, 8, 8], facts: { rescale: { slope: [[1, 1, 1, 1], [1, 2, 1, 1]], intercept: 0 } } }));
  assert.deepEqual([values.differs(0), values.differs(1)], [false, true]);
  const channel = seen();
  values.learn(channel, frame, { c: 0, z: 1 });
  values.learn(channel, frame.map((value) => 2 * value), { c: 0, z: 2 });
  assert.deepEqual([channel.low, channel.high, channel.measure], [20, 998, false]);
});

test("pixels are as high and as wide as their spacing says, or else PixelAspectRatio", () => {
  const of = (facts) => image({ axes: "yx", shape: [8, 8], facts }).aspect;
  assert.equal(of({}), 1);
  assert.equal(of({ pixel_aspect_ratio: [2, 1] }), 2);
  assert.equal(of({ imager_pixel_spacing: [0.4, 0.2] }), 2);
  assert.equal(of({ nominal_scanned_pixel_spacing: [0.1, 0.4] }), 0.25);
  for (const pair of [[1, 0], [0, 1], [-1, 1], [1], []]) assert.equal(of({ pixel_aspect_ratio: pair }), 1);
});
