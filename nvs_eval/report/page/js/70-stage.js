// The stage: panes with one position and zoom, drawn on canvases.

const stage = { element: null, panes: [], probe: null, hovered: null, armed: false, rectangle: null };
let scheduled = 0;

function redraw() {
  if (!scheduled && stage.element) scheduled = requestAnimationFrame(draw);
}

function draw() {
  scheduled = 0;
  const view = stage.element && viewNamed(state.v);
  if (!view) return;
  for (const pane of stage.panes) drawPane(pane, view);
  drawInsetStrip(view);
  showValues(view);
  const shown = stage.panes.flatMap((pane) => pane.specs).map((spec) => imageId(view, parsePane(spec).column)).filter(Boolean);
  stage.exactness.textContent = !shown.length ? "" : shown.every(exactNow) ? "exact pixels" : "preview";
}

/** Return the size of the images of a view in pixels. */
function viewSize(view) {
  const id = imageId(view, 0) || view.renders.find(Boolean);
  const about = id && current.scene.images[id];
  return about ? { width: about.w, height: about.h } : { width: view.width, height: view.height };
}

/** Return how a view lies in a pane: CSS pixels per image pixel and the corner of the image. */
function placement(pane, { width, height }) {
  const [paneWidth, paneHeight] = [pane.canvas.clientWidth, pane.canvas.clientHeight];
  const scale = Number(state.z) > 0 ? Number(state.z) : Math.min(paneWidth / width, paneHeight / height);
  const ratio = devicePixelRatio;
  const left = Math.round((paneWidth / 2 - Number(state.x) * width * scale) * ratio) / ratio;
  const top = Math.round((paneHeight / 2 - Number(state.y) * height * scale) * ratio) / ratio;
  return { scale, left, top, width, height };
}

function drawPane(pane, view) {
  const { canvas, specs } = pane;
  const ratio = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(ratio, ratio);
  const now = specs.map((spec) => paneNow(view, spec, redraw));
  now.forEach((picture, index) => {
    context.save();
    if (specs.length === 2) clipSide(context, pane, index);
    drawPicture(context, pane, picture);
    context.restore();
  });
  pane.problem.textContent = now.map((picture) => picture.problem || (picture.loading ? "Loading…" : "")).filter(Boolean).join(" ");
  drawMarks(context, pane, view);
}

function clipSide(context, pane, index) {
  const { clientWidth: width, clientHeight: height } = pane.canvas;
  const place = Number(state.w) * width;
  context.beginPath();
  if (index === 0) context.rect(0, 0, place, height);
  else context.rect(place, 0, width - place, height);
  context.clip();
}

/** Draw a picture: averaged below 1:1, the nearest neighbour at 1:1 and beyond. */
function drawPicture(context, pane, picture) {
  if (!picture.source) return;
  const { scale, left, top, width, height } = placement(pane, picture);
  context.imageSmoothingEnabled = scale * devicePixelRatio < 1;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture.source, left, top, width * scale, height * scale);
}

const INSET_COLOURS = ["#ff9f1c", "#2ec4ff"];

/** Draw the frames of insets and where the pointer of another pane is. */
function drawMarks(context, pane, view) {
  const place = placement(pane, viewSize(view));
  insets(view).forEach((inset, index) => inset && drawFrame(context, place, inset, INSET_COLOURS[index]));
  if (stage.rectangle) drawFrame(context, place, stage.rectangle, "#ffffff");
  if (!stage.probe || stage.hovered === pane) return;
  const { scale, left, top } = place;
  const size = Math.max(scale, 7);
  const [x, y] = [left + (stage.probe.x + 0.5) * scale - size / 2, top + (stage.probe.y + 0.5) * scale - size / 2];
  outline(context, x, y, size, size, "#ffffff");
}

function drawFrame(context, { scale, left, top }, { x, y, w, h }, colour) {
  outline(context, left + x * scale, top + y * scale, w * scale, h * scale, colour);
}

/** Outline a rectangle in a colour with dark edges, so that it shows on every image. */
function outline(context, x, y, width, height, colour) {
  for (const [line, style] of [[4, "rgba(0, 0, 0, 0.6)"], [2, colour]]) {
    context.lineWidth = line;
    context.strokeStyle = style;
    context.strokeRect(x, y, width, height);
  }
}

/** Return the pixel of the image under a point of the window, whether inside or not. */
function pixelAt(pane, view, clientX, clientY) {
  const box = pane.canvas.getBoundingClientRect();
  const { scale, left, top } = placement(pane, viewSize(view));
  return { x: (clientX - box.left - left) / scale, y: (clientY - box.top - top) / scale };
}

// --- Zoom and pan ---

const ZOOMS = [1 / 16, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

function currentScale() {
  return placement(stage.panes[0], viewSize(viewNamed(state.v))).scale;
}

/** Zoom so that a point of the window stays where it is; the centre of the stage if none is given. */
function zoomTo(scale, pane = stage.panes[0], clientX = null, clientY = null) {
  const view = viewNamed(state.v);
  const size = viewSize(view);
  const bounded = Math.min(64, Math.max(1 / 16, scale));
  const box = pane.canvas.getBoundingClientRect();
  const [fromX, fromY] = clientX === null ? [0, 0] : [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  const before = placement(pane, size).scale;
  moveTo(Number(state.x) + (fromX / before - fromX / bounded) / size.width, Number(state.y) + (fromY / before - fromY / bounded) / size.height, bounded);
}

function zoomStep(direction) {
  const scale = currentScale();
  const steps = direction > 0 ? ZOOMS : [...ZOOMS].reverse();
  const next = steps.find((zoom) => (direction > 0 ? zoom > scale * 1.01 : zoom < scale * 0.99));
  if (next) zoomTo(next);
}

function moveTo(x, y, scale = null) {
  const place = (value) => Math.min(1, Math.max(0, value)).toFixed(5).replace(/\.?0+$/, "");
  const changes = { x: place(x), y: place(y) };
  if (scale !== null) changes.z = Number(scale.toPrecision(4));
  set(changes);
}

/** Move the images by some CSS pixels. */
function pan(dx, dy) {
  const { width, height } = viewSize(viewNamed(state.v));
  const scale = currentScale();
  moveTo(Number(state.x) - dx / scale / width, Number(state.y) - dy / scale / height);
}

function fit() {
  set({ z: "", x: "0.5", y: "0.5" });
}
