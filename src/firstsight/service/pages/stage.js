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

  // What is to be judged now.
  async take() {
    const picture = this.#picture ?? (await snap($("#video")));
    this.#picture = null;
    return picture;
  }

  // Show a picture in place of the camera; each face is [x, y, width, height] in shares of the picture.
  freeze(picture, faces, found = "known") {
    const image = h("img", { src: URL.createObjectURL(picture), alt: "" });
    const boxes = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
      faces.map(([x, y, width, height]) => svg("rect", { class: found, x: 100 * x, y: 100 * y, width: 100 * width, height: 100 * height, rx: 1.5 })));
    this.#drop();
    $("#still").replaceChildren(h("div", { class: this.#live && !this.#picture ? "mirrored" : "" }, image, boxes));
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
