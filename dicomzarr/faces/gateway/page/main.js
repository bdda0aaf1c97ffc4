/** The page: what the address names is shown. */

import { getJson } from "./api.js";
import { Attributes } from "./attributes.js";
import { h } from "./dom.js";
import { Jobs } from "./jobs.js";
import { seriesUrl } from "./link.js";
import { inOrder, List, StudyPage } from "./list.js";
import { Viewer } from "./viewer.js";

/** @typedef {import("./list.js").Study} Study */
/** @typedef {import("./list.js").Series} Series */
/** @typedef {import("./list.js").Archive} Archive */
/** @typedef {{name: string, title: string, url?: string, keeps: boolean}} Upstream `url` where it may be told */

const main = /** @type {HTMLElement} */ (document.querySelector("main"));
const crumbs = /** @type {HTMLElement} */ (document.querySelector("nav"));
/** @type {{close: () => void} | null} */
let shown = null;
/** @type {{upstreams: Upstream[], names: boolean}} */
let gateway = { upstreams: [], names: false };

const jobs = new Jobs(/** @type {HTMLElement} */ (document.querySelector("#jobs")));

/** What this page calls itself as long as it shows one thing; the gateway opens the series of it ahead. */
let visited = "";

/** @returns {string} the name, from now on known to the gateway */
function visit() {
  visited ||= Math.random().toString(36).slice(2);
  return visited;
}

/** Tell the gateway that what was listed is shown no more. */
function leave() {
  if (visited) void fetch(`/api/ahead/${visited}`, { method: "DELETE", keepalive: true, headers: { "Content-Type": "application/json" } }).catch(() => {});
  visited = "";
}

/** A path below a route, with the upstream's name where there are several. @param {string} upstream */
const inside = (upstream) => (gateway.upstreams.length > 1 ? `${upstream}/` : "");

/** @type {Archive} */
const archive = {
  get upstreams() {
    return gateway.upstreams;
  },
  get names() {
    return gateway.names;
  },
  showNames(shown) {
    gateway.names = shown;
    sessionStorage.setItem("names", shown ? "1" : "0");
  },
  async studies(query, upstream, skip, signal) {
    const asked = new URLSearchParams(query);
    if (skip) asked.set("offset", String(skip));
    if (gateway.names) asked.set("phi", "1");
    const [from, to] = ["from", "to"].map((name) => {
      const date = (asked.get(name) ?? "").replaceAll("-", "");
      asked.delete(name);
      return date;
    });
    if (from || to) asked.set("date", `${from}-${to}`);
    const patient = asked.get("patient");
    asked.delete("patient");
    if (patient) asked.set(/\d/.test(patient) ? "patient_id" : "patient_name", `*${patient}*`);
    const page = await getJson(`/api/${inside(upstream)}studies?${asked}`, { signal });
    return { next: following(page), studies: page.rows.map((/** @type {any} */ row) => study(row, upstream)) };
  },
  async study({ study: uid, upstream }, signal) {
    const { rows } = await getJson(`/api/${inside(upstream)}studies?study=${uid}${gateway.names ? "&phi=1" : ""}`, { signal });
    return rows.length === 1 ? study(rows[0], upstream) : undefined;
  },
  async series(study, skip, signal) {
    const page = await getJson(`/api/${inside(study.upstream)}studies/${study.study}/series?limit=200${skip ? `&offset=${skip}` : ""}&page=${visit()}`, { signal });
    return { next: following(page), series: inOrder(page.rows.map((/** @type {any} */ row) => ({ description: "", modality: "", ...row, pixels: row.pixels !== false }))) };
  },
  thumbnail: (study, series) => `/api/${inside(study.upstream)}studies/${study.study}/series/${series.series}/thumbnail`,
  attributes: (study, series) => void new Attributes(`${study.upstream}/studies/${study.study}/series/${series}`, gateway.names),
  kept(study, series, title, signal, counted) {
    if (!gateway.upstreams.find(({ name }) => name === study.upstream)?.keeps) return null;
    const path = `${study.upstream}/studies/${study.study}${series ? `/series/${series}` : ""}`;
    return jobs.control(path, title, series ? "Keep on disk" : "Keep the study on disk", signal, counted);
  },
  link: (study, series) => (series ? `/view/${inside(study.upstream)}${study.study}/${series.series}` : `/study/${inside(study.upstream)}${study.study}`),
};

/** Where the next page begins; undefined where this was the last. @param {{more: boolean, offset: number, limit: number}} page of the API @returns {number | undefined} */
const following = ({ more, offset, limit }) => (more ? offset + limit : undefined);

/** A name as people write it: family, given (PS3.5 section 6.2.1), in each of its scripts. @param {string} name */
const personText = (name) => name.split("=").map((script) => script.replace(/\^+$/, "").replace("^", ", ").replaceAll("^", " ").trim()).filter(Boolean).join(" · ");

/** @param {any} row of the API @param {string} upstream @returns {Study} */
function study(row, upstream) {
  const patient = [personText(row.patient_name ?? ""), row.patient_id].filter(Boolean).join(" · ");
  return { description: "", date: "", modalities: [], ...row, patient, upstream };
}

/** @param {string} link */
function go(link) {
  history.pushState(null, "", link);
  show();
}

/** Show what the address names. */
function show() {
  shown?.close();
  leave();
  const [kind, ...rest] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const upstream = gateway.upstreams.length > 1 ? /** @type {string} */ (rest.shift() ?? "") : (gateway.upstreams[0]?.name ?? "");
  const [studyUid, seriesUid] = rest;
  const named = { study: studyUid, upstream, description: "", date: "", modalities: [] };
  document.body.dataset.page = kind ?? "list";
  crumbs.replaceChildren(...(kind ? [link("/", "← Studies")] : []), ...(kind === "view" ? [link(archive.link(named), "Series")] : []));
  const known = gateway.upstreams.find(({ name }) => name === upstream);
  /** @type {HTMLElement} */ (document.querySelector("#upstream")).textContent = kind ? (known?.title ?? "") : gateway.upstreams.map(({ title }) => title).join(", ");
  document.title = "dicomzarr";
  if (kind === "view" && known && seriesUid) shown = viewer(known, named, seriesUid);
  else if (kind === "study" && known && studyUid) shown = new StudyPage(main, archive, named, go);
  else if (!kind) shown = new List(main, archive, go);
  else main.replaceChildren(h("p.message", {}, "There is nothing at this address. ", link("/", "See the studies.")));
}

/** @param {string} target @param {string} text */
function link(target, text) {
  return h("a", { href: target, onclick: (/** @type {MouseEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(target);
  } }, text);
}

/** @param {Upstream} upstream @param {Study} study @param {string} series */
function viewer(upstream, study, series) {
  const path = `${inside(upstream.name)}studies/${study.study}/series/${series}`;
  const url = seriesUrl(upstream.url ?? "dicomfile:///FOLDER", study.study, series);
  const where = upstream.url ? "" : `# FOLDER is where ${upstream.name} lies\n`;
  const zarrUrl = (/** @type {import("./zarr.js").Image} */ image) => `${location.origin}/0.5/${path}.zarr${image.path ? `/${image.path}` : ""}`;
  const napariUrl = url.replace("dicomfile:///", "dicomfile://localhost/");  // napari takes a URL without a host for a path
  const code = (/** @type {import("./zarr.js").Image} */ image) => {
    const which = !image.path ? "" : /^\d+$/.test(image.path) ? `.images[${image.path}]` : `.associated["${image.path.split("/")[1]}"]`;
    return [
      { name: "Python", text: `import dicomzarr\n\n${where}image = dicomzarr.open("${url}")${which}\nlevel = image.levels[0]  # ${image.finest.shape.join(" x ")}` },
      { name: "zarr", text: `import zarr\n\ngroup = zarr.open_group("${zarrUrl(image)}", mode="r")\narray = group["0"]  # ${image.finest.shape.join(" x ")}` },
      { name: "napari", text: `napari --plugin dicomzarr "${napariUrl}"\n\n# or, by pip install napari-ome-zarr\nnapari --plugin napari-ome-zarr "${zarrUrl(image)}"` },
    ];
  };
  /** @type {Viewer} */
  const page = new Viewer(main, { attributes: () => archive.attributes(study, series), kept: (title) => archive.kept(study, series, title, page.abort.signal, true), path: `/api/${path}`, thumbnail: `/api/${path}/thumbnail`, code, zarrUrl, back: () => go("/"), description: "" });
  void page.open();
  getJson(`/api/${inside(study.upstream)}studies/${study.study}/series?series=${series}&page=${visit()}`, { signal: page.abort.signal })
    .then(({ rows }) => page.describe(rows.find((/** @type {Series} */ each) => each.series === series)?.description ?? ""), () => {});
  return page;
}

/** Light, dark, or as the system is. */
function theme() {
  const button = /** @type {HTMLElement} */ (document.querySelector("#theme"));
  const set = (/** @type {string|null} */ name) => {
    if (name) document.documentElement.dataset.theme = name;
  };
  set(localStorage.getItem("theme"));
  button.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    set(next);
    localStorage.setItem("theme", next);
  });
}

const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);  // a cookie has it now: an address that is copied or remembered should not
}
theme();
addEventListener("pagehide", leave);
addEventListener("popstate", () => {
  if (document.body.dataset.path !== location.pathname) show();
});
new MutationObserver(() => (document.body.dataset.path = location.pathname)).observe(main, { childList: true });
try {
  const { upstreams } = await getJson("/api/");
  gateway = { upstreams: upstreams.map((/** @type {any} */ each) => ({ ...each, title: each.name })), names: sessionStorage.getItem("names") === "1" };
  show();
  if (gateway.upstreams.some(({ keeps }) => keeps)) void jobs.ask();
} catch (error) {
  main.replaceChildren(h("p.message", {}, error instanceof Error ? error.message : String(error), " ", h("button", { type: "button", onclick: () => location.reload() }, "Try again")));
}
