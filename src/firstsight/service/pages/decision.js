// A decision for the eye: who it is, and how near, on a line from 'alike' to 'unlike'.

import { h, icon, svg } from "./dom.js";
import { text } from "./i18n.js";
import { announce } from "./shell.js";

const WIDTH = 420;
const LINE = 44; // where the line runs, from the top

// The verdict with its scale; `kind` names the texts: "draw" speaks of drawings, "door" of people.
export function decisionView(decision, kind) {
  const key = keyOf(decision);
  const name = decision.decision === "match" ? decision.name : null;
  return h("div", { class: `verdict ${key}` },
    h("p", { class: "kind" }, icon(decision.decision === "match" ? "yes" : "no"), h("span", { t: `${kind}_${key}` })),
    name ? h("p", { class: "name" }, name) : null,
    name ? null : h("p", { t: [`${kind}_${key}_do`, decision.nearest, decision.runner_up] }),
    scale(decision), figures(decision));
}

export function announceDecision(decision, kind) {
  announce("decision_said", `${kind}_${keyOf(decision)}`, decision);
}

// What the texts call a decision, or the verdict of an operator.
export function keyOf({ decision, gallery_size: size }, verdict = decision) {
  return verdict === "unknown" && size === 0 ? "nobody" : verdict.replaceAll(" ", "_");
}

function figures(decision) {
  if (decision.distance === null) return null;
  const fact = (title, value) => h("div", {}, h("dt", { t: title }), h("dd", {}, value));
  return h("dl", { class: "facts" },
    fact(decision.decision === "match" ? ["distance"] : ["distance_to", decision.nearest], h("span", { t: ["figure", decision.distance] })),
    fact("threshold", h("span", { t: ["figure", decision.threshold] })),
    decision.runner_up ? fact("runner_up", h("span", { t: ["runner_up_at", decision.runner_up, decision.runner_up_distance] })) : null);
}

// A picture for the eye of what the list of figures says: hidden from screen readers, which get the list.
export function scale({ decision, distance, threshold, nearest, runner_up: second, runner_up_distance: secondDistance }) {
  if (distance === null) return null;
  const most = Math.min(4, 1.12 * Math.max(distance, secondDistance ?? 0, 1.5 * threshold));
  const x = (value) => 8 + (Math.min(value, most) / most) * (WIDTH - 16);
  const mark = (value, size, type) => svg("circle", { class: type, cx: x(value), cy: LINE, r: size });
  const word = (value, y, content, type = "") =>
    svg("text", { x: x(value), y, class: type, "text-anchor": x(value) < 90 ? "start" : x(value) > WIDTH - 90 ? "end" : "middle" }, content);
  return svg("svg", { class: `scale ${decision}`, viewBox: `0 0 ${WIDTH} 100`, "aria-hidden": "true" },
    svg("rect", { class: "zone", x: x(0), y: LINE - 13, width: x(threshold) - x(0), height: 26, rx: 7 }),
    svg("line", { class: "line", x1: x(0), x2: x(most), y1: LINE, y2: LINE }),
    svg("line", { class: "edge", x1: x(threshold), x2: x(threshold), y1: LINE - 18, y2: LINE + 18 }),
    second ? mark(secondDistance, 6, "second") : null,
    mark(distance, 8, "nearest"),
    word(distance, 20, `${shorten(nearest)} ${text("figure", distance)}`, "strong"),
    word(threshold, LINE + 34, text("threshold_at", threshold)),
    second ? word(secondDistance, LINE + 52, `${shorten(second)} ${text("figure", secondDistance)}`) : null);
}

const shorten = (name) => ([...name].length > 22 ? `${[...name].slice(0, 21).join("")}…` : name);
