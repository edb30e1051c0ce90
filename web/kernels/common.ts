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

/**
 * One pixel between four, as four i32: `at` is the upper left one, `down` the bytes of a row, `x` and `y` how far right
 * and down in 32nds. Twin of `cv2.remap` and `cv2.warpAffine`, INTER_LINEAR.
 */
// @ts-ignore: decorator
@inline
export function between(at: usize, down: usize, x: i32, y: i32): v128 {
  const above = i16x8.mul(v128.load_ext<u8>(at), i16x8.splat(<i16>(32 - y)));
  const below = i16x8.mul(v128.load_ext<u8>(at + down), i16x8.splat(<i16>y));
  const both = i16x8.add(above, below);
  const pairs = i8x16.shuffle(both, both, 0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  const sum = i32x4.dot_i16x8_s(pairs, i32x4.splat((x << 16) | (32 - x)));
  return i32x4.shr_u(i32x4.add(sum, i32x4.splat(512)), 10);
}
