// One entry of the log: its evidence, and what an operator says of it.

import { postJson } from "./api.js";
import { scale } from "./decision.js";
import { h } from "./dom.js";
import { personField } from "./person-field.js";
import { announce, openDialog, showError } from "./shell.js";

// Who it was, for the eye: a name, or why there is none.
export function whoCell({ verdict, name, forgotten }) {
  if (forgotten) return h("span", { class: "soft", t: "who_forgotten" });
  if (verdict === "match") return h("span", {}, name);
  return h("span", { class: `chip ${verdict === "ambiguous" ? "maybe" : "no"}`, t: `who_${verdict.replaceAll(" ", "_")}` });
}

// Shows an entry; `changed(entry)` is called where an operator said something.
export function openEntry(entry, changed) {
  const content = h("div", { class: "stack" });
  const tell = async (path, value, said) => {
    try {
      const answer = await postJson(`/v1/checkins/${entry.id}/${path}`, value);
      changed(answer);
      content.replaceChildren(...sections(answer, tell));
      announce(said);
    } catch (error) {
      showError(content, error);
    }
  };
  content.append(...sections(entry, tell));
  return openDialog(["entry_title", entry.id], () => content);
}

function sections(entry, tell) {
  const { decision } = entry;
  return [
    h("p", { class: "big" }, whoCell(entry)),
    scale(decision),
    h("dl", { class: "facts" }, facts(entry)),
    h("div", { class: "row" }, h("button", { type: "button", class: "primary", t: "entry_right", on: { click: () => tell("confirm", {}, "confirmed") } })),
    correction(tell),
  ].filter(Boolean);
}

function facts({ time, kind, direction, camera, review, reviewed_at: reviewedAt, request_id: request, decision }) {
  const fact = (title, value) => [h("dt", { t: title }), h("dd", {}, typeof value === "string" ? value : h("span", { t: value }))];
  const some = (title, value) => (value === null || value === undefined ? [] : fact(title, value));
  const figure = (value) => (value === null ? null : ["figure", value]);
  return [
    fact("log_time", ["moment", time]), fact("entry_kind", [`kind_${kind}`]),
    direction ? fact("log_direction", [direction === "in" ? "in_word" : "out_word"]) : [],
    some("entry_camera", camera), some("entry_reason", decision.reason || null),
    review ? fact("log_review", ["review_at", review, reviewedAt]) : [],
    decision.distance === null ? [] : fact("entry_nearest", ["runner_up_at", decision.nearest ?? "–", decision.distance]),
    fact("threshold", figure(decision.threshold)),
    decision.runner_up_distance === null ? [] : fact("runner_up", ["runner_up_at", decision.runner_up ?? "–", decision.runner_up_distance]),
    some("entry_bound", decision.bound === null ? null : ["share", decision.bound]),
    fact("entry_gallery", ["whole", decision.gallery_size]),
    fact("fact_model", decision.model.slice(0, 16)), some("fact_version", decision.calibration || null), some("entry_request", request),
  ].flat();
}

function correction(tell) {
  const list = h("datalist", { id: "correct-list" });
  const input = h("input", { type: "search", list: "correct-list", autocomplete: "off", id: "correct-name" });
  const field = personField(input, list);
  const problem = h("div");
  const submit = async (event) => {
    event.preventDefault();
    const id = await field.id().catch(() => undefined);
    if (id) await tell("correct", { person_id: id }, "corrected");
    else problem.replaceChildren(h("div", { class: "notice maybe", role: "alert" }, h("strong", { t: input.value ? ["nobody_found", input.value] : "name_first" })));
  };
  return h("form", { class: "stack", on: { submit } },
    h("h3", { t: "entry_wrong" }),
    h("div", { class: "field-row" }, h("label", {}, h("span", { t: "entry_who" }), input, list), h("button", { t: "correct" })),
    problem,
    h("div", {}, h("button", { type: "button", class: "quiet", t: "was_nobody", on: { click: () => tell("correct", { person_id: null }, "corrected") } })));
}
