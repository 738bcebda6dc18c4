// The camera of this machine: a preview, and a picture of what it shows. Browsers give one to https and localhost only.

import { h } from "./dom.js";

const LONGEST = 1280; // pixels of the longer side of a picture that is sent
const QUALITY = 0.92;

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

// Show the camera in a video element; resolves once it shows something.
export async function openCamera(video) {
  const wanted = { width: { ideal: 1280 }, height: { ideal: 960 }, facingMode: "user" };
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  await video.play();
}

export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

// What the camera shows now, as a JPEG. Throws an error with the code "camera" where it shows nothing.
export function snap(video) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  const canvas = h("canvas", { width: Math.round(scale * video.videoWidth), height: Math.round(scale * video.videoHeight) });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const nothing = Object.assign(new Error("The camera shows nothing."), { code: "camera" });
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(nothing)), "image/jpeg", QUALITY));
}
