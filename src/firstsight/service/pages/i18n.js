// Two languages, switched without loading anew: each element remembers which text it shows.

import { door as doorEn } from "./messages.door.en.js";
import { door as doorZh } from "./messages.door.zh.js";
import { en } from "./messages.en.js";
import { zh } from "./messages.zh.js";

const LANGUAGES = { en: { ...en, ...doorEn }, zh: { ...zh, ...doorZh } };
const REMEMBERED = "firstsight-language";
const shown = new WeakMap(); // element -> { content: [key, ...values], label: [...] }
const WAYS = {
  content: { attribute: "data-t", put: (element, text) => { element.textContent = text; } },
  label: { attribute: "data-t-label", put: (element, text) => element.setAttribute("aria-label", text) },
  placeholder: { attribute: "data-t-placeholder", put: (element, text) => element.setAttribute("placeholder", text) },
};

let current = remembered() ?? preferred();

function remembered() {
  const language = localStorage.getItem(REMEMBERED);
  return language in LANGUAGES ? language : null;
}

function preferred() {
  for (const language of navigator.languages ?? [navigator.language]) {
    const known = Object.keys(LANGUAGES).find((name) => language.toLowerCase().startsWith(name));
    if (known) return known;
  }
  return "en";
}

export const language = () => current;

// The text of a key in the current language. A text is a string, or a function of values that makes one.
export function text(key, ...values) {
  const found = LANGUAGES[current][key];
  if (found === undefined) throw new Error(`There is no text ${key} in ${current}.`);
  return typeof found === "function" ? found(...values) : found;
}

export const hasText = (key) => key in LANGUAGES[current];

function sayAs(way) {
  return (element, key, ...values) => {
    shown.set(element, { ...shown.get(element), [way]: [key, ...values] });
    element.setAttribute(WAYS[way].attribute, key);
    WAYS[way].put(element, text(key, ...values));
  };
}

// say(element, key, ...values) shows a text from now on, in whatever language; say.label sets aria-label alike.
export const say = Object.assign(sayAs("content"), { label: sayAs("label") });

export function setLanguage(name) {
  current = name;
  localStorage.setItem(REMEMBERED, name);
  translatePage();
  document.dispatchEvent(new Event("language"));
}

// Fill all that carries data-t, data-t-label or data-t-placeholder.
export function translatePage() {
  document.documentElement.lang = text("lang");
  for (const [way, { attribute, put }] of Object.entries(WAYS)) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      const [key, ...values] = shown.get(element)?.[way] ?? [element.getAttribute(attribute)];
      put(element, text(key, ...values));
    }
  }
}
