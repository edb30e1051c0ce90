/** The reference moved to a pose, over the still background. Twin of `Rig.base` and the end of `layers.Inverse`. */

import { across, downwards, four, over, whole } from "./common";

const CELL: i32 = 16; // canvas pixels a cell of the grid
const OPAQUE: u32 = 0xff000000;
const NOBODY: i32 = 0, EDGE: i32 = 1, BODY: i32 = 2; // what a tile of 16 x 16 texture pixels shows

/**
 * Draw rows `low` to `high`; the others become the plate.
 *
 * @param layer premultiplied RGBA `[deep + 1, wide]` (a row more than is seen) and two pixels more
 * @param tiles uint8 `[deep / 16, wide / 16]`, sides rounded up: 0 where the layer is empty, 2 where it is opaque, else 1
 * @param grid float32 `[rows, columns, 2]`: texture pixel in 32nds of every node; node (1, 1) and canvas pixel -0.5 meet
 * @param line scratch of `2 * columns` float32
 * @param plate, picture RGBA `[height, width]`; `width` is a multiple of 4
 */
export function base(
  layer: usize, wide: i32, deep: i32, tiles: usize, grid: usize, columns: i32, line: usize, plate: usize, picture: usize,
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
      const parts = min<i32>(64, <i32>(end - to));
      const kind = shown(tiles, wide, deep, node);
      if (kind == NOBODY) {
        memory.copy(to, from, parts);
        from += parts;
        to += parts;
        node += 8;
        continue;
      }
      const a = v128.load64_splat(node);
      const step = f32x4.sub(v128.load64_splat(node + 8), a);
      const ax = i32x4.shuffle(a, a, 0, 0, 0, 0), ay = i32x4.shuffle(a, a, 1, 1, 1, 1);
      const sx = i32x4.shuffle(step, step, 0, 0, 0, 0), sy = i32x4.shuffle(step, step, 1, 1, 1, 1);
      let share = first;
      for (const stop = to + parts; to < stop; to += 16) {
        // pmin and pmax are one instruction, and no number here is NaN.
        const x = whole(f32x4.pmin(f32x4.pmax(f32x4.add(ax, f32x4.mul(sx, share)), zero), right));
        const down = whole(f32x4.pmin(f32x4.pmax(f32x4.add(ay, f32x4.mul(sy, share)), zero), bottom));
        const at = i32x4.add(i32x4.mul(i32x4.shr_u(down, 5), i32x4.splat(layer_row)), i32x4.shl(i32x4.shr_u(x, 5), 2));
        const at0 = layer + i32x4.extract_lane(at, 0), at1 = layer + i32x4.extract_lane(at, 1);
        const at2 = layer + i32x4.extract_lane(at, 2), at3 = layer + i32x4.extract_lane(at, 3);
        const front = four(at0, at1, at2, at3, layer_row, across(x), downwards(down));
        v128.store(to, kind == BODY ? front : v128.or(over(front, v128.load(from)), i32x4.splat(OPAQUE)));
        share = f32x4.add(share, quarter);
        from += 16;
      }
      node += 8;
    }
  }
}

/** What a run of 16 canvas pixels between two nodes of the line sees of the layer, by its tiles. */
// @ts-ignore: decorator
@inline
function shown(tiles: usize, wide: i32, deep: i32, node: usize): i32 {
  const x0 = load<f32>(node), x1 = load<f32>(node, 8), y0 = load<f32>(node, 4), y1 = load<f32>(node, 12);
  const columns = (wide + 15) >> 4;
  let least = BODY, most = NOBODY;
  const right = tile(max(x0, x1) + 33, wide), low = tile(max(y0, y1) + 33, deep); // a pixel more, and what rounding adds
  for (let row = tile(min(y0, y1), deep); row <= low; row++) {
    for (let column = tile(min(x0, x1), wide); column <= right; column++) {
      const one = <i32>load<u8>(tiles + row * columns + column);
      least = min(least, one);
      most = max(most, one);
    }
  }
  return least == most ? least : EDGE;
}

/** The tile of a place in 32nds, of `side` texture pixels. */
// @ts-ignore: decorator
@inline
function tile(place: f32, side: i32): i32 {
  return min(max(<i32>place >> 5, 0), side - 1) >> 4;
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
