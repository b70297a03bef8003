// Rows of thumbnails, one per view.

function viewsSection() {
  const list = el("ol", { class: "views", click: followThumb });
  const section = el("section", { "aria-labelledby": "views-title" }, viewsHead(), columnHead(), list);
  section.style.setProperty("--columns", current.scene.columns.length + 1);
  for (const index of current.order) list.append(viewRow(current.scene.views[index]));
  return section;
}

/** Follow a link to a view without loading the page anew, so that Back returns to the same place. */
function followThumb(event) {
  const anchor = event.target.closest("a[data-view]");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openView(anchor.dataset.view, Number(anchor.dataset.column));
}

/** Open a view with one column shown and another behind it. */
function openView(name, column, other) {
  const first = comparedPair()?.[0] ?? 1;
  const shown = column ?? first;
  set({ v: name, a: shown, b: other ?? (shown === 0 ? first : 0) });
}

function viewsHead() {
  const pair = comparedPair();
  const metric = chosenMetric();
  const orders = [["", "as scored"], ["name", "name"]];
  if (current.scene.columns.length > 1) orders.push(["mean", "mean of all methods, worst first"]);
  for (const column of columnNumbers()) orders.push([String(column), `${columnName(column)}, worst first`]);
  if (pair) orders.push(["diff", `${columnName(pair[1])} − ${columnName(pair[0])}, regressions first`]);
  const sort = select(`Sort by ${metric.title}`, orders, state.sort, (value) => set({ sort: value }));
  const reverse = button("Reverse", { "aria-pressed": String(state.desc === "1"), click: () => set({ desc: state.desc === "1" ? "" : "1" }) });
  const title = el("h3", { id: "views-title" }, plural(current.scene.views.length, "view"));
  return el("div", { class: "head" }, title, el("div", { class: "controls" }, sort, reverse));
}

/** Names of the columns above the rows; on narrow screens each thumbnail has its own. */
function columnHead() {
  const metrics = current.protocol.metrics.map((metric) => metric.title).join(" · ");
  const names = columnNumbers().map((column) => el("div", {}, el("b", {}, columnName(column)), el("small", {}, metrics)));
  return el("div", { class: "row names", "aria-hidden": "true" }, el("div"), el("div", {}, el("b", {}, "Reference")), names);
}

function viewRow(view) {
  const columns = [0, ...columnNumbers()];
  const metric = chosenMetric();
  const best = bestColumns(view, metric);
  const figures = columns.map((column) => thumbFigure(view, column, best.has(column)));
  const row = el("li", { class: "row", "data-view": view.name }, rowHead(view, metric), figures);
  return row;
}

function rowHead(view, metric) {
  const pair = comparedPair();
  const parts = [el("b", { class: "view-name" }, view.name)];
  if (pair) {
    const change = difference(view, metric, pair);
    const sign = metric.higher_is_better === false ? -change : change;
    const kind = sign < 0 ? "worse" : sign > 0 ? "better" : "";
    const text = `${differenceText(change, metric.decimals)}${metric.unit ? ` ${metric.unit}` : ""}`;
    if (!Number.isNaN(change)) parts.push(el("span", { class: `change ${kind}`, title: `${columnName(pair[1])} − ${columnName(pair[0])}` }, text));
  }
  parts.push(...(view.problems || []).map((problem) => el("span", { class: "problem" }, problem)));
  return el("div", { class: "row-head" }, parts);
}

/** Return the columns with the best score of a view, if there are others. */
function bestColumns(view, metric) {
  const scores = columnNumbers().map((column) => score(view, metric, column));
  const numbers = scores.filter((value) => !Number.isNaN(value));
  if (numbers.length < 2 || metric.higher_is_better === null) return new Set();
  const best = rangeOf(numbers)[metric.higher_is_better ? 1 : 0];
  return new Set(columnNumbers().filter((column) => scores[column - 1] === best));
}

function thumbFigure(view, column, best) {
  const id = imageId(view, column);
  const name = columnName(column);
  const about = id && current.scene.images[id];
  const href = link({ v: view.name, a: column || 1, b: "0" });
  const picture = about
    ? el("img", { src: fileUrl(about.thumb), alt: `${view.name}, ${name}`, width: about.w, height: about.h, loading: "lazy", decoding: "async" })
    : el("span", { class: "absent" }, "no image");
  const anchor = el("a", { href, "data-view": view.name, "data-column": column, "aria-label": about ? null : `${view.name}, ${name}: no image` }, picture);
  return el("figure", {}, anchor, el("figcaption", {}, el("span", { class: "method" }, name), column ? scoreSpans(view, column, best) : null));
}

/** Return the scores of a render, the chosen metric stronger than the others. */
function scoreSpans(view, column, best) {
  const chosen = chosenMetric();
  const spans = current.protocol.metrics.map((metric) => {
    const text = scoreText(score(view, metric, column), metric.decimals);
    return el("span", { class: metric !== chosen ? "" : best ? "chosen best" : "chosen", title: metricTitle(metric) }, text);
  });
  return el("span", { class: "scores" }, spans);
}
