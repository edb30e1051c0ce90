/** Crops of a picture for the tracker's networks. Twin of `_sample` of `liveface/signals/face.py`. */

import type { Picture } from "../types.js";

/** Picture to crop: `x' = a x + b y + c`, `y' = d x + e y + f`, pixels whose first centre lies at one half. */
export type Affine = readonly [number, number, number, number, number, number];

const MOST_TIMES = 8;

/** The opposite map. */
export function inverse([a, b, c, d, e, f]: Affine): Affine {
  const whole = a * e - b * d;
  return [e / whole, -b / whole, (b * f - c * e) / whole, -d / whole, a / whole, (c * d - a * f) / whole];
}

/** A point through a map. */
export function through([a, b, c, d, e, f]: Affine, x: number, y: number): [number, number] {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** How much larger things become, in length. */
export function growth([a, b, , d, e]: Affine): number {
  return Math.sqrt(Math.abs(a * e - b * d));
}

/** Square of `side` at (x, y) to a crop of `size`, turned by `angle`, perhaps mirrored. */
export function upright(x: number, y: number, side: number, angle: number, size: number, mirror = false): Affine {
  const scale = size / side;
  const [cosine, sine] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const [a, b] = mirror ? [-cosine, -sine] : [cosine, sine];
  return [a, b, size / 2 - a * x - b * y, -sine, cosine, size / 2 + sine * x - cosine * y];
}

/** Where a crop goes: RGB of `size` by `size`, each value times `gain` plus `offset`. */
export interface Crop {
  readonly out: Float32Array;
  readonly size: number;
  readonly gain: number;
  readonly offset: number;
}

/** Cut a crop. Large ones are averaged down first, not sampled, so that points do not shimmer. */
export function cut(picture: Picture, affine: Affine, crop: Crop): void {
  const { size } = crop;
  const times = Math.floor(Math.min(Math.max(1 / Math.max(growth(affine), 1e-9), 1), MOST_TIMES));
  if (times === 1) {
    warped(picture, affine, crop);
    return;
  }
  const back = inverse(affine);
  const corners = [[0, 0], [size, 0], [size, size], [0, size]].map(([x, y]) => through(back, x, y));
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const left = Math.max(Math.trunc(Math.min(...xs)) - 2 * times, 0);
  const top = Math.max(Math.trunc(Math.min(...ys)) - 2 * times, 0);
  const width = Math.floor((Math.min(Math.trunc(Math.max(...xs)) + 2 * times, picture.width) - left) / times);
  const height = Math.floor((Math.min(Math.trunc(Math.max(...ys)) + 2 * times, picture.height) - top) / times);
  if (width <= 0 || height <= 0) {
    warped(picture, affine, crop);
    return;
  }
  const [a, b, c, d, e, f] = affine;
  const moved = [a * times, b * times, c + a * left + b * top, d * times, e * times, f + d * left + e * top] as const;
  warped(shrunk(picture, left, top, width, height, times), moved, crop);
}

/** Part of a picture, `width` by `height` pixels each the mean of `times` by `times`. */
function shrunk(picture: Picture, left: number, top: number, width: number, height: number, times: number): Picture {
  const data = new Uint8ClampedArray(4 * width * height);
  const from = picture.data;
  const row = 4 * picture.width;
  const area = times * times;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [red, green, blue] = [0, 0, 0];
      for (let down = 0; down < times; down++) {
        let at = (top + y * times + down) * row + 4 * (left + x * times);
        for (let across = 0; across < times; across++, at += 4) {
          red += from[at];
          green += from[at + 1];
          blue += from[at + 2];
        }
      }
      const to = 4 * (y * width + x);
      data[to] = red / area; // clamped arrays round
      data[to + 1] = green / area;
      data[to + 2] = blue / area;
    }
  }
  return { data, width, height };
}

/** Linear between the four nearest pixels; beyond the picture all is black. */
function warped({ data, width, height }: Picture, affine: Affine, { out, size, gain, offset }: Crop): void {
  const [a, b, c, d, e, f] = inverse(affine);
  const low = 4 * width;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const x = a * (column + 0.5) + b * (row + 0.5) + c - 0.5;
      const y = d * (column + 0.5) + e * (row + 0.5) + f - 0.5;
      const left = Math.floor(x);
      const top = Math.floor(y);
      const right = x - left;
      const down = y - top;
      const to = 3 * (row * size + column);
      const at = 4 * (top * width + left);
      if (left >= 0 && top >= 0 && left + 1 < width && top + 1 < height) {
        for (let channel = 0; channel < 3; channel++) {
          const from = at + channel;
          const upper = data[from] + right * (data[from + 4] - data[from]);
          const lower = data[from + low] + right * (data[from + low + 4] - data[from + low]);
          out[to + channel] = Math.floor(upper + down * (lower - upper) + 0.5) * gain + offset;
        }
        continue;
      }
      const shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let corner = 0; corner < 4; corner++) {
          const [across, below] = [left + (corner & 1), top + (corner >> 1)];
          if (across < 0 || across >= width || below < 0 || below >= height) continue;
          sum += shares[corner] * data[4 * (below * width + across) + channel];
        }
        out[to + channel] = Math.round(sum) * gain + offset;
      }
    }
  }
}
