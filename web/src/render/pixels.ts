/** The kernels of `web/kernels` as functions on addresses of LiteRT's memory. */

import type { Box } from "./geometry.js";

/** See the files in `web/kernels` for what each does and expects. */
export interface Kernels {
  base(
    layer: number, wide: number, deep: number, tiles: number, grid: number, columns: number, line: number, plate: number,
    picture: number, width: number, height: number, low: number, high: number,
  ): void; // prettier-ignore
  fade(grid: number, rows: number, columns: number, size: number, zero: number, window: number, patch: number): void;
  mix(before: number, after: number, to: number, bytes: number, share: number, parts: number): void;
  bounds(patch: number, width: number, height: number, box: number): void;
  paste(
    patch: number, wide: number, deep: number, m00: number, m01: number, m02: number, m10: number, m11: number,
    m12: number, canvas: number, width: number, left: number, top: number, right: number, bottom: number,
    steps: number, shown: number,
  ): void; // prettier-ignore
  half(from: number, width: number, height: number, to: number): void;
  join(from: number, width: number, height: number, shown: number, below: number, to: number): void;
  opacity(shown: number, rows: number, columns: number, cells: number): void;
  correct(
    residual: number, rows: number, columns: number, cells: number, size: number, zero: number, bits: number,
    picture: number,
  ): void; // prettier-ignore
  spread(weights: number, nodes: number, anchors: number, x: number, y: number, field: number): void;
}

/** Load `kernels.wasm`, to work in `memory`. */
export async function openKernels(bytes: BufferSource, memory: WebAssembly.Memory): Promise<Kernels> {
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
  return instance.exports as unknown as Kernels;
}

/** Left, top, right, bottom on the canvas; even numbers. */
export type Spot = readonly [number, number, number, number];

/**
 * What a patch shows on a canvas of `width` x `height` when `seen` (left, top, width, height) of it is not empty; null
 * when nothing. Twin of `paste._bounds`.
 */
export function spotOf(box: Box, seen: ArrayLike<number>, width: number, height: number): Spot | null {
  const [left, top, wide, deep] = [seen[0], seen[1], seen[2], seen[3]];
  if (wide === 0) return null;
  const [low_x, high_x] = limits(box, 0, [left - 1, left + wide], [top - 1, top + deep], width);
  const [low_y, high_y] = limits(box, 3, [left - 1, left + wide], [top - 1, top + deep], height);
  return low_x < high_x && low_y < high_y ? [low_x, low_y, high_x, high_y] : null;
}

function limits(box: Box, row: number, across: [number, number], down: [number, number], side: number): [number, number] {
  const [a, b] = [across.map((x) => box[row] * x), down.map((y) => box[row + 1] * y)];
  const low = box[row + 2] + Math.min(...a) + Math.min(...b);
  const high = box[row + 2] + Math.max(...a) + Math.max(...b);
  return [2 * Math.floor(Math.max(Math.floor(low), 0) / 2), Math.min(2 * Math.floor((Math.ceil(high) + 2) / 2), side)];
}
