/** The little linear algebra that fitting a face needs; matrices are rows one after the other. */

/** A rotation `[3, 3]`. */
export type Rotation = Float64Array;

/**
 * Solve `matrix @ x = right` for `columns` right sides, by elimination with the largest pivot.
 * `matrix` `[size, size]` and `right` `[size, columns]` are used up; returns `right`, which then holds `x`.
 */
export function solved(matrix: Float64Array, right: Float64Array, size: number, columns = 1): Float64Array {
  for (let step = 0; step < size; step++) {
    let pivot = step;
    for (let row = step + 1; row < size; row++) {
      if (Math.abs(matrix[row * size + step]) > Math.abs(matrix[pivot * size + step])) pivot = row;
    }
    if (pivot !== step) {
      swap(matrix, pivot, step, size);
      swap(right, pivot, step, columns);
    }
    const whole = matrix[step * size + step];
    for (let row = step + 1; row < size; row++) {
      const share = matrix[row * size + step] / whole;
      if (share === 0) continue;
      for (let at = step + 1; at < size; at++) matrix[row * size + at] -= share * matrix[step * size + at];
      for (let at = 0; at < columns; at++) right[row * columns + at] -= share * right[step * columns + at];
    }
  }
  for (let step = size - 1; step >= 0; step--) {
    for (let at = 0; at < columns; at++) {
      let sum = right[step * columns + at];
      for (let other = step + 1; other < size; other++) sum -= matrix[step * size + other] * right[other * columns + at];
      right[step * columns + at] = sum / matrix[step * size + step];
    }
  }
  return right;
}

function swap(matrix: Float64Array, one: number, other: number, width: number): void {
  for (let at = 0; at < width; at++) {
    [matrix[one * width + at], matrix[other * width + at]] = [matrix[other * width + at], matrix[one * width + at]];
  }
}

/** Products `[fields, count]` of every row of `modes` `[count, width]` with fields `[width]`, in one pass over them. */
export function projected(modes: Float32Array, fields: readonly Float32Array[], count: number): Float64Array[] {
  const out = fields.map(() => new Float64Array(count));
  const width = fields[0].length;
  for (let first = 0; first < fields.length; first += 4) {
    // Four at a time: a mode is read once for all of them.
    const [a, b, c, d] = [0, 1, 2, 3].map((more) => fields[Math.min(first + more, fields.length - 1)]);
    for (let row = 0; row < count; row++) {
      const begin = row * width;
      let [p, q, r, s] = [0, 0, 0, 0];
      for (let at = 0; at < width; at++) {
        const mode = modes[begin + at];
        p += mode * a[at];
        q += mode * b[at];
        r += mode * c[at];
        s += mode * d[at];
      }
      [p, q, r, s].slice(0, fields.length - first).forEach((sum, more) => (out[first + more][row] = sum));
    }
  }
  return out;
}

/** `base` plus the sum of rows of `modes` `[values.length, base.length]`, each times its value. */
export function added(base: Float32Array, modes: Float32Array, values: ArrayLike<number>): Float32Array {
  const out = new Float64Array(base);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (value === 0) continue;
    const begin = row * base.length;
    for (let at = 0; at < base.length; at++) out[at] += value * modes[begin + at];
  }
  return new Float32Array(out);
}

/** The matrix product of two `[3, 3]`. */
export function product(one: ArrayLike<number>, other: ArrayLike<number>): Rotation {
  return Float64Array.from({ length: 9 }, (_, at) => {
    const [row, column] = [3 * Math.floor(at / 3), at % 3];
    return one[row] * other[column] + one[row + 1] * other[column + 3] + one[row + 2] * other[column + 6];
  });
}

/** Rotation about `(x, y, z)` by its length in radians (Rodrigues). */
export function turnOf(x: number, y: number, z: number): Rotation {
  const angle = Math.hypot(x, y, z);
  if (angle < 1e-9) return Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
  const [a, b, c] = [x / angle, y / angle, z / angle];
  const cross = Float64Array.of(0, -c, b, c, 0, -a, -b, a, 0);
  const square = product(cross, cross);
  const [sine, rest] = [Math.sin(angle), 1 - Math.cos(angle)];
  return cross.map((value, at) => (at % 4 === 0 ? 1 : 0) + sine * value + rest * square[at]);
}

/** A percentile (0 to 100) of numbers, linear between neighbours; the numbers are sorted in place. */
export function percentile(values: Float64Array, share: number): number {
  values.sort();
  const at = ((values.length - 1) * share) / 100;
  const low = Math.floor(at);
  const high = Math.min(low + 1, values.length - 1);
  return values[low] + (values[high] - values[low]) * (at - low);
}
