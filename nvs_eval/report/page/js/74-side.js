// The panel beside the stage: the panes to choose from with their scores and values, and what is known of the view.

/** The choice of panes. A pane that is shown has the mark of the stage, the other one that of the space key. */
function paneList(view) {
  const items = [0, ...columnNumbers()].map((column) => paneItem(view, column));
  return el("ol", { class: "panes" }, items);
}

function paneItem(view, column) {
  const [a, b] = [parsePane(state.a), parsePane(state.b)];
  const role = a.column === column ? "shown" : b.column === column ? "other" : "";
  const note = { shown: state.m === "slider" ? "left" : "shown", other: state.m === "slider" ? "right" : "space" }[role];
  const choose = button("", { class: "choose", "aria-pressed": String(role === "shown"), click: () => choosePane(column) });
  choose.append(
    column < 10 ? el("kbd", {}, String(column)) : el("kbd", { class: "none" }),
    el("span", { class: "name" }, columnName(column)),
    note && role ? el("span", { class: "role" }, note) : "",
  );
  const details = el("div", { class: "values", "data-column": column }, el("i", { class: "sample" }), el("output", { class: "value" }));
  return el("li", { class: role }, choose, column ? paneScores(view, column) : null, details);
}

function paneScores(view, column) {
  const parts = current.protocol.metrics.map((metric) => {
    const text = scoreText(score(view, metric, column), metric.decimals);
    return el("span", { class: bestColumns(view, metric).has(column) ? "best" : null }, el("small", {}, metric.title), ` ${text}`);
  });
  const seconds = view.seconds?.[column - 1] ?? null;
  if (seconds !== null) parts.push(el("span", {}, el("small", {}, "render"), ` ${secondsText(seconds)}`));
  return el("div", { class: "pane-scores" }, parts);
}

/** Show a column; what was shown becomes the other one, so that space flips between the last two. */
function choosePane(column) {
  const kind = parsePane(state.a).kind;
  const spec = paneSpec(kind, column);
  if (spec !== state.a) set({ a: spec, b: state.a });
}

function flip() {
  set({ a: state.b, b: state.a });
}

/** Show an image or a map of the shown method. A map replaces the image in place: space flips back to the other pane. */
function chooseKind(kind) {
  const { column } = parsePane(state.a);
  const shown = column || parsePane(state.b).column || 1;
  if (column === 0 && kind !== "image") set({ a: paneSpec(kind, shown), b: state.a });
  else set({ a: paneSpec(kind, column) });
}

function nextKind() {
  const kinds = ["image", ...mapKinds().map((map) => map.key)];
  chooseKind(kinds[(kinds.indexOf(parsePane(state.a).kind) + 1) % kinds.length]);
}

function changeRange(factor) {
  mapRange(viewNamed(state.v), "err").then(([, top]) => set({ range: Number((top * factor).toPrecision(4)) }), failed);
}

function mapControls() {
  const { kind } = parsePane(state.a);
  const options = [["image", "Images"], ...mapKinds().map((map) => [map.key, map.title])];
  const controls = el("div", { class: "controls" }, select("Show", options, kind, chooseKind));
  const computed = COMPUTED_MAPS.some((map) => map.key === kind);
  if (computed) {
    controls.append(
      el("span", { class: "group", role: "group", "aria-label": "Range of error maps" },
        button("÷2", { click: () => changeRange(0.5), "aria-label": "Halve the range" }, "Halve the range ( [ )"),
        button("×2", { click: () => changeRange(2), "aria-label": "Double the range" }, "Double the range ( ] )"),
        button("auto", { click: () => set({ range: "" }), "aria-pressed": String(!state.range) }, "Range of this view's errors")));
  }
  return controls;
}

/** The colour bar of the map that is shown. */
function colourBar(view) {
  const kind = [state.a, state.b].map((spec) => parsePane(spec).kind).find((one) => one !== "image");
  const bar = el("div", { class: "bar-of-map", hidden: !kind });
  if (!kind) return bar;
  const map = mapKinds().find((one) => one.key === kind);
  const strip = el("span", { class: "gradient", role: "img", "aria-label": `Colours of ${map.title}` });
  strip.style.background = gradient(map.map);
  const [low, high] = [el("span"), el("span")];
  mapRange(view, kind).then(([lo, hi]) => {
    low.textContent = shortNumber(lo);
    high.textContent = shortNumber(hi);
  }, failed);
  return fill(bar, {}, [el("span", { class: "bar-title" }, map.title), low, strip, high]);
}

/** Show the values of all methods at the pointer, or at the centre of the stage. */
function showValues(view) {
  const { width, height } = viewSize(view);
  const centre = { x: Math.floor(Number(state.x) * width), y: Math.floor(Number(state.y) * height) };
  const { x, y } = stage.probe || centre;
  const inside = x >= 0 && y >= 0 && x < width && y < height;
  stage.place.textContent = inside ? `x ${x}  y ${y}${stage.probe ? "" : " (centre)"}` : "";
  for (const row of document.querySelectorAll("#side .values")) {
    const image = inside ? exactNow(imageId(view, Number(row.dataset.column))) : undefined;
    const [sample, text] = row.children;
    const at = image && x < image.width && y < image.height ? y * image.width + x : -1;
    sample.style.background = at < 0 ? "transparent" : `rgb(${image.rgba.slice(at * 4, at * 4 + 3).join()})`;
    const lines = at < 0 ? "" : valueText(image, at) + errorText(view, Number(row.dataset.column), at);
    if (text.textContent !== lines) text.textContent = lines;
  }
}

function valueText(image, at) {
  const bytes = [0, 1, 2].map((c) => String(image.rgba[at * 4 + c]).padStart(3)).join(" ");
  if (!image.floats) return bytes;
  return `${bytes}  ${[0, 1, 2].map((c) => image.floats[at * 3 + c].toFixed(4)).join(" ")}`;
}

/** Return the value of the shown map at a pixel. */
function errorText(view, column, at) {
  const { kind } = parsePane(state.a);
  if (kind === "image" || column === 0 || mapProblem(view, kind, column)) return "";
  const map = mapCache.peek(`${kind}/${imageId(view, column)}-${imageId(view, 0)}`);
  if (!map) return "";
  return `\n${mapKinds().find((one) => one.key === kind).short} ${map.values[at].toFixed(4).replace("-", "−")}`;
}

/** Facts of the view, the verdict of compare, causes and the files. */
function viewDetails(view) {
  const pair = openPair();
  const sentences = verdict(pair);
  const causes = causesPanel(columnNumbers(), view);
  const { width, height } = viewSize(view);
  const nearest = view.nearest || {};
  const known = facts({
    size: `${width} × ${height}`,
    coverage: view.coverage === null ? null : `${shortNumber(view.coverage * 100)} %`,
    "distance to the nearest training camera": nearest.distance === undefined ? null : shortNumber(nearest.distance),
    "angle to it": nearest.angle === undefined ? null : `${shortNumber(nearest.angle)}°`,
  });
  return el("div", { class: "details" },
    (view.problems || []).length ? el("ul", { class: "messages" }, view.problems.map((text) => el("li", {}, text))) : null,
    sentences && el("section", {}, el("h2", {}, `${columnName(pair[0])} and ${columnName(pair[1])}, all views`), sentences),
    causes && el("section", {}, el("h2", {}, "Why this view is worse"), causes),
    el("section", {}, el("h2", {}, "View"), known),
    saveLinks(view));
}

/** Buttons that save the exact PNG of each image. */
function saveLinks(view) {
  const columns = columnsWithImages(view);
  if (!columns.length) return null;
  const save = async (column) => {
    const about = current.scene.images[imageId(view, column)];
    el("a", { href: await load(about.pixels), download: about.file }).click();
  };
  const buttons = columns.map((column) => el("li", {}, button(columnName(column), { class: "save", click: () => save(column).catch(failed) })));
  return el("section", {}, el("h2", {}, "Save the exact PNG"), el("ul", { class: "saves" }, buttons));
}
