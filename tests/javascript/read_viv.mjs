// Reads every level of an image with the loader of viv, as Avivator and Vitessce do: node read_viv.mjs URL. Prints JSON.
import { createHash } from "node:crypto";
import { loadOmeZarr } from "@vivjs/loaders";

const { data } = await loadOmeZarr(process.argv[2], { type: "multiscales" });
const levels = [];
for (const level of data) {
  const { labels, shape, dtype, tileSize } = level;
  const first = Object.fromEntries(labels.slice(0, -2).map((label) => [label, 0]));
  const channels = labels.includes("c") ? shape[labels.indexOf("c")] : 1;
  const planes = [];
  for (let c = 0; c < channels; c++) {
    const selection = labels.includes("c") ? { ...first, c } : first;
    const { data: values } = await level.getRaster({ selection });
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    planes.push(createHash("sha256").update(bytes).digest("hex"));
  }
  levels.push({ labels, shape, dtype, tileSize, planes });
}
console.log(JSON.stringify({ levels }));
