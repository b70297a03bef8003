"use strict";
// Data of the page by path: script files beside it, or elements of the page itself if it is a single file.

const arrived = new Map(); // path -> value that no one asked for yet
const requests = new Map(); // path -> {promise, resolve}
const embedded = new Map(); // path -> element with JSON

window.NVS = { put, get: load };

/** Called by each data file when it runs. */
function put(path, value) {
  const request = requests.get(path);
  if (request) request.resolve(value);
  else arrived.set(path, value);
}

/** Return a promise of the value of a path. Nothing is kept here: callers cache what they need. */
function load(path) {
  if (arrived.has(path)) {
    const value = arrived.get(path);
    arrived.delete(path);
    return Promise.resolve(value);
  }
  if (embedded.has(path)) return Promise.resolve().then(() => JSON.parse(embedded.get(path).textContent));
  if (!requests.has(path)) requests.set(path, request(path));
  return requests.get(path).promise;
}

function request(path) {
  const script = document.createElement("script");
  let resolve;
  const promise = new Promise((done, failed) => {
    resolve = done;
    script.onload = () => failed(new Error(`${path} does not hold the data of this page.`));
    script.onerror = () => failed(new Error(`${path} is missing. Keep the folder of this page together.`));
  });
  const forget = () => {
    requests.delete(path);
    script.remove();
  };
  promise.then(forget, forget);
  script.src = path.split("/").map(encodeURIComponent).join("/");
  document.head.append(script);
  return { promise, resolve };
}

function findEmbedded() {
  for (const element of document.querySelectorAll("script[data-path]")) embedded.set(element.dataset.path, element);
}

/** A cache that forgets the values used longest ago once their sizes exceed a limit in bytes, but keeps `least`. */
class Cache {
  constructor(limit, least) {
    this.limit = limit;
    this.least = least;
    this.size = 0;
    this.entries = new Map();
  }

  /** Return the value if it is there. */
  peek(key) {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  /** Return the promise of a value, made once. `make` returns a promise, `sizeOf` the bytes of its value. */
  get(key, make, sizeOf) {
    const known = this.entries.get(key);
    if (known) {
      this.peek(key);
      return known.promise;
    }
    const entry = { promise: make(), value: undefined, bytes: 0 };
    this.entries.set(key, entry);
    entry.promise.then(
      (value) => {
        entry.value = value;
        entry.bytes = sizeOf(value);
        this.size += entry.bytes;
        this.trim(key);
      },
      () => this.entries.delete(key),
    );
    return entry.promise;
  }

  trim(newest) {
    for (const [key, entry] of this.entries) {
      if (this.size <= this.limit || this.entries.size <= this.least) return;
      if (key === newest || entry.value === undefined) continue;
      this.entries.delete(key);
      this.size -= entry.bytes;
    }
  }
}
