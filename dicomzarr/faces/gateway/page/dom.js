/** Elements in one line. Text is always text: nothing that a server says becomes markup. */

/**
 * Make an element.
 * @param {string} tag its name, with classes after dots: "p.quiet"
 * @param {Record<string, any>} [attributes] attributes; functions listen to events ("onclick"), true is a bare attribute, false and null are none
 * @param {...(Node|string|number|null|undefined|false|Array<Node|string>)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled" || key === "hidden") Reflect.set(element, key, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => child instanceof Node ? child : String(child)));
  return element;
}

/**
 * Wait until nothing has been asked for some time, then do it once.
 * @param {number} milliseconds
 * @param {() => void} act
 */
export function debounced(milliseconds, act) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}

/** A number as people read it: three digits that count, no trailing zeros. @param {number} value */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
