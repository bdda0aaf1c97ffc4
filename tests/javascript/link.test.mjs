import assert from "node:assert/strict";
import { test } from "node:test";

import { sayView, seriesUrl, viewOf } from "../../dicomzarr/faces/gateway/page/link.js";
import { Values } from "../../dicomzarr/faces/gateway/page/values.js";
import { image } from "./images.mjs";

const CELLS = image({ axes: "tczyx", shape: [3, 2, 5, 8, 8], channels: [{ color: "FF0000" }, { color: "00FF00" }] });
const ECHOES = image({ axes: "czyx", shape: [3, 4, 8, 8], channels: ["FFFFFF", "FFFFFF", "FFFFFF"].map((color) => ({ color })) });
const PET = image({ facts: { modality: "PT", windows: [{ center: 5, width: 10 }] } });
const CT = image({ facts: { modality: "CT", windows: [{ center: 40, width: 400 }] } });
const SLIDE = image({ axes: "cyx", shape: [3, 100000, 100000], dtype: "uint8" });

/** What an address gives that says a view, with what is changed of the usual one. */
function again(picture, change, planes = false, address = "") {
  const units = new Values(picture);
  const view = viewOf(picture, units, new URLSearchParams(address));
  change(view, picture);
  const said = sayView(view, picture, units, planes);
  return [viewOf(picture, units, new URLSearchParams(said.toString())), view, said];
}

const CHANGES = {
  "nothing": () => {},
  "another place": (view) => Object.assign(view, { x: 54321.678, y: 1.25, zoom: 7.5 }),
  "another slice, time and channel": (view) => Object.assign(view, { z: 0, t: 0, c: 0 }),
  "black and white exchanged": (view) => (view.invert = !view.invert),
  "turned and flipped": (view) => Object.assign(view, { turn: 3, flip: true }),
  "segments": (view) => Object.assign(view, { opacity: 0.9, outline: false, hidden: new Set(["labels/0#1", "labels/a b#7"]) }),
  "no segment is seen through": (view) => (view.opacity = 0),
  "windows": (view, picture) => !picture.isRgb && view.channels.forEach((channel, index) => Object.assign(channel, { low: -3.5 - index, high: 1e-6 + index, measure: false })),
  "one channel off": (view) => (view.channels.at(-1).active = view.channels.length === 1),
  "planes": (view) => Object.assign(view.look, { at: [0, 7], zoom: 2.5, angles: [-3, 1], surface: !view.look.surface, cut: -500 }),
};

for (const [name, change] of Object.entries(CHANGES)) {
  test(`a link keeps the view: ${name}`, () => {
    for (const picture of [CELLS, ECHOES, PET, CT, SLIDE]) {
      const [found, view] = again(picture, change, true);
      assert.deepEqual(found, view);
    }
  });
}

test("a link keeps the colours of channels, however they are spelled", () => {
  const [found, , said] = again(CELLS, (view) => (view.channels[1].color = "0a1b2c"));
  assert.deepEqual(found.channels.map(({ color }) => color), ["ff0000", "0a1b2c"]);
  assert.equal(said.get("colors"), "ff0000,0a1b2c");
  assert.equal(again(CELLS, (view) => (view.channels[0].color = "ff0000"))[2].has("colors"), false);
});

test("a window that is still to be measured is not said, and measured where the link leads", () => {
  const full = { window: { min: -32768, max: 32767, start: -32768, end: 32767 }, color: "FFFFFF" };
  for (const active of [true, false]) {
    const [found] = again(image({ channels: [full] }), (view) => (view.channels[0].active = active));
    assert.deepEqual([found.channels[0].measure, found.channels[0].active], [true, active]);
  }
});

test("what is usual is left out, but for what another screen would have otherwise", () => {
  assert.deepEqual([...again(CT, () => {})[2].keys()], ["x", "y", "zoom", "z", "w"]);
  assert.deepEqual([...again(CT, () => {}, true)[2].keys()], ["x", "y", "zoom", "z", "w", "mode"]);
  assert.deepEqual([...again(SLIDE, () => {})[2].keys()], ["x", "y", "zoom"]);
});

test("addresses that were written before mean what they meant", () => {
  const of = (picture, address) => viewOf(picture, new Values(picture), new URLSearchParams(address));
  assert.equal(of(PET, "x=1").invert, true);
  assert.equal(of(PET, "invert=0").invert, false);
  assert.equal(of(CT, "x=1").invert, false);
  assert.equal(of(CT, "invert=1").invert, true);
  assert.deepEqual(of(CELLS, "w=1,2;3,4,0").channels.map(({ low, high, active }) => [low, high, active]), [[1, 2, true], [3, 4, false]]);
  assert.deepEqual([...of(CT, "hidden=labels/0%231,labels/0%232").hidden], ["labels/0#1", "labels/0#2"]);
  assert.deepEqual([of(CT, "outline=0").outline, of(CT, "opacity=0.5").opacity], [false, 0.5]);
});

test("an address that makes no sense is the usual view", () => {
  const units = new Values(CELLS);
  const odd = "x=&y=NaN&zoom=Infinity&z=99&t=-4&turn=&w=,;a,b&colors=red,%23fff&at=,&angles=1&opacity=7&closer=x&cut=";
  const usual = viewOf(CELLS, units, new URLSearchParams());
  assert.deepEqual(viewOf(CELLS, units, new URLSearchParams(odd)), { ...usual, z: 4, t: 0, opacity: 1 });
});

test("the URL of a series names it before the place of its files, unless that is a folder of this machine", () => {
  assert.equal(seriesUrl("dicomwebs://pacs.example/dicom-web", "1.2", "3.4"), "dicomwebs://pacs.example/dicom-web/studies/1.2/series/3.4");
  assert.equal(seriesUrl("dicomfile:///scans", "1.2", "3.4"), "dicomfile:///scans/studies/1.2/series/3.4");
  assert.equal(seriesUrl("dicomfile://::s3://bucket/prefix", "1.2", "3.4"), "dicomfile://studies/1.2/series/3.4::s3://bucket/prefix");
});
