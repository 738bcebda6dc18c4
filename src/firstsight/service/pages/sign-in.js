// A key opens the pages; the server keeps who is signed in, in a cookie that no script can read.

import { signIn } from "./api.js";
import { $, h, icon } from "./dom.js";
import { errorNotice, goTo, start } from "./shell.js";

start(async () => {
  $("#form button").prepend(icon("key"));
  $("#form").addEventListener("submit", submit);
  $("#key").focus();
});

async function submit(event) {
  event.preventDefault();
  const key = $("#key");
  try {
    await signIn(key.value.trim());
    goTo(nextPage());
  } catch (error) {
    const problem = error.code === "unauthorized" ? h("div", { class: "notice no", role: "alert" }, h("strong", { t: "wrong_key" }), h("p", { t: "wrong_key_do" })) : errorNotice(error);
    $("#problem").replaceChildren(problem);
    key.setAttribute("aria-invalid", "true");
    key.select();
  }
}

// Where to go on: a page of this server, whatever the address says.
function nextPage() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return wanted.origin === location.origin ? wanted.pathname + wanted.search : "/";
}
