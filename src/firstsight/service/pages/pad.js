// A pad to draw on: pen, finger, mouse, or keys. What is drawn is kept as strokes, so that it can be undone, and drawn
// in black on white for the server whatever the screen shows.

const PEN = 0.028; // widths are shares of the side
const MARGIN = 0.04;
const SENT = 384; // pixels a side of the picture for the server
const STEP = 0.025; // of the side, a key press
const KEYS = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
  Home: [-1, -1], PageUp: [1, -1], End: [-1, 1], PageDown: [1, 1],
};

export class Pad extends EventTarget {
  // Events: "begin" where a stroke begins, "change" where one has ended or was undone, "pen" where keys lift or lower it.
  #canvas;
  #strokes = [];
  #pointer = null; // the id of the pointer that draws
  #cursor = { x: 0.5, y: 0.5, down: false, seen: false };

  constructor(canvas) {
    super();
    this.#canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#lift());
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  get penDown() {
    return this.#cursor.down;
  }

  undo() {
    this.#cursor.down = false;
    this.#strokes.pop();
    this.#changed();
  }

  clear() {
    this.#cursor.down = false;
    this.#strokes = [];
    this.#changed();
  }

  // A PNG of the drawing, black on white.
  toBlob() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SENT;
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SENT, SENT);
    paint(context, this.#strokes, SENT, "#000");
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const within = (share) => Math.min(1 - MARGIN / 2, Math.max(MARGIN / 2, share));
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  }

  #begin(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.#lift();
    this.#pointer = event.pointerId;
    this.#cursor.seen = false;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#strokes.push([this.#point(event)]);
    this.dispatchEvent(new Event("begin"));
    this.#draw();
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1).push(...(passed.length ? passed : [event]).map((each) => this.#point(each)));
    this.#draw();
  }

  #end(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#changed();
  }

  #key(event) {
    const undo = event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey));
    if (undo) this.undo();
    else if (event.key === "Delete") this.clear();
    else if (event.key === " ") this.#togglePen();
    else if (event.key in KEYS) this.#step(...KEYS[event.key], event.shiftKey ? 4 : 1);
    else return;
    event.preventDefault();
  }

  #togglePen() {
    if (this.#cursor.down) return this.#lift();
    this.#cursor.down = this.#cursor.seen = true;
    this.#strokes.push([[this.#cursor.x, this.#cursor.y]]);
    this.dispatchEvent(new Event("begin"));
    this.dispatchEvent(new Event("pen"));
    return this.#draw();
  }

  #lift() {
    if (!this.#cursor.down) return;
    this.#cursor.down = false;
    this.dispatchEvent(new Event("pen"));
    this.#changed();
  }

  #step(right, down, times) {
    const moved = (share, by) => Math.min(1 - MARGIN, Math.max(MARGIN, share + by * STEP * times));
    const cursor = this.#cursor;
    Object.assign(cursor, { x: moved(cursor.x, right), y: moved(cursor.y, down), seen: true });
    if (cursor.down) this.#strokes.at(-1).push([cursor.x, cursor.y]);
    this.#draw();
  }

  #changed() {
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  #draw() {
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    const style = getComputedStyle(this.#canvas);
    paint(context, this.#strokes, side, style.color);
    if (this.#cursor.seen) paintCursor(context, this.#cursor, side, style.getPropertyValue("--accent"));
  }
}

function paint(context, strokes, side, color) {
  Object.assign(context, { strokeStyle: color, lineWidth: PEN * side, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    const [[x, y], ...rest] = stroke;
    context.beginPath();
    context.moveTo(x * side, y * side);
    rest.forEach(([toX, toY], index) => {
      const [nextX, nextY] = rest[index + 1] ?? [toX, toY]; // through the middles: corners become curves
      context.quadraticCurveTo(toX * side, toY * side, ((toX + nextX) / 2) * side, ((toY + nextY) / 2) * side);
    });
    if (!rest.length) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

function paintCursor(context, { x, y, down }, side, color) {
  const size = 0.035 * side;
  Object.assign(context, { strokeStyle: color, fillStyle: color, lineWidth: side / 160 });
  context.beginPath();
  context.arc(x * side, y * side, size / 2, 0, 2 * Math.PI);
  if (down) context.fill();
  for (const [right, up] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo((x + right * 0.02) * side, (y + up * 0.02) * side);
    context.lineTo((x + right * 0.045) * side, (y + up * 0.045) * side);
  }
  context.stroke();
}
