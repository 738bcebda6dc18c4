// Pictures that a user hands over: chosen, dropped on a zone, or pasted.

export function takePictures({ input, zone = null, paste = false }, take) {
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  if (zone) acceptDrops(zone, take);
  if (paste) document.addEventListener("paste", (event) => takeFirst(event.clipboardData, take));
}

function acceptDrops(zone, take) {
  for (const [event, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    zone.addEventListener(event, (dragged) => {
      dragged.preventDefault();
      zone.classList.toggle("drop", over);
      if (event === "drop") takeFirst(dragged.dataTransfer, take);
    });
  }
}

function takeFirst(data, take) {
  const file = [...(data?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (file) take(file);
}
