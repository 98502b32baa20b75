/* The page to paint on. A photograph is drawn from a preview of a few megapixels, and where one looks closer from
   a patch of its pixels; the mask has every pixel of it, in tiles that are there once they are painted. So
   forty megapixels cost no more at each stroke than four. */

const TILE = 512;
const PREVIEW_PIXELS = 3e6;
const MASK_RGB = [225, 29, 63];
const MASK_OPACITY = 0.55;
const UNSURE_RGB = [255, 176, 0];
const HISTORY_BYTES = 192e6;
const TURN = 12; // milliseconds of work at a stretch, so that the page stays awake
const FRAMES = 24; // of a search, to look at
const THUMB = { width: 168, height: 126 };
const NARROW = matchMedia("(max-width: 820px)");

const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const pause = () => new Promise((go) => setTimeout(go));

function canvasOf(width, height, options) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  return [canvas, canvas.getContext("2d", options)];
}

/* ------------------------------------------------------------------ photographs */

/** A file that is a picture: its size, a preview, and patches of its pixels where one looks closer. */
class Picture {
  static async open(blob, name) {
    const picture = new Picture();
    picture.blob = blob;
    picture.name = name;
    [picture.width, picture.height] = await sizeOf(blob);
    picture.ratio = Math.min(1, Math.sqrt(PREVIEW_PIXELS / (picture.width * picture.height)));
    picture.preview = await createImageBitmap(blob, picture.ratio < 1 ? {
      resizeWidth: Math.round(picture.width * picture.ratio),
      resizeHeight: Math.round(picture.height * picture.ratio),
      resizeQuality: "medium",
    } : {});
    return picture;
  }

  /** Draws what `view` shows of it. */
  draw(ctx, view) {
    ctx.drawImage(this.preview, view.x, view.y, this.width * view.scale, this.height * view.scale);
    if (this.patch) {
      const { left, top, width, height, bitmap } = this.patch;
      const [x, y] = view.toStage(left, top);
      ctx.drawImage(bitmap, x, y, width * view.scale, height * view.scale);
    }
  }

  /** Fetches the pixels of the part that is seen, if the preview is too coarse for it. */
  async look(view, stage) {
    if (this.ratio === 1 || view.scale * devicePixelRatio < this.ratio * 1.2) return this.forget();
    const [x0, y0] = view.toPicture(0, 0);
    const [x1, y1] = view.toPicture(stage.width, stage.height);
    const left = Math.floor(clamp(x0, 0, this.width - 1)), top = Math.floor(clamp(y0, 0, this.height - 1));
    const width = Math.ceil(clamp(x1, left + 1, this.width)) - left;
    const height = Math.ceil(clamp(y1, top + 1, this.height)) - top;
    const asked = (this.asked = {});
    const bitmap = await createImageBitmap(this.blob, left, top, width, height);
    if (asked !== this.asked) return bitmap.close();
    this.patch?.bitmap.close();
    this.patch = { left, top, width, height, bitmap };
  }

  forget() {
    this.asked = null;
    this.patch?.bitmap.close();
    this.patch = null;
  }

  close() {
    this.forget();
    this.preview.close();
  }
}

function sizeOf(blob) {
  return new Promise((done, failed) => {
    const image = new Image();
    const url = URL.createObjectURL(blob);
    image.onload = () => { URL.revokeObjectURL(url); done([image.naturalWidth, image.naturalHeight]); };
    image.onerror = () => { URL.revokeObjectURL(url); failed(new Error("This browser cannot show this file.")); };
    image.src = url;
  });
}

/* ------------------------------------------------------------------ the mask */

/** What is to be filled, at the picture's full size, in tiles; and small, for the eye. */
class Mask {
  constructor(picture) {
    this.width = picture.width;
    this.height = picture.height;
    this.ratio = picture.ratio;
    this.columns = Math.ceil(this.width / TILE);
    this.rows = Math.ceil(this.height / TILE);
    this.tiles = new Map();
    [this.small, this.smallCtx] = canvasOf(this.width * this.ratio, this.height * this.ratio);
    this.undone = [];
    this.done = [];
    this.touched = new Set();
  }

  get isEmpty() {
    return ![...this.tiles.values()].some((tile) => tile.alpha);
  }

  tile(index) {
    let tile = this.tiles.get(index);
    if (!tile) {
      const [canvas, ctx] = canvasOf(TILE, TILE, { willReadFrequently: true });
      tile = { canvas, ctx, alpha: null, left: (index % this.columns) * TILE, top: Math.floor(index / this.columns) * TILE };
      this.tiles.set(index, tile);
    }
    return tile;
  }

  /** The tiles that the box touches; those that are not there yet are made. */
  *within(left, top, right, bottom) {
    const first = [Math.floor(left / TILE), Math.floor(top / TILE)].map((at) => Math.max(0, at));
    const last = [Math.min(this.columns - 1, Math.floor(right / TILE)), Math.min(this.rows - 1, Math.floor(bottom / TILE))];
    for (let row = first[1]; row <= last[1]; row++) {
      for (let column = first[0]; column <= last[0]; column++) yield row * this.columns + column;
    }
  }

  /** Paints a line of `size` pixels between two points, or erases it. */
  line(from, to, size, erases) {
    const reach = size / 2 + 1;
    const paint = (ctx) => {
      ctx.lineCap = "round";
      ctx.lineWidth = size;
      ctx.beginPath();
      ctx.moveTo(...from);
      ctx.lineTo(to[0] + 0.01, to[1]);
      ctx.stroke();
    };
    this.apply(paint, erases, [Math.min(from[0], to[0]) - reach, Math.min(from[1], to[1]) - reach,
      Math.max(from[0], to[0]) + reach, Math.max(from[1], to[1]) + reach]);
  }

  rectangle(left, top, right, bottom) {
    this.apply((ctx) => ctx.fillRect(left, top, right - left, bottom - top), false, [left, top, right - 1, bottom - 1]);
  }

  apply(paint, erases, box) {
    const prepare = (ctx) => {
      ctx.globalCompositeOperation = erases ? "destination-out" : "source-over";
      ctx.strokeStyle = ctx.fillStyle = `rgb(${MASK_RGB})`;
      paint(ctx);
    };
    for (const index of this.within(...box)) {
      if (erases && !this.tiles.has(index)) continue;
      const tile = this.tile(index);
      tile.ctx.setTransform(1, 0, 0, 1, -tile.left, -tile.top);
      prepare(tile.ctx);
      this.touched.add(index);
    }
    this.smallCtx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    prepare(this.smallCtx);
  }

  /** Ends an edit: what it changed can be undone. */
  commit() {
    const changes = new Map();
    for (const index of this.touched) {
      const tile = this.tile(index);
      const after = alphaOf(tile);
      if (tile.alpha || after) changes.set(index, { before: tile.alpha, after });
      tile.alpha = after;
    }
    this.touched.clear();
    this.remember(changes);
  }

  remember(changes) {
    if (!changes.size) return;
    this.done.push(changes);
    this.undone = [];
    const bytes = () => this.done.reduce((sum, each) => sum + each.size * TILE * TILE, 0);
    while (this.done.length > 1 && bytes() > HISTORY_BYTES) this.done.shift();
  }

  /** Puts back what the edit that is not ended has changed. */
  revert() {
    for (const index of this.touched) this.restore(index, this.tile(index).alpha);
    this.touched.clear();
  }

  undo() {
    const changes = this.done.pop();
    if (!changes) return false;
    for (const [index, { before }] of changes) this.restore(index, before);
    this.undone.push(changes);
    return true;
  }

  redo() {
    const changes = this.undone.pop();
    if (!changes) return false;
    for (const [index, { after }] of changes) this.restore(index, after);
    this.done.push(changes);
    return true;
  }

  restore(index, alpha) {
    const tile = this.tile(index);
    tile.alpha = alpha;
    if (alpha) tile.ctx.putImageData(coloured(alpha, MASK_RGB, TILE), 0, 0);
    else {
      tile.ctx.setTransform(1, 0, 0, 1, 0, 0);
      tile.ctx.clearRect(0, 0, TILE, TILE);
    }
    this.shrink(tile);
  }

  /** Draws a tile into the small mask. */
  shrink(tile) {
    const ctx = this.smallCtx;
    const [left, right] = [tile.left, tile.left + TILE].map((at) => Math.round(at * this.ratio));
    const [top, bottom] = [tile.top, tile.top + TILE].map((at) => Math.round(at * this.ratio));
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.globalCompositeOperation = "source-over";
    ctx.clearRect(left, top, right - left, bottom - top);
    ctx.drawImage(tile.canvas, left, top, right - left, bottom - top);
  }

  /** Every tile anew, as `alphaAt(left, top)` says (a Uint8ClampedArray, or null); without freezing the page. */
  async replace(alphaAt) {
    const changes = new Map();
    let rested = performance.now();
    for (let index = 0; index < this.columns * this.rows; index++) {
      const left = (index % this.columns) * TILE, top = Math.floor(index / this.columns) * TILE;
      const before = this.tiles.get(index)?.alpha ?? null;
      const after = alphaAt(left, top, before);
      if (!before && !after) continue;
      changes.set(index, { before, after });
      this.restore(index, after);
      if (performance.now() - rested > TURN) { await pause(); rested = performance.now(); }
    }
    this.remember(changes);
  }

  clear() {
    return this.replace(() => null);
  }

  invert() {
    return this.replace((left, top, before) => {
      const alpha = new Uint8ClampedArray(TILE * TILE);
      const right = Math.min(TILE, this.width - left), bottom = Math.min(TILE, this.height - top);
      for (let y = 0; y < bottom; y++) {
        for (let x = 0; x < right; x++) alpha[y * TILE + x] = before?.[y * TILE + x] ? 0 : 255;
      }
      return alpha.includes(255) ? alpha : null;
    });
  }

  /** Takes what is white in `bitmap`, scaled to the picture's size. */
  load(bitmap) {
    const [, ctx] = canvasOf(TILE, TILE, { willReadFrequently: true });
    const [across, down] = [bitmap.width / this.width, bitmap.height / this.height];
    ctx.imageSmoothingEnabled = false;
    return this.replace((left, top) => {
      ctx.clearRect(0, 0, TILE, TILE);
      const width = Math.min(TILE, this.width - left), height = Math.min(TILE, this.height - top);
      ctx.drawImage(bitmap, left * across, top * down, width * across, height * down, 0, 0, width, height);
      return whiteOf(ctx.getImageData(0, 0, TILE, TILE).data);
    });
  }

  /** Takes over another mask, scaled to this picture's size. */
  async take(other) {
    const [canvas, ctx] = canvasOf(TILE, TILE, { willReadFrequently: true });
    const [across, down] = [this.width / other.width, this.height / other.height];
    const tiles = [...other.tiles.values()].filter((tile) => tile.alpha);
    await this.replace((left, top) => {
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, TILE, TILE);
      ctx.setTransform(across, 0, 0, down, -left, -top);
      for (const tile of tiles) ctx.drawImage(tile.canvas, tile.left, tile.top);
      return alphaOf({ canvas, ctx });
    });
  }

  draw(ctx, view, stage) {
    ctx.globalAlpha = MASK_OPACITY;
    if (this.ratio === 1 || view.scale * devicePixelRatio < this.ratio * 1.2) {
      ctx.drawImage(this.small, view.x, view.y, this.width * view.scale, this.height * view.scale);
    } else {
      const box = [...view.toPicture(0, 0), ...view.toPicture(stage.width, stage.height)];
      for (const index of this.within(...box)) {
        const tile = this.tiles.get(index);
        if (tile) this.drawTile(ctx, view, tile);
      }
    }
    ctx.globalAlpha = 1;
  }

  /** Draws a tile between whole pixels of the screen, so that no seam shows. */
  drawTile(ctx, view, tile) {
    const snap = (at) => Math.round(at * devicePixelRatio) / devicePixelRatio;
    const [left, top] = view.toStage(tile.left, tile.top).map(snap);
    const [right, bottom] = view.toStage(tile.left + TILE, tile.top + TILE).map(snap);
    ctx.drawImage(tile.canvas, left, top, right - left, bottom - top);
  }

  /** The mask as a PNG of one bit a pixel, white where it is to be filled. */
  async toPng() {
    const rowBytes = Math.ceil(this.width / 8);
    const squeeze = new CompressionStream("deflate");
    const writer = squeeze.writable.getWriter();
    const squeezed = new Response(squeeze.readable).arrayBuffer();
    for (let row = 0; row < this.rows; row++) {
      const height = Math.min(TILE, this.height - row * TILE);
      const band = new Uint8Array(height * (rowBytes + 1));
      for (let column = 0; column < this.columns; column++) {
        const tile = this.tiles.get(row * this.columns + column);
        if (tile?.alpha) pack(tile.alpha, band, column * TILE, height, rowBytes, this.width);
      }
      await writer.write(band);
      await pause();
    }
    await writer.close();
    return pngOf(this.width, this.height, new Uint8Array(await squeezed));
  }
}

/** The opacity of each pixel of a tile, or null where nothing of it is painted. */
function alphaOf({ ctx }) {
  const pixels = new Uint32Array(ctx.getImageData(0, 0, TILE, TILE).data.buffer);
  const alpha = new Uint8ClampedArray(TILE * TILE);
  let any = 0;
  for (let at = 0; at < alpha.length; at++) any |= alpha[at] = (pixels[at] >>> 24) > 127 ? 255 : 0;
  return any ? alpha : null;
}

/** 255 where RGBA `pixels` are white, or null where none is. */
function whiteOf(pixels) {
  const alpha = new Uint8ClampedArray(TILE * TILE);
  let any = 0;
  for (let at = 0, from = 0; at < alpha.length; at++, from += 4) {
    const grey = 0.299 * pixels[from] + 0.587 * pixels[from + 1] + 0.114 * pixels[from + 2];
    any |= alpha[at] = grey * (pixels[from + 3] / 255) > 127 ? 255 : 0;
  }
  return any ? alpha : null;
}

function coloured(alpha, rgb, width) {
  const image = new ImageData(width, alpha.length / width);
  const [red, green, blue] = rgb;
  const pixels = new Uint32Array(image.data.buffer);
  const colour = (blue << 16) | (green << 8) | red;
  for (let at = 0; at < alpha.length; at++) if (alpha[at]) pixels[at] = colour | (alpha[at] << 24);
  return image;
}

/** Sets the bits of a tile's pixels in a band of rows, each of which begins with PNG's filter byte. */
function pack(alpha, band, left, height, rowBytes, width) {
  const count = Math.min(TILE, width - left);
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1;
    for (let x = 0; x < count; x++) {
      if (alpha[y * TILE + x] > 127) band[start + ((left + x) >> 3)] |= 128 >> ((left + x) & 7);
    }
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function pngOf(width, height, squeezed) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 1); // one bit, grey
  const parts = [["IHDR", new Uint8Array(header.buffer)], ["IDAT", squeezed], ["IEND", new Uint8Array()]].map(pngChunk);
  return new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...parts], { type: "image/png" });
}

function pngChunk([kind, content]) {
  const chunk = new Uint8Array(content.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set(new TextEncoder().encode(kind), 4);
  chunk.set(content, 8);
  let crc = ~0;
  for (let at = 4; at < content.length + 8; at++) crc = CRC[(crc ^ chunk[at]) & 255] ^ (crc >>> 8);
  view.setUint32(content.length + 8, ~crc);
  return chunk;
}

/* ------------------------------------------------------------------ what is seen */

/** Where the picture lies on the stage: its corner, and how many pixels of the stage one of its own takes. */
class View {
  scale = 1;
  x = 0;
  y = 0;

  toPicture(x, y) { return [(x - this.x) / this.scale, (y - this.y) / this.scale]; }
  toStage(x, y) { return [x * this.scale + this.x, y * this.scale + this.y]; }

  zoom(factor, x, y, smallest) {
    const scale = clamp(this.scale * factor, smallest, 32);
    const [px, py] = this.toPicture(x, y);
    this.scale = scale;
    this.x = x - px * scale;
    this.y = y - py * scale;
  }
}

const state = {
  picture: null, // as it is now
  original: null, // the file that it began with
  mask: null,
  results: [], // {blob, picture, fit}
  chosen: -1, // of the results; -1 shows the mask
  confidence: null,
  live: null, // a frame of the search, as it goes on
  frame: null, // the part that a search's model sees, [x, y, w, h]
  marquee: null,
  tool: "brush",
  models: [],
  running: null,
  token: sessionStorage.getItem("edgefill-token") ?? "",
};
const view = new View();
const canvas = $("view");
const ctx = canvas.getContext("2d");
const stage = { width: 1, height: 1 };
let fitted = true; // the view follows the size of the window
let awaits = false; // a frame is asked for
let looks = 0;

function redraw() {
  if (awaits) return;
  awaits = true;
  requestAnimationFrame(() => { awaits = false; draw(); });
}

/** The same, and a closer look once nothing has moved for a moment. */
function moved() {
  redraw();
  $("scale").value = `${Math.round(view.scale * devicePixelRatio * 100)} %`;
  clearTimeout(looks);
  looks = setTimeout(async () => {
    const seen = [state.picture, state.results[state.chosen]?.picture].filter(Boolean);
    await Promise.all(seen.map((each) => each.look(view, stage).catch(() => {})));
    redraw();
  }, 140);
}

function draw() {
  const { picture, mask, chosen } = state;
  ctx.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  ctx.clearRect(0, 0, stage.width, stage.height);
  if (!picture) return;
  ctx.imageSmoothingEnabled = view.scale * devicePixelRatio < 3;
  drawBackdrop(picture);
  if (chosen >= 0) drawResult(picture);
  else if (state.live) drawLive(picture);
  else mask.draw(ctx, view, stage);
  if (state.marquee) drawBox(state.marquee, false);
  if (state.frame && chosen < 0 && model()?.searches) drawBox(state.frame, true);
  placeDivider();
}

let backdrop = null; // the picture as it lies on the stage, drawn again only when that changes

function drawBackdrop(picture) {
  const lies = [picture, picture.patch, view.x, view.y, view.scale, canvas.width, canvas.height];
  if (!backdrop || lies.some((each, at) => each !== backdrop.lies[at])) {
    const [drawn, pen] = canvasOf(canvas.width, canvas.height);
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.imageSmoothingEnabled = ctx.imageSmoothingEnabled;
    pen.imageSmoothingQuality = "high";
    picture.draw(pen, view);
    backdrop = { drawn, lies };
  }
  ctx.drawImage(backdrop.drawn, 0, 0, stage.width, stage.height);
}

function drawResult(picture) {
  const compares = $("compare").checked;
  ctx.save();
  if (compares) {
    const from = view.x + (picture.width * view.scale * $("split").value) / 1000;
    ctx.beginPath();
    ctx.rect(from, 0, stage.width - from, stage.height);
    ctx.clip();
  }
  state.results[state.chosen].picture.draw(ctx, view);
  if (state.confidence && $("sure").checked) {
    ctx.drawImage(state.confidence, view.x, view.y, picture.width * view.scale, picture.height * view.scale);
  }
  ctx.restore();
}

function drawLive(picture) {
  ctx.drawImage(state.live, view.x, view.y, picture.width * view.scale, picture.height * view.scale);
}

function drawBox([x, y, width, height], isFrame) {
  const [left, top] = view.toStage(x, y);
  ctx.lineWidth = 1.5;
  for (const [colour, dash] of [["#000", []], ["#fff", isFrame ? [7, 5] : [4, 4]]]) {
    ctx.strokeStyle = colour;
    ctx.setLineDash(dash);
    ctx.strokeRect(left, top, width * view.scale, height * view.scale);
  }
  ctx.setLineDash([]);
}

function placeDivider() {
  const shown = state.chosen >= 0 && $("compare").checked;
  $("divider").hidden = !shown;
  if (!shown) return;
  const input = $("split");
  input.style.left = `${view.x - 20}px`;
  input.style.width = `${state.picture.width * view.scale + 40}px`;
}

function fit() {
  if (!state.picture) return;
  const side = NARROW.matches ? 12 : 72, above = NARROW.matches ? 12 : 24, below = NARROW.matches ? 72 : 24;
  const [width, height] = [stage.width - 2 * side, stage.height - above - below];
  view.scale = clamp(Math.min(width / state.picture.width, height / state.picture.height), 1e-3, 8);
  view.x = side + (width - state.picture.width * view.scale) / 2;
  view.y = above + (height - state.picture.height * view.scale) / 2;
  fitted = true;
  moved();
}

function zoom(factor, x = stage.width / 2, y = stage.height / 2) {
  if (!state.picture) return;
  const whole = Math.min(stage.width / state.picture.width, stage.height / state.picture.height);
  view.zoom(factor, x, y, Math.min(whole * 0.5, 1));
  fitted = false;
  moved();
}

new ResizeObserver(([{ contentRect }]) => {
  [stage.width, stage.height] = [contentRect.width, contentRect.height];
  canvas.width = Math.round(stage.width * devicePixelRatio);
  canvas.height = Math.round(stage.height * devicePixelRatio);
  if (fitted) fit();
  else moved();
}).observe($("stage"));

/* ------------------------------------------------------------------ painting */

const pointers = new Map(); // those that touch the stage now
let stroke = null; // {id, last, erases} while one paints
let pinch = null;
let spaceHeld = false, spaceUsed = false;
let penSeen = -Infinity; // when a pen was here: a hand that rests on the screen does not paint then
let cursor = null; // where the keyboard paints, in the picture

const brushSize = () => Number($("size").value);

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

canvas.addEventListener("pointerdown", (event) => {
  if (!state.picture || state.running || event.button > 1) return;
  canvas.setPointerCapture(event.pointerId);
  canvas.focus({ preventScroll: true });
  event.preventDefault();
  const at = place(event);
  pointers.set(event.pointerId, at);
  if (event.pointerType === "pen") penSeen = performance.now();
  if (pointers.size === 2) return beginPinch();
  const palm = event.pointerType === "touch" && performance.now() - penSeen < 5000;
  const pans = state.tool === "hand" || event.button === 1 || spaceHeld || palm;
  if (pans) { stroke = { id: event.pointerId, pans: true, last: at }; spaceUsed = true; document.body.classList.add("moving"); return; }
  if (state.tool === "rectangle" || state.tool === "frame") { stroke = { id: event.pointerId, from: view.toPicture(...at) }; return; }
  showMask();
  stroke = { id: event.pointerId, last: view.toPicture(...at), erases: state.tool === "eraser" || event.buttons === 32 };
  paintTo(event);
});

canvas.addEventListener("pointermove", (event) => {
  const at = place(event);
  if (event.pointerType !== "touch") moveRing(at);
  if (!pointers.has(event.pointerId)) return;
  const before = pointers.get(event.pointerId);
  pointers.set(event.pointerId, at);
  if (pinch) return movePinch();
  if (!stroke || stroke.id !== event.pointerId) return;
  if (stroke.pans) {
    view.x += at[0] - before[0];
    view.y += at[1] - before[1];
    fitted = false;
    return moved();
  }
  if (stroke.from) return moveBox(at);
  const steps = event.getCoalescedEvents?.() ?? [];
  for (const each of steps.length ? steps : [event]) paintTo(each);
});

for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pinch) { if (!pointers.size) pinch = null; return; }
    if (!stroke || stroke.id !== event.pointerId) return;
    const ended = stroke;
    stroke = null;
    document.body.classList.remove("moving");
    if (ended.pans) return;
    if (kind === "pointercancel") { state.marquee = null; state.mask.revert(); return redraw(); }
    if (ended.from) return endBox();
    state.mask.commit();
    edited();
  });
}
canvas.addEventListener("pointerleave", () => { $("ring").hidden = true; });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

function paintTo(event) {
  const to = view.toPicture(...place(event));
  const pressure = event.pointerType === "pen" && event.pressure ? 0.3 + 1.1 * event.pressure : 1;
  const size = Math.max(1, (brushSize() * pressure) / view.scale);
  state.mask.line(stroke.last, to, size, stroke.erases);
  stroke.last = to;
  redraw();
}

function moveBox(at) {
  const [x0, y0] = stroke.from, [x1, y1] = view.toPicture(...at);
  const { width, height } = state.picture;
  const [left, right] = [x0, x1].map((x) => Math.round(clamp(x, 0, width))).sort((a, b) => a - b);
  const [top, bottom] = [y0, y1].map((y) => Math.round(clamp(y, 0, height))).sort((a, b) => a - b);
  state.marquee = [left, top, right - left, bottom - top];
  redraw();
}

function endBox() {
  const box = state.marquee;
  state.marquee = null;
  if (box && box[2] > 1 && box[3] > 1) {
    showMask();
    if (state.tool === "frame") setFrame(box);
    else {
      state.mask.rectangle(box[0], box[1], box[0] + box[2], box[1] + box[3]);
      state.mask.commit();
      edited();
    }
  }
  redraw();
}

function beginPinch() {
  if (stroke && !stroke.pans) { state.mask.revert(); state.marquee = null; }
  stroke = null;
  const [a, b] = [...pointers.values()];
  pinch = { distance: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
}

function movePinch() {
  if (pointers.size < 2) return;
  const [a, b] = [...pointers.values()];
  const distance = Math.hypot(a[0] - b[0], a[1] - b[1]), middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  view.x += middle[0] - pinch.middle[0];
  view.y += middle[1] - pinch.middle[1];
  zoom(distance / Math.max(1, pinch.distance), ...middle);
  pinch = { distance, middle };
}

$("stage").addEventListener("wheel", (event) => {
  if (!state.picture) return;
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-clamp(event.deltaY, -120, 120) * (event.ctrlKey ? 0.01 : 0.0022)), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

function moveRing([x, y]) {
  const ring = $("ring");
  ring.hidden = !state.picture || Boolean(state.running) || !["brush", "eraser"].includes(state.tool);
  const size = brushSize();
  ring.style.width = ring.style.height = `${size}px`;
  ring.style.transform = `translate(${x - size / 2}px, ${y - size / 2}px)`;
}

/** Moves the place where the keyboard paints, by pixels of the stage. */
function moveCursor(across, down) {
  const { width, height } = state.picture;
  cursor ??= [width / 2, height / 2];
  cursor = [clamp(cursor[0] + across / view.scale, 0, width), clamp(cursor[1] + down / view.scale, 0, height)];
  const [x, y] = view.toStage(...cursor);
  view.x -= x - clamp(x, 0, stage.width);
  view.y -= y - clamp(y, 0, stage.height);
  moveRing(view.toStage(...cursor));
  say(`${Math.round((100 * cursor[0]) / width)} percent across, ${Math.round((100 * cursor[1]) / height)} percent down`);
  moved();
}

function dab() {
  showMask();
  cursor ??= [state.picture.width / 2, state.picture.height / 2];
  state.mask.line(cursor, cursor, brushSize() / view.scale, state.tool === "eraser");
  state.mask.commit();
  edited(state.tool === "eraser" ? "Erased" : "Painted");
}

/** After each change of the mask: what can be done now. */
function edited(words = "") {
  refresh();
  redraw();
  if (words) say(words);
}

function showMask() {
  if (state.chosen >= 0) choose(-1);
}

function setTool(tool) {
  state.tool = document.body.dataset.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    if (button !== document.body) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
  $("ring").hidden = true;
}

function setFrame(box) {
  state.frame = box;
  refresh();
  redraw();
  say(box ? `The model sees ${box[2]} by ${box[3]} pixels` : "The model sees the whole picture");
}

/* ------------------------------------------------------------------ opening and keeping */

async function openPicture(file) {
  if (!file || state.running) return;
  try {
    const picture = await Picture.open(file, file.name || "picture.png");
    const kept = $("keep").checked && state.mask && !state.mask.isEmpty ? state.mask : null;
    await begin(picture, kept);
    state.original = picture;
    $("file").textContent = `${picture.name} · ${picture.width} × ${picture.height}`;
    document.title = `${picture.name} · edgefill`;
    document.body.dataset.state = "open";
    $("welcome").hidden = true;
    fit();
    refresh();
    canvas.focus({ preventScroll: true });
    say(`${picture.name}, ${picture.width} by ${picture.height} pixels`);
  } catch (error) {
    tell(`${file.name || "This"} cannot be opened: ${error.message} Choose a JPEG, PNG or WebP.`);
  }
}

/** Makes `picture` the one that is painted on, with the mask `kept` if there is one. */
async function begin(picture, kept) {
  const before = [state.picture, ...state.results.map((each) => each.picture)];
  const mask = new Mask(picture);
  if (kept) await mask.take(kept);
  state.picture = picture;
  state.mask = mask;
  state.frame = null;
  forgetResults();
  for (const each of before) if (each && each !== picture && each !== state.original) each.close();
  cursor = null;
  fitted = true;
}

function forgetResults() {
  state.results = [];
  state.chosen = -1;
  state.confidence = null;
  $("sure").checked = false;
}

async function loadMask(file) {
  if (!file || !state.mask) return;
  try {
    const bitmap = await createImageBitmap(file);
    showMask();
    const same = bitmap.width === state.picture.width && bitmap.height === state.picture.height;
    await state.mask.load(bitmap);
    bitmap.close();
    edited(same ? "Mask loaded" : "Mask loaded, and scaled to the picture");
  } catch {
    tell(`${file.name} is no picture that this browser can show; a mask is a PNG, white where it is filled.`);
  }
}

function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const stem = () => state.original.name.replace(/\.[^.]*$/, "") || "picture";

function download() {
  const shown = state.results[Math.max(state.chosen, 0)];
  if (shown) keep(shown.blob, `${stem()}-filled.png`);
}

async function saveMask() {
  keep(await state.mask.toPng(), `${stem()}-mask.png`);
}

async function refine() {
  const { blob } = state.results[Math.max(state.chosen, 0)];
  const kept = $("keep").checked ? state.mask : null;
  await begin(await Picture.open(blob, state.original.name), kept);
  fit();
  edited("Paint on the result");
}

async function backToOriginal() {
  await begin(state.original, null);
  fit();
  edited("The photograph as it was");
}

/* ------------------------------------------------------------------ completing */

const model = () => state.models.find((each) => each.name === $("model").value);

async function ask(path, options = {}) {
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  const answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  if (answer.status === 401 && await askToken()) return ask(path, options);
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `The server answers ${answer.status}.`);
  error.retry = answer.status === 429 ? Number(answer.headers.get("Retry-After") ?? 2) : 0;
  return error;
}

function askToken() {
  return new Promise((known) => {
    const dialog = $("ask");
    dialog.addEventListener("close", () => {
      state.token = $("token").value.trim();
      sessionStorage.setItem("edgefill-token", state.token);
      known(dialog.returnValue === "ok" && Boolean(state.token));
    }, { once: true });
    dialog.returnValue = "";
    dialog.showModal();
  });
}

async function complete() {
  if (!state.picture || state.running || state.mask.isEmpty) return;
  const run = (state.running = { stopper: new AbortController(), id: null });
  const began = performance.now();
  showMask();
  refresh();
  progress(null, "Sending");
  try {
    const job = await submit(run);
    for await (const { event, data } of events(await ask(job.events, { signal: run.stopper.signal }))) {
      if (event === "progress") progress(data.done, data.steps ? `Step ${data.steps}` : "Completing");
      if (event === "frame") await showFrame(data);
      if (event === "failed") throw new Error(data.detail);
      if (event === "done") await finish(data, (performance.now() - began) / 1000);
    }
  } catch (error) {
    if (error.name !== "AbortError") tell(error instanceof TypeError ? "The server does not answer." : error.message);
    else if (run.id) ask(`/v1/jobs/${run.id}`, { method: "DELETE" }).catch(() => {});
  }
  state.running = state.live = null;
  $("progress").hidden = true;
  refresh();
  redraw();
}

/** Sends the picture as the file that it was, and the mask; where the server is busy it waits as long as it is told. */
async function submit(run) {
  const form = new FormData();
  form.append("picture", state.picture.blob, "picture");
  form.append("mask", await state.mask.toPng(), "mask.png");
  for (const [name, value] of Object.entries(asked())) form.append(name, value);
  for (;;) {
    try {
      const job = await (await ask("/v1/jobs", { method: "POST", body: form, signal: run.stopper.signal })).json();
      run.id = job.id;
      progress(null, "Waiting");
      return job;
    } catch (error) {
      if (!error.retry) throw error;
      progress(null, "The server is busy");
      await new Promise((go) => setTimeout(go, 1000 * error.retry));
      run.stopper.signal.throwIfAborted();
    }
  }
}

function asked() {
  const chosen = model();
  const fields = { model: chosen.name };
  if (!chosen.searches) return fields;
  if (state.frame) fields.box = state.frame.join(",");
  return { ...fields, seed: $("seed").value || 0, candidates: $("candidates").value || 1, confidence: $("confidence").checked, frames: FRAMES };
}

/** The server-sent events of an answer. */
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (lines.event) yield { event: lines.event, data: JSON.parse(lines.data) };
    }
  }
}

/** What the search draws now, where it is to be filled. */
async function showFrame({ picture, box }) {
  const bitmap = await createImageBitmap(blobOf(picture));
  const { small, ratio } = state.mask;
  const [live, pen] = canvasOf(small.width, small.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, ...box.map((side) => side * ratio));
  pen.globalCompositeOperation = "destination-in";
  pen.drawImage(small, 0, 0);
  state.live = live;
  redraw();
}

function blobOf(url) {
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (sign) => sign.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

async function finish(about, seconds) {
  progress(1, "Fetching");
  const places = about.candidates ?? [{ result: about.result }];
  const blobs = await Promise.all(places.map(async ({ result }) => (await ask(result)).blob()));
  const pictures = await Promise.all(blobs.map((blob) => Picture.open(blob, state.original.name)));
  for (const { picture } of state.results) picture.close();
  state.results = blobs.map((blob, at) => ({ blob, picture: pictures[at] }));
  state.confidence = about.confidence ? await confidenceOf(await (await ask(about.confidence)).blob()) : null;
  $("about").textContent = describe(about, seconds);
  $("sure-row").hidden = !state.confidence;
  await showThumbs();
  choose(0);
  say(`Completed. ${$("about").textContent}`);
}

function describe(about, seconds) {
  const parts = [`${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`];
  if (about.steps) parts.push(`${about.steps} steps`);
  if (about.ended === "time") parts.push("the best that the time allowed");
  if (about.confidence_mean !== undefined) parts.push(`${Math.round(100 * about.confidence_mean)} % sure`);
  return [parts.join(" · "), ...about.notices].join(". ");
}

/** A film over the picture: the less sure, the denser. */
async function confidenceOf(blob) {
  const { small } = state.mask;
  const bitmap = await createImageBitmap(blob, { resizeWidth: small.width, resizeHeight: small.height });
  const [film, pen] = canvasOf(small.width, small.height, { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, film.width, film.height);
  const alpha = new Uint8ClampedArray(data.length / 4);
  for (let at = 0; at < alpha.length; at++) alpha[at] = 0.85 * (255 - data[4 * at]);
  pen.putImageData(coloured(alpha, UNSURE_RGB, film.width), 0, 0);
  return film;
}

async function showThumbs() {
  const views = [[state.picture, "The mask"], ...state.results.map(({ picture }, at) => [picture, state.results.length > 1 ? `Candidate ${at + 1}` : "The result"])];
  $("thumbs").replaceChildren(...views.map(([picture, name], at) => thumb(picture, name, at - 1)));
}

function thumb(picture, name, at) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("role", "radio");
  button.setAttribute("aria-label", name);
  button.title = name;
  const [small, pen] = canvasOf(THUMB.width, THUMB.height);
  const [x, y, width, height] = closeUp(picture);
  const show = (source) => pen.drawImage(source, x, y, width, height, 0, 0, THUMB.width, THUMB.height);
  show(picture.preview);
  if (at < 0) { pen.globalAlpha = MASK_OPACITY; show(state.mask.small); }
  button.append(small);
  button.addEventListener("click", () => choose(at));
  return button;
}

/** The part of a preview around what is filled, in the shape of a thumbnail. */
function closeUp({ preview }) {
  const tiles = [...state.mask.tiles.values()].filter((tile) => tile.alpha);
  const box = tiles.map(boundsOf).reduce((a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
  const [left, top, right, bottom] = box.map((side) => side * state.mask.ratio);
  const shape = THUMB.width / THUMB.height;
  const height = Math.min(preview.height, preview.width / shape, Math.max(bottom - top, (right - left) / shape) * 1.5 + 16);
  const width = height * shape;
  const x = clamp((left + right - width) / 2, 0, preview.width - width), y = clamp((top + bottom - height) / 2, 0, preview.height - height);
  return [x, y, width, height];
}

function boundsOf({ alpha, left, top }) {
  let [x0, y0, x1, y1] = [TILE, TILE, 0, 0];
  for (let y = 0; y < TILE; y++) {
    for (let x = 0; x < TILE; x++) {
      if (!alpha[y * TILE + x]) continue;
      x0 = Math.min(x0, x); x1 = Math.max(x1, x + 1); y0 = Math.min(y0, y); y1 = Math.max(y1, y + 1);
    }
  }
  return [left + x0, top + y0, left + x1, top + y1];
}

/** Shows a result, or the mask for -1. */
function choose(at) {
  state.chosen = at;
  [...$("thumbs").children].forEach((button, index) => {
    button.setAttribute("aria-checked", String(index === at + 1));
    button.tabIndex = index === at + 1 ? 0 : -1;
  });
  refresh();
  moved();
}

$("thumbs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const count = state.results.length + 1;
  const next = (state.chosen + 1 + step + count) % count;
  choose(next - 1);
  $("thumbs").children[next].focus();
});

/* ------------------------------------------------------------------ the rest of the page */

function progress(done, words) {
  const box = $("progress");
  box.hidden = false;
  box.classList.toggle("unknown", done === null);
  $("done").style.transform = done === null ? "" : `scaleX(${done})`;
  $("doing").textContent = words;
}

function say(words) { $("said").textContent = words; }

let closes = 0;

/** Something that has to be read. */
function tell(words) {
  $("notice-text").textContent = words;
  $("notice").hidden = false;
  clearTimeout(closes);
  closes = setTimeout(() => { $("notice").hidden = true; }, 12_000);
}

/** What may be pressed, and what is shown, as things are. */
function refresh() {
  const { picture, mask, running, results, chosen } = state;
  const painted = Boolean(mask) && !mask.isEmpty, free = Boolean(picture) && !running;
  $("complete").disabled = !(free && painted && model());
  $("complete").textContent = results.length ? "Complete again" : "Complete";
  $("next").hidden = painted || Boolean(results.length);
  $("next").textContent = picture ? "Paint over what has to be filled." : "Open a photograph first.";
  $("undo").disabled = !(free && mask.done.length);
  $("redo").disabled = !(free && mask.undone.length);
  for (const id of ["save-mask", "clear-mask"]) $(id).disabled = !(free && painted);
  for (const id of ["load-mask", "invert-mask"]) $(id).disabled = !free;
  $("open").disabled = Boolean(running);
  $("results").hidden = !results.length;
  for (const id of ["compare", "sure"]) $(id).disabled = chosen < 0;
  for (const id of ["refine", "save", "download"]) $(id).disabled = !results.length || Boolean(running);
  $("original").hidden = !picture || picture === state.original;
  if (!$("original").hidden) $("results").hidden = false;
  const searches = Boolean(model()?.searches);
  $("searching").hidden = !searches;
  document.querySelector('[data-tool="frame"]').hidden = !searches;
  $("no-frame").hidden = !state.frame;
  if (!searches && state.tool === "frame") setTool("brush");
}

async function loadModels() {
  try {
    state.models = (await (await ask("/v1/models")).json()).models;
  } catch (error) {
    return tell(error.message);
  }
  $("model").replaceChildren(...state.models.map((each) => new Option(`${each.name} · ${each.searches ? "searches" : "one pass"}`, each.name)));
  showModel();
}

function showModel() {
  const chosen = model();
  if (!chosen) return;
  const size = `${chosen.width} × ${chosen.height}, ${chosen.channels === 1 ? "grey" : "colour"}`;
  $("licence").textContent = `${chosen.family}, ${size}. Licence: ${chosen.licence}`;
  refresh();
  redraw();
}

async function history(step) {
  if (!state.mask || state.running) return;
  showMask();
  if (state.mask[step]()) edited(step === "undo" ? "Undone" : "Done again");
}

const KEYS = {
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  r: () => setTool("rectangle"),
  h: () => setTool("hand"),
  f: () => model()?.searches && setTool("frame"),
  o: () => $("file-picture").click(),
  s: download,
  c: () => { if (state.chosen >= 0) { $("compare").click(); } },
  "[": () => resize(-6),
  "]": () => resize(6),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  0: fit,
  Enter: complete,
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function resize(by) {
  $("size").value = brushSize() + by;
  say(`Brush of ${brushSize()}`);
  if (!$("ring").hidden) $("ring").style.width = $("ring").style.height = `${brushSize()}px`;
}

addEventListener("pointerdown", () => document.body.classList.remove("keyboard"), true);
addEventListener("keydown", (event) => {
  document.body.classList.add("keyboard");
  if (event.target.closest("input, select, dialog, summary") || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") { event.preventDefault(); history(event.shiftKey ? "redo" : "undo"); }
    if (key === "y") { event.preventDefault(); history("redo"); }
    return;
  }
  const onStage = event.target === canvas || event.target === document.body;
  if (key === " " && onStage && state.picture) {
    event.preventDefault();
    if (!spaceHeld) [spaceHeld, spaceUsed] = [true, false];
    return;
  }
  if (ARROWS[key] && onStage && state.picture && !state.running) {
    event.preventDefault();
    const far = (event.shiftKey ? 4 : 1) * Math.max(8, brushSize() / 2);
    return moveCursor(...ARROWS[key].map((part) => part * far));
  }
  if (key === "Enter" && !onStage) return; // a button's own
  if (KEYS[key]) { event.preventDefault(); KEYS[key](); }
});
addEventListener("keyup", (event) => {
  if (event.key !== " " || !spaceHeld) return;
  spaceHeld = false;
  if (!spaceUsed && state.picture && !state.running && ["brush", "eraser"].includes(state.tool)) dab();
});

const CLICKS = {
  choose: () => $("file-picture").click(),
  open: () => $("file-picture").click(),
  shoot: () => $("file-camera").click(),
  "load-mask": () => $("file-mask").click(),
  "save-mask": saveMask,
  "clear-mask": async () => { showMask(); await state.mask.clear(); edited("Mask cleared"); },
  "invert-mask": async () => { showMask(); await state.mask.invert(); edited("Mask inverted"); },
  undo: () => history("undo"),
  redo: () => history("redo"),
  in: () => zoom(1.25),
  out: () => zoom(0.8),
  fit,
  complete,
  stop: () => state.running?.stopper.abort(),
  refine,
  save: download,
  download,
  original: backToOriginal,
  "no-frame": () => setFrame(null),
  "notice-close": () => { $("notice").hidden = true; },
};
for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", act);
for (const button of document.querySelectorAll(".tools [data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
for (const id of ["compare", "sure", "split"]) $(id).addEventListener("input", redraw);
$("model").addEventListener("change", showModel);

for (const [id, act] of Object.entries({ "file-picture": openPicture, "file-camera": openPicture, "file-mask": loadMask })) {
  $(id).addEventListener("change", (event) => { act(event.target.files[0]); event.target.value = ""; });
}
addEventListener("paste", (event) => openPicture([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
let over = 0; // elements under what is dragged
addEventListener("dragenter", () => { over += 1; document.body.classList.add("over"); });
addEventListener("dragleave", () => { over -= 1; if (over <= 0) document.body.classList.remove("over"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("over");
  openPicture(event.dataTransfer.files[0]);
});

if (location.hash.startsWith("#token=")) {
  state.token = decodeURIComponent(location.hash.slice(7));
  sessionStorage.setItem("edgefill-token", state.token);
  window.history.replaceState(null, "", "/");
}
if (NARROW.matches) for (const each of document.querySelectorAll(".panel details")) each.open = false;
if (!matchMedia("(pointer: coarse)").matches) $("shoot").hidden = true;
setTool("brush");
refresh();
loadModels();
