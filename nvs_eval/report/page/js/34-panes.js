// Panes: what a place of the stage shows, the reference ("0"), a render ("2") or a map of a render ("err:2").

const COMPUTED_MAPS = [
  { key: "err", title: "Absolute error", short: "|e|", map: "magma" },
  { key: "sq", title: "Squared error", short: "e²", map: "magma" },
  { key: "signed", title: "Signed error", short: "±e", map: "diverging" },
];

/** The kinds of map of the scene: computed here, then those stored with the page. */
function mapKinds() {
  const stored = (current.scene.maps || []).map((map) => ({ ...map, short: map.title, map: "magma" }));
  return [...COMPUTED_MAPS, ...stored];
}

function parsePane(spec) {
  const match = /^(?:([^:]+):)?(\d+)$/.exec(spec);
  if (!match) return { kind: "image", column: 0 };
  const column = Number(match[2]);
  const known = match[1] && column > 0 && mapKinds().some((map) => map.key === match[1]);
  return { kind: known ? match[1] : "image", column: column <= current.scene.columns.length ? column : 0 };
}

function paneSpec(kind, column) {
  return kind === "image" || column === 0 ? String(column) : `${kind}:${column}`;
}

function columnName(column) {
  return column === 0 ? "Reference" : current.scene.columns[column - 1].name;
}

function paneTitle(spec) {
  const { kind, column } = parsePane(spec);
  if (kind === "image") return columnName(column);
  return `${mapKinds().find((map) => map.key === kind).title} of ${columnName(column)}`;
}

/** Return the id of an image of a view: column 0 is the reference. */
function imageId(view, column) {
  return (column === 0 ? view.reference : view.renders[column - 1]) || null;
}

/** Return the columns (0 is the reference) that have an image of a view. */
function columnsWithImages(view) {
  const all = [0, ...current.scene.columns.map((_, index) => index + 1)];
  return all.filter((column) => imageId(view, column));
}

/** Return a promise of the values of a map. */
function mapValues(view, kind, column) {
  const [render, reference] = [imageId(view, column), imageId(view, 0)];
  const key = `${render}-${reference}`;
  const make = async () => {
    const stored = (current.scene.maps || []).find((map) => map.key === kind);
    if (stored) return storedMap(stored, key);
    return errorMap(kind, ...(await Promise.all([exact(render), exact(reference)])));
  };
  return mapCache.get(`${kind}/${key}`, make, (map) => map.values.length * 4);
}

/** Return why a map cannot be shown, or "". */
function mapProblem(view, kind, column) {
  const [render, reference] = [imageId(view, column), imageId(view, 0)];
  if (!render || !reference) return "A map needs images of the render and of the reference.";
  const images = current.scene.images;
  if (images[render].w !== images[reference].w || images[render].h !== images[reference].h) {
    return "Render and reference differ in size.";
  }
  const stored = (current.scene.maps || []).find((map) => map.key === kind);
  return stored && !stored.files[`${render}-${reference}`] ? "This map was not made for this view." : "";
}

/** Return the range of a map, the same for all methods: stored with the page, chosen, or of this view's errors. */
async function mapRange(view, kind) {
  const stored = (current.scene.maps || []).find((map) => map.key === kind);
  if (stored) return [stored.lo, stored.shown ?? stored.hi];
  const chosen = Number(state.range);
  const top = chosen > 0 ? chosen : await errorLimit(view);
  return kind === "sq" ? [0, top * top] : kind === "signed" ? [-top, top] : [0, top];
}

/** Return the error that 99.5 % of the pixels of all methods stay below, rounded up to 1, 2 or 5 times a power of 10. */
function errorLimit(view) {
  const renders = columnsWithImages(view).filter((column) => column && !mapProblem(view, "err", column));
  const make = async () => {
    const sample = [];
    for (const column of renders) {
      const { values } = await mapValues(view, "err", column);
      const step = Math.max(1, Math.floor(values.length / 20000));
      for (let i = 0; i < values.length; i += step) sample.push(values[i]);
    }
    sample.sort((a, b) => a - b);
    return roundedUp(sample.length ? quantile(sample, 0.995) : 1);
  };
  const key = renders.map((column) => imageId(view, column)).join("-");
  return mapCache.get(`limit/${imageId(view, 0)}/${key}`, make, () => 8);
}

function roundedUp(value) {
  if (!(value > 0)) return 1 / 255;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value * 0.999);
}

/** Return a map that can be drawn now, or null; `ready` is called when it is there. */
function mapNow(view, kind, column, ready) {
  const key = `drawn/${kind}/${imageId(view, column)}-${imageId(view, 0)}/${state.range}`;
  const drawn = mapCache.peek(key);
  if (drawn) return { source: drawn, exact: true };
  const make = async () => {
    const [map, [lo, hi]] = await Promise.all([mapValues(view, kind, column), mapRange(view, kind)]);
    const colours = mapKinds().find((one) => one.key === kind).map;
    return createImageBitmap(coloured(map.values, map.width, map.height, lo, hi, colours));
  };
  mapCache.get(key, make, (bitmap) => bitmap.width * bitmap.height * 4).then(ready, failed);
  return null;
}

/** Return what a pane can draw now: {source, exact, width, height} or {problem}. */
function paneNow(view, spec, ready) {
  const { kind, column } = parsePane(spec);
  const id = imageId(view, column);
  if (!id) return { problem: column ? "There is no image of this render." : "There is no image of the reference." };
  const { w: width, h: height } = current.scene.images[id];
  const problem = kind === "image" ? "" : mapProblem(view, kind, column);
  if (problem) return { problem };
  const drawn = kind === "image" ? pictureNow(id, ready) : mapNow(view, kind, column, ready);
  return drawn ? { ...drawn, width, height } : { width, height, loading: true };
}
