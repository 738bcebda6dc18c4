// What is kept about people, as the service is set: to be shown to whoever stands before the camera.

import { get } from "./api.js";
import { $, h } from "./dom.js";
import { start } from "./shell.js";

start(async () => {
  const stored = await get("/v1/privacy");
  $("#stored").replaceChildren(
    part("privacy_enrolled", [
      ["privacy_template", stored.embedding_size, stored.faces],
      [stored.pictures_kept ? "privacy_pictures" : "privacy_no_pictures", ...stored.picture],
      ["privacy_name"],
      ["privacy_until_forgotten"],
    ]),
    part("privacy_seen", [
      ["privacy_seen_picture"],
      ["privacy_decision"],
      stored.retention_days ? ["privacy_retention", stored.retention_days] : ["privacy_no_end"],
      stored.probes_until ? ["privacy_probes", stored.probes_until] : ["privacy_no_probes"],
      stored.debounce ? ["privacy_debounce", stored.debounce] : null,
    ]),
    part("privacy_where", [
      [stored.encrypted ? "privacy_encrypted" : "privacy_clear"],
      ["privacy_here"],
      [stored.copies ? "privacy_copies" : "privacy_no_copies"],
    ]),
    part("privacy_rights", [["privacy_undo"], ["privacy_forget"], ["privacy_limits"]]),
  );
});

function part(title, lines) {
  const items = lines.filter(Boolean).map((line) => h("li", { t: line }));
  return h("section", { class: "card stack" }, h("h2", { t: title }), h("ul", {}, items));
}
