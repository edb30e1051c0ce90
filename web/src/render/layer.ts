/** The person of the reference as a layer of its own, made once. Twin of `Rig._layer`. */

import type { Picture } from "../types.js";

/**
 * Premultiplied RGBA of the person at texture size: what is left of the picture when the plate behind is taken out.
 *
 * @param matte the person's opacity in its red
 * @param plate the background at canvas size; it goes on by its border for `margin` pixels
 */
export function personLayer(reference: Picture, matte: Picture, plate: Picture, margin: number): Uint8Array {
  const { width, height } = reference;
  const out = new Uint8Array(4 * width * height);
  const rows = [new Int32Array(3 * width), new Int32Array(3 * width)] as const;
  let [have, have_next] = [-2, -2];
  const line = (index: number, into: Int32Array): void => stretch(plate, clamp(index - margin, plate.height), margin, into);
  for (let y = 0; y < height; y++) {
    const upper = (y - 1) >> 1;
    if (have !== upper || have_next !== upper + 1) {
      line(upper, rows[0]);
      line(upper + 1, rows[1]);
      [have, have_next] = [upper, upper + 1];
    }
    const share = y % 2 === 0 ? 1536 : 512;
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      const opacity = matte.data[at];
      out[at + 3] = opacity;
      for (let c = 0; c < 3; c++) {
        const [a, b] = [rows[0][3 * x + c] >> 4, rows[1][3 * x + c] >> 4];
        const behind = ((((2048 - share) * a) >> 16) + ((share * b) >> 16) + 2) >> 2;
        const person = Math.fround(reference.data[at + c] - Math.fround(Math.fround(1 - Math.fround(opacity / 255)) * behind));
        out[at + c] = evenly(Math.min(Math.max(person, 0), opacity));
      }
    }
  }
  return out;
}

const TILE = 16; // texture pixels, as in `kernels/base.ts`

/** What every tile of a layer `[height, width]` RGBA shows: 0 nobody, 2 the person alone, 1 both. */
export function tilesOf(layer: Uint8Array, width: number, height: number): Uint8Array {
  const columns = Math.ceil(width / TILE);
  const [least, most] = [new Uint8Array(columns * Math.ceil(height / TILE)).fill(255), new Uint8Array(columns * Math.ceil(height / TILE))];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const tile = Math.floor(y / TILE) * columns + Math.floor(x / TILE);
      const opacity = layer[4 * (y * width + x) + 3];
      if (opacity < least[tile]) least[tile] = opacity;
      if (opacity > most[tile]) most[tile] = opacity;
    }
  }
  return least.map((low, tile) => (most[tile] === 0 ? 0 : low === 255 ? 2 : 1));
}

/** A row of the plate at twice its width, in 2048ths, with its border. Twin of OpenCV's INTER_LINEAR for bytes. */
function stretch(plate: Picture, row: number, margin: number, into: Int32Array): void {
  for (let x = 0; x < into.length / 3; x++) {
    const left = (x - 1) >> 1;
    const share = x % 2 === 0 ? 1536 : 512;
    const a = 4 * (row * plate.width + clamp(left - margin, plate.width));
    const b = 4 * (row * plate.width + clamp(left + 1 - margin, plate.width));
    for (let c = 0; c < 3; c++) into[3 * x + c] = plate.data[a + c] * (2048 - share) + plate.data[b + c] * share;
  }
}

function clamp(index: number, count: number): number {
  return Math.min(Math.max(index, 0), count - 1);
}

/** The nearest integer, halves to the even one, as numpy rounds. */
function evenly(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
