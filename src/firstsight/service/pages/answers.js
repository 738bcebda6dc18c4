// What the door says to each answer, and what to do next.

import { keyOf } from "./decision.js";
import { h, icon } from "./dom.js";
import { hasText } from "./i18n.js";
import { errorNotice } from "./shell.js";

// An entry of the log: a large yes with the name, or a no with the reason.
export function acceptedView(entry, role, { undo, confirm }) {
  const { verdict, name, direction, time, repeated, decision } = entry;
  const operator = role !== "kiosk";
  if (verdict === "match") {
    return view("match", "yes", repeated ? "door_again" : `door_${direction}`, name,
      h("p", { class: "soft", t: [repeated ? "checked_again" : "checked_at", time, direction] }),
      h("div", { class: "row" },
        h("button", { type: "button", id: "not-me", t: "not_me", on: { click: () => undo(entry) } }),
        operator ? h("button", { type: "button", id: "confirm", t: "confirm", on: { click: () => confirm(entry) } }) : null));
  }
  const reason = keyOf(decision, verdict);
  return view(reason, "no", `door_${reason}`, null,
    h("p", { t: [`door_${reason}_do`, decision.nearest, decision.runner_up] }),
    reason === "unknown" ? h("p", { class: "soft", t: operator ? "door_operator" : "door_ask" }) : null);
}

// A picture that cannot be used: nobody in it, several, too small.
export function refusedView(error) {
  if (!hasText(`door_${error.code}`)) return errorNotice(error);
  return view("unknown", "no", `door_${error.code}`, null, h("p", { t: `door_${error.code}_do` }));
}

export function waitingView(at, direction) {
  return view("ambiguous", "yes", "kept", null, h("p", { t: ["kept_do", at, direction] }));
}

function view(type, sign, title, name, ...rest) {
  return h("div", { class: `verdict door-verdict ${type}` },
    h("p", { class: "sign" }, icon(sign)),
    h("p", { class: name ? "kind" : "name-less" }, h("span", { t: title })),
    name ? h("p", { class: "name" }, name) : null, ...rest);
}
