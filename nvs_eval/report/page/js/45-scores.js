// Scores of the scene under the chosen protocol.

const current = { index: null, scene: null, protocol: null, order: [] };

function chosenMetric() {
  const metrics = current.protocol.metrics;
  return metrics.find((metric) => metric.key === state.metric) || metrics[0];
}

/** Return the score of a view: column 1 is the first method. NaN where there is none. */
function score(view, metric, column) {
  const scores = view.scores[current.protocol.fingerprint]?.[metric.key];
  return scores ? numberOf(scores[column - 1]) : NaN;
}

function columnNumbers() {
  return current.scene.columns.map((_, index) => index + 1);
}

/** Return the mean of a column over its views; NaN without scores. */
function columnMean(metric, column) {
  const values = current.scene.views.map((view) => score(view, metric, column)).filter((value) => !Number.isNaN(value));
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
}

function viewMean(view, metric) {
  const values = columnNumbers().map((column) => score(view, metric, column)).filter((value) => !Number.isNaN(value));
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
}

/** Return the compared pair of columns, or null if there is one column only. */
function comparedPair() {
  const count = current.scene.columns.length;
  if (count < 2) return null;
  const [a, b] = state.diff.split(",").map(Number);
  const valid = (column) => Number.isInteger(column) && column >= 1 && column <= count;
  return valid(a) && valid(b) && a !== b ? [a, b] : [1, 2];
}

/** Return the score of the second column of a pair minus that of the first. */
function difference(view, metric, [a, b]) {
  const [before, after] = [score(view, metric, a), score(view, metric, b)];
  return before === after ? 0 : after - before;
}

/** Return the views in the chosen order: the worst or the largest regression first, those without a score last. */
function orderedViews() {
  const views = current.scene.views.map((_, index) => index);
  const metric = chosenMetric();
  const flip = state.desc === "1" ? -1 : 1;
  if (state.sort === "name" || state.sort === "") {
    if (state.sort) views.sort((i, j) => current.scene.views[i].name.localeCompare(current.scene.views[j].name, "en", { numeric: true }));
    return flip < 0 ? views.reverse() : views;
  }
  const keys = views.map((index) => sortKey(current.scene.views[index], metric));
  const worstFirst = metric.higher_is_better === false ? -1 : 1;
  return views.sort((i, j) => {
    const [x, y] = [keys[i], keys[j]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || i - j;
    return x === y ? i - j : flip * worstFirst * (x - y);
  });
}

function sortKey(view, metric) {
  if (state.sort === "mean") return viewMean(view, metric);
  if (state.sort === "diff") return comparedPair() ? difference(view, metric, comparedPair()) : NaN;
  return score(view, metric, Number(state.sort));
}

function viewNamed(name) {
  return current.scene?.views.find((view) => view.name === name);
}
