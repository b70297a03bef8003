// Keys, and the help that lists them.

const KEYS = [
  ["View", [
    ["← →", "previous, next view in the chosen order"],
    ["1 to 9", "show a method; 0 shows the reference"],
    ["↑ ↓", "previous, next pane"],
    ["Space", "flip to the other pane"],
    ["s", "slider between the two panes"],
    [", .", "move the slider"],
    ["g", "grid of all images"],
    ["+ −", "zoom in, out"],
    ["f", "fit to the window"],
    ["r", "one image pixel per screen pixel"],
    ["Shift + arrows", "move the image"],
    ["m", "next map: error, squared, signed, others"],
    ["[ ]", "halve, double the range of error maps"],
    ["i", "inset at the pointer (Shift + drag draws one)"],
    ["Shift + I", "remove the insets"],
    ["Esc", "back to all views"],
  ]],
  ["All pages", [
    ["v", "open the first view"],
    ["c", "next metric"],
    ["o", "next order of views"],
    ["p", "next pair of methods"],
    ["t", "dark, light or the system's theme"],
    ["?", "this help"],
  ]],
];

const VIEW_KEYS = {
  ArrowLeft: () => walk(-1),
  ArrowRight: () => walk(1),
  ArrowUp: () => stepPane(-1),
  ArrowDown: () => stepPane(1),
  "Shift+ArrowLeft": () => pan(60, 0),
  "Shift+ArrowRight": () => pan(-60, 0),
  "Shift+ArrowUp": () => pan(0, 60),
  "Shift+ArrowDown": () => pan(0, -60),
  Escape: () => closeView(),
  " ": flip,
  s: () => toggleMode("slider"),
  g: () => toggleMode("grid"),
  ",": () => moveSlider(Number(state.w) - 0.05),
  ".": () => moveSlider(Number(state.w) + 0.05),
  "+": () => zoomStep(1),
  "=": () => zoomStep(1),
  "-": () => zoomStep(-1),
  f: fit,
  r: () => zoomTo(1 / devicePixelRatio),
  m: nextKind,
  "[": () => changeRange(0.5),
  "]": () => changeRange(2),
  i: () => addInsetAt(stage.probe),
  I: removeInsets,
};

const PAGE_KEYS = {
  v: () => current.order.length && openView(current.scene.views[current.order[0]].name),
  c: () => set({ metric: nextOf(current.protocol.metrics.map((metric) => metric.key), chosenMetric().key) }),
  o: () => set({ sort: nextOf(["", "name", "mean", ...columnNumbers().map(String), ...(comparedPair() ? ["diff"] : [])], state.sort) }),
  p: nextPair,
  t: nextTheme,
  "?": showHelp,
};

function nextOf(values, value) {
  return values[(values.indexOf(value) + 1) % values.length];
}

function nextPair() {
  if (!comparedPair()) return;
  const pairs = columnNumbers().flatMap((a) => columnNumbers().filter((b) => b > a).map((b) => `${a},${b}`));
  set({ diff: nextOf(pairs, comparedPair().join()) });
}

function nextTheme() {
  set({ theme: nextOf(["", "dark", "light"], state.theme) });
}

function toggleMode(mode) {
  set({ m: state.m === mode ? "single" : mode });
}

function stepPane(step) {
  const count = current.scene.columns.length + 1;
  choosePane((parsePane(state.a).column + step + count) % count);
}

function keyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !current.scene) return;
  if (document.querySelector("dialog[open]")) return;
  const target = event.target;
  const typing = target.closest("input, select, textarea");
  if (typing && event.key !== "Escape") return;
  if (event.key === " " && target.closest("button, a, summary")) return;
  if (target.closest(".handle") && /^Arrow(Left|Right)$/.test(event.key) && !event.shiftKey) {
    event.preventDefault();
    return moveSlider(Number(state.w) + (event.key === "ArrowLeft" ? -0.02 : 0.02));
  }
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  action();
}

function actionOf(event) {
  const { key } = event;
  if (state.keys === "0" && key.length === 1) return key === "?" ? showHelp : null;
  if (!state.v) return PAGE_KEYS[key];
  if (/^[0-9]$/.test(key)) return Number(key) <= current.scene.columns.length ? () => choosePane(Number(key)) : null;
  return VIEW_KEYS[event.shiftKey && key.startsWith("Arrow") ? `Shift+${key}` : key] || (key === "v" ? null : PAGE_KEYS[key]);
}

function showHelp() {
  document.querySelector("dialog")?.remove();
  const lists = KEYS.map(([title, keys]) => el("section", {}, el("h3", {}, title),
    el("dl", { class: "keys" }, keys.map(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)]))));
  const enabled = el("input", { type: "checkbox", checked: state.keys !== "0", change: () => set({ keys: enabled.checked ? "" : "0" }) });
  const dialog = el("dialog", { "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys"),
    el("div", { class: "lists" }, lists),
    el("p", {}, "Mouse and touch: drag moves, wheel or pinch zooms, a double click toggles 1:1, a click in the grid chooses. Every state is in the address: copy it to share what you see."),
    el("label", {}, enabled, " Keys of one character"),
    el("form", { method: "dialog" }, el("button", {}, "Close")));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}
