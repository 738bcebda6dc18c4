// Who came and went: the entries with their evidence, or a report of one day.

import { get, withQuery } from "./api.js";
import { $, h, icon, show } from "./dom.js";
import { openEntry, whoCell } from "./entry.js";
import { say } from "./i18n.js";
import { personField } from "./person-field.js";
import { showError, start } from "./shell.js";

const PAGE = 50;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

let person; // the field: `id()` is null for everyone, undefined for a name that nobody has
let next = null;
let round = 0;

start(async () => {
  person = personField($("#person"), $("#people-list"));
  $("#day").value = today();
  $("#export").prepend(icon("download"));
  $("#filters").addEventListener("submit", (event) => event.preventDefault());
  $("#filters").addEventListener("change", refresh);
  $("#more").addEventListener("click", () => list(next).catch(problem));
  document.addEventListener("language", refresh);
  await refresh();
});

const problem = (error) => showError($("#main"), error);
const isReport = () => $("input[name=view]:checked").value === "report";

function today() {
  const now = new Date();
  return `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, "0")}-${String(now.getDate()).padStart(2, "0")}`;
}

async function filter() {
  const id = await person.id();
  if (id === undefined) return null;
  return { person: id, day: $("#day").value || null, zone };
}

async function refresh() {
  const mine = ++round; // an answer to what was asked before is not shown any more
  try {
    const wanted = await filter();
    if (mine !== round) return;
    show($("#export"), wanted !== null);
    $("#export").href = withQuery("/v1/checkins/export", wanted ?? {});
    $("#person").setAttribute("aria-invalid", String(!wanted));
    if (!wanted) nothing("nobody_found", $("#person").value);
    else if (isReport()) await report(wanted);
    else await list(null);
  } catch (error) {
    problem(error);
  }
}

function nothing(...said) {
  show($("#more"), false);
  $("#content").replaceChildren(h("div", { class: "empty" }, h("p", { t: said })));
  say($("#shown"), ...said);
}

async function list(before) {
  const mine = ++round;
  const found = await get("/v1/checkins", { ...(await filter()), limit: PAGE, before });
  if (mine !== round) return;
  ({ next } = found);
  if (!found.entries.length && !before) {
    nothing("no_entries");
    return;
  }
  const lines = found.entries.map(line);
  if (before) $("#content tbody").append(...lines);
  else $("#content").replaceChildren(table(["log_time", "log_who", "log_direction", "log_distance", "log_review"], lines, "entries"));
  show($("#more"), next !== null);
  say($("#shown"), "entries_shown", $("#content tbody").children.length);
}

function line(entry) {
  const row = h("tr");
  const render = (shown) => row.replaceChildren(
    h("td", {}, h("button", { type: "button", class: "link figure", on: { click: () => openEntry(shown, render) } }, h("span", { t: ["moment", shown.time] }))),
    h("th", { scope: "row" }, whoCell(shown)),
    h("td", {}, shown.direction ? h("span", { t: shown.direction === "in" ? "in_word" : "out_word" }) : "–"),
    h("td", { class: "number" }, shown.decision.distance === null ? "–" : h("span", { t: ["figure", shown.decision.distance] })),
    h("td", {}, shown.review ? h("span", { class: "chip", t: `review_${shown.review}` }) : ""));
  render(entry);
  return row;
}

async function report({ day, person: only }) {
  const mine = ++round;
  if (!day) {
    nothing("choose_day");
    return;
  }
  const { people } = await get("/v1/checkins/day", { day, zone });
  if (mine !== round) return;
  const shown = people.filter((each) => only === null || each.person_id === only);
  if (!shown.length) {
    nothing("nobody_came");
    return;
  }
  const at = (time) => h("td", { class: "figure" }, time ? h("span", { t: ["time", time] }) : "–");
  const lines = shown.map((each) => h("tr", {}, h("th", { scope: "row" }, each.name), at(each.first_in), at(each.last_out), h("td", { class: "number", t: ["whole", each.seen] })));
  $("#content").replaceChildren(table(["report_name", "report_first_in", "report_last_out", "report_seen"], lines, "report"));
  show($("#more"), false);
  say($("#shown"), "report_shown", shown.length);
}

function table(titles, lines, id) {
  const numbers = new Set(["log_distance", "report_seen"]);
  const heads = titles.map((t) => h("th", { scope: "col", class: numbers.has(t) ? "number" : null, t }));
  return h("div", { class: "scroll card flat", tabindex: "0", role: "region", label: "log_table" }, h("table", { id }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines)));
}
