import assert from "node:assert/strict";
import { test } from "node:test";

import { lines, seen } from "../../dicomzarr/faces/gateway/page/attributes.js";

const row = (tag, keyword, value, more = {}) => ({ tag, keyword, name: keyword.replace(/(?<=[a-z])(?=[A-Z])/g, " "), vr: "LO", value, ...more });
const inner = [[row("0008,0104", "CodeMeaning", "Liver")], [row("0008,0104", "CodeMeaning", "Spleen")]];
const all = lines([row("0008,0060", "Modality", "CT"), { ...row("0008,2218", "AnatomicRegionSequence"), items: inner, more: 3 }, row("0010,0010", "PatientName", undefined, { hidden: true })]);
const names = (found) => found.map(({ cells }) => cells[1]);

test("sequences are folded until they are unfolded, each item by itself", () => {
  assert.deepEqual(names(seen(all, "", new Set())), ["Modality", "Anatomic Region Sequence", "Patient Name"]);
  const sequence = all.find(({ cells }) => cells[0] === "0008,2218");
  assert.equal(sequence.cells[3], "5 items");
  const open = new Set([sequence.id]);
  assert.deepEqual(names(seen(all, "", open)), ["Modality", "Anatomic Region Sequence", "Item 1", "Item 2", "3 more items", "Patient Name"]);
  open.add(all.find(({ cells }) => cells[1] === "Item 2").id);
  assert.deepEqual(seen(all, "", open).filter(({ level }) => level === 3).map(({ cells }) => cells[3]), ["Spleen"]);
});

test("a search finds by name, keyword, tag and value, and shows what a match lies in", () => {
  for (const words of ["spleen", "SPLEEN code", "00080104 spleen"]) assert.deepEqual(names(seen(all, words, new Set())), ["Anatomic Region Sequence", "Item 2", "Code Meaning"]);
  for (const words of ["modal", "0008,0060", "00080060", "(0008,0060)", "ct modality"]) assert.deepEqual(names(seen(all, words, new Set())).at(0), "Modality");
  assert.deepEqual(seen(all, "no such thing", new Set()), []);
});

test("a match in folded sequences can be unfolded further", () => {
  const item = all.find(({ cells }) => cells[1] === "Item 1");
  const open = new Set([item.parent.id, item.id]);
  assert.deepEqual(names(seen(all, "AnatomicRegion", new Set())), ["Anatomic Region Sequence"]);
  assert.deepEqual(names(seen(all, "AnatomicRegion", open)).slice(0, 3), ["Anatomic Region Sequence", "Item 1", "Code Meaning"]);
});

test("what is hidden is said to be there, and found by what it is called alone", () => {
  assert.deepEqual(names(seen(all, "patient", new Set())), ["Patient Name"]);
  assert.deepEqual(seen(all, "hidden", new Set()), []);
});
