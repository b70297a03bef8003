// One view large: the bar above the stage, its panes, the strip and the panel.

const MODES = [["single", "Flicker", "One pane; space flips to the other"], ["slider", "Slider", "Two panes with a slider (s)"], ["grid", "Grid", "All images (g)"]];

function viewerSection(view) {
  const element = el("div", { class: `stage ${state.m}`, tabindex: "0", role: "group", "aria-label": `Images of ${view.name}` });
  stage.element = element;
  stage.place = el("output", { class: "place", "aria-live": "off" });
  stage.exactness = el("span", { class: "exactness" });
  const side = el("section", { id: "side", "aria-label": "Panes, scores and values" }, sideParts(view));
  const foot = el("div", { class: "foot", id: "foot" });
  const work = el("div", { class: "work" }, element, el("div", { id: "strip" }), foot);
  listenToPointer(element);
  return el("main", { id: "viewer", "aria-labelledby": "view-title" }, el("div", { id: "bar" }, barParts(view)), el("div", { class: "body" }, work, side));
}

function barParts(view) {
  const place = current.order.indexOf(current.scene.views.indexOf(view));
  const count = current.order.length;
  const modes = MODES.map(([mode, text, title]) => button(text, { "aria-pressed": String(state.m === mode), click: () => set({ m: mode }) }, title));
  return [
    button("← All views", { class: "back", click: closeView }, "Back to all views (Esc)"),
    el("div", { class: "walk" },
      button("‹", { "aria-label": "Previous view", disabled: count < 2, click: () => walk(-1) }, "Previous view (←)"),
      el("h1", { id: "view-title", tabindex: "-1" }, view.name, el("small", {}, ` ${place + 1} of ${count}`)),
      button("›", { "aria-label": "Next view", disabled: count < 2, click: () => walk(1) }, "Next view (→)")),
    el("div", { class: "group", role: "group", "aria-label": "Mode" }, modes),
    el("div", { class: "group", role: "group", "aria-label": "Zoom" },
      button("−", { "aria-label": "Zoom out", click: () => zoomStep(-1) }, "Zoom out (−)"),
      button("+", { "aria-label": "Zoom in", click: () => zoomStep(1) }, "Zoom in (+)"),
      button("1:1", { click: () => zoomTo(1 / devicePixelRatio) }, "One image pixel per screen pixel (r)"),
      button("Fit", { click: fit }, "Fit to the window (f)")),
    button("Flip", { click: flip }, "Flip the two panes (space)"),
    button("Inset", { id: "inset-button", "aria-pressed": String(stage.armed), click: armInset }, "Drag a rectangle for an inset (i)"),
    button("?", { "aria-label": "Keys", click: showHelp }, "Keys (?)"),
  ];
}

function sideParts(view) {
  return [paneList(view), el("div", { id: "map-controls" }, mapControls()), el("div", { id: "details" }, viewDetails(view))];
}

function armInset() {
  stage.armed = !stage.armed;
  document.getElementById("inset-button").setAttribute("aria-pressed", String(stage.armed));
  stage.element.classList.toggle("armed", stage.armed);
}

/** Make the panes of the mode: one, one with two sides, or one per image. */
function makePanes(view) {
  const { kind } = parsePane(state.a);
  const specs = {
    single: [[state.a]],
    slider: [[state.a, state.b]],
    grid: [0, ...columnNumbers()].map((column) => [paneSpec(column ? kind : "image", column)]),
  }[state.m] || [[state.a]];
  stage.panes = specs.map((pane) => makePane(view, pane));
  stage.element.className = `stage ${state.m}${stage.armed ? " armed" : ""}`;
  stage.element.replaceChildren(...stage.panes.map((pane) => pane.element));
  stage.element.style.setProperty("--across", state.m === "grid" ? gridColumns(view, specs.length) : 1);
  if (state.m === "slider") stage.element.append(sliderHandle());
}

function makePane(view, specs) {
  const titles = specs.map(paneTitle);
  const canvas = el("canvas", { role: "img", "aria-label": `${view.name}: ${titles.join(" and ")}` });
  const problem = el("p", { class: "problem" });
  // The colour bar names the map that the grid shows, so that names of methods stay short.
  const texts = state.m === "grid" ? [columnName(parsePane(specs[0]).column)] : titles;
  const labels = texts.map((text, side) => el("div", { class: side ? "label right" : "label" }, text));
  const active = state.m === "grid" && parsePane(specs[0]).column === parsePane(state.a).column;
  const element = el("div", { class: active ? "pane active" : "pane" }, canvas, labels, problem);
  return { element, canvas, problem, specs: specs.map((spec) => paneSpec(parsePane(spec).kind, parsePane(spec).column)) };
}

/** Return the number of columns of the grid that shows the images largest. */
function gridColumns(view, count) {
  const { width, height } = viewSize(view);
  const box = stage.element.getBoundingClientRect();
  let best = { columns: 1, scale: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const scale = Math.min(box.width / columns / width, box.height / rows / height);
    if (scale > best.scale * 1.001) best = { columns, scale };
  }
  return best.columns;
}

function sliderHandle() {
  const value = Math.round(Number(state.w) * 100);
  const handle = el("div", {
    class: "handle", role: "slider", tabindex: "0", "aria-label": "Slider between the two panes",
    "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": value,
  });
  handle.style.left = `${value}%`;
  return handle;
}

function moveSlider(place) {
  set({ w: Number(Math.min(1, Math.max(0, place)).toFixed(3)) });
}

function placeHandle() {
  const handle = stage.element?.querySelector(".handle");
  if (!handle) return;
  handle.style.left = `${Number(state.w) * 100}%`;
  handle.setAttribute("aria-valuenow", Math.round(Number(state.w) * 100));
}

function footParts(view) {
  const zoom = stage.panes.length ? currentScale() * devicePixelRatio : 1;
  return [el("span", { class: "zoom" }, `${Math.round(zoom * 100)} %`), stage.place, colourBar(view), stage.exactness];
}

// --- What is shown anew when the state changes ---

function showView() {
  const view = viewNamed(state.v);
  document.getElementById("viewer")?.remove();
  document.body.classList.toggle("viewing", Boolean(view));
  if (!view) {
    stage.element = null;
    stage.panes = [];
    return;
  }
  document.body.append(viewerSection(view));
  refreshStage();
  document.getElementById("view-title").focus();
}

function refreshStage() {
  const view = viewNamed(state.v);
  if (!view || !stage.element) return;
  stage.strip = insetStrip(view);
  document.getElementById("strip").replaceChildren(stage.strip);
  makePanes(view);
  refreshFoot();
  clearTimeout(stage.loading);
  stage.loading = setTimeout(loadPixels, 120, view);
  redraw();
}

/** Load the exact images of a view, whose values are shown, unless another view is open already. */
function loadPixels(view) {
  if (view.name !== state.v) return;
  for (const column of columnsWithImages(view)) exact(imageId(view, column)).then(redraw, failed);
}

function refreshFoot() {
  const view = viewNamed(state.v);
  if (view && stage.element) document.getElementById("foot").replaceChildren(...footParts(view));
}

/** Show another view of the open viewer; elements with the focus keep it where they can. */
function refreshViewer() {
  const view = viewNamed(state.v);
  if (!view || !stage.element) return;
  const place = focusPlace();
  document.getElementById("bar").replaceChildren(...barParts(view));
  document.getElementById("side").replaceChildren(...sideParts(view));
  stage.element.setAttribute("aria-label", `Images of ${view.name}`);
  refreshStage();
  restoreFocus(place);
}

function focusPlace() {
  const focusable = [...document.querySelectorAll("#viewer button, #viewer select, #viewer [tabindex]")];
  return focusable.indexOf(document.activeElement);
}

function restoreFocus(place) {
  if (place < 0) return;
  const focusable = document.querySelectorAll("#viewer button, #viewer select, #viewer [tabindex]");
  (focusable[place] || stage.element).focus({ preventScroll: true });
}

function walk(step) {
  const count = current.order.length;
  const place = current.order.indexOf(current.scene.views.indexOf(viewNamed(state.v)));
  set({ v: current.scene.views[current.order[(place + step + count) % count]].name });
}

function closeView() {
  const name = state.v;
  set({ v: "" });
  const anchor = [...document.querySelectorAll("a[data-view]")].find((one) => one.dataset.view === name);
  anchor?.focus({ preventScroll: true });
  anchor?.scrollIntoView({ block: "nearest" });
}
