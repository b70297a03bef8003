// One plot: axes, points and lines as SVG. The nearest point is shown on hover, a click opens its view.

const PLOT = { width: 360, height: 250, left: 52, right: 14, top: 12, bottom: 40 };

/** Return at most `most` round numbers that cover a range, and the range that they span. */
function niceTicks(low, high, most = 5) {
  if (!(high > low)) [low, high] = [low - (Math.abs(low) * 0.05 || 0.5), high + (Math.abs(high) * 0.05 || 0.5)];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return { low, high, ticks };
}

/** Return a scale from values to places. Values over a factor of 20 get a logarithmic axis if `mayLog`. */
function scaleOf(values, from, to, mayLog) {
  const [low, high] = rangeOf(values);
  if (mayLog && low > 0 && high / low > 20) {
    const [a, b] = [Math.log10(low) - 0.05, Math.log10(high) + 0.05];
    const ticks = [];
    for (let power = Math.floor(a); power <= b; power++) {
      for (const factor of b - a > 2 ? [1] : [1, 3]) ticks.push(factor * 10 ** power);
    }
    const shown = ticks.filter((tick) => Math.log10(tick) >= a && Math.log10(tick) <= b);
    return { ticks: shown, at: (value) => from + ((Math.log10(value) - a) / (b - a)) * (to - from) };
  }
  const pad = (high - low) * 0.06;
  const nice = niceTicks(low - pad, high + pad);
  return { ticks: nice.ticks, at: (value) => from + ((value - nice.low) / (nice.high - nice.low)) * (to - from) };
}

/**
 * Draw a plot.
 *
 * `series`: [{name, colour, points: [{x, y, text, view?, column?}], line?}]; `x`, `y`: {title, log?, same?, labels?}.
 */
function plot({ title, series, x, y, diagonal = false, description }) {
  const points = series.flatMap((one) => one.points.map((point) => ({ ...point, series: one })));
  const shown = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  const figure = el("figure", { class: "plot" }, el("figcaption", {}, title));
  if (!shown.length) return fill(figure, {}, [el("p", { class: "quiet" }, "No finite values.")]);
  const range = diagonal ? shown.flatMap((point) => [point.x, point.y]) : null;
  const across = scaleOf(range || shown.map((point) => point.x), PLOT.left, PLOT.width - PLOT.right, x.log);
  const up = scaleOf(range || shown.map((point) => point.y), PLOT.height - PLOT.bottom, PLOT.top, y.log);
  const label = `${title}. ${description || plural(shown.length, "point")}.`;
  const drawing = svg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": label });
  drawing.append(...axes(across, up, x, y));
  if (diagonal) drawing.append(diagonalLine());
  for (const point of shown) [point.px, point.py] = [across.at(point.x), up.at(point.y)];
  for (const one of series) drawing.append(...marks(one, shown.filter((point) => point.series === one)));
  hover(figure, drawing, shown);
  figure.append(drawing);
  const lost = points.length - shown.length;
  if (lost) figure.append(el("p", { class: "quiet" }, `${plural(lost, "point")} without a finite value.`));
  return figure;
}

function axes(across, up, x, y) {
  const { left, top, width, height, right, bottom } = PLOT;
  const parts = [];
  for (const tick of up.ticks) {
    const place = up.at(tick);
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: place, y2: place }));
    parts.push(svg("text", { x: left - 7, y: place + 4, "text-anchor": "end" }, shortNumber(tick)));
  }
  for (const tick of x.labels ? [] : across.ticks) {
    const place = across.at(tick);
    parts.push(svg("line", { class: "tick", x1: place, x2: place, y1: height - bottom, y2: height - bottom + 4 }));
    parts.push(svg("text", { x: place, y: height - bottom + 17, "text-anchor": "middle" }, shortNumber(tick)));
  }
  parts.push(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  parts.push(svg("text", { class: "title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.title));
  const middle = (top + height - bottom) / 2;
  const turn = `rotate(-90 12 ${middle})`;
  parts.push(svg("text", { class: "title", x: 12, y: middle, "text-anchor": "middle", transform: turn }, y.title));
  return parts;
}

/** The line where both values are equal: from corner to corner, since both axes have the same range. */
function diagonalLine() {
  const { left, right, top, bottom, width, height } = PLOT;
  return svg("line", { class: "diagonal", x1: left, y1: height - bottom, x2: width - right, y2: top });
}

/** All points of a series are one path, so that plots of thousands of points stay fast. */
function marks(one, points) {
  const parts = [];
  const at = (point) => `${point.px.toFixed(1)} ${point.py.toFixed(1)}`;
  if (one.line) parts.push(svg("path", { class: "line", d: `M${points.map(at).join("L")}`, stroke: one.colour }));
  const many = points.length > 60;
  const dots = points.map((point) => `M${at(point)}h0`).join("");
  if (dots) parts.push(svg("path", { class: many ? "dots many" : "dots", d: dots, stroke: one.colour }));
  for (const point of points) {
    if (!point.label) continue;
    const end = point.px > PLOT.width * 0.6;
    const place = { x: point.px + (end ? -9 : 9), y: point.py + 4, "text-anchor": end ? "end" : "start", class: "name" };
    parts.push(svg("text", place, shortened(point.label, 22)));
  }
  return parts;
}

/** Return the width of a character: 2 for those as wide as high, such as Chinese ones, else 1. */
function cells(character) {
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]|[^\u0000-\uffff]/u.test(character) ? 2 : 1;
}

/** Return a text of at most `length` cells. */
function shortened(text, length) {
  let room = length;
  for (const character of text) room -= cells(character);
  if (room >= 0) return text;
  const characters = [...text];
  while (room < 1) room += cells(characters.pop());
  return `${characters.join("")}…`;
}

/** Return the point nearest to a place within a distance, or null. */
function nearestPoint(points, px, py, within) {
  let [nearest, best] = [null, within ** 2];
  for (const point of points) {
    const distance = (point.px - px) ** 2 + (point.py - py) ** 2;
    if (distance < best) [best, nearest] = [distance, point];
  }
  return nearest;
}

/** Show the point nearest to the pointer, and open its view on a click. */
function hover(figure, drawing, points) {
  const ring = svg("circle", { class: "ring", r: 6, visibility: "hidden" });
  const tip = el("div", { class: "tip", hidden: true });
  drawing.append(ring);
  figure.append(tip);
  let nearest = null;
  const find = (event) => {
    const box = drawing.getBoundingClientRect();
    const scale = PLOT.width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    nearest = nearestPoint(points, px, py, event.pointerType === "touch" ? 30 : 16);
    show();
  };
  const show = () => {
    ring.setAttribute("visibility", nearest ? "visible" : "hidden");
    tip.hidden = !nearest;
    drawing.classList.toggle("link", Boolean(nearest?.view));
    if (!nearest) return;
    ring.setAttribute("cx", nearest.px);
    ring.setAttribute("cy", nearest.py);
    tip.textContent = nearest.text;
    tip.style.left = `${(nearest.px / PLOT.width) * 100}%`;
    tip.style.top = `${drawing.offsetTop + (nearest.py / PLOT.height) * drawing.clientHeight}px`;
    tip.classList.toggle("end", nearest.px > PLOT.width / 2);
  };
  const leave = () => {
    nearest = null;
    show();
  };
  drawing.addEventListener("pointermove", find);
  drawing.addEventListener("pointerleave", leave);
  drawing.addEventListener("click", (event) => {
    find(event);
    if (nearest?.view) openView(nearest.view, nearest.column);
  });
}
