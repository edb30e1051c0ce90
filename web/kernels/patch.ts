/** Patches of decoders in their own pixels. Twin of `paste.to_rgba`, `paste.faded` and the mixing of slow regions. */

import { alphas, times, whole } from "./common";

/**
 * A decoder's grid as a faded, premultiplied patch with a border of one empty pixel.
 *
 * @param grid int8 `[rows, columns, 8, 8, 4]`: blocks of 8 x 8 pixels
 * @param size, zero a step of int8 in shares of white, and the number that stands for 0
 * @param window uint8 `[8 rows, 8 columns]`
 * @param patch RGBA `[8 rows + 2, 8 columns + 2]`; its border is not written
 */
export function fade(grid: usize, rows: i32, columns: i32, size: f32, zero: i32, window: usize, patch: usize): void {
  const down = (columns * 8 + 2) << 2;
  for (let row: i32 = 0; row < rows; row++) {
    for (let column: i32 = 0; column < columns; column++) {
      const block = grid + ((row * columns + column) << 8);
      for (let y: i32 = 0; y < 8; y++) {
        const to = patch + (row * 8 + y + 1) * down + ((column * 8 + 1) << 2);
        const seen = v128.load64_zero(window + (row * 8 + y) * (columns * 8) + column * 8);
        const left = i8x16.shuffle(seen, seen, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        const right = i8x16.shuffle(seen, seen, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
        v128.store(to, faded(levels(v128.load(block + y * 32), size, zero), left));
        v128.store(to + 16, faded(levels(v128.load(block + y * 32 + 16), size, zero), right));
      }
    }
  }
}

/** Four pixels with their alpha times the window, and their colours times that. */
// @ts-ignore: decorator
@inline
function faded(pixels: v128, window: v128): v128 {
  const alpha = times(alphas(pixels), window);
  const is_alpha = i32x4.splat(0xff000000);
  return times(pixels, v128.bitselect(window, alpha, is_alpha));
}

/** Sixteen int8 as bytes: `round(clip((value - zero) size, 0, 1) 255)`. */
// @ts-ignore: decorator
@inline
function levels(values: v128, size: f32, zero: i32): v128 {
  const low = i16x8.extend_low_i8x16_s(values), high = i16x8.extend_high_i8x16_s(values);
  const a = quarter(i32x4.extend_low_i16x8_s(low), size, zero), b = quarter(i32x4.extend_high_i16x8_s(low), size, zero);
  const c = quarter(i32x4.extend_low_i16x8_s(high), size, zero), d = quarter(i32x4.extend_high_i16x8_s(high), size, zero);
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}

// @ts-ignore: decorator
@inline
function quarter(values: v128, size: f32, zero: i32): v128 {
  const shares = f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(values, i32x4.splat(zero))), f32x4.splat(size));
  const inside = f32x4.pmin(f32x4.pmax(shares, f32x4.splat(0)), f32x4.splat(1));
  return whole(f32x4.mul(inside, f32x4.splat(255)));
}

/**
 * `round((before (parts - share) + after share) / parts)` of `bytes`, a multiple of 16; `parts` is 1 to 8.
 * Twin of `cv2.addWeighted`.
 */
export function mix(before: usize, after: usize, to: usize, bytes: i32, share: i32, parts: i32): void {
  const kept = i8x16.splat(<i8>(parts - share)), added = i8x16.splat(<i8>share);
  const part = i16x8.splat(<i16>min<i32>((32768 + (parts >> 1)) / parts, 32767)); // 1 / parts in 15 bits
  for (let at: i32 = 0; at < bytes; at += 16) {
    const a = v128.load(before + at), b = v128.load(after + at);
    const low = i16x8.add(i16x8.extmul_low_i8x16_u(a, kept), i16x8.extmul_low_i8x16_u(b, added));
    const high = i16x8.add(i16x8.extmul_high_i8x16_u(a, kept), i16x8.extmul_high_i8x16_u(b, added));
    v128.store(to + at, i8x16.narrow_i16x8_u(i16x8.q15mulr_sat_s(low, part), i16x8.q15mulr_sat_s(high, part)));
  }
}

/**
 * The box of a bordered patch's pixels whose alpha is above 1: left, top, width, height as i32 at `box`, all 0 when
 * there is none. Twin of the start of `paste._bounds`.
 */
export function bounds(patch: usize, width: i32, height: i32, box: usize): void {
  let left = width, right: i32 = -1, top: i32 = -1, bottom: i32 = -1;
  for (let y: i32 = 0; y < height; y++) {
    const row = patch + (((y + 1) * (width + 2) + 1) << 2) + 3;
    let first: i32 = 0;
    while (first < width && load<u8>(row + (first << 2)) <= 1) first++;
    if (first == width) continue;
    let last = width - 1;
    while (last > right && load<u8>(row + (last << 2)) <= 1) last--;
    if (top < 0) top = y;
    bottom = y;
    left = min(left, first);
    right = max(right, last);
  }
  const some = top >= 0;
  store<i32>(box, some ? left : 0, 0);
  store<i32>(box, some ? top : 0, 4);
  store<i32>(box, some ? right + 1 - left : 0, 8);
  store<i32>(box, some ? bottom + 1 - top : 0, 12);
}
