// What the threshold promises, on what evidence, and what another one would cost.

import { get } from "./api.js";
import { histogram, rocChart } from "./chart.js";
import { $, h, show } from "./dom.js";
import { say, text } from "./i18n.js";
import { start } from "./shell.js";

const ROWS = 12; // of the table

let model;
let charts = [];

start(async () => {
  [model] = (await get("/v1/models")).models;
  const { calibration, bound, templates } = model;
  say($("#promise"), bound !== null ? "promise" : model.threshold === null ? "never_measured" : "given_by_hand", bound, calibration?.identities, model.threshold);
  say($("#promise-note"), bound > calibration?.target * (1 + 1e-9) ? "beyond_note" : bound !== null ? "promise_note" : model.threshold === null ? "no_promise_note" : "by_hand_note", templates, model.threshold);
  $("#tiles").replaceChildren(
    tile("tile_people", model.people), tile("tile_templates", templates),
    tile("tile_threshold", model.threshold === null ? "–" : text("figure", model.threshold)), tile("tile_model", model.name));
  showFacts(calibration);
  const curves = model.curves && trimmed(model.curves);
  show($("#curves"), Boolean(curves));
  show($("#no-curves"), !curves);
  if (curves) showCurves(curves);
});

function tile(title, value) {
  const shown = typeof value === "number" ? h("span", { t: ["whole", value] }) : value;
  return h("div", { class: "card" }, h("dt", { t: title }), h("dd", { class: "big" }, shown));
}

function showFacts(calibration) {
  const fact = (title, ...value) => [h("dt", { t: title }), h("dd", {}, ...value)];
  const number = (value) => h("span", { t: ["whole", value] });
  $("#facts").replaceChildren(...[
    fact("fact_model", model.name), fact("fact_identity", h("code", {}, model.identity.slice(0, 16))),
    fact("fact_input", model.input), fact("fact_embedding", number(model.embedding_size)),
    ...(calibration ? [
      fact("fact_target", h("span", { t: ["share", calibration.target] })),
      fact("fact_identities", number(calibration.identities)),
      fact("fact_comparisons", h("span", { t: ["accepted_of", calibration.accepted, calibration.comparisons] })),
      fact("fact_version", h("code", {}, calibration.version)),
    ] : []),
    ...(model.spread ? [fact("fact_spread", h("span", { t: ["figure", model.spread] }))] : []),
  ].flat());
  $("#words").replaceChildren(...model.promise.map((sentence) => h("p", {}, sentence)));
}

// Without the thresholds at which everybody is let in: nothing changes there any more.
function trimmed(curves) {
  const all = curves.far.findIndex((share) => share > 0.9999);
  const end = all < 0 ? curves.far.length : Math.max(all + 1, curves.same.findLastIndex((count) => count > 0) + 1);
  return Object.fromEntries(Object.entries(curves).map(([name, value]) => [name, Array.isArray(value) ? value.slice(0, end) : value]));
}

function showCurves(curves) {
  const slider = $("#slider");
  const measured = model.threshold === null ? curves.threshold.length >> 1 : nearestIndex(curves.threshold, model.threshold);
  // where the slider stands at first is the threshold in force, not the one of the curves that is nearest to it
  const threshold = model.threshold === null ? curves.threshold : curves.threshold.map((at, index) => index === measured ? model.threshold : at);
  const costAt = (index) => showCost(curves, index, threshold[index]);
  slider.max = curves.threshold.length - 1;
  slider.addEventListener("input", () => costAt(Number(slider.value)));
  const reset = () => { slider.value = measured; costAt(measured); };
  $("#reset").addEventListener("click", reset);
  show($("#reset"), model.threshold !== null);
  say($("#cost-lead"), `cost_lead_${curves.source}`, curves.identities, curves.same_pairs, curves.different_pairs);
  const draw = () => {
    charts = [histogram(curves), ...(curves.frr?.length ? [rocChart(curves)] : [])];
    $("#histogram").replaceChildren(charts[0].chart);
    show($("#roc").closest("figure"), Boolean(curves.frr?.length));
    if (curves.frr?.length) $("#roc").replaceChildren(charts[1].chart);
    showTable(curves, measured);
    costAt(Number(slider.value));
  };
  reset();
  draw();
  document.addEventListener("language", draw);
}

function showCost(curves, index, threshold) {
  const { far, far_bound: farBound, frr, frr_low: low, frr_high: high } = curves;
  say($("#at"), "figure", threshold);
  $("#slider").setAttribute("aria-valuetext", text("figure", threshold));
  const cost = (title, value, note) => h("div", {}, h("p", { class: "soft", t: title }), h("p", { class: "big", t: value }), h("p", { class: "small soft", t: note }));
  $("#costs").replaceChildren(
    cost("cost_strangers", ["one_in", far[index]], ["cost_strangers_note", farBound[index], model.templates, boundHere(threshold, farBound[index])]),
    frr?.length ? cost("cost_right", ["share", frr[index]], ["cost_right_note", low[index], high[index]]) : "");
  for (const { mark } of charts) mark(index);
}

// The most, 95 % sure, that the share of strangers let in before all templates is: as many times as one to one, or what
// the calibration found for no fewer templates and no lower a threshold.
function boundHere(threshold, oneToOne) {
  const found = (model.calibration?.steps ?? []).filter((step) => step.size >= model.templates && step.threshold >= threshold);
  return Math.min(1, oneToOne * model.templates, ...found.map(({ bound }) => bound));
}

function showTable({ threshold, far, frr }, measured) {
  const step = Math.max(1, Math.floor(threshold.length / ROWS));
  const rows = [...new Set([...threshold.keys()].filter((index) => index % step === 0).concat(measured))].sort((a, b) => a - b);
  const cell = (t) => h("td", { class: "number", t });
  $("#table").replaceChildren(
    h("caption", { class: "hidden-visually", t: "as_table" }),
    h("thead", {}, h("tr", {}, ...["threshold", "strangers_in", "right_out"].map((t) => h("th", { scope: "col", class: "number", t })))),
    h("tbody", {}, rows.map((index) => h("tr", {},
      h("th", { scope: "row", class: "number", t: ["figure", threshold[index]] }), cell(["share", far[index]]), frr?.length ? cell(["share", frr[index]]) : h("td")))));
}

function nearestIndex(values, value) {
  return values.reduce((best, each, index) => (Math.abs(each - value) < Math.abs(values[best] - value) ? index : best), 0);
}
