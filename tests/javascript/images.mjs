/** Images as their documents say them. */

import { Image } from "../../dicomzarr/faces/gateway/page/zarr.js";

export function image({ axes = "zyx", shape = [4, 8, 8], dtype = "int16", facts = {}, channels = [], label } = {}) {
  const chunks = shape.map((length, index) => ("yx".includes(axes[index]) ? length : axes[index] === "c" && length === 3 && dtype === "uint8" ? 3 : 1));
  const level = { node_type: "array", shape, data_type: dtype, fill_value: 0, chunk_grid: { configuration: { chunk_shape: chunks } } };
  const transform = [{ type: "scale", scale: shape.map(() => 2) }];
  const ome = { multiscales: [{ axes: [...axes].map((name) => ({ name })), datasets: [{ path: "0", coordinateTransformations: transform }] }], omero: { channels } };
  return new Image("", new Map([["", { attributes: { ome: label ? { ...ome, "image-label": label } : ome, dicomzarr: facts } }], ["0", level]]));
}
