// The door: one touch is one check-in.

import { acceptedView, refusedView, waitingView } from "./answers.js";
import { postJson } from "./api.js";
import { keyOf } from "./decision.js";
import { $, h, icon, show } from "./dom.js";
import { say, text } from "./i18n.js";
import { takePictures } from "./pictures.js";
import { Queue, willRetry } from "./queue.js";
import { announce, showError, start } from "./shell.js";
import { Stage } from "./stage.js";

const SHOWN = 12_000; // ms that an answer stays: the next person should not see it
const STILL = 5_000; // ms that the picture stays which was judged
const SHOWN_LATE = 5; // answers to what was kept, the last ones

const stage = new Stage();
let queue;
let role;
let clearing = 0;
let releasing = 0;
let busy = false;

start(async (session) => {
  ({ role } = session);
  queue = await Queue.open();
  queue.addEventListener("change", ({ detail }) => showWaiting(detail));
  queue.addEventListener("sent", ({ detail: { item, entry } }) => showLate(item, "late_sent", entry));
  queue.addEventListener("refused", ({ detail: { item } }) => showLate(item, "late_refused"));
  for (const direction of ["in", "out"]) {
    $(`#${direction}`).prepend(icon(direction));
    $(`#${direction}`).addEventListener("click", () => checkIn(direction));
  }
  $("#upload").prepend(icon("picture"));
  $("#open-camera").addEventListener("click", () => stage.open());
  takePictures({ input: $("#file"), zone: $("#stage"), paste: true }, (picture) => { clear(); stage.choose(picture); });
  showClock();
  setInterval(showClock, 1000);
  document.addEventListener("visibilitychange", stayAwake);
  await Promise.all([stage.open(), stayAwake()]);
});

async function checkIn(direction) {
  if (busy) return;
  if (!stage.ready) {
    show($("#answer"), true);
    $("#answer").replaceChildren(h("div", { class: "notice maybe", role: "alert" }, h("strong", { t: "picture_first" })));
    return;
  }
  setBusy(true);
  clearTimeout(releasing);
  const at = new Date();
  const picture = await stage.take().catch((error) => {
    setBusy(false);
    answer(refusedView(error), "refused_said");
  });
  if (!picture) return;
  stage.freeze(picture, []);
  $("#answer").replaceChildren(h("p", { class: "soft looking", t: "looking" }));
  try {
    const entry = await queue.checkIn(picture, direction);
    stage.freeze(picture, entry.decision.boxes ?? [], entry.verdict);
    answer(acceptedView(entry, role, { undo, confirm }), "checkin_said", entry, keyOf(entry.decision, entry.verdict));
  } catch (error) {
    if (willRetry(error)) {
      answer(waitingView(at, direction), "kept_said");
      showWaiting((await queue.waiting()).length);
    } else {
      answer(refusedView(error), "refused_said");
    }
  } finally {
    stage.used(); // or whoever touches next would be taken for the one in it
    setBusy(false);
  }
}

function answer(view, ...said) {
  $("#answer").replaceChildren(view);
  announce(...said);
  clearTimeout(clearing);
  clearing = setTimeout(clear, SHOWN);
  clearTimeout(releasing);
  releasing = setTimeout(() => stage.release(), STILL);
}

function clear() {
  for (const timer of [clearing, releasing]) clearTimeout(timer);
  $("#answer").replaceChildren();
  stage.release();
}

function setBusy(on) {
  busy = on;
  for (const id of ["#in", "#out"]) $(id).setAttribute("aria-disabled", String(on));
}

async function undo(entry) {
  await review(`/v1/checkins/${entry.id}/undo`, "undone", "undone_do");
}

async function confirm(entry) {
  await review(`/v1/checkins/${entry.id}/confirm`, "confirmed");
}

async function review(path, title, note = null) {
  try {
    await postJson(path, {});
    answer(h("div", { class: "notice yes" }, h("strong", { t: title }), note ? h("p", { t: note }) : null), title);
  } catch (error) {
    showError($("#answer"), error);
  }
}

function showWaiting(count) {
  show($("#waiting"), count > 0);
  if (count) say($("#waiting-count"), "waiting_count", count);
}

// What became of a check-in that was kept: its person has long gone.
function showLate(item, key, entry = null) {
  const line = h("li", { class: `notice ${entry?.verdict === "match" ? "yes" : "maybe"}` }, h("strong", { t: [key, item.at, item.direction, entry] }));
  $("#late").prepend(line);
  [...$("#late").children].slice(SHOWN_LATE).forEach((old) => old.remove());
}

function showClock() {
  const now = new Date();
  $("#clock").textContent = text("time", now);
  $("#clock").dateTime = now.toISOString();
  $("#today").textContent = text("day_in_words", now);
}

// A tablet by the door keeps its screen on.
async function stayAwake() {
  if (document.visibilityState !== "visible") return;
  await navigator.wakeLock?.request("screen").catch(() => null); // refused where the battery is low
}
