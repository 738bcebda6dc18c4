// A zone to hand over one picture: choose a file, drop or paste one, or take one by the camera.

import { closeCamera, hasCamera, openCamera, snap } from "./camera.js";
import { h, icon, show } from "./dom.js";
import { takePictures } from "./pictures.js";
import { errorNotice } from "./shell.js";

// `take(blob)` is called with each picture. `close()` of what is returned lets go of the camera.
export function picker(take) {
  const preview = h("img", { alt: "", hidden: true });
  const video = h("video", { muted: true, playsinline: true, hidden: true, label: "camera_preview" });
  const input = h("input", { type: "file", class: "hidden-visually", accept: "image/*" });
  const choose = h("label", { class: "button" }, icon("picture"), h("span", { t: "choose_picture" }), input);
  const camera = h("button", { type: "button", hidden: !hasCamera() }, icon("camera"), h("span", { t: "use_camera" }));
  const shoot = h("button", { type: "button", class: "primary", hidden: true }, icon("camera"), h("span", { t: "take_picture" }));
  const problem = h("div");
  const zone = h("div", { class: "drop-zone" }, preview, video, h("p", { class: "small soft", t: "drop_here" }), h("div", { class: "row" }, choose, camera, shoot), problem);

  const filming = (on) => {
    show(video, on);
    show(camera, !on && hasCamera());
    show(shoot, false); // until the camera shows something
  };
  const close = () => {
    closeCamera(video);
    filming(false);
  };
  const chosen = (blob) => {
    close();
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(blob);
    show(preview, true);
    problem.replaceChildren();
    take(blob);
  };
  camera.addEventListener("click", async () => {
    try {
      show(preview, false);
      filming(true);
      await openCamera(video);
      show(shoot, true);
      shoot.focus();
    } catch (error) {
      close();
      problem.replaceChildren(errorNotice(Object.assign(error, { code: "camera" })));
    }
  });
  shoot.addEventListener("click", () => snap(video).then(chosen, (error) => problem.replaceChildren(errorNotice(error))));
  takePictures({ input, zone }, chosen);
  return { zone, close };
}
