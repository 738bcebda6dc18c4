// Elements without innerHTML: whatever a name contains, it stays text.

import { say } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const NOTHING = new Set([undefined, null, false]);

// h("p", { class: "note", t: ["known", name] }, child, ...). `t` and `label` are texts of the messages, for the content
// and for aria-label; `on` maps events to handlers.
export function h(tag, properties, ...children) {
  return dress(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(element, { t, label, on = {}, ...attributes } = {}, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (!NOTHING.has(value)) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  if (t) say(element, ...[t].flat());
  if (label) say.label(element, ...[label].flat());
  element.append(...children.flat().filter((child) => !NOTHING.has(child)));
  return element;
}

export const $ = (selector, root = document) => root.querySelector(selector);

export function show(element, visible) {
  element.hidden = !visible;
}

// A drawn sign beside a text that says the same.
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", viewBox: "0 0 24 24" }, svg("path", { d: ICONS[name] }));
}

const ICONS = {
  draw: "M4 20l1-4L16 5l3 3L8 19l-4 1ZM14 7l3 3",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM2.500 20c.4-4 3-6 6.500-6s6.100 2 6.500 6M16 4.500a3.300 3.300 0 0 1 0 6.200M18 14.500c2.100.8 3.300 2.600 3.500 5.500",
  model: "M4 20V4M4 20h16M7 16c3 0 3-9 6-9s3 6 7 6",
  checkin: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M8.500 12l2.500 2.500 4.500-5",
  log: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  undo: "M9 7 4.500 11.500 9 16M5 11.500h9a5 5 0 0 1 0 10h-2",
  clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  picture: "M4 5h16v14H4ZM4 16l5-5 4 4 3-3 4 4M15.500 9.500h.01",
  camera: "M4 8h3l2-3h6l2 3h3v11H4ZM12 16.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Z",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  in: "M14 4h5v16h-5M4 12h10M10.500 8l4 4-4 4",
  out: "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
  download: "M12 4v11M7.500 11l4.500 4.500 4.500-4.500M5 20h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16.500 16.500 21 21",
  key: "M15 13a4.500 4.500 0 1 0-4.300-3.200L4 16.500V20h3.500v-2.500H10V15h1.800l1.400-1.400A4.500 4.500 0 0 0 15 13ZM16 8h.01",
  yes: "M4.500 12.500 10 18 20 6.500",
  no: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 8v5M12 16h.01",
};
