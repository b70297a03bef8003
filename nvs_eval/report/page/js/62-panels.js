// What is said about the scene: missing images, the verdict of compare, causes, provenance.

function messagesPanel() {
  const messages = current.scene.messages || [];
  return messages.length ? el("ul", { class: "messages" }, messages.map((text) => el("li", {}, text))) : null;
}

/** The sentences of compare for a pair of columns. */
function verdict(pair) {
  const compare = current.protocol.compare || {};
  if (!pair) return null;
  const [a, b] = [pair[0] - 1, pair[1] - 1];
  const sentences = compare[`${a},${b}`] || compare[`${b},${a}`];
  if (!sentences?.length) return null;
  return el("ul", { class: "verdict" }, sentences.map((text) => el("li", {}, text)));
}

/** Return the pair of the open panes, or the compared pair where they are not two methods. */
function openPair() {
  const [a, b] = [parsePane(state.a).column, parsePane(state.b).column];
  return state.v && a && b && a !== b ? [a, b] : comparedPair();
}

/** The causes of errors, per method: of the whole run, or of one view. */
function causesPanel(columns, view) {
  const known = columns.map((column) => {
    const causes = current.scene.columns[column - 1].causes;
    const words = view ? causes?.views?.[view.name]?.words : causes?.words;
    return words?.length ? [el("dt", {}, columnName(column)), words.map((text) => el("dd", {}, text))] : null;
  }).filter(Boolean);
  return known.length ? el("dl", { class: "causes" }, known) : null;
}

function provenancePanel() {
  const parts = current.scene.columns.map((column) => el("section", {}, el("h4", {}, column.name), facts({
    method: column.method,
    run: column.run,
    step: column.step ?? column.step_name,
    record: column.record,
    "images kept": column.kept,
    "peak GPU memory [GB]": column.gb === null ? null : shortNumber(column.gb),
    ...column.provenance,
  })));
  const protocol = facts({ name: current.protocol.name, fingerprint: current.protocol.fingerprint, ...current.protocol.definition });
  const signatures = facts(Object.fromEntries(current.protocol.metrics.map((metric) => [metric.key, metric.signature])));
  return el("details", { class: "provenance" },
    el("summary", {}, "Protocol and provenance"),
    el("section", {}, el("h4", {}, "Protocol"), protocol),
    el("section", {}, el("h4", {}, "Signatures of the metrics"), signatures),
    parts);
}

function facts(values) {
  const shown = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, shown.map(([name, value]) => [el("dt", {}, name), el("dd", {}, factText(value))]));
}

function factText(value) {
  if (Array.isArray(value) && value.every((part) => typeof part !== "object")) return value.join(" ");
  return typeof value === "object" ? JSON.stringify(value, null, 1).replace(/[{}"]/g, "").trim() : String(value);
}
