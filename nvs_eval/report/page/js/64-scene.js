// The overview of a scene: tables, plots and views.

function sceneSection() {
  const { scene } = current;
  const title = el("h2", { tabindex: "-1" }, scene.name, " ", el("small", {}, `${scene.split}, ${plural(scene.views.length, "view")}`));
  const parts = [title, protocolChoice(), messagesPanel(), tableSection(), provenancePanel()];
  if (current.protocol.metrics.length && scene.columns.length) parts.push(comparison(), el("div", { id: "views" }, viewsSection()));
  return el("section", { class: "scene" }, parts.filter(Boolean));
}

function protocolChoice() {
  const { protocols } = current.scene;
  if (protocols.length < 2) return null;
  const options = protocols.map((one) => [one.fingerprint, `${one.name} (${one.fingerprint})`]);
  return el("div", { class: "controls" }, select("Protocol", options, current.protocol.fingerprint, (value) => set({ p: value })));
}

/** Metric and pair, with what follows from them: the verdict, plots and causes. */
function comparison() {
  const metrics = current.protocol.metrics.map((metric) => [metric.key, metric.title]);
  const controls = el("div", { class: "controls" }, select("Metric", metrics, chosenMetric().key, (value) => set({ metric: value })));
  const pair = comparedPair();
  if (pair) {
    const columns = columnNumbers().map((column) => [String(column), columnName(column)]);
    const choose = (place) => (value) => set({ diff: (place ? [pair[0], value] : [value, pair[1]]).join() });
    const others = (other) => columns.filter(([column]) => column !== String(other));
    controls.append(
      select("Compare", others(pair[1]), String(pair[0]), choose(0)),
      select("with", others(pair[0]), String(pair[1]), choose(1)),
      button("Swap", { click: () => set({ diff: [pair[1], pair[0]].join() }) }),
    );
  }
  const causes = causesPanel(columnNumbers());
  return el("section", { id: "comparison", "aria-label": "Comparison" }, controls, verdict(pair), legend(), charts(),
    causes && el("section", {}, el("h3", {}, "Why it is worse"), causes));
}

function showScene() {
  current.order = orderedViews();
  app().replaceChildren(sceneSection());
}

/** Show a part anew; the element with the focus gets it back. */
function refresh(id, make) {
  const old = document.getElementById(id);
  if (!old) return;
  const focusable = "button, select, a[href]";
  const place = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  const fresh = make();
  if (fresh.id === id) old.replaceWith(fresh);
  else old.replaceChildren(fresh);
  if (place >= 0) document.getElementById(id).querySelectorAll(focusable)[place]?.focus({ preventScroll: true });
}

function refreshViews() {
  current.order = orderedViews();
  refresh("views", viewsSection);
}

function app() {
  return document.getElementById("app");
}
