// State of the page, all of it in the address, so that a link shows what its sender saw.

const DEFAULTS = {
  s: "0", // number of the scene
  p: "", // fingerprint of the protocol; the first one if empty
  v: "", // name of the open view; none if empty
  m: "single", // single, slider or grid
  a: "1", // the pane shown (left of the slider): 0 is the reference, k is column k, "err:k" its map
  b: "0", // the other pane
  z: "", // screen pixels per image pixel; fitted if empty
  x: "0.5", // centre of the stage in the image
  y: "0.5",
  w: "0.5", // place of the slider
  i1: "", // insets "x,y,w,h" in pixels
  i2: "",
  range: "", // upper end of error maps; of the view if empty
  metric: "", // metric of plots and sorting; the protocol's first if empty
  sort: "", // order of views: as scored if empty, "name", "mean", a column, or "diff"
  desc: "", // 1 reverses the order
  diff: "", // pair of columns "1,2" that are compared
  table: "", // sorted table: "number,column,1 or -1"
  theme: "", // dark or light; the system's if empty
  keys: "", // 0 disables the keys of one character
};

const state = { ...DEFAULTS };
const listeners = [];
let writing = 0;

/** Call an action when one of these keys of the state has changed. */
function on(keys, action) {
  listeners.push({ keys: keys.split(" "), action });
}

/** Change the state and the address. Opening and closing a view is a step that the browser's Back undoes. */
function set(changes) {
  const changed = Object.keys(changes).filter((key) => state[key] !== String(changes[key]));
  if (!changed.length) return;
  const opens = changed.includes("v") && !(state.v && changes.v);
  if (opens && writing) writeAddress("replaceState");
  for (const key of changed) state[key] = String(changes[key]);
  if (opens) writeAddress("pushState");
  else if (!writing) writing = setTimeout(() => writeAddress("replaceState"), 150);
  notify(changed);
}

function notify(changed) {
  for (const { keys, action } of listeners) if (keys.some((key) => changed.includes(key))) action(changed);
}

function address() {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) parameters.set(key, value);
  return `#${parameters}`;
}

/** Write the address, later for quick changes such as panning: browsers limit how often it may change. */
function writeAddress(how) {
  clearTimeout(writing);
  writing = 0;
  if (location.hash === address() || (!location.hash && address() === "#")) return;
  history[how](null, "", address());
}

/** Read the state from the address and return the changed keys. */
function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const before = { ...state };
  for (const key of Object.keys(DEFAULTS)) state[key] = parameters.get(key) ?? DEFAULTS[key];
  return Object.keys(DEFAULTS).filter((key) => state[key] !== before[key]);
}

/** Return the address of this page with some changes, for links. */
function link(changes) {
  const kept = { ...state };
  Object.assign(state, changes);
  const result = address();
  Object.assign(state, kept);
  return result;
}
