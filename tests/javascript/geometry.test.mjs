import assert from "node:assert/strict";
import { test } from "node:test";

import { affineAt, direction, dot, inverse, lengthText, letters, roundLength, shear, toPatient, turned, upright } from "../../dicomzarr/faces/gateway/page/geometry.js";
import { nearest } from "../../dicomzarr/faces/gateway/page/planes.js";

const AXIAL = [[2, 0, 0, -100], [0, 3, 0, -90], [0, 0, 5, 10], [0, 0, 0, 1]];
const SAGITTAL = [[0, 0, 4, -40], [1, 0, 0, -80], [0, -1, 0, 120], [0, 0, 0, 1]];

test("a voxel lies where its affine says", () => {
  assert.deepEqual(toPatient(AXIAL, 1, 2, 3), [-98, -84, 25]);
});

test("a time lies where its pose says, where it has one", () => {
  assert.equal(affineAt({ affine: AXIAL }, 1), AXIAL);
  const facts = { affine: AXIAL, poses: [AXIAL, SAGITTAL, null] };
  assert.deepEqual([0, 1, 2].map((t) => affineAt(facts, t)), [AXIAL, SAGITTAL, null]);
});

test("letters say where a direction points, the largest part first", () => {
  assert.equal(letters(direction(AXIAL, 0)), "L");
  assert.equal(letters(direction(AXIAL, 1)), "P");
  assert.equal(letters(direction(AXIAL, 2)), "H");
  assert.equal(letters(direction(SAGITTAL, 1)), "F");
  assert.equal(letters([0.6, 0, -0.8]), "FL");
  assert.equal(letters([0.05, 0.99, 0.1]), "P");
  assert.deepEqual([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -0.8, -0.6]].map((vector) => letters(vector, true)), ["LE", "D", "CR", "VCD"]);
});

test("the inverse of an affine undoes it", () => {
  const back = inverse(SAGITTAL);
  for (const [column, row, slice] of [[0, 0, 0], [3, 5, 7], [-1, 2.5, 9]]) {
    const at = toPatient(back, ...toPatient(SAGITTAL, column, row, slice));
    at.forEach((value, axis) => assert.ok(Math.abs(value - [column, row, slice][axis]) < 1e-9));
  }
  assert.throws(() => inverse([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), /no inverse/);
});

test("each patient axis has the voxel axis that runs along it, whichever way a volume was taken", () => {
  assert.deepEqual(nearest(upright(AXIAL)), [{ axis: 0, sign: 1 }, { axis: 1, sign: 1 }, { axis: 2, sign: 1 }]);
  assert.deepEqual(nearest(upright(SAGITTAL)), [{ axis: 2, sign: 1 }, { axis: 0, sign: 1 }, { axis: 1, sign: -1 }]);
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  const oblique = nearest(upright([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]));
  assert.deepEqual(oblique.map(({ axis }) => axis).sort(), [0, 1, 2]);
});

test("axes are at right angles whatever slices are sheared by, and those of the slices stay", () => {
  const near = (one, other) => one.forEach((value, i) => assert.ok(Math.abs(value - other[i]) < 1e-12, `${one} ${other}`));
  for (const affine of [AXIAL, SAGITTAL]) upright(affine).forEach((axis, index) => near(axis, direction(affine, index)));
  for (const [x, y] of [[0, 1.2], [-3, 2], [0.01, 0], [40, 0]]) {
    const affine = [[2, 0, x, 0], [0, 3, y, 0], [0, 0, -5, 0], [0, 0, 0, 1]];
    const axes = upright(affine);
    axes.forEach((one, i) => axes.forEach((other, j) => assert.ok(Math.abs(dot(one, other) - Number(i === j)) < 1e-12)));
    near(axes[2], [0, 0, -1]);
    assert.ok(Math.abs(shear(affine) - (180 / Math.PI) * Math.atan2(Math.hypot(x, y), 5)) < 1e-6);
  }
  assert.ok(shear(AXIAL) < 1e-6);
});

test("a step is turned as its ends are", () => {
  const [x, y, z] = [0, 1, 2].map((i) => toPatient(SAGITTAL, 4, 5, 6)[i] - toPatient(SAGITTAL, 1, 7, 6)[i]);
  assert.deepEqual(turned(SAGITTAL, [3, -2, 0]), [x, y, z]);
});

test("scale bars are 1, 2 or 5 times a power of ten, and never longer than there is room", () => {
  for (const most of [0.013, 0.9, 1, 1.99, 2, 4.2, 7, 99, 1234]) {
    const length = roundLength(most);
    assert.ok(length <= most && length > most / 2.51, `${length} of ${most}`);
    assert.match(String(Number((length / 10 ** Math.floor(Math.log10(length * 1.0000001))).toPrecision(3))), /^[125]$/);
  }
  assert.equal(lengthText(200, "micrometer"), "200 µm");
  assert.equal(lengthText(2000, "micrometer"), "2 mm");
  assert.equal(lengthText(50, "millimeter"), "5 cm");
  assert.equal(lengthText(0.5, "millimeter"), "500 µm");
  assert.equal(lengthText(100, undefined), "100 px");
});
