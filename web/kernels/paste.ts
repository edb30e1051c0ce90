/** A patch onto the canvas. Twin of `paste.paste`: `cv2.warpAffine` in its fixed-point numbers, then `layers.cover`. */

import { between, over } from "./common";

const EMPTY: u64 = 0;

/**
 * Lay a bordered patch `[deep + 2, wide + 2]` (premultiplied) over a box of the canvas, in place.
 *
 * @param m00 to m12 canvas pixels, counted from the box's corner, to pixels of the patch
 * @param left, top, right, bottom the box, even numbers
 * @param steps scratch of `2 * (right - left)` int32
 * @param shown bytes `[height / 2, width / 2, 4]` of which `shown + 0` is written: alpha at every other pixel
 */
export function paste(
  patch: usize, wide: i32, deep: i32, m00: f64, m01: f64, m02: f64, m10: f64, m11: f64, m12: f64,
  canvas: usize, width: i32, left: i32, top: i32, right: i32, bottom: i32, steps: usize, shown: usize,
): void {
  const across = right - left;
  for (let x: i32 = 0; x < across; x++) {
    store<i32>(steps + (x << 3), <i32>nearest(m00 * <f64>x * 1024), 0);
    store<i32>(steps + (x << 3), <i32>nearest(m10 * <f64>x * 1024), 4);
  }
  const down = (wide + 2) << 2;
  const start = patch + down + 4; // the pixel behind the border
  for (let y: i32 = 0; y < bottom - top; y++) {
    const x0 = <i32>nearest((m01 * <f64>y + m02) * 1024) + 16;
    const y0 = <i32>nearest((m11 * <f64>y + m12) * 1024) + 16;
    let low: i32 = 0, high = across;
    while (low < high && !inside(steps, low, x0, y0, wide, deep)) low++;
    while (low < high && !inside(steps, high - 1, x0, y0, wide, deep)) high--;
    const row = canvas + (((top + y) * width + left) << 2);
    const alphas_row = shown + ((((top + y) >> 1) * (width >> 1) + (left >> 1)) << 2);
    for (let x = low; x < high; x++) {
      const sx = (x0 + load<i32>(steps + (x << 3), 0)) >> 5, sy = (y0 + load<i32>(steps + (x << 3), 4)) >> 5;
      const at = start + (sy >> 5) * down + ((sx >> 5) << 2);
      if ((load<u64>(at) | load<u64>(at + down)) == EMPTY) continue;
      const pixel = between(at, down, sx & 31, sy & 31);
      const words = i16x8.narrow_i32x4_s(pixel, pixel);
      const front = i8x16.narrow_i16x8_u(words, words);
      if (((x | y) & 1) == 0) store<u8>(alphas_row + ((x >> 1) << 2), i8x16.extract_lane_u(front, 3));
      const to = row + (x << 2);
      const made = over(front, v128.load32_zero(to));
      store<u32>(to, i32x4.extract_lane(made, 0) | 0xff000000);
    }
  }
}

/** Whether any of the four pixels around the place of `x` is not beyond the patch. */
// @ts-ignore: decorator
@inline
function inside(steps: usize, x: i32, x0: i32, y0: i32, wide: i32, deep: i32): bool {
  const sx = (x0 + load<i32>(steps + (x << 3), 0)) >> 10, sy = (y0 + load<i32>(steps + (x << 3), 4)) >> 10;
  return sx >= -1 && sx < wide && sy >= -1 && sy < deep;
}
