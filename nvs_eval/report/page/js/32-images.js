// Pixels: exact images, previews and maps, cached by their bytes.

const pixelCache = new Cache(4e8, 16);
const mapCache = new Cache(2e8, 48);
const previews = new Map();

/** Return a promise of an exact image: {width, height, rgba, bitmap, floats}. Its channels are 0-255. */
function exact(id) {
  const about = current.scene.images[id];
  return pixelCache.get(id, () => decoded(about), (image) => image.rgba.length * 2 + (image.floats?.length ?? 0) * 4);
}

/** Return an exact image if it is decoded already, else undefined. */
function exactNow(id) {
  return id ? pixelCache.peek(id) : undefined;
}

async function decoded(about) {
  const [url, floats] = await Promise.all([load(about.pixels), about.floats ? load(about.floats) : null]);
  const image = await pictureOf(url);
  return { ...image, floats: floats ? await unpackFloats(floats) : null };
}

/** Decode a data URL. Pictures of data URLs can be read on every page, also on one opened from disk. */
async function pictureOf(url) {
  const element = new Image();
  element.src = url;
  await element.decode();
  const { naturalWidth: width, naturalHeight: height } = element;
  const canvas = el("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(element, 0, 0);
  const pixels = context.getImageData(0, 0, width, height);
  return { width, height, rgba: pixels.data, bitmap: await createImageBitmap(pixels) };
}

/** Unpack float32 HxWx3: base64 of deflate of bytes that are grouped by their place in each number. */
async function unpackFloats({ w, h, data }) {
  const packed = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const shuffled = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = w * h * 3;
  const bytes = new Uint8Array(count * 4);
  for (let part = 0; part < 4; part++) {
    for (let i = 0; i < count; i++) bytes[i * 4 + part] = shuffled[part * count + i];
  }
  return new Float32Array(bytes.buffer);
}

/** Return the best picture of an image that can be drawn now, or null; `ready` is called when a better one is there. */
function pictureNow(id, ready) {
  const image = exactNow(id);
  if (image) return { source: image.bitmap, exact: true };
  exact(id).then(ready, failed);
  const about = current.scene.images[id];
  for (const path of [about.look, about.thumb]) {
    if (!path) continue;
    const element = preview(path, ready);
    if (element.complete && element.naturalWidth) return { source: element, exact: false };
  }
  return null;
}

function preview(path, ready) {
  if (!previews.has(path)) {
    const element = new Image();
    element.onload = ready;
    element.src = fileUrl(path);
    previews.set(path, element);
    if (previews.size > 64) previews.delete(previews.keys().next().value);
  }
  return previews.get(path);
}

function fileUrl(path) {
  return path.startsWith("data:") ? path : path.split("/").map(encodeURIComponent).join("/");
}

/** Load a map that was written with the page: its values. */
async function storedMap(about, key) {
  const image = await pictureOf(await load(about.files[key]));
  const values = new Float32Array(image.width * image.height);
  const step = (about.hi - about.lo) / 255;
  for (let i = 0; i < values.length; i++) values[i] = about.lo + image.rgba[i * 4] * step;
  return { width: image.width, height: image.height, values };
}

/** Error per pixel: the mean of its channels, of values in 0-1. */
const ERRORS = {
  err: (x) => Math.abs(x),
  sq: (x) => x * x,
  signed: (x) => x,
};

function errorMap(kind, render, reference) {
  const { width, height } = reference;
  const measure = ERRORS[kind];
  const values = new Float32Array(width * height);
  const [p, q, scale, step] = comparable(render, reference);
  for (let i = 0, j = 0; i < values.length; i++, j += step) {
    const red = measure((p[j] - q[j]) * scale);
    const green = measure((p[j + 1] - q[j + 1]) * scale);
    const blue = measure((p[j + 2] - q[j + 2]) * scale);
    values[i] = (red + green + blue) / 3;
  }
  return { width, height, values };
}

/** Return the numbers of two images, floats where both have them: numbers, numbers, factor to 0-1, step per pixel. */
function comparable(render, reference) {
  if (render.floats && reference.floats) return [render.floats, reference.floats, 1, 3];
  return [render.rgba, reference.rgba, 1 / 255, 4];
}
