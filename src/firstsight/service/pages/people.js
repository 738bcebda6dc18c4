// Who is known here: find, enroll, look at, add pictures, forget.

import { get } from "./api.js";
import { $, h, icon, show } from "./dom.js";
import { enroll } from "./enroll.js";
import { say } from "./i18n.js";
import { openPerson } from "./person.js";
import { picker } from "./picker.js";
import { openDialog, showError, start } from "./shell.js";
import { thumbnail } from "./thumbnail.js";

const PAGE = 48;
const PAUSE = 250; // ms after the last key, then it is searched

let role;
let next = null; // what to ask for the next page with
let round = 0; // an answer that comes after a newer question is not shown

start(async (session) => {
  ({ role } = session);
  $("#enroll").prepend(icon("add"));
  $("#enroll").addEventListener("click", openEnroll);
  $("#more").addEventListener("click", () => list(next).catch((error) => showError($("#main"), error)));
  $("#search-form").addEventListener("submit", (event) => event.preventDefault());
  let waiting;
  $("#search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, PAUSE);
  });
  addEventListener("hashchange", openFromAddress);
  await list(0);
  await openFromAddress();
});

const refresh = () => list(0).catch((error) => showError($("#main"), error));

async function list(after) {
  const mine = ++round;
  const search = $("#search").value.trim();
  const found = await get("/v1/people", { limit: PAGE, after, search });
  if (mine !== round) return;
  const cards = found.people.map(card);
  if (after) $("#people").append(...cards);
  else $("#people").replaceChildren(...cards);
  if (after) cards[0]?.querySelector("button").focus();
  ({ next } = found);
  show($("#more"), next !== null);
  const shown = $("#people").children.length;
  show($("#empty"), shown === 0);
  say($("#empty-text"), search ? "nobody_found" : "nobody_yet", search);
  if (search) say($("#total"), "people_found", shown, next !== null);
  else say($("#total"), "people_total", found.total);
}

function card(person) {
  return h("li", {}, h("button", { type: "button", class: "person", on: { click: () => { location.hash = person.id; } } },
    thumbnail(person),
    h("span", { class: "wide" }, h("strong", {}, person.name), h("span", { class: "small soft", t: ["pictures", person.pictures] }))));
}

async function openFromAddress() {
  const id = Number(location.hash.slice(1));
  if (!id || $("dialog")) return;
  try {
    const dialog = await openPerson(id, role, refresh);
    dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname));
  } catch (error) {
    history.replaceState(null, "", location.pathname);
    showError($("#main"), error);
  }
}

function openEnroll() {
  let picture = null;
  const name = h("input", { name: "name", required: true, maxlength: 200, autocomplete: "off" });
  const consent = h("input", { name: "consent", maxlength: 1000, autocomplete: "off" });
  const keep = h("input", { type: "checkbox", checked: true });
  const outcome = h("div", { role: "status" });
  const choice = picker((blob) => { picture = blob; outcome.replaceChildren(); });
  const submit = (event) => {
    event.preventDefault();
    if (!picture) return outcome.replaceChildren(h("div", { class: "notice maybe", role: "alert" }, h("strong", { t: "picture_first" })));
    return enroll({ name: name.value.trim(), picture, consent: consent.value, keep: keep.checked }, outcome, () => {
      name.value = consent.value = "";
      refresh();
    });
  };
  const dialog = openDialog("enroll_new", (close) => h("form", { class: "stack", on: { submit } },
    h("p", { class: "soft", t: "enroll_lead" }), choice.zone,
    h("label", {}, h("span", { t: "name_it" }), name),
    h("label", {}, h("span", { t: "consent" }), consent),
    h("label", { class: "check" }, keep, h("span", { t: "keep_picture" })),
    outcome,
    h("div", { class: "actions" }, h("button", { type: "button", t: "close", on: { click: close } }), h("button", { class: "primary", t: "remember" }))));
  dialog.addEventListener("close", choice.close);
}
