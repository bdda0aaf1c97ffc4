import assert from "node:assert/strict";
import { test } from "node:test";

import { inOrder } from "../../dicomzarr/faces/gateway/page/list.js";

test("series are in their order: what was seen, what was made of it, what has no pixels; by number, those without one last", () => {
  const of = (series, number, modality = "CT", pixels = true) => ({ series, number, modality, pixels, description: "" });
  const all = [of("report", 1, "SR", false), of("segments", 2, "SEG"), of("none"), of("tenth", 10), of("second", 2)];
  assert.deepEqual(inOrder(all).map(({ series }) => series), ["second", "tenth", "none", "segments", "report"]);
  assert.equal(all[0].series, "report");
});
