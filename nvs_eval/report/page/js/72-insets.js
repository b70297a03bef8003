// Two insets: regions that stay while methods and views change, magnified for all methods side by side.

/** Return the insets as rectangles inside the images of a view, or null for an empty place. */
function insets(view) {
  const { width, height } = viewSize(view);
  return [state.i1, state.i2].map((text) => {
    const [x, y, w, h] = text.split(",").map((part) => Math.round(Number(part)));
    if (!(w > 0 && h > 0)) return null;
    const size = [Math.min(w, width), Math.min(h, height)];
    return { x: Math.max(0, Math.min(x, width - size[0])), y: Math.max(0, Math.min(y, height - size[1])), w: size[0], h: size[1] };
  });
}

/** Add an inset; if both places are taken, the older one goes. */
function addInset({ x, y, w, h }) {
  const text = [x, y, w, h].map(Math.round).join();
  if (!state.i1) set({ i1: text });
  else if (!state.i2) set({ i2: text });
  else set({ i1: state.i2, i2: text });
}

/** Add an inset of an eighth of the image around a pixel, or around the centre of the stage. */
function addInsetAt(pixel) {
  const { width, height } = viewSize(viewNamed(state.v));
  const centre = pixel || { x: Number(state.x) * width, y: Number(state.y) * height };
  const size = Math.max(8, Math.round(Math.min(width, height) / 6));
  const inside = (place, length) => Math.min(Math.max(0, place - size / 2), Math.max(0, length - size));
  addInset({ x: inside(centre.x, width), y: inside(centre.y, height), w: Math.min(size, width), h: Math.min(size, height) });
}

function removeInsets() {
  set({ i1: "", i2: "" });
}

/** The elements of the strip below the stage: a row per inset, a column per image. */
function insetStrip(view) {
  const strip = el("div", { class: "insets", role: "group", "aria-label": "Insets", tabindex: "0" });
  const shown = insets(view);
  strip.hidden = !shown.some(Boolean);
  if (strip.hidden) return strip;
  strip.append(button("×", { class: "remove", "aria-label": "Remove the insets", click: removeInsets }, "Remove the insets (Shift+I)"));
  for (const column of columnsWithImages(view)) {
    const crops = shown.map((inset, index) => inset && el("canvas", { class: "crop", role: "img", "data-inset": index, "aria-label": `Inset ${index + 1} of ${columnName(column)}` }));
    strip.append(el("figure", { "data-column": column }, crops.filter(Boolean), el("figcaption", {}, columnName(column))));
  }
  return strip;
}

function drawInsetStrip(view) {
  const strip = stage.strip;
  if (!strip || strip.hidden) return;
  const shown = insets(view);
  const { kind } = parsePane(state.a);
  for (const figure of strip.querySelectorAll("figure")) {
    const column = Number(figure.dataset.column);
    const picture = paneNow(view, paneSpec(kind, column), redraw);
    for (const canvas of figure.querySelectorAll("canvas")) drawCrop(canvas, picture, shown[canvas.dataset.inset], INSET_COLOURS[canvas.dataset.inset]);
  }
}

/** Draw one crop with square pixels, magnified to the width of its canvas. */
function drawCrop(canvas, picture, inset, colour) {
  const ratio = devicePixelRatio;
  const most = innerWidth < 600 ? { width: 104, height: 84 } : { width: 150, height: 120 };
  const scale = Math.min(most.width / inset.w, most.height / inset.h);
  const [width, height] = [Math.round(inset.w * scale * ratio), Math.round(inset.h * scale * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    [canvas.width, canvas.height] = [width, height];
    canvas.style.width = `${width / ratio}px`;
    canvas.style.borderColor = colour;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (!picture.source) return;
  const factor = (picture.source.naturalWidth || picture.source.width) / picture.width;
  context.imageSmoothingEnabled = scale * ratio < 1;
  context.drawImage(picture.source, inset.x * factor, inset.y * factor, inset.w * factor, inset.h * factor, 0, 0, width, height);
}
