// A tablet tells its one-time code, and is signed in as a kiosk. An administrator sees a new code instead.

import { postJson, signInWithCode } from "./api.js";
import { $, h, icon, show } from "./dom.js";
import { announce, errorNotice, goTo, start } from "./shell.js";

start(async ({ role, keys }) => {
  const inviting = role === "admin" && keys;
  show($("#invite"), inviting);
  show($("#join"), !inviting);
  $("#make").addEventListener("click", invite);
  $("#join").addEventListener("submit", join);
  $("#join button").prepend(icon("key"));
  if (inviting) return;
  $("#code").value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname); // a used code is of no use in the history
  ($("#code").value ? $("#join button") : $("#code")).focus();
});

async function join(event) {
  event.preventDefault();
  try {
    await signInWithCode($("#code").value.trim());
    goTo("/check-in.html");
  } catch (error) {
    const wrong = error.code === "unauthorized";
    const said = h("div", { class: "notice no", role: "alert" }, h("strong", { t: "wrong_code" }), h("p", { t: "wrong_code_do" }));
    $("#problem").replaceChildren(wrong ? said : errorNotice(error));
    $("#code").setAttribute("aria-invalid", "true");
    $("#code").select();
  }
}

async function invite() {
  try {
    const { code, address, qr, ends } = await postJson("/v1/pairing", {});
    $("#invitation").replaceChildren(
      h("img", { src: qr, alt: "" }),
      h("p", { class: "figure" }, h("strong", {}, code)),
      h("p", { class: "small soft", t: ["invite_until", ends] }),
      h("p", { class: "small" }, address.split("#")[0]),
    );
    announce("invite_said", code);
  } catch (error) {
    $("#invitation").replaceChildren(errorNotice(error));
  }
}
