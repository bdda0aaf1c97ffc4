/** Where pixels lie: patient coordinates, anatomical letters, scale bars. No DOM, no network. */

/** @typedef {number[][]} Affine 4 x 4, (column, row, slice, 1) to millimetres */

/**
 * Where a voxel's centre lies.
 * @param {Affine} affine @param {number} column @param {number} row @param {number} slice
 * @returns {[number, number, number]} millimetres, LPS
 */
export function toPatient(affine, column, row, slice) {
  const at = (/** @type {number} */ i) => affine[i][0] * column + affine[i][1] * row + affine[i][2] * slice + affine[i][3];
  return [at(0), at(1), at(2)];
}

/**
 * The affine of a time: where the patient moved, each has a pose of its own.
 * @param {{affine?: Affine | null, poses?: (Affine | null)[]}} facts @param {number} t
 * @returns {Affine | null | undefined} none where nothing says it
 */
export const affineAt = ({ affine, poses }, t) => (poses ? poses[t] : affine);

/** @param {Affine} affine @param {number} axis 0 column, 1 row, 2 slice @returns {number[]} its direction, of length 1 */
export function direction(affine, axis) {
  const vector = [0, 1, 2].map((i) => affine[i][axis]);
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

/** @param {number[]} one @param {number[]} other */
export const dot = (one, other) => one.reduce((sum, value, axis) => sum + value * other[axis], 0);

/** A step, where an affine takes it. @param {Affine} affine @param {number[]} step @returns {number[]} */
export const turned = (affine, step) => [0, 1, 2].map((i) => dot(step, affine[i]));

/**
 * Three directions at right angles: those of columns, rows and slices; of sheared slices their normal, towards the next slice.
 * @param {Affine} affine @returns {number[][]} of length 1
 */
export function upright(affine) {
  /** @type {number[][]} */ const axes = [];
  for (const axis of [0, 1, 2]) {
    const along = direction(affine, axis);
    const rest = axes.reduce((left, taken) => left.map((value, i) => value - dot(along, taken) * taken[i]), along);
    axes.push(rest.map((value) => value / Math.hypot(...rest)));
  }
  return axes;
}

/** By how many degrees slices are sheared. @param {Affine} affine */
export const shear = (affine) => (180 / Math.PI) * Math.acos(Math.min(1, dot(direction(affine, 2), upright(affine)[2])));

const LETTERS = [["R", "L"], ["A", "P"], ["F", "H"]];
/** Of animals on four legs: right and left, ventral and dorsal, caudal and cranial. */
const LETTERS_OF_ANIMALS = [["RT", "LE"], ["V", "D"], ["CD", "CR"]];

/**
 * Anatomical letters towards which a direction points, the largest part first; parts under 0.2 (12 degrees) are left out.
 * Towards growing x is left, growing y posterior, growing z head (PS3.3 section C.7.6.2.1.1).
 * @param {number[]} vector of length 1, LPS @param {boolean} [isAnimal] AnatomicalOrientationType is QUADRUPED (section C.7.6.1.1.1)
 */
export function letters(vector, isAnimal = false) {
  return [0, 1, 2]
    .filter((axis) => Math.abs(vector[axis]) > 0.2)
    .sort((one, other) => Math.abs(vector[other]) - Math.abs(vector[one]))
    .map((axis) => (isAnimal ? LETTERS_OF_ANIMALS : LETTERS)[axis][vector[axis] > 0 ? 1 : 0])
    .join("");
}

/** @param {number[]} vector */
export const opposite = (vector) => vector.map((value) => -value);

/**
 * The longest round length that fits, for a scale bar.
 * @param {number} most in the unit
 * @returns {number} 1, 2 or 5 times a power of ten
 */
export function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((digit) => digit * power).find((length) => length <= most) ?? power;
}

/**
 * A length as people write it.
 * @param {number} length @param {string|undefined} unit of OME-Zarr: micrometer, millimeter
 */
export function lengthText(length, unit) {
  if (unit === "micrometer") return length >= 1000 ? `${tidy(length / 1000)} mm` : `${tidy(length)} µm`;
  if (unit === "millimeter") return length >= 10 ? `${tidy(length / 10)} cm` : length < 1 ? `${tidy(length * 1000)} µm` : `${tidy(length)} mm`;
  return `${tidy(length)} px`;
}

/** @param {number} value */
const tidy = (value) => String(Number(value.toPrecision(6)));

/** @param {Affine} m @returns {Affine} the inverse of an affine; throws where there is none */
export function inverse(m) {
  const [[a, b, c], [d, e, f], [g, k, l]] = m;
  const det = a * (e * l - f * k) - b * (d * l - f * g) + c * (d * k - e * g);
  if (!det) throw new Error("The affine has no inverse.");
  const r = [
    [(e * l - f * k) / det, (c * k - b * l) / det, (b * f - c * e) / det],
    [(f * g - d * l) / det, (a * l - c * g) / det, (c * d - a * f) / det],
    [(d * k - e * g) / det, (b * g - a * k) / det, (a * e - b * d) / det],
  ];
  const t = [m[0][3], m[1][3], m[2][3]];
  return [...r.map((row) => [...row, -(row[0] * t[0] + row[1] * t[1] + row[2] * t[2])]), [0, 0, 0, 1]];
}
