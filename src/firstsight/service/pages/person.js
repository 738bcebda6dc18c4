// One person: the pictures, one more, or to be forgotten with a receipt.

import { get, remove } from "./api.js";
import { h, icon } from "./dom.js";
import { enroll } from "./enroll.js";
import { hasText, text } from "./i18n.js";
import { picker } from "./picker.js";
import { confirmed, openDialog, showError } from "./shell.js";
import { thumbnail } from "./thumbnail.js";

// `changed` is called where the list of people is out of date.
export async function openPerson(id, role, changed) {
  const person = await get(`/v1/people/${id}`);
  const content = h("div", { class: "stack" });
  const dialog = openDialog(["person_title", person.name], () => content);
  let choice = null;
  const render = (shown) => {
    choice?.close();
    choice = picker((picture) => enroll({ name: shown.name, to: id, picture }, outcome, added));
    content.replaceChildren(...sections(shown, choice, role, forget));
    content.insertBefore(outcome, content.lastChild);
  };
  const outcome = h("div", { role: "status" });
  const added = async () => { render(await get(`/v1/people/${id}`)); changed(); };
  const forget = async () => {
    if (!(await confirmed(["forget_title", person.name], ["forget_question", person.name], "forget_yes"))) return;
    try {
      const receipt = await remove(`/v1/people/${id}`);
      dialog.close();
      showReceipt(receipt);
      changed();
    } catch (error) {
      showError(content, error);
    }
  };
  render(person);
  dialog.addEventListener("close", () => choice.close());
  return dialog;
}

function sections(person, choice, role, forget) {
  return [
    h("p", { class: "soft", t: ["person_since", person.enrolled_at, person.pictures] }),
    h("ul", { class: "pictures" }, person.enrollments.map((each) => enrollment(person, each))),
    h("h3", { t: "add_picture" }),
    choice.zone,
    role === "admin" ? h("div", { class: "actions" }, h("button", { type: "button", class: "danger", on: { click: forget } }, icon("clear"), h("span", { t: "forget" }))) : h("span"),
  ];
}

function enrollment(person, { picture, enrolled_at: at, consent }) {
  return h("li", { class: "stack tight" }, thumbnail({ name: person.name, thumbnail: picture }),
    h("span", { class: "small soft", t: ["date", at] }), consent ? h("span", { class: "small" }, consent) : null);
}

function showReceipt(receipt) {
  const places = (names) => names.map((name) => (hasText(`place_${name}`) ? text(`place_${name}`) : name)).join(", ");
  const fact = (title, value) => (value?.length || value > 0 ? [h("dt", { t: title }), h("dd", {}, String(value))] : []);
  openDialog(["receipt_title", receipt.name], (close) => [
    h("p", { t: ["receipt_lead", receipt.forgotten_at] }),
    h("dl", { class: "facts", id: "receipt" },
      fact("receipt_templates", receipt.templates), fact("receipt_pictures", receipt.pictures),
      fact("receipt_from", places(receipt.erased_from)), fact("receipt_left", places([...receipt.left_in, ...receipt.to_erase])),
      fact("receipt_copies", receipt.copies.map(({ path }) => path).join(", ")),
      fact("receipt_models", receipt.models.map(({ run }) => run).join(", ")),
      fact("receipt_not_covered", places(receipt.not_covered))),
    h("div", { class: "actions" },
      h("a", { class: "button", download: `forgotten-${receipt.forgotten_at.slice(0, 10)}.json`, href: asFile(receipt) }, icon("download"), h("span", { t: "receipt_save" })),
      h("button", { type: "button", class: "primary", t: "close", on: { click: close } })),
  ]);
}

const asFile = (value) => URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
