// Mouse, touch and pen on the stage: pan, zoom, pinch, probe, insets and the slider.

const pointers = new Map(); // id -> {x, y} of the pointers that are down
let gesture = null; // what the pointers do: {kind, ...}

function listenToPointer(element) {
  element.addEventListener("pointerdown", pointerDown);
  element.addEventListener("pointermove", pointerMove);
  element.addEventListener("pointerup", pointerUp);
  element.addEventListener("pointercancel", pointerUp);
  element.addEventListener("pointerleave", () => setProbe(null, null));
  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("dblclick", toggleZoom);
}

function paneOf(event) {
  const element = document.elementFromPoint(event.clientX, event.clientY)?.closest?.(".pane");
  return stage.panes.find((pane) => pane.element === element) || stage.panes[0];
}

function pointerDown(event) {
  if (event.button > 1) return;
  stage.element.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const pane = paneOf(event);
  if (pointers.size === 2) gesture = { kind: "pinch", pane, ...spread() };
  else if (event.target.closest(".handle")) gesture = { kind: "slider" };
  else if (stage.armed || event.shiftKey) gesture = { kind: "inset", pane, start: pixelAt(pane, viewNamed(state.v), event.clientX, event.clientY) };
  else gesture = { kind: "pan", pane, moved: 0 };
}

/** Return the distance and the middle of two pointers. */
function spread() {
  const [a, b] = [...pointers.values()];
  return { distance: Math.hypot(a.x - b.x, a.y - b.y) || 1, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

function pointerMove(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return probeAt(event);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (gesture?.kind === "pinch" && pointers.size === 2) return pinch();
  if (gesture?.kind === "slider") {
    const box = stage.element.getBoundingClientRect();
    return moveSlider((event.clientX - box.left) / box.width);
  }
  if (gesture?.kind === "inset") return stretchInset(event);
  if (gesture?.kind !== "pan") return;
  const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
  gesture.moved += Math.abs(dx) + Math.abs(dy);
  if (gesture.moved > 3) pan(dx, dy);
}

function pinch() {
  const now = spread();
  pan(now.x - gesture.x, now.y - gesture.y);
  zoomTo((currentScale() * now.distance) / gesture.distance, gesture.pane, now.x, now.y);
  Object.assign(gesture, now);
}

function pointerUp(event) {
  if (!pointers.delete(event.pointerId)) return;
  const done = gesture;
  gesture = null;
  if (done?.kind === "inset") return finishInset(done, event);
  if (done?.kind === "pan" && done.moved <= 3 && event.type === "pointerup") {
    if (state.m === "grid") choosePane(parsePane(done.pane.specs[0]).column);
    probeAt(event);
  }
}

function stretchInset(event) {
  const view = viewNamed(state.v);
  const { width, height } = viewSize(view);
  const end = pixelAt(gesture.pane, view, event.clientX, event.clientY);
  const inside = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  const [x0, x1] = [gesture.start.x, end.x].map((x) => inside(x, width)).sort((a, b) => a - b);
  const [y0, y1] = [gesture.start.y, end.y].map((y) => inside(y, height)).sort((a, b) => a - b);
  stage.rectangle = { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
  redraw();
}

function finishInset(done, event) {
  const drawn = stage.rectangle;
  stage.rectangle = null;
  if (stage.armed) armInset();
  if (event.type === "pointercancel") redraw();
  else if (drawn && drawn.w >= 4 && drawn.h >= 4) addInset(drawn);
  else addInsetAt(done.start);
}

function probeAt(event) {
  const pane = paneOf(event);
  const { x, y } = pixelAt(pane, viewNamed(state.v), event.clientX, event.clientY);
  setProbe({ x: Math.floor(x), y: Math.floor(y) }, pane);
}

function setProbe(pixel, pane) {
  if (pixel === null && gesture) return;
  stage.probe = pixel;
  stage.hovered = pane;
  redraw();
}

function wheel(event) {
  if (event.ctrlKey && !event.deltaY) return;
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 18 : 1;
  // A pinch on a touchpad arrives as a wheel with Ctrl and small steps.
  const speed = event.ctrlKey ? 0.01 : 0.0015;
  zoomTo(currentScale() * Math.exp(-event.deltaY * unit * speed), paneOf(event), event.clientX, event.clientY);
}

/** A double click shows one image pixel per screen pixel, or fits the image. */
function toggleZoom(event) {
  if (state.m === "grid" || event.target.closest(".handle")) return;
  if (state.z) fit();
  else zoomTo(1 / devicePixelRatio, paneOf(event), event.clientX, event.clientY);
}
