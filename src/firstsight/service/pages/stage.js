// What the camera sees, or the picture that was judged, with the faces that were found in it.

import { closeCamera, hasCamera, openCamera, snap } from "./camera.js";
import { $, h, show, svg } from "./dom.js";
import { say } from "./i18n.js";

const PROBLEMS = { NotAllowedError: "camera_forbidden", NotReadableError: "camera_in_use", NotFoundError: "no_camera" };

export class Stage {
  #picture = null; // one that was chosen in place of the camera's
  #live = false;

  // Show the camera, or say why there is none.
  async open() {
    this.release();
    try {
      if (!hasCamera()) throw new DOMException("", isSecureContext ? "NotFoundError" : "SecurityError");
      show($("#video"), true);
      await openCamera($("#video"));
      $("#video").srcObject.getTracks().forEach((track) => track.addEventListener("ended", () => this.#lost("NotFoundError")));
      this.#live = true;
      show($("#no-camera"), false);
    } catch (error) {
      this.#lost(error.name);
    }
  }

  get ready() {
    return this.#live || this.#picture !== null;
  }

  choose(picture) {
    this.#picture = picture;
    this.freeze(picture, []);
  }

  // The picture that was chosen has been judged: the next one is the camera's again, or is chosen anew.
  used() {
    this.#picture = null;
  }

  // What is to be judged now.
  async take() {
    return this.#picture ?? snap($("#video"));
  }

  // Show a picture in place of the camera, with the faces found in it: [left, top, right, bottom] in its pixels.
  freeze(picture, boxes, verdict = "") {
    const image = h("img", { src: URL.createObjectURL(picture), alt: "" });
    const frame = svg("svg", { "aria-hidden": "true", class: verdict === "match" ? "match" : "" },
      boxes.map(([left, top, right, bottom]) => svg("rect", { x: left, y: top, width: right - left, height: bottom - top, rx: (right - left) / 12 })));
    image.addEventListener("load", () => frame.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`));
    const chosen = this.#picture === picture || !this.#live;
    this.#drop();
    $("#still").replaceChildren(h("div", { class: chosen ? "" : "mirrored" }, image, frame));
    show($("#still"), true);
  }

  // Show the camera again.
  release() {
    this.#picture = null;
    this.#drop();
    show($("#still"), false);
  }

  #drop() {
    const image = $("#still img");
    if (image) URL.revokeObjectURL(image.src);
    $("#still").replaceChildren();
  }

  #lost(name) {
    closeCamera($("#video"));
    this.#live = false;
    show($("#video"), false);
    show($("#no-camera"), true);
    show($("#open-camera"), name !== "SecurityError");
    say($("#camera-problem"), PROBLEMS[name] ?? (name === "SecurityError" ? "camera_needs_https" : "no_camera"));
  }
}
