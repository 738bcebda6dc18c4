// Draw a symbol once, name it, draw it again: it is known.

import { get, postForm } from "./api.js";
import { announceDecision, decisionView, keyOf } from "./decision.js";
import { $, h, icon, show } from "./dom.js";
import { enroll } from "./enroll.js";
import { say } from "./i18n.js";
import { Pad } from "./pad.js";
import { takePictures } from "./pictures.js";
import { announce, showError, start } from "./shell.js";
import { thumbnail } from "./thumbnail.js";

const PAUSE = 650; // ms after the last stroke, then it is asked who it is
const SHOWN = 12; // of those who are known

const elements = { answer: $("#answer"), outcome: $("#outcome"), name: $("#name"), known: $("#known") };
let pad;
let known = 0; // how many are enrolled
let picture = null; // one that was chosen in place of a drawing
let taught = false; // something was named since the page was opened
let waiting = 0; // the timer of the pause
let asking = null; // the AbortController of the question under way

start(async () => {
  pad = new Pad($("#pad"));
  pad.addEventListener("begin", begin);
  pad.addEventListener("change", changed);
  pad.addEventListener("pen", () => announce(pad.penDown ? "pen_down" : "pen_up"));
  $("#undo").prepend(icon("undo"));
  $("#clear").prepend(icon("clear"));
  $("#file").parentElement.prepend(icon("picture"));
  $("#undo").addEventListener("click", () => pad.undo());
  $("#clear").addEventListener("click", () => { forgetPicture(); pad.clear(); elements.outcome.replaceChildren(); });
  $("#name-form").addEventListener("submit", remember);
  takePictures({ input: $("#file"), zone: $("#drop"), paste: true }, choosePicture);
  await listKnown();
  changed();
});

function begin() {
  clearTimeout(waiting);
  asking?.abort();
  forgetPicture();
  elements.outcome.replaceChildren();
  show($("#pad-hint"), false);
}

function changed() {
  const nothing = pad.empty && !picture;
  show($("#pad-hint"), nothing);
  $("#undo").disabled = pad.empty;
  $("#clear").disabled = nothing;
  clearTimeout(waiting);
  asking?.abort();
  elements.answer.replaceChildren();
  $("#pad-answer").replaceChildren();
  if (!nothing && known) waiting = setTimeout(ask, PAUSE);
  showSteps();
}

function showSteps() {
  const nothing = pad.empty && !picture;
  const now = taught ? 2 : nothing ? 0 : 1;
  show($("#steps"), known === 0 || (taught && known < 3));
  [...$("#steps").children].forEach((step, index) => {
    step.classList.toggle("done", index < now);
    if (index === now) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
}

async function ask() {
  asking = new AbortController();
  const { signal } = asking;
  try {
    const decision = await postForm("/v1/identify", { picture: await current() }, { signal });
    elements.answer.replaceChildren(decisionView(decision, "draw"));
    showOnPad(decision);
    announceDecision(decision, "draw");
    say($("#name-label"), decision.decision === "match" ? "name_other" : "name_it");
  } catch (error) {
    if (error.name === "AbortError") return;
    elements.answer.replaceChildren();
    showError(elements.answer, error);
  }
}

// On a phone the answer stands below the fold: its gist is shown on the pad.
function showOnPad(decision) {
  const match = decision.decision === "match";
  $("#pad-answer").className = keyOf(decision);
  $("#pad-answer").replaceChildren(icon(match ? "yes" : "no"), match ? decision.name : h("span", { t: `draw_${keyOf(decision)}` }));
}

async function remember(event) {
  event.preventDefault();
  if (pad.empty && !picture) {
    elements.outcome.replaceChildren(h("div", { class: "notice maybe", role: "alert" }, h("strong", { t: "draw_first" })));
    $("#pad").focus();
    return;
  }
  clearTimeout(waiting);
  const name = elements.name.value.trim();
  await enroll({ name, picture: await current() }, elements.outcome, async () => {
    taught = true;
    known += 1;
    elements.name.value = "";
    forgetPicture();
    pad.clear(); // at once: who draws on already loses nothing
    say($("#name-label"), "name_it");
    await listKnown();
  });
}

const current = () => picture ?? pad.toBlob();

function choosePicture(file) {
  pad.clear();
  picture = file;
  const shown = h("img", { class: "chosen", src: URL.createObjectURL(file), alt: "" });
  $("#drop").append(shown);
  changed();
}

function forgetPicture() {
  picture = null;
  const shown = $("#drop .chosen");
  if (shown) URL.revokeObjectURL(shown.src);
  shown?.remove();
}

async function listKnown() {
  const { people, total } = await get("/v1/people", { limit: SHOWN });
  known = total;
  show($("#known-section"), total > 0);
  elements.known.replaceChildren(
    ...people.map((person) =>
      h("li", {}, h("a", { href: `/people.html#${person.id}` }, thumbnail(person), h("span", {}, person.name)))),
  );
}
