// One way to enroll, wherever the picture comes from: send it, show the verdict, and offer what may be done about it.

import { get, postForm } from "./api.js";
import { h } from "./dom.js";
import { text } from "./i18n.js";
import { announce, errorNotice } from "./shell.js";

const DOUBTS = new Set(["too small", "blurred", "under-exposed", "over-exposed", "empty", "look-alike"]);

// Enroll `name` from `picture`, or with `to` (an id) give that person one picture more. The verdict, and the ways on
// from a refusal, appear in `outcome`; `done(answer)` is called once somebody is enrolled.
export async function enroll(what, outcome, done) {
  const { name, picture, to = null, consent = null, keep = true, anyway = false } = what;
  const fields = { picture, consent, keep_picture: keep, anyway, ...(to === null ? { name } : {}) };
  try {
    const answer = await postForm(to === null ? "/v1/people" : `/v1/people/${to}/pictures`, fields);
    outcome.replaceChildren(goodNews(answer, to !== null));
    announce(to === null ? "enrolled_said" : "added_said", answer.person.name);
    done(answer);
  } catch (error) {
    const again = (change) => enroll({ ...what, ...change }, outcome, done);
    outcome.replaceChildren(badNews(error, { name, to }, again));
    outcome.querySelector("button")?.focus();
  }
}

function goodNews({ person, verdict }, added) {
  const near = verdict && verdict.distance !== null && verdict.threshold !== null && verdict.distance <= verdict.threshold;
  return h("div", { class: `notice ${near ? "maybe" : "yes"}` },
    h("strong", { t: added ? ["added", person.name, person.pictures] : ["enrolled", person.name] }),
    near ? h("p", { t: ["near_other", verdict.nearest, verdict.distance, verdict.threshold] }) : null);
}

function badNews(error, { name, to }, again) {
  const act = (t, change) => h("button", { type: "button", t, on: { click: () => again(change) } });
  if (error.code === "already-enrolled" && error.personId !== null) {
    return h("div", { class: "notice maybe", role: "alert" },
      h("strong", { t: ["already_enrolled", name] }), h("p", { t: ["already_enrolled_do", name] }),
      h("div", { class: "row" }, act(["add_to", name], { to: error.personId })));
  }
  if (error.code !== "picture-refused" || !error.verdict) return errorNotice(error);
  const { doubts, nearest } = error.verdict;
  const other = doubts.some(({ kind }) => kind === "look-alike");
  return h("div", { class: "notice maybe", role: "alert" },
    h("strong", { t: "refused" }),
    ...doubts.map((doubt) => h("p", {}, reason(doubt, error.verdict))),
    h("div", { class: "row" },
      other ? h("button", { type: "button", t: ["it_is", nearest], on: { click: async () => again({ to: await idOf(nearest), anyway: true }) } }) : null,
      act(to === null ? "enroll_anyway" : "add_anyway", { anyway: true })));
}

async function idOf(name) {
  for (let after = 0; after !== null; ) {
    const { people, next } = await get("/v1/people", { search: name, after });
    const found = people.find((person) => person.name === name);
    if (found) return found.id;
    after = next;
  }
  return null;
}

function reason({ kind, reason: said }, verdict) {
  return DOUBTS.has(kind) ? text(`doubt_${kind.replaceAll(/[ -]/g, "_")}`, verdict) : said;
}
