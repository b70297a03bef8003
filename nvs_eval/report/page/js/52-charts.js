// Plots of the scene.

function colourOf(column) {
  return `var(--c${((column - 1) % 8) + 1})`;
}

function charts() {
  const metric = chosenMetric();
  const drawn = [
    ...tradeOffs(metric),
    ...stepCharts(metric),
    pairChart(metric),
    distributionChart(metric),
    nearestChart(metric, "distance", "distance to the nearest training camera"),
    nearestChart(metric, "angle", "angle to the nearest training camera [°]"),
  ].filter(Boolean);
  return el("div", { class: "plots", tabindex: "0", role: "group", "aria-label": "Plots" }, drawn);
}

/** The metric against what it costs: render time, size and training time, where two or more are known. */
function tradeOffs(metric) {
  const costs = [
    ["seconds_per_view", "render time [s per view]", 1],
    ["size_bytes", "size [MB]", 1e-6],
    ["train_seconds", "training time [min]", 1 / 60],
  ];
  return costs.map(([key, title, factor]) => {
    const known = columnNumbers().filter((column) => current.scene.columns[column - 1][key] > 0);
    if (known.length < 2) return null;
    const series = known.map((column) => {
      const [x, y] = [current.scene.columns[column - 1][key] * factor, columnMean(metric, column)];
      const text = `${columnName(column)}: ${scoreText(y, metric.decimals)}, ${shortNumber(x)} ${/\[(.*)\]/.exec(title)[1]}`;
      return { name: columnName(column), colour: colourOf(column), points: [{ x, y, text, label: known.length < 7 && columnName(column) }] };
    });
    const axis = metricTitle(metric);
    return plot({ title: `${metric.title} and ${title.replace(/ \[.*/, "")}`, series, x: { title, log: true }, y: { title: axis } });
  });
}

/** The metric against the training step, a line per run that has several. */
function stepCharts(metric) {
  const runs = new Map();
  for (const column of columnNumbers()) {
    const { method, run, step } = current.scene.columns[column - 1];
    if (step === null || step === undefined) continue;
    const name = [method, run].filter(Boolean).join("/");
    runs.set(name, [...(runs.get(name) || []), { column, step }]);
  }
  const several = [...runs].filter(([, columns]) => columns.length > 1);
  if (!several.length) return [];
  const series = several.map(([name, columns]) => ({
    name,
    line: true,
    colour: colourOf(columns[0].column),
    points: columns.sort((a, b) => a.step - b.step).map(({ column, step }, index) => {
      const y = columnMean(metric, column);
      const last = several.length > 1 && index === columns.length - 1;
      return { x: step, y, text: `${name}, step ${step}: ${scoreText(y, metric.decimals)}`, label: last && name };
    }),
  }));
  return [plot({ title: `${metric.title} and training step`, series, x: { title: "step" }, y: { title: metricTitle(metric) } })];
}

/** Two methods view by view, with the line on which they are equal. */
function pairChart(metric) {
  const pair = comparedPair();
  if (!pair) return null;
  const [a, b] = pair;
  const points = current.scene.views.map((view) => {
    const [x, y] = [score(view, metric, a), score(view, metric, b)];
    const change = differenceText(difference(view, metric, pair), metric.decimals);
    return { x, y, view: view.name, column: b, text: `${view.name}: ${scoreText(x, metric.decimals)} → ${scoreText(y, metric.decimals)} (${change})` };
  });
  const finite = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  if (!finite.length) return null;
  const sign = metric.higher_is_better === false ? -1 : 1;
  const better = finite.filter((point) => sign * (point.y - point.x) > 0).length;
  const description = `${columnName(b)} is better in ${better} of ${plural(finite.length, "view")}`;
  return plot({
    title: `${metric.title} of each view: ${shortened(columnName(b), 24)} against ${shortened(columnName(a), 24)}`,
    series: [{ name: "", colour: colourOf(b), points }],
    x: { title: shortened(columnName(a), 40) },
    y: { title: shortened(columnName(b), 30) },
    diagonal: true,
    description,
  });
}

/** Return the names of the columns below their strips, or null if there is no room for names that tell them apart. */
function stripNames() {
  const columns = columnNumbers();
  const names = columns.map((column) => shortened(columnName(column), Math.floor(42 / columns.length)));
  return columns.length <= 6 && new Set(names).size === columns.length ? names : null;
}

/** The views of each column as a strip of dots; a bar marks the median. */
function distributionChart(metric) {
  const columns = columnNumbers();
  const series = columns.map((column) => ({
    name: columnName(column),
    colour: colourOf(column),
    points: current.scene.views.map((view, index) => {
      const y = score(view, metric, column);
      // Dots are spread evenly within their strip (golden ratio), so that equal values stay apart.
      const x = column + (((index * 0.618034) % 1) - 0.5) * 0.5;
      return { x, y, view: view.name, column, text: `${columnName(column)}, ${view.name}: ${scoreText(y, metric.decimals)}` };
    }),
  }));
  const figure = plot({
    title: `${metric.title} of all views`,
    series,
    x: { title: "method, with the median", labels: columns },
    y: { title: metricTitle(metric) },
    description: medians(series, metric),
  });
  addMedians(figure, series);
  return figure;
}

function medianOf(one) {
  const values = one.points.map((point) => point.y).filter(Number.isFinite).sort((a, b) => a - b);
  return values.length ? quantile(values, 0.5) : NaN;
}

function medians(series, metric) {
  const texts = series.map((one) => `${one.name} ${scoreText(medianOf(one), metric.decimals)}`);
  return `Medians: ${texts.join(", ")}`;
}

function addMedians(figure, series) {
  const drawing = figure.querySelector("svg");
  if (!drawing) return;
  const names = stripNames() || columnNumbers().map(String);
  const all = series.flatMap((one) => one.points).filter((point) => Number.isFinite(point.y));
  const across = scaleOf(all.map((point) => point.x), PLOT.left, PLOT.width - PLOT.right);
  const up = scaleOf(all.map((point) => point.y), PLOT.height - PLOT.bottom, PLOT.top);
  series.forEach((one, index) => {
    const median = medianOf(one);
    if (Number.isNaN(median)) return;
    const [place, middle] = [across.at(index + 1), up.at(median)];
    const half = Math.min(26, 90 / series.length + 6);
    drawing.append(
      svg("line", { class: "median", x1: place - half, x2: place + half, y1: middle, y2: middle }),
      svg("text", { x: place, y: PLOT.height - PLOT.bottom + 17, "text-anchor": "middle" }, names[index]),
    );
  });
}

/** The metric against how far a view is from the training cameras. */
function nearestChart(metric, key, title) {
  const views = current.scene.views.filter((view) => Number.isFinite(view.nearest?.[key] ?? NaN));
  if (views.length < 2) return null;
  const series = columnNumbers().map((column) => ({
    name: columnName(column),
    colour: colourOf(column),
    points: views.map((view) => {
      const [x, y] = [view.nearest[key], score(view, metric, column)];
      const text = `${columnName(column)}, ${view.name}: ${scoreText(y, metric.decimals)} at ${shortNumber(x)}${key === "angle" ? "°" : ""}`;
      return { x, y, view: view.name, column, text };
    }),
  }));
  return plot({ title: `${metric.title} and ${title.replace(/ \[.*/, "")}`, series, x: { title }, y: { title: metricTitle(metric) } });
}

/** Names and colours of the methods in the plots, with the numbers of their strips if these have no names. */
function legend() {
  const entries = columnNumbers().map((column) => {
    const swatch = svg("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("circle", { cx: 5, cy: 5, r: 4.5, fill: colourOf(column) }));
    return el("li", {}, swatch, stripNames() ? "" : el("b", {}, `${column} `), columnName(column));
  });
  return el("ul", { class: "legend" }, entries);
}
