/** The reference moved to a pose, over the still background. Twin of `Rig.base` and the end of `layers.Inverse`. */

import { across, downwards, empty, four, over, whole } from "./common";

const CELL: i32 = 16; // canvas pixels a cell of the grid
const OPAQUE: u32 = 0xff000000;

/**
 * Draw rows `low` to `high`; the others become the plate.
 *
 * @param layer premultiplied RGBA `[deep + 1, wide]` (a row more than is seen) and two pixels more
 * @param grid float32 `[rows, columns, 2]`: texture pixel in 32nds of every node; node (1, 1) and canvas pixel -0.5 meet
 * @param line scratch of `2 * columns` float32
 * @param plate, picture RGBA `[height, width]`; `width` is a multiple of 4
 */
export function base(
  layer: usize, wide: i32, deep: i32, grid: usize, columns: i32, line: usize, plate: usize, picture: usize,
  width: i32, height: i32, low: i32, high: i32,
): void {
  const row_bytes = width << 2;
  memory.copy(picture, plate, low * row_bytes);
  memory.copy(picture + high * row_bytes, plate + high * row_bytes, (height - high) * row_bytes);
  const right = f32x4.splat(<f32>((wide - 1) * 32));
  const bottom = f32x4.splat(<f32>((deep - 1) * 32));
  const zero = f32x4.splat(0);
  const layer_row = wide << 2;
  const quarter = f32x4.splat(0.25);
  const first = f32x4(0.03125, 0.09375, 0.15625, 0.21875);
  for (let y = low; y < high; y++) {
    lines(grid, columns, line, y);
    let from = plate + y * row_bytes;
    let to = picture + y * row_bytes;
    const end = to + row_bytes;
    let node = line + 8; // the node left of canvas pixel 0
    while (to < end) {
      const a = v128.load64_splat(node);
      const step = f32x4.sub(v128.load64_splat(node + 8), a);
      const ax = i8x16.shuffle(a, a, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
      const ay = i8x16.shuffle(a, a, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
      const sx = i8x16.shuffle(step, step, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
      const sy = i8x16.shuffle(step, step, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
      let share = first;
      for (let part = 0; part < 4 && to < end; part++) {
        // pmin and pmax are one instruction, and no number here is NaN.
        const x = whole(f32x4.pmin(f32x4.pmax(f32x4.add(ax, f32x4.mul(sx, share)), zero), right));
        const down = whole(f32x4.pmin(f32x4.pmax(f32x4.add(ay, f32x4.mul(sy, share)), zero), bottom));
        const at = i32x4.add(i32x4.mul(i32x4.shr_u(down, 5), i32x4.splat(layer_row)), i32x4.shl(i32x4.shr_u(x, 5), 2));
        const at0 = layer + i32x4.extract_lane(at, 0), at1 = layer + i32x4.extract_lane(at, 1);
        const at2 = layer + i32x4.extract_lane(at, 2), at3 = layer + i32x4.extract_lane(at, 3);
        const behind = v128.load(from);
        if (empty(at0, at1, at2, at3, layer_row)) {
          v128.store(to, behind);
        } else {
          const front = four(at0, at1, at2, at3, layer_row, across(x), downwards(down));
          v128.store(to, v128.or(over(front, behind), i32x4.splat(OPAQUE)));
        }
        share = f32x4.add(share, quarter);
        from += 16;
        to += 16;
      }
      node += 8;
    }
  }
}

/** The nodes of the grid's columns at the height of canvas row `y`. */
// @ts-ignore: decorator
@inline
function lines(grid: usize, columns: i32, line: usize, y: i32): void {
  const upper = grid + ((y + CELL) >> 4) * (columns << 3);
  const share = f32x4.splat((<f32>(y & 15) + 0.5) / 16);
  for (let at: i32 = 0; at < columns << 3; at += 16) {
    const a = v128.load(upper + at);
    v128.store(line + at, f32x4.add(a, f32x4.mul(f32x4.sub(v128.load(upper + (columns << 3) + at), a), share)));
  }
}
