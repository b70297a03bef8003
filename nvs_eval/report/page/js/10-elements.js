// Elements and numbers as text.

/** Make an element. Attributes that are functions listen to the event of their name; null and false are skipped. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function button(text, attributes, title) {
  return el("button", { type: "button", title: title || null, ...attributes }, text);
}

/** Make a labelled select. `options` are pairs of value and text; `changed` gets the chosen value. */
function select(label, options, value, changed) {
  const list = el("select", { change: () => changed(list.value) });
  for (const [key, text] of options) list.append(el("option", { value: key, selected: key === value }, text));
  return el("label", { class: "choice" }, el("span", {}, label), list);
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Return a score as text: a number with the decimals of its metric, ∞, or a dash. */
function scoreText(value, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const number = numberOf(value);
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  return number.toFixed(decimals).replace("-", "−");
}

function differenceText(value, decimals) {
  const text = scoreText(value, decimals);
  return value > 0 && Number.isFinite(value) ? `+${text}` : value === Infinity ? "+∞" : text;
}

/** Return a score as a number: the records write infinity as "inf". NaN where there is none. */
function numberOf(value) {
  if (value === null || value === undefined) return NaN;
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);
}

/** Return a number with three significant digits, without an exponent where it is readable. */
function shortNumber(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

function secondsText(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? `${shortNumber(seconds * 1000)} ms` : `${shortNumber(seconds)} s`;
}

function metricTitle(metric, unit = true) {
  const arrow = metric.higher_is_better === null ? "" : metric.higher_is_better ? " ↑" : " ↓";
  return `${metric.title || metric.key}${unit && metric.unit ? ` [${metric.unit}]` : ""}${arrow}`;
}

/** Return the smallest and the largest number, of any number of them: functions have a limited number of arguments. */
function rangeOf(numbers) {
  return numbers.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/** Return the middle and the quarters of sorted numbers. */
function quantile(sorted, share) {
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}
