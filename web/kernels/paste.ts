/** A patch onto the canvas. Twin of `paste.paste`: `cv2.warpAffine` in its fixed-point numbers, then `layers.cover`. */

import { across, between, downwards, empty, four, over } from "./common";

/**
 * Lay a bordered patch `[deep + 2, wide + 2]` (premultiplied) over a box of the canvas, in place.
 *
 * @param m00 to m12 canvas pixels, counted from the box's corner, to pixels of the patch
 * @param left, top, right, bottom the box, even numbers
 * @param steps scratch of `2 * (right - left) + 8` int32
 * @param shown bytes `[height / 2, width / 2, 4]` of which `shown + 0` is written: alpha at every other pixel
 */
export function paste(
  patch: usize, wide: i32, deep: i32, m00: f64, m01: f64, m02: f64, m10: f64, m11: f64, m12: f64,
  canvas: usize, width: i32, left: i32, top: i32, right: i32, bottom: i32, steps: usize, shown: usize,
): void {
  const breadth = right - left;
  for (let x: i32 = 0; x < breadth; x++) {
    store<i32>(steps + (x << 3), <i32>nearest(m00 * <f64>x * 1024), 0);
    store<i32>(steps + (x << 3), <i32>nearest(m10 * <f64>x * 1024), 4);
  }
  const down = (wide + 2) << 2;
  const start = patch + down + 4; // the pixel behind the border
  for (let y: i32 = 0; y < bottom - top; y++) {
    const x0 = <i32>nearest((m01 * <f64>y + m02) * 1024) + 16;
    const y0 = <i32>nearest((m11 * <f64>y + m12) * 1024) + 16;
    let low: i32 = 0, high = breadth;
    while (low < high && !inside(steps, low, x0, y0, wide, deep)) low++;
    while (low < high && !inside(steps, high - 1, x0, y0, wide, deep)) high--;
    const row = canvas + (((top + y) * width + left) << 2);
    const alphas_row = shown + ((((top + y) >> 1) * (width >> 1) + (left >> 1)) << 2);
    let x = low & ~3; // groups of four, so that every other pixel's alpha has its place
    for (; x < high; x += 4) {
      const first = v128.load(steps + (x << 3)), second = v128.load(steps + (x << 3), 16);
      const sx = i32x4.shr_s(i32x4.add(i32x4.shuffle(first, second, 0, 2, 4, 6), i32x4.splat(x0)), 5);
      const sy = i32x4.shr_s(i32x4.add(i32x4.shuffle(first, second, 1, 3, 5, 7), i32x4.splat(y0)), 5);
      const at = i32x4.add(i32x4.mul(i32x4.shr_s(sy, 5), i32x4.splat(down)), i32x4.shl(i32x4.shr_s(sx, 5), 2));
      const pairs = across(sx), below = downwards(sy);
      const to = row + (x << 2);
      if (x < low || x + 4 > high) {
        ends(start, at, down, pairs, below, x, low, high, to, alphas_row + (x << 1), y);
        continue;
      }
      const at0 = start + i32x4.extract_lane(at, 0), at1 = start + i32x4.extract_lane(at, 1);
      const at2 = start + i32x4.extract_lane(at, 2), at3 = start + i32x4.extract_lane(at, 3);
      if (empty(at0, at1, at2, at3, down)) continue;
      const front = four(at0, at1, at2, at3, down, pairs, below);
      if ((y & 1) == 0) {
        store<u8>(alphas_row + (x << 1), i8x16.extract_lane_u(front, 3));
        store<u8>(alphas_row + (x << 1), i8x16.extract_lane_u(front, 11), 4);
      }
      v128.store(to, v128.or(over(front, v128.load(to)), i32x4.splat(0xff000000)));
    }
  }
}

/** A group of four of which not all lie between `low` and `high`: one pixel after the other. */
function ends(
  start: usize, at: v128, down: usize, pairs: v128, below: v128, x: i32, low: i32, high: i32, to: usize, shown: usize, y: i32,
): void {
  for (let lane: i32 = 0; lane < 4; lane++) {
    if (x + lane >= low && x + lane < high) {
      const from = start + i32x4.extract_lane(at, 0);
      const words = between(from, down, i32x4.shuffle(pairs, pairs, 0, 0, 0, 0), i32x4.shuffle(below, below, 0, 0, 0, 0));
      const front = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(words, words), words);
      if (((lane | y) & 1) == 0) store<u8>(shown + (lane << 1), i8x16.extract_lane_u(front, 3));
      const made = over(front, v128.load32_zero(to + (lane << 2)));
      store<u32>(to + (lane << 2), i32x4.extract_lane(made, 0) | 0xff000000);
    }
    at = i32x4.shuffle(at, at, 1, 2, 3, 0);
    pairs = i32x4.shuffle(pairs, pairs, 1, 2, 3, 0);
    below = i32x4.shuffle(below, below, 1, 2, 3, 0);
  }
}

/** Whether any of the four pixels around the place of `x` is not beyond the patch. */
// @ts-ignore: decorator
@inline
function inside(steps: usize, x: i32, x0: i32, y0: i32, wide: i32, deep: i32): bool {
  const sx = (x0 + load<i32>(steps + (x << 3), 0)) >> 10, sy = (y0 + load<i32>(steps + (x << 3), 4)) >> 10;
  return sx >= -1 && sx < wide && sy >= -1 && sy < deep;
}
