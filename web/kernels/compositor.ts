/** What the compositor is given and what it changes. Twin of `render/liveface/compositor.py`. */

/** RGBA `[2 height, 2 width]` averaged to `[height, width]`, `width` a multiple of 4. Twin of `compositor.half`. */
export function half(from: usize, width: i32, height: i32, to: usize): void {
  const row = width << 3;
  for (let y: i32 = 0; y < height; y++) {
    for (let x: i32 = 0; x < width; x += 4) {
      v128.store(to, quarter(from, row));
      from += 32;
      to += 16;
    }
    from += row;
  }
}

/** Four averages of 2 x 2 pixels. */
// @ts-ignore: decorator
@inline
function quarter(from: usize, row: i32): v128 {
  const two = i16x8.splat(2);
  const a = columns(v128.load(from), v128.load(from + row)), b = columns(v128.load(from, 16), v128.load(from + row, 16));
  return i8x16.narrow_i16x8_u(i16x8.shr_u(i16x8.add(a, two), 2), i16x8.shr_u(i16x8.add(b, two), 2));
}

/** Sums of 2 x 2 pixels of two rows of four, as two pixels of 16 bits. */
// @ts-ignore: decorator
@inline
function columns(above: v128, below: v128): v128 {
  const first = i16x8.add(i16x8.extend_low_i8x16_u(above), i16x8.extend_low_i8x16_u(below));
  const second = i16x8.add(i16x8.extend_high_i8x16_u(above), i16x8.extend_high_i8x16_u(below));
  const left = i64x2.shuffle(first, second, 0, 2), right = i64x2.shuffle(first, second, 1, 3);
  return i16x8.add(left, right);
}

/**
 * The network's picture: composed RGB at half size, four alphas, RGB without patches; bytes from -128 on.
 *
 * @param from RGBA `[2 height, 2 width]`, composed; `below`, `shown`: `[height, width, 4]`; to: int8 `[height, width, 10]`
 */
export function join(from: usize, width: i32, height: i32, shown: usize, below: usize, to: usize): void {
  const row = width << 3;
  for (let y: i32 = 0; y < height; y++) {
    for (let x: i32 = 0; x < width; x += 4) {
      const made = quarter(from, row), seen = v128.load(shown), under = v128.load(below);
      // Red, green, blue, then the four alphas, then red of what is below: eight bytes; green and blue: two more.
      const first = pack(i8x16.shuffle(made, seen, 0, 1, 2, 16, 17, 18, 19, 0, 4, 5, 6, 20, 21, 22, 23, 0), i8x16.shuffle(under, under, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4));
      const second = pack(i8x16.shuffle(made, seen, 8, 9, 10, 24, 25, 26, 27, 0, 12, 13, 14, 28, 29, 30, 31, 0), i8x16.shuffle(under, under, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 12));
      const rest = v128.xor(under, i8x16.splat(-128));
      v128.store64_lane(to, first, 0);
      store<u16>(to, <u16>(i32x4.extract_lane(rest, 0) >>> 8), 8);
      v128.store64_lane(to + 10, first, 1);
      store<u16>(to, <u16>(i32x4.extract_lane(rest, 1) >>> 8), 18);
      v128.store64_lane(to + 20, second, 0);
      store<u16>(to, <u16>(i32x4.extract_lane(rest, 2) >>> 8), 28);
      v128.store64_lane(to + 30, second, 1);
      store<u16>(to, <u16>(i32x4.extract_lane(rest, 3) >>> 8), 38);
      from += 32;
      shown += 16;
      below += 16;
      to += 40;
    }
    from += row;
  }
}

/** Bytes 7 and 15 of `under` in those of `made`, and all of them less 128. */
// @ts-ignore: decorator
@inline
function pack(made: v128, under: v128): v128 {
  const eighth = i64x2.splat(0xff00000000000000);
  return v128.xor(v128.bitselect(under, made, eighth), i8x16.splat(-128));
}

/**
 * How opaque patches are in every cell of 8 x 8 canvas pixels: the mean over 4 x 4 of the highest of four alphas.
 *
 * @param shown `[4 rows, 4 columns, 4]`; cells: uint8 `[rows, columns]`
 */
export function opacity(shown: usize, rows: i32, columns: i32, cells: usize): void {
  const row = columns << 4;
  for (let y: i32 = 0; y < rows; y++) {
    for (let x: i32 = 0; x < columns; x++) {
      let sum = highest(v128.load(shown));
      for (let part = 1; part < 4; part++) sum = i32x4.add(sum, highest(v128.load(shown + part * row)));
      const all = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
      store<u8>(cells++, <u8>((all + 7 + ((all >> 4) & 1)) >> 4)); // halves to the even number
      shown += 16;
    }
    shown += 3 * row;
  }
}

/** The highest byte of each of four pixels. */
// @ts-ignore: decorator
@inline
function highest(pixels: v128): v128 {
  const two = i8x16.max_u(pixels, i32x4.shr_u(pixels, 16));
  return v128.and(i8x16.max_u(two, i32x4.shr_u(two, 8)), i32x4.splat(255));
}

/**
 * Add the residual to the picture where patches lie, in place.
 *
 * @param residual int8 `[rows, columns, 8, 8, 3]` in steps of `size` (shares of white) about `zero`
 * @param bits after the point of the weights
 * @param picture RGBA `[8 rows, 8 columns]`
 */
export function correct(
  residual: usize, rows: i32, columns: i32, cells: usize, size: f32, zero: i32, bits: i32, picture: usize,
): void {
  const picture_row = columns << 5;
  const scale: f32 = size * <f32>(<i32>1 << bits);
  for (let y: i32 = 0; y < rows; y++) {
    for (let x: i32 = 0; x < columns; x++) {
      const drawn = <i32>load<u8>(cells + y * columns + x);
      if (drawn == 0) continue;
      const weight = <i32>nearest(<f32>drawn * scale);
      const weights = i16x8.splat(<i16>weight), offset = i16x8.splat(<i16>((<i32>1 << (bits - 1)) - zero * weight));
      let from = residual + (y * columns + x) * 192;
      let to = picture + y * 8 * picture_row + (x << 5);
      for (let line = 0; line < 8; line++) {
        const left = v128.load(from), right = v128.load(from + 8); // 24 bytes, twelve for four pixels
        const a = i8x16.shuffle(left, left, 0, 1, 2, 0, 3, 4, 5, 3, 6, 7, 8, 6, 9, 10, 11, 9);
        const b = i8x16.shuffle(right, right, 4, 5, 6, 4, 7, 8, 9, 7, 10, 11, 12, 10, 13, 14, 15, 13);
        v128.store(to, changed(v128.load(to), a, weights, offset, bits));
        v128.store(to, changed(v128.load(to, 16), b, weights, offset, bits), 16);
        from += 24;
        to += picture_row;
      }
    }
  }
}

/** Four pixels with a residual. */
// @ts-ignore: decorator
@inline
function changed(pixels: v128, residual: v128, weights: v128, offset: v128, bits: i32): v128 {
  const low = i16x8.shr_s(i16x8.add(i16x8.mul(i16x8.extend_low_i8x16_s(residual), weights), offset), bits);
  const high = i16x8.shr_s(i16x8.add(i16x8.mul(i16x8.extend_high_i8x16_s(residual), weights), offset), bits);
  const a = i16x8.add(i16x8.extend_low_i8x16_u(pixels), low), b = i16x8.add(i16x8.extend_high_i8x16_u(pixels), high);
  return v128.or(i8x16.narrow_i16x8_u(a, b), i32x4.splat(0xff000000));
}
