/** The panel beside a picture: sliders, windows, channels, segments, the lines to paste, facts. */

import { h, short } from "./dom.js";
import { Planes, whyNoPlanes } from "./planes.js";
import { segments, Stage } from "./stage.js";
import { centered, tidy, windowAround } from "./values.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./zarr.js").Image} Image */

/** Keys, as the help shows them. */
const KEYS = [
  ["↑ ↓, Page Up, Page Down", "slice before, slice after, ten at once"],
  ["Home, End", "first slice, last slice"],
  ["← →", "time before, time after; on a slide: move"],
  ["+ − 0", "closer, farther, all of it"],
  ["1 … 9", "channel on or off, or window of that number"],
  ["i", "exchange black and white"],
  ["m", "planes and 3D"],
  ["s", "segments on or off"],
  ["r, f", "turn, flip"],
  ["Space", "play, stop"],
  ["a", "all attributes of the instances"],
  ["?", "this help"],
  ["Esc", "back to the list"],
];

/** Built anew for each image; `update` lets it say what the view is now. */
export class Panel {
  /** @param {HTMLElement} element @param {Viewer} viewer */
  constructor(element, viewer) {
    this.element = element;
    this.viewer = viewer;
    /** @type {(() => void)[]} */ this.updates = [];
    this.dialog = /** @type {HTMLDialogElement} */ (h("dialog", { "aria-label": "Keys" }));
    element.replaceChildren(
      ...[this.#title(), this.#images(), this.#sliders(), this.#mode(), this.#windows(), this.#channels(), this.#segments(), this.#code(), this.#kept(), this.#facts(), this.#notices()].flat(),
      h("button.quiet", { type: "button", onclick: () => this.help() }, "Keys (?)"), this.dialog,
    );
    this.update();
  }

  /** Let all controls say what the view is now. */
  update() {
    for (const update of this.updates) update();
  }

  /** Show the keys. */
  help() {
    this.dialog.replaceChildren(
      h("h2", {}, "Keys"),
      h("dl.keys", {}, KEYS.map(([keys, does]) => [h("dt", {}, keys), h("dd", {}, does)]).flat()),
      h("p.quiet", {}, "The wheel scrolls slices, and zooms where there is one; with Ctrl it always zooms. Drag to move. Drag with the right button to change the window."),
      h("button", { type: "button", onclick: () => this.dialog.close() }, "Close"),
    );
    if (!this.dialog.open) this.dialog.showModal();
  }

  get #image() {
    return /** @type {Image} */ (this.viewer.image);
  }

  get #view() {
    return /** @type {import("./stage.js").View} */ (this.viewer.view);
  }

  get #units() {
    return /** @type {import("./values.js").Values} */ (this.viewer.units);
  }

  #title() {
    const title = h("h1");
    this.updates.push(() => (title.textContent = this.viewer.series.description || this.#image.name || "Series"));
    return title;
  }

  /** @returns {HTMLElement[]} */
  #images() {
    const { images, associated } = this.viewer;
    const all = [...images, ...associated];
    if (all.length < 2) return [];
    const name = (/** @type {Image} */ image) => (associated.includes(image) ? image.path.split("/")[1] : image.name || `Image ${image.path}`);
    const select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Image", onchange: () => this.viewer.choose(all[select.selectedIndex]) },
      all.map((image) => h("option", {}, name(image)))));
    select.selectedIndex = all.indexOf(this.#image);
    return section("Image", select);
  }

  /** @returns {HTMLElement[]} */
  #sliders() {
    const { finest } = this.#image;
    const axes = [
      { name: "z", title: "Slice", go: (/** @type {number} */ to) => this.viewer.toSlice(to) },
      { name: "t", title: "Time", go: (/** @type {number} */ to) => this.viewer.toTime(to) },
      ...(this.#units.oneByOne ? [{ name: "c", title: "Channel", go: (/** @type {number} */ to) => this.viewer.toChannel(to) }] : []),
    ].filter(({ name }) => finest.length(name) > 1);
    const parts = axes.flatMap(({ name, title, go }) => {
      const count = finest.length(name);
      const input = range(title, 0, count - 1, 1, go);
      const said = h("output");
      this.updates.push(() => {
        const at = this.#view[/** @type {"z"|"t"|"c"} */ (name)];
        input.value = String(at);
        said.textContent = `${at + 1} / ${count}${this.#told(name, at)}`;
      });
      return section(title, h("div.row", {}, input, said));
    });
    if (axes.some(({ name }) => name !== "c")) {
      const button = h("button", { type: "button", onclick: () => this.viewer.play() });
      this.updates.push(() => (button.textContent = this.viewer.playing ? "Stop" : "Play"));
      parts.push(button);
    }
    return parts;
  }

  /** What an index means, where the header says it. @param {string} axis @param {number} index */
  #told(axis, index) {
    if (axis === "c") return ` ${this.#units.channels[index]?.label ?? ""}`;
    const { coordinates } = this.#image.facts;
    for (const [name, { axis: along, values, unit }] of Object.entries(coordinates ?? {})) {
      if (along === axis && typeof values[index] === "number" && (axis === "t" ? unit : /position|location/.test(name))) return ` · ${short(values[index])} ${unit ?? ""}`;
    }
    return "";
  }

  /** @returns {HTMLElement[]} */
  #mode() {
    const why = whyNoPlanes(this.#image);
    if (this.#image.finest.length("z") < 2 || this.#image.isRgb) return [];
    const modes = /** @type {const} */ ([["slice", "Slice"], ["planes", "Planes + 3D"]]);
    const buttons = modes.map(([mode, title]) => h("button", { type: "button", disabled: mode === "planes" && Boolean(why), title: mode === "planes" ? why : null, onclick: () => this.viewer.setMode(mode) }, title));
    const solids = [["Surface", true], ["Brightest", false]].map(([name, surface]) => h("button", { type: "button", onclick: () => {
      Object.assign(this.#view.look, { surface });
      this.viewer.changed();
    } }, String(name)));
    const solid = h("div.row.wrap", { role: "group", "aria-label": "3D" }, "3D", ...solids);
    const from = /** @type {HTMLInputElement} */ (h("input", { type: "number", step: "any", onchange: () => {
      if (from.value) this.#view.look.cut = Number(from.value);
      this.viewer.changed();
    } }));
    const cut = h("label.row", {}, "Surface from ", from, this.#units.unit);
    const oblique = h("p.quiet", {}, "The slices are oblique: planes follow the volume's own axes, and letters say the nearest directions.");
    const sheared = h("p.quiet", {}, "The slices are sheared, as by a tilted gantry: planes are cut at right angles to them.");
    this.updates.push(() => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(this.viewer.mode === modes[index][0])));
      const { stage } = this.viewer, { surface, cut: least } = this.#view.look;
      solid.hidden = !(stage instanceof Planes);
      oblique.hidden = !(stage instanceof Planes && stage.isOblique);
      sheared.hidden = !(stage instanceof Planes && stage.isSheared);
      cut.hidden = !(stage instanceof Planes && surface);
      if (least !== null) from.value = String(tidy(least));
      solids.forEach((button, index) => button.setAttribute("aria-pressed", String(surface === (index === 0))));
    });
    return section("View", h("div.row.wrap", {}, ...buttons), solid, cut, oblique, sheared);
  }

  /** @returns {HTMLElement[]} */
  #windows() {
    const units = this.#units;
    if (this.#image.isRgb || (this.#view.channels.length > 1 && !units.oneByOne)) return [];
    const index = () => (units.oneByOne ? this.#view.c : 0);
    const channel = () => this.#view.channels[index()];
    const shown = () => this.viewer.stage?.window(index()) ?? channel();
    const said = h("output");
    const set = (/** @type {import("./values.js").Window} */ window) => {
      units.choose(channel(), window);
      this.viewer.changed();
    };
    const numbers = /** @type {HTMLInputElement[]} */ (["Center", "Width"].map((name) => h("input", { type: "number", step: "any", "aria-label": `Window ${name.toLowerCase()}`, onchange: () => {
      const [center, width] = numbers.map((input) => input.valueAsNumber);
      if (Number.isFinite(center) && width > 0) set(windowAround(center, width, shown().function));
      else write();
    } })));
    const write = () => {
      const { center, width } = centered(shown());
      [numbers[0].value, numbers[1].value] = [center, width].map((value) => String(tidy(value)));
    };
    this.updates.push(() => {
      if (!numbers.includes(/** @type {any} */ (document.activeElement))) write();
      said.textContent = units.unit;
    });
    const presets = units.presets.map(({ name, window }) => h("button", { type: "button", onclick: () => set(window) }, name));
    const invert = h("button", { type: "button", onclick: () => {
      this.#view.invert = !this.#view.invert;
      this.viewer.changed();
    } }, "Invert");
    this.updates.push(() => invert.setAttribute("aria-pressed", String(this.#view.invert)));
    const caution = h("p.quiet");
    const measured = h("button", { type: "button", onclick: () => {
      channel().measure = true;
      this.viewer.changed();
    } }, "Each slice");
    this.updates.push(() => {
      measured.hidden = !units.isApart(index());
      measured.setAttribute("aria-pressed", String(channel().measure));
      caution.textContent = [units.caution, this.#measuring(index())].filter(Boolean).join(" ");
      caution.hidden = !caution.textContent;
    });
    return section("Window", caution, h("div.row", {}, h("label", {}, "C ", numbers[0]), h("label", {}, "W ", numbers[1]), said), h("div.row.wrap", {}, measured, ...presets, invert));
  }

  /** How a window holds where slices are rescaled differently, and the header has none. @param {number} channel */
  #measuring(channel) {
    const { measure } = this.#view.channels[channel];
    if (!this.#units.differs(channel) || (!measure && this.#units.windows.length)) return "";
    if (!this.#units.isApart(channel)) return measure ? "The window is measured on all slices that have come." : "";
    if (!measure) return "This window holds for all slices, which are rescaled differently: some may be black or white.";
    return this.viewer.stage instanceof Planes ? "One window is measured on all slices, which are rescaled differently." : "Each slice is seen in a window that is measured on it: they are rescaled differently, and values have no unit.";
  }

  /** @returns {HTMLElement[]} */
  #channels() {
    const units = this.#units;
    if (this.#image.isRgb || units.oneByOne || this.#view.channels.length < 2) return [];
    const rows = this.#view.channels.map((channel, index) => {
      const eye = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", "aria-label": `Show ${units.channels[index]?.label ?? index}`, onchange: () => {
        channel.active = eye.checked;
        this.viewer.changed();
      } }));
      const color = /** @type {HTMLInputElement} */ (h("input", { type: "color", "aria-label": `Colour of ${units.channels[index]?.label ?? index}`, oninput: () => {
        channel.color = color.value.slice(1);
        this.viewer.changed();
      } }));
      const said = units.channels[index]?.window ?? { min: 0, max: 255 };
      const bright = range(`Brightest of ${units.channels[index]?.label ?? index}`, 0, 1, 0.001, (to) => {
        units.choose(channel, { ...channel, high: channel.low + Math.max(1e-3, to ** 2) * (said.max - channel.low) });
        this.viewer.changed();
      });
      this.updates.push(() => {
        eye.checked = channel.active;
        color.value = `#${channel.color.toLowerCase()}`;
        bright.value = String(Math.sqrt(Math.max(0, (channel.high - channel.low) / Math.max(1e-9, said.max - channel.low))));
      });
      return h("div.channel", {}, eye, color, h("span", {}, units.channels[index]?.label ?? `Channel ${index + 1}`), bright);
    });
    return section("Channels", ...rows);
  }

  /** @returns {HTMLElement[]} */
  #segments() {
    const { labels } = this.#image;
    if (!labels.length) return [];
    const rows = labels.flatMap((label) => segments(label).map(({ id, name, color }) => {
      const eye = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", onchange: () => {
        if (eye.checked) this.#view.hidden.delete(id);
        else this.#view.hidden.add(id);
        this.viewer.stage?.recolor();
        this.viewer.changed();
      } }));
      this.updates.push(() => (eye.checked = !this.#view.hidden.has(id)));
      const swatch = h("i.swatch");
      swatch.style.background = `#${color}`;
      return h("label.segment", {}, eye, swatch, name);
    }));
    const opacity = range("Opacity of segments", 0, 1, 0.01, (to) => {
      this.#view.opacity = to;
      this.viewer.changed();
    });
    const outline = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", onchange: () => {
      this.#view.outline = outline.checked;
      this.viewer.changed();
    } }));
    this.updates.push(() => {
      opacity.value = String(this.#view.opacity);
      outline.checked = this.#view.outline;
    });
    return section("Segments", ...rows, h("div.row", {}, "Opacity", opacity), h("label.segment", {}, outline, "Outline"));
  }

  /** @returns {HTMLElement[]} */
  #code() {
    const text = h("pre", { tabindex: "0" });
    const tools = h("div.row.wrap", { role: "group", "aria-label": "Lines for" });
    let chosen = 0;
    const show = () => {
      const lines = this.viewer.series.code(this.#image, this.#view);
      text.textContent = lines[chosen].text;
      tools.replaceChildren(...lines.map(({ name }, index) => h("button.tab", { type: "button", "aria-pressed": String(index === chosen), onclick: () => {
        chosen = index;
        show();
      } }, name)));
    };
    show();
    const copied = h("output.quiet", { role: "status" });
    const copy = (/** @type {string} */ name, /** @type {() => string} */ what) => h("button", { type: "button", onclick: async () => {
      try {
        await navigator.clipboard.writeText(what());
        copied.textContent = "Copied.";
      } catch {
        copied.textContent = what();  // a browser that does not let us: then by hand
      }
    } }, name);
    return section("Use it elsewhere", tools, text, h("div.row.wrap", {},
      copy("Copy", () => text.textContent ?? ""), copy("Copy OME-Zarr URL", () => this.viewer.series.zarrUrl(this.#image)), copy("Copy link", () => this.viewer.link())), copied);
  }

  /** @returns {HTMLElement[]} */
  #kept() {
    const control = this.viewer.series.kept(() => this.viewer.series.description || this.#image.name || "Series");
    return control ? section("On disk", control) : [];
  }

  /** @returns {HTMLElement[]} */
  #facts() {
    const { finest, levels, axes, facts, unit } = this.#image;
    const spacing = axes.filter((axis) => "zyx".includes(axis.name)).map((axis) => short(finest.scale[/** @type {"x"|"y"|"z"} */ (axis.name)]));
    const rows = [
      ["Size", finest.shape.join(" × ")], ["Axes", axes.map((axis) => axis.name).join(", ")], ["Type", finest.dtype],
      ["Spacing", unit ? `${spacing.join(" × ")} ${unit === "micrometer" ? "µm" : "mm"}` : "not known"], ["Levels", levels.length],
      ["Modality", facts.modality ?? ""], ["Kind", facts.kind ?? ""], ["Image type", (facts.image_type ?? []).join(" ")],
    ].filter(([, value]) => value !== "");
    return section("Facts", h("dl.facts", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), h("button", { type: "button", onclick: this.viewer.series.attributes }, "All attributes (a)"));
  }

  /** @returns {HTMLElement[]} */
  #notices() {
    const isLarge = this.viewer.stage instanceof Stage && this.viewer.stage.widest > 0;
    /** @type {string[]} */ const notices = [...(isLarge ? ["There is no level so small that all of the image can be seen at once."] : []), ...(this.#image.facts.notices ?? [])];
    return notices.length ? section("Notices", h("ul.notices", {}, notices.map((notice) => h("li", {}, notice)))) : [];
  }
}

/** @param {string} title @param {...HTMLElement} content @returns {HTMLElement[]} */
function section(title, ...content) {
  return [h("section", {}, h("h2", {}, title), ...content)];
}

/** @param {string} name @param {number} min @param {number} max @param {number} step @param {(to: number) => void} go */
function range(name, min, max, step, go) {
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "range", "aria-label": name, min, max, step, oninput: () => go(Number(input.value)) }));
  return input;
}
