// Reads every level of an image with zarrita, as browsers do: node read_zarr.mjs URL. Prints JSON.
import { createHash } from "node:crypto";
import * as zarr from "zarrita";

const store = new zarr.FetchStore(process.argv[2]);
const group = await zarr.open(store, { kind: "group" });
const { multiscales } = group.attrs.ome ?? group.attrs;
const levels = [];
for (const { path } of multiscales[0].datasets) {
  const array = await zarr.open(group.resolve(path), { kind: "array" });
  const { data, shape } = await zarr.get(array);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  levels.push({
    shape,
    chunks: array.chunks,
    dtype: array.dtype,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  });
}
console.log(JSON.stringify({ version: multiscales[0].version ?? group.attrs.ome.version, levels }));
