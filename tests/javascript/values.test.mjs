import assert from "node:assert/strict";
import { test } from "node:test";

import { centered, preset, Values } from "../../dicomzarr/faces/gateway/page/values.js";
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
  const { low, high } = preset("", 40, 400);
  assert.deepEqual([low, high], [-160, 239]);
  assert.deepEqual(centered({ low, high }), { center: 40, width: 400 });
});

test("the header's window comes first; usual ones that it names are not said twice", () => {
  const values = new Values(image({ facts: { modality: "CT", windows: [{ center: 50, width: 350, name: "SOFT TISSUE" }] } }));
  assert.deepEqual(values.presets.map(({ name }) => name), ["Soft tissue", "Lung", "Bone", "Brain"]);
  assert.deepEqual(values.first(0)?.low, preset("", 50, 350).low);
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
