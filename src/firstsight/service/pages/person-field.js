// An input for somebody who is enrolled, with suggestions while typing.

import { get } from "./api.js";
import { h } from "./dom.js";

const PAUSE = 200;
const SUGGESTED = 20;

// `id()` resolves to the person's number; null where the field is empty, undefined where nobody has this name.
export function personField(input, datalist) {
  const found = new Map(); // name -> id
  let waiting;
  const search = async () => {
    const { people } = await get("/v1/people", { search: input.value.trim(), limit: SUGGESTED });
    for (const { name, id } of people) found.set(name, id);
    datalist.replaceChildren(...people.map(({ name }) => h("option", { value: name })));
  };
  const searchSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search().catch(() => null), PAUSE); // without suggestions one can still type
  };
  input.addEventListener("focus", searchSoon, { once: true });
  input.addEventListener("input", searchSoon);
  const id = async () => {
    const name = input.value.trim();
    if (!name) return null;
    if (!found.has(name)) await search();
    return found.get(name);
  };
  return { id };
}
