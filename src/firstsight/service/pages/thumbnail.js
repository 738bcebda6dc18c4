// A small picture of somebody, or the first letter of the name where none was kept.

import { h } from "./dom.js";

export function thumbnail({ name, thumbnail: source }) {
  if (source) return h("img", { class: "thumb", src: source, alt: "", loading: "lazy", width: 96, height: 96 });
  return h("span", { class: "thumb blank", "aria-hidden": "true" }, [...name][0].toLocaleUpperCase());
}
