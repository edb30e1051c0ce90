/** What the kernels share: bilinear taps and blending of premultiplied pixels, rounded as OpenCV rounds. */

/** Bytes of alpha of four RGBA pixels, each over its whole pixel. */
// @ts-ignore: decorator
@inline
export function alphas(pixels: v128): v128 {
  return i8x16.shuffle(pixels, pixels, 3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15);
}

/** `round(x / 255)` of unsigned 16-bit products of bytes, exactly. */
// @ts-ignore: decorator
@inline
export function by255(products: v128): v128 {
  const half = i16x8.add(products, i16x8.splat(128));
  return i16x8.shr_u(i16x8.add(half, i16x8.shr_u(half, 8)), 8);
}

/** `round(a b / 255)` of sixteen bytes. Twin of `cv2.multiply(a, b, scale=1/255)`. */
// @ts-ignore: decorator
@inline
export function times(a: v128, b: v128): v128 {
  const low = by255(i16x8.extmul_low_i8x16_u(a, b));
  const high = by255(i16x8.extmul_high_i8x16_u(a, b));
  return i8x16.narrow_i16x8_u(low, high);
}

/** Premultiplied pixels over others. Twin of `layers.cover`. */
// @ts-ignore: decorator
@inline
export function over(front: v128, behind: v128): v128 {
  return i8x16.add_sat_u(front, times(behind, v128.not(alphas(front))));
}

/** Nearest integers, halves to the even one, of numbers from 0 to 2^22: their last bits once so much is added. */
// @ts-ignore: decorator
@inline
export function whole(numbers: v128): v128 {
  return v128.xor(f32x4.add(numbers, f32x4.splat(8388608)), i32x4.splat(0x4b000000));
}

/** How far right of four places in 32nds, as pairs of weights; see `between`. */
// @ts-ignore: decorator
@inline
export function across(places: v128): v128 {
  const right = v128.and(places, i32x4.splat(31));
  return v128.or(i32x4.sub(i32x4.splat(32), right), i32x4.shl(right, 16));
}

/** How far down, twice each. */
// @ts-ignore: decorator
@inline
export function downwards(places: v128): v128 {
  const below = v128.and(places, i32x4.splat(31));
  return v128.or(below, i32x4.shl(below, 16));
}

/**
 * One pixel between four, as four i32: `at` is the upper left one, `row` the bytes of a row; `pairs` and `below` are a
 * lane of `across` and of `downwards`, four times. Twin of `cv2.remap` and `cv2.warpAffine`, INTER_LINEAR.
 */
// @ts-ignore: decorator
@inline
export function between(at: usize, row: usize, pairs: v128, below: v128): v128 {
  const upper = i16x8.mul(v128.load_ext<u8>(at), i16x8.sub(i16x8.splat(32), below));
  const both = i16x8.add(upper, i16x8.mul(v128.load_ext<u8>(at + row), below));
  const sides = i8x16.shuffle(both, both, 0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  return i32x4.shr_u(i32x4.add(i32x4.dot_i16x8_s(sides, pairs), i32x4.splat(512)), 10);
}

/** Four pixels, each between four; `pairs` and `below` are those of the four. */
// @ts-ignore: decorator
@inline
export function four(at0: usize, at1: usize, at2: usize, at3: usize, row: usize, pairs: v128, below: v128): v128 {
  const p0 = between(at0, row, i32x4.shuffle(pairs, pairs, 0, 0, 0, 0), i32x4.shuffle(below, below, 0, 0, 0, 0));
  const p1 = between(at1, row, i32x4.shuffle(pairs, pairs, 1, 1, 1, 1), i32x4.shuffle(below, below, 1, 1, 1, 1));
  const p2 = between(at2, row, i32x4.shuffle(pairs, pairs, 2, 2, 2, 2), i32x4.shuffle(below, below, 2, 2, 2, 2));
  const p3 = between(at3, row, i32x4.shuffle(pairs, pairs, 3, 3, 3, 3), i32x4.shuffle(below, below, 3, 3, 3, 3));
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(p0, p1), i16x8.narrow_i32x4_s(p2, p3));
}

/** Whether four pixels see nothing: premultiplied colours are 0 with their alpha. */
// @ts-ignore: decorator
@inline
export function empty(at0: usize, at1: usize, at2: usize, at3: usize, row: usize): bool {
  return (
    (load<u64>(at0) | load<u64>(at0 + row) | load<u64>(at1) | load<u64>(at1 + row) |
      load<u64>(at2) | load<u64>(at2 + row) | load<u64>(at3) | load<u64>(at3 + row)) == 0
  );
}
