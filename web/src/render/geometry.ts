/** Rotations, similarities and boxes. Twin of `liveface/geometry.py`, and of parts of `head.py` and `rig.py`. */

/** A `[2, 3]` matrix, row by row. */
export type Box = Float64Array;

/** `Rz(roll) Ry(-yaw) Rx(pitch)`, row by row. Twin of `head_rotation`. */
export function headRotation(pitch: number, yaw: number, roll: number): Float64Array {
  const [sp, cp, sy, cy] = [Math.sin(pitch), Math.cos(pitch), Math.sin(-yaw), Math.cos(-yaw)];
  const [sr, cr] = [Math.sin(roll), Math.cos(roll)];
  return Float64Array.of(
    cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp,
    sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp,
    -sy, cy * sp, cy * cp,
  ); // prettier-ignore
}

/** `a b'` of two `[3, 3]`. */
export function timesTransposed(a: Float64Array, b: Float64Array): Float64Array {
  const out = new Float64Array(9);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) out[3 * i + j] = a[3 * i] * b[3 * j] + a[3 * i + 1] * b[3 * j + 1] + a[3 * i + 2] * b[3 * j + 2];
  }
  return out;
}

const TURN_LIMIT = 0.42; // radians: larger turns ease towards this

/** An angle eased towards the limit beyond two thirds of it. Twin of `ease_turn`. */
export function easeTurn(angle: number): number {
  const knee = (TURN_LIMIT * 2) / 3;
  const size = Math.abs(angle);
  if (size <= knee) return angle;
  return Math.sign(angle) * (knee + (TURN_LIMIT - knee) * Math.tanh((size - knee) / (TURN_LIMIT - knee)));
}

/** The turn with scale and shift, as a box, that best maps points `[K, 2]` onto others. Twin of `_similarity`. */
export function similarity(source: ArrayLike<number>, target: ArrayLike<number>): Box {
  const count = source.length / 2;
  const mean = [0, 0, 0, 0] as [number, number, number, number];
  for (let k = 0; k < count; k++) {
    mean[0] += source[2 * k] / count;
    mean[1] += source[2 * k + 1] / count;
    mean[2] += target[2 * k] / count;
    mean[3] += target[2 * k + 1] / count;
  }
  let [along, across, size] = [0, 0, 0];
  for (let k = 0; k < count; k++) {
    const [ax, ay] = [source[2 * k] - mean[0], source[2 * k + 1] - mean[1]];
    const [bx, by] = [target[2 * k] - mean[2], target[2 * k + 1] - mean[3]];
    along += ax * bx + ay * by;
    across += ax * by - ay * bx;
    size += ax * ax + ay * ay;
  }
  const [c, s] = [along / size, across / size];
  return Float64Array.of(c, -s, mean[2] - c * mean[0] + s * mean[1], s, c, mean[3] - s * mean[0] - c * mean[1]);
}

/** The map that applies `inner`, then `outer`. */
export function chain(outer: ArrayLike<number>, inner: ArrayLike<number>): Box {
  const out = new Float64Array(6);
  for (let row = 0; row < 6; row += 3) {
    for (let column = 0; column < 3; column++) out[row + column] = outer[row] * inner[column] + outer[row + 1] * inner[3 + column];
    out[row + 2] += outer[row + 2];
  }
  return out;
}

/** The inverse of a map. Twin of `cv2.invertAffineTransform`. */
export function inverse(of: ArrayLike<number>): Box {
  const scale = 1 / (of[0] * of[4] - of[1] * of[3]);
  const [a, b, c, d] = [of[4] * scale, -of[1] * scale, -of[3] * scale, of[0] * scale];
  return Float64Array.of(a, b, -a * of[2] - b * of[5], c, d, -c * of[2] - d * of[5]);
}
