// Colour maps of 256 colours, perceptually uniform.

// Every 15th colour of matplotlib's "magma" (CC0); its lightness rises evenly.
const MAGMA =
  "00000309071f1a10413010654a107961187f792281912a80a9327c" +
  "c23a75d9466aec585ff7715bfc8e63feaa74fec689fde1a3fbfcbf";

/** Return 256 colours (3 bytes each) between evenly spaced anchors. */
function interpolated(anchors) {
  const table = new Uint8ClampedArray(768);
  for (let level = 0; level < 256; level++) {
    const place = (level / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      const from = anchors[low][c];
      table[level * 3 + c] = from + (anchors[low + 1][c] - from) * (place - low);
    }
  }
  return table;
}

function parseHex(text) {
  const colours = [];
  for (let place = 0; place < text.length; place += 6) {
    colours.push([0, 2, 4].map((offset) => parseInt(text.slice(place + offset, place + offset + 2), 16)));
  }
  return colours;
}

/** Return the sRGB colour (0-255) of Oklab coordinates (Ottosson 2020). */
function oklab(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((x) => 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * Math.max(x, 0) ** (1 / 2.4) - 0.055));
}

/** Blue to white to red; lightness falls evenly on both sides, so that equal errors look equally strong. */
function diverging() {
  const anchors = [];
  for (let place = -16; place <= 16; place++) {
    const size = Math.abs(place) / 16;
    const hue = place < 0 ? [-0.035, -0.13] : [0.15, 0.07];
    const strength = Math.min(1, size * 1.6) * (1 - 0.25 * size * size);
    anchors.push(oklab(0.97 - 0.55 * size, hue[0] * strength, hue[1] * strength));
  }
  return interpolated(anchors);
}

const COLOUR_MAPS = { magma: interpolated(parseHex(MAGMA)), diverging: diverging() };

/** Return a CSS gradient of a colour map. */
function gradient(name) {
  const table = COLOUR_MAPS[name];
  const stops = [];
  for (let level = 0; level < 256; level += 15) {
    stops.push(`rgb(${table[level * 3]},${table[level * 3 + 1]},${table[level * 3 + 2]})`);
  }
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/** Colour values as an image. */
function coloured(values, width, height, lo, hi, name) {
  const table = COLOUR_MAPS[name];
  const pixels = new ImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  const colours = new Uint32Array(256);
  for (let level = 0; level < 256; level++) {
    // Bytes in memory are red, green, blue, alpha on all machines that browsers run on (little-endian).
    colours[level] = (255 << 24) | (table[level * 3 + 2] << 16) | (table[level * 3 + 1] << 8) | table[level * 3];
  }
  const scale = 255 / (hi - lo || 1);
  for (let i = 0; i < values.length; i++) {
    const level = (values[i] - lo) * scale + 0.5;
    words[i] = colours[level <= 0 ? 0 : level >= 255 ? 255 : level | 0];
  }
  return pixels;
}
