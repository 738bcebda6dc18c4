// Two drawings of the same figures: the ROC, and the histogram of distances. Each can mark one threshold.

import { svg } from "./dom.js";
import { text } from "./i18n.js";

const WIDTH = 420;
const HEIGHT = 300;
const LEFT = 62;
const BOTTOM = 36;
const TOP = 12;
const RIGHT = 10;
const BINS = 50;
const LEAST_FAR = 1e-4; // where the logarithmic axis begins; rarer is drawn there

const across = (portion) => LEFT + portion * (WIDTH - LEFT - RIGHT);
const up = (portion) => HEIGHT - BOTTOM - portion * (HEIGHT - BOTTOM - TOP);

function frame(label, { x, y, xTitle, yTitle }) {
  const word = (content, place) => svg("text", place, content);
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    x.map(([portion, content]) => [
      svg("line", { class: "grid", x1: across(portion), x2: across(portion), y1: up(0), y2: up(1) }),
      word(content, { x: across(portion), y: HEIGHT - 18, "text-anchor": portion > 0.97 ? "end" : "middle" })]).flat(),
    y.map(([portion, content]) => [
      svg("line", { class: "grid", x1: across(0), x2: across(1), y1: up(portion), y2: up(portion) }),
      word(content, { x: LEFT - 7, y: up(portion) + 4, "text-anchor": "end" })]).flat(),
    svg("line", { class: "axis", x1: across(0), x2: across(1), y1: up(0), y2: up(0) }),
    word(xTitle, { x: across(0.5), y: HEIGHT - 2, "text-anchor": "middle" }),
    yTitle ? word(yTitle, { x: -up(0.5), y: 12, transform: "rotate(-90)", "text-anchor": "middle" }) : null);
}

const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// How many of the right ones are let in, over how many strangers are; `mark(index)` shows where a threshold stands.
export function rocChart({ far, frr }) {
  const portion = (share) => 1 - Math.log10(Math.max(share, LEAST_FAR)) / Math.log10(LEAST_FAR);
  const point = (index) => [across(portion(far[index])), up(1 - frr[index])];
  const percents = [0.0001, 0.001, 0.01, 0.1, 1].map((share) => [portion(share), text("share", share)]);
  const quarters = [0, 0.25, 0.5, 0.75, 1].map((share) => [share, text("share", share)]);
  const chart = frame(text("roc_label"), { x: percents, y: quarters, xTitle: text("strangers_in"), yTitle: text("right_in") });
  const dot = svg("circle", { class: "at", r: 6.5, "stroke-width": 2 });
  chart.append(svg("path", { class: "roc", d: path(far.map((_, index) => point(index))) }), dot);
  const mark = (index) => {
    const [x, y] = point(index);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
  };
  return { chart, mark };
}

// How far pictures of the same and of different ones lie apart: each as shares of its own pairs.
export function histogram({ threshold, same, different }) {
  const last = threshold.at(-1);
  const wide = Math.ceil((threshold.length - 1) / BINS); // thresholds a bar: bars of unlike width would look like peaks
  const bars = { same: inBars(same, wide), different: inBars(different, wide) };
  const highest = Math.max(...bars.same, ...bars.different, 1e-9);
  const end = (bar) => across(threshold[Math.min(threshold.length - 1, bar * wide)] / last);
  const ticks = Array.from({ length: Math.floor(2 * last) + 1 }, (_, half) => [half / 2 / last, (half / 2).toFixed(1)]);
  const chart = frame(text("histogram_label"), { x: ticks, y: [], xTitle: text("distance"), yTitle: text("share_of_pairs") });
  for (const [name, shares] of Object.entries(bars)) {
    const steps = shares.flatMap((share, bar) => [[end(bar), up(share / highest)], [end(bar + 1), up(share / highest)]]);
    chart.append(svg("path", { class: name, d: `${path([[across(0), up(0)], ...steps, [across(1), up(0)]])}Z` }));
  }
  const line = svg("line", { class: "at", y1: up(0), y2: up(1) });
  chart.append(line);
  const mark = (index) => ["x1", "x2"].forEach((side) => line.setAttribute(side, across(threshold[index] / last)));
  return { chart, mark };
}

// counts[i] are those above the threshold before i, up to that of i: what is exactly at 0 goes with the first.
function inBars(counts, wide) {
  const total = counts.reduce((sum, each) => sum + each, 0) || 1;
  const bars = new Array(Math.ceil((counts.length - 1) / wide)).fill(0);
  counts.forEach((each, index) => { bars[Math.floor(Math.max(0, index - 1) / wide)] += each / total; });
  return bars;
}
