// What every page has: the bar, the language switch, who is signed in, and one place that speaks to screen readers.

import { getSession, signOut } from "./api.js";
import { $, h, icon } from "./dom.js";
import { hasText, language, say, setLanguage, text, translatePage } from "./i18n.js";

const PAGES = [
  { name: "draw", path: "/", roles: ["enroll", "admin"] },
  { name: "people", path: "/people.html", roles: ["enroll", "admin"] },
  { name: "model", path: "/model.html", roles: ["enroll", "admin"] },
  { name: "checkin", path: "/check-in.html", roles: ["kiosk", "enroll", "admin"] },
  { name: "log", path: "/log.html", roles: ["enroll", "admin"] },
];
const OPEN = new Set(["sign-in", "pair", "privacy"]); // to everyone
const SPOKEN_ANEW = 80; // ms: the same text twice is two announcements
const TRY_AGAIN = 3000;

// Build the page's frame, then call `setup(session)` for who may see it. Who may not is sent to sign in.
export async function start(setup) {
  const page = document.body.dataset.page;
  document.body.prepend(h("a", { class: "skip hidden-visually", href: "#main", t: "skip" }));
  document.body.append(h("p", { id: "said", class: "hidden-visually", role: "status" }));
  buildBar(page, null);
  translatePage();
  const session = await sessionOrWait();
  if (!OPEN.has(page) && !session.role) return goTo(`/sign-in.html?next=${encodeURIComponent(location.pathname + location.search)}`);
  buildBar(page, session);
  buildFoot(session);
  const allowed = PAGES.filter(({ roles }) => roles.includes(session.role));
  if (!OPEN.has(page) && !allowed.some(({ name }) => name === page)) return goTo(allowed[0].path);
  try {
    await setup(session);
  } catch (error) {
    showError($("#main"), error);
  }
  document.documentElement.dataset.ready = ""; // the page is usable
  return null;
}

export function goTo(path) {
  location.assign(path);
}

// Where the server is away, ask until it is there: a tablet by the door is not touched by anybody.
async function sessionOrWait() {
  for (;;) {
    try {
      const session = await getSession();
      $("#away")?.remove();
      return session;
    } catch (error) {
      if (!$("#away")) $("#main").prepend(h("div", { id: "away", class: "notice maybe", role: "alert" }, h("strong", { t: "away" }), h("p", { t: "away_waiting" })));
      if (!error.away) console.error(error);
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN));
    }
  }
}

function buildBar(page, session) {
  const links = PAGES.filter(({ roles }) => roles.includes(session?.role)).map(({ name, path }) =>
    h("a", { href: path, "aria-current": name === page ? "page" : null }, icon(name), h("span", { t: `nav_${name}` })),
  );
  const leave = session?.keys && session.role
    ? h("button", { type: "button", class: "quiet", id: "sign-out", t: "sign_out", on: { click: () => signOut().then(() => goTo("/sign-in.html")) } })
    : null;
  const other = h("button", { type: "button", class: "quiet", id: "language", on: { click: switchLanguage } });
  Object.assign(other, { textContent: text("other_language"), lang: text("other_lang") });
  const brand = h("a", { class: "brand", href: "/" }, h("img", { src: "/icon.svg", alt: "", width: 28, height: 28 }), h("span", {}, "firstsight"));
  $(".bar").replaceChildren(h("div", {}, brand, h("nav", { class: "tabs", label: "nav" }, links), leave, other));
}

function buildFoot(session) {
  const pair = session.keys && session.role === "admin" ? h("a", { href: "/pair.html", t: "nav_pair" }) : null;
  $("#main").after(h("footer", { class: "foot" }, h("a", { href: "/privacy.html", t: "nav_privacy" }), pair));
}

function switchLanguage() {
  setLanguage(language() === "en" ? "zh" : "en");
  Object.assign($("#language"), { textContent: text("other_language"), lang: text("other_lang") });
}

// Say a text of the messages to who cannot see what changed.
export function announce(key, ...values) {
  const said = $("#said");
  said.textContent = "";
  setTimeout(() => say(said, key, ...values), SPOKEN_ANEW);
}

// What went wrong, and what to do next: as the server said it, in English; in other languages by its code.
export function errorNotice(error) {
  if (!error.code) console.error(error);
  const known = hasText(`error_${error.code}`) ? error.code : hasText("error_failed") ? "failed" : null;
  const title = known ? h("strong", { t: `error_${known}` }) : h("strong", {}, error.message);
  const hint = known ? hasText(`hint_${known}`) && h("p", { t: `hint_${known}` }) : error.hint && h("p", {}, error.hint);
  return h("div", { class: "notice no", role: "alert" }, title, hint || null);
}

export function showError(container, error) {
  container.querySelector(":scope > .notice.no[role=alert]")?.remove();
  container.append(errorNotice(error));
}

// A dialog with a title; `build(close)` gives its content. It is gone from the page once closed.
export function openDialog(title, build) {
  const close = () => dialog.close();
  const id = `dialog-title-${document.querySelectorAll("dialog").length}`; // one may open above another
  const heading = h("h2", { id, t: title });
  const cross = h("button", { type: "button", class: "quiet", label: "close", on: { click: close } }, icon("close"));
  const dialog = h("dialog", { "aria-labelledby": id, on: { close: () => dialog.remove() } });
  dialog.append(h("div", { class: "stack" }, h("header", {}, heading, cross), ...[build(close, dialog)].flat()));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Ask before something that cannot be undone; resolves to whether the answer was yes.
export function confirmed(title, question, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = openDialog(title, (close) => [
      h("p", { t: question }),
      h("div", { class: "actions" },
        h("button", { type: "button", t: "cancel", autofocus: true, on: { click: close } }),
        h("button", { type: "button", class: "danger", t: yes, on: { click: () => { answer = true; close(); } } })),
    ]);
    dialog.addEventListener("close", () => resolve(answer));
  });
}
