// Start: load the index and the scene of the address, and show what changes.

function failed(error) {
  const text = error instanceof Error ? error.message : "An image of this page cannot be decoded.";
  const place = document.getElementById("errors");
  if (place.textContent !== text) place.textContent = text;
}

async function showIndex() {
  current.index = await load("data/index.js");
  await showChosenScene();
}

/** Load the scene of the address and show it, with the view that is open. */
async function showChosenScene() {
  const { scenes } = current.index;
  const place = scenes[Number(state.s)] ? Number(state.s) : 0;
  for (const anchor of document.querySelectorAll('nav a[href^="#s="]')) {
    const active = new URLSearchParams(anchor.hash.slice(1)).get("s") === String(place);
    if (active) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  sceneCache[place] ??= load(scenes[place].path);
  const scene = await sceneCache[place];
  if (place !== (scenes[Number(state.s)] ? Number(state.s) : 0)) return;
  current.scene = scene;
  showProtocol();
}

const sceneCache = {};

function showProtocol() {
  if (!current.scene) return;
  const { protocols } = current.scene;
  current.protocol = protocols.find((one) => one.fingerprint === state.p) || protocols[0];
  showScene();
  showView();
}

function applyTheme() {
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
}

/** Follow a link to a scene; the theme and other choices stay. */
function followScene(event) {
  const anchor = event.target.closest("nav a");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  set({ s: new URLSearchParams(anchor.hash.slice(1)).get("s"), v: "" });
}

function listen() {
  on("s", () => showChosenScene().catch(failed));
  on("p", showProtocol);
  on("metric diff", () => refresh("comparison", comparison));
  on("metric diff sort desc", refreshViews);
  on("v", (changed) => {
    if (changed.includes("s") || changed.includes("p")) return;
    if (stage.element && viewNamed(state.v)) refreshViewer();
    else showView();
  });
  on("a b m metric sort desc diff", refreshViewer);
  on("i1 i2", refreshStage);
  on("z x y range", () => {
    refreshFoot();
    redraw();
  });
  on("w", () => {
    placeHandle();
    redraw();
  });
  on("theme", applyTheme);
  document.querySelector("header").addEventListener("click", followScene);
  document.addEventListener("keydown", keyDown);
  addEventListener("popstate", () => notify(readAddress()));
  addEventListener("hashchange", () => notify(readAddress()));
  addEventListener("resize", refreshStage);
}

function start() {
  const tools = el("div", { class: "tools" }, button("Theme", { click: nextTheme }, "Dark, light or the system's theme (t)"), button("Keys", { click: showHelp }, "All keys (?)"));
  document.querySelector("header").append(tools);
  document.body.append(el("p", { id: "errors", role: "alert" }));
  makeSortable(document.getElementById("overall") || document.body, 0);
  findEmbedded();
  readAddress();
  applyTheme();
  listen();
  showIndex().catch(failed);
}

start();
