/**
 * Fitting the face model to points: scaled pose and bounded coefficients, together.
 * Twin of `liveface/motion/fit.py`; see there for choices and sources.
 */

import { type FaceModel, MESH, POINTS } from "./face_model.js";
import { type Rotation, added, product, projected, solved, turnOf } from "./linear.js";
import { ARKIT_INDEX, clipped } from "./motion.js";
import { POINT_WEIGHTS } from "./tables.js";

const NOISE_CM = 0.1;
export const WITNESSES = 60.0;
export const JAW = ARKIT_INDEX.jawOpen;
export const CLOSE = ARKIT_INDEX.mouthClose;
const PAIRS = [[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]] as const;
const WIDTH = 3 * POINTS;
const POSE = 6; // numbers of a small change of pose: turn, growth, shift

/** Where the head is: rotation, pixels per centimetre at its centre, and that centre in pixels. */
export class Pose {
  constructor(
    readonly rotation: Rotation,
    readonly scale: number,
    readonly x: number,
    readonly y: number,
  ) {}

  /** Points `[K, 2]` in centimetres around the head's centre, as seen. */
  flatten(points: Float32Array): Float32Array {
    return points.map((value, at) => (value - (at % 2 === 0 ? this.x : this.y)) / this.scale);
  }

  /** A row of the rotation times a point of a shape `[K, 3]`. */
  turned(shape: Float32Array, point: number, row: number): number {
    const r = this.rotation;
    const at = 3 * point;
    return r[3 * row] * shape[at] + r[3 * row + 1] * shape[at + 1] + r[3 * row + 2] * shape[at + 2];
  }

  /** Pitch, yaw and roll in radians. */
  get angles(): [number, number, number] {
    const r = this.rotation;
    return [Math.atan2(r[7], r[8]), Math.asin(clipped(r[6], -1, 1)), Math.atan2(r[3], r[0])];
  }
}

/** Curvature `[N, N]` and pull `[N]` of a prior. */
export interface Priors {
  readonly curvature: Float64Array;
  readonly pull: Float64Array;
}

/** Low and high `[N]`. */
export interface Bounds {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** Minimise `x @ matrix @ x / 2 - vector @ x` within bounds, to within 1e-4, from `start`: projected Newton. */
function solveBounded(matrix: Float64Array, vector: Float64Array, { low, high }: Bounds, start: Float64Array): Float64Array {
  const size = vector.length;
  const x = start.map((value, at) => clipped(value, low[at], high[at]));
  const times = (v: Float64Array): Float64Array =>
    Float64Array.from({ length: size }, (_, row) => {
      let sum = 0;
      for (let at = 0; at < size; at++) sum += matrix[row * size + at] * v[at];
      return sum;
    });
  for (let round = 0; round < 20; round++) {
    const gradient = times(x).map((value, at) => value - vector[at]);
    const free: number[] = [];
    for (let at = 0; at < size; at++) {
      const movable = low[at] < high[at];
      if (movable && (x[at] > low[at] || gradient[at] < 0) && (x[at] < high[at] || gradient[at] > 0)) free.push(at);
    }
    if (free.length === 0) break;
    const part = new Float64Array(free.length ** 2);
    free.forEach((row, i) => free.forEach((column, k) => (part[i * free.length + k] = matrix[row * size + column])));
    const found = solved(part, Float64Array.from(free, (at) => -gradient[at]), free.length);
    const step = new Float64Array(size);
    free.forEach((at, i) => (step[at] = found[i]));
    let length = 1;
    const cut = (): Float64Array => x.map((value, at) => clipped(value + length * step[at], low[at], high[at]) - value);
    let move = cut();
    const worse = (): boolean => {
      const pushed = times(move);
      let sum = 0;
      for (let at = 0; at < size; at++) sum += move[at] * (gradient[at] + 0.5 * pushed[at]);
      return sum > 0;
    };
    while (worse() && length > 0.01) {
      length /= 2;
      move = cut();
    }
    let most = 0;
    for (let at = 0; at < size; at++) {
      x[at] += move[at];
      most = Math.max(most, Math.abs(move[at]));
    }
    if (most < 1e-4) break;
  }
  return x;
}

/** A pose from scratch: the best affine map of `shape` `[478, 3]` to `points` `[478, 2]`, made a scaled rotation. */
export function firstPose(points: Float32Array, shape: Float32Array): Pose {
  const total = POINT_WEIGHTS.reduce((a, b) => a + b, 0);
  const seen = [0, 0];
  const centre = [0, 0, 0];
  for (let point = 0; point < MESH; point++) {
    const weight = POINT_WEIGHTS[point] / total;
    for (let axis = 0; axis < 2; axis++) seen[axis] += weight * points[2 * point + axis];
    for (let axis = 0; axis < 3; axis++) centre[axis] += weight * shape[3 * point + axis];
  }
  const gram = new Float64Array(9);
  const cross = new Float64Array(6); // [3, 2]
  for (let point = 0; point < MESH; point++) {
    const weight = POINT_WEIGHTS[point] / total;
    for (let a = 0; a < 3; a++) {
      const from = weight * (shape[3 * point + a] - centre[a]);
      for (let b = 0; b < 3; b++) gram[3 * a + b] += from * (shape[3 * point + b] - centre[b]);
      for (let b = 0; b < 2; b++) cross[2 * a + b] += from * (points[2 * point + b] - seen[b]);
    }
  }
  const affine = solved(gram, cross, 3, 2); // [3, 2], the transpose of the map
  const of = (row: number): [number, number, number] => [affine[row], affine[2 + row], affine[4 + row]];
  const [p, q] = [of(0), of(1)];
  const dot = (u: number[], v: number[]): number => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
  // The nearest rows of a rotation: (A A^T)^(-1/2) A, whose square root is known in closed form for two rows.
  const [a, b, d] = [dot(p, p), dot(p, q), dot(q, q)];
  const root = Math.sqrt(a * d - b * b);
  const trace = Math.sqrt(a + d + 2 * root); // sum of the singular values
  const whole = root * trace;
  const one = p.map((value, at) => ((d + root) * value - b * q[at]) / whole);
  const other = q.map((value, at) => ((a + root) * value - b * p[at]) / whole);
  const third = [one[1] * other[2] - one[2] * other[1], one[2] * other[0] - one[0] * other[2], one[0] * other[1] - one[1] * other[0]];
  const scale = trace / 2;
  return new Pose(Float64Array.of(...one, ...other, ...third), scale, seen[0] - scale * dot(one, centre), seen[1] - scale * dot(other, centre));
}

/** Modes `[N, 478, 3]` as a turned camera sees them, and their weighted products, both cheap for any turn. */
export class SeenModes {
  readonly count: number;

  /** `products` is `[6, N, N]`, symmetric in N: for each pair of axes the sum over points. */
  private constructor(
    readonly modes: Float32Array,
    readonly weights: Float32Array,
    private readonly products: Float64Array,
  ) {
    this.count = modes.length / WIDTH;
  }

  /** All modes of a face model as fits use them, its 52 expressions first; some tens of milliseconds of work. */
  static of(model: FaceModel): SeenModes {
    const modes = new Float32Array(model.expression.length + model.identity.length);
    modes.set(model.expression);
    modes.set(model.identity, model.expression.length);
    for (let at = 0; at < WIDTH; at++) modes[CLOSE * WIDTH + at] += modes[JAW * WIDTH + at];
    const total = POINT_WEIGHTS.reduce((a, b) => a + b, 0);
    const weights = POINT_WEIGHTS.map((weight) => weight * (WITNESSES / NOISE_CM ** 2 / total));
    const count = modes.length / WIDTH;
    const [plain, weighted] = [new Float32Array(3 * count * MESH), new Float32Array(3 * count * MESH)]; // [3, N, 468]
    for (let row = 0; row < count; row++) {
      for (let axis = 0; axis < 3; axis++) {
        for (let point = 0; point < MESH; point++) {
          const at = (axis * count + row) * MESH + point;
          plain[at] = modes[row * WIDTH + 3 * point + axis];
          weighted[at] = plain[at] * weights[point];
        }
      }
    }
    const products = new Float64Array(PAIRS.length * count * count);
    PAIRS.forEach(([a, b], pair) => {
      const begin = pair * count * count;
      for (let one = 0; one < count; one++) {
        for (let other = a === b ? one : 0; other < count; other++) {
          const sum = inner(weighted, (a * count + one) * MESH, plain, (b * count + other) * MESH, MESH);
          products[begin + one * count + other] += sum;
          if (a !== b || one !== other) products[begin + other * count + one] += sum;
        }
      }
    });
    return new SeenModes(modes, weights, products);
  }

  /** Some of the modes, their products times `factor`. */
  part(first: number, last: number, factor = 1): SeenModes {
    const count = last - first;
    const products = new Float64Array(PAIRS.length * count * count);
    for (let at = 0; at < products.length; at++) {
      const [pair, row, column] = [Math.floor(at / count / count), Math.floor(at / count) % count, at % count];
      products[at] = factor * this.products[(pair * this.count + first + row) * this.count + first + column];
    }
    const weights = this.weights.map((weight) => weight * factor);
    return new SeenModes(this.modes.subarray(first * WIDTH, last * WIDTH), weights, products);
  }

  /** Products `[N, N]` of the modes through the first two rows of a rotation. */
  matrix(rotation: Rotation): Float64Array {
    const out = new Float64Array(this.count ** 2);
    PAIRS.forEach(([a, b], pair) => {
      const share = rotation[a] * rotation[b] + rotation[3 + a] * rotation[3 + b];
      const begin = pair * out.length;
      for (let at = 0; at < out.length; at++) out[at] += share * this.products[begin + at];
    });
    return out;
  }

  /** Products `[fields, N]` of the modes, seen through a rotation, with fields `[478, 2]`. */
  along(rotation: Rotation, fields: readonly Float32Array[]): Float64Array[] {
    const [a, b, c, d, e, f] = rotation;
    const lifted = fields.map((field) => {
      const out = new Float32Array(WIDTH);
      for (let point = 0; point < POINTS; point++) {
        const x = field[2 * point];
        const y = field[2 * point + 1];
        out[3 * point] = x * a + y * d;
        out[3 * point + 1] = x * b + y * e;
        out[3 * point + 2] = x * c + y * f;
      }
      return out;
    });
    return projected(this.modes, lifted, this.count);
  }
}

/**
 * Modes ready to be fitted; the first 52 are the ARKit expressions. Inside, jawOpen and mouthClose are replaced by "mouth
 * open" and "jaw down behind closed lips", so that mouthClose never exceeds jawOpen.
 */
export class LinearFit {
  constructor(private readonly seen: SeenModes) {}

  /** The face `[478, 3]` for mixed values `[N]` on top of `base`. */
  shape(base: Float32Array, values: ArrayLike<number>): Float32Array {
    return added(base, this.seen.modes, values);
  }

  /** One Gauss-Newton step from a pose and mixed values `[N]`; `base` `[478, 3]` is the face at values 0. */
  step(points: Float32Array, base: Float32Array, pose: Pose, values: Float64Array, priors: Priors, bounds: Bounds): [Pose, Float64Array] {
    const { seen } = this;
    const { weights, count: size } = seen;
    const shape = this.shape(base, values);
    const flat = pose.flatten(points);
    const about = Array.from({ length: POSE }, () => new Float32Array(2 * POINTS)); // how the pose moves points, [6][478, 2]
    const left = new Float32Array(2 * POINTS); // what pose and modes together must explain
    for (let point = 0; point < MESH; point++) {
      const x = pose.turned(shape, point, 0);
      const y = pose.turned(shape, point, 1);
      const z = pose.turned(shape, point, 2);
      const at = 2 * point;
      about[0][at + 1] = -z;
      about[1][at] = z;
      about[2][at] = -y;
      about[2][at + 1] = x;
      about[3][at] = x;
      about[3][at + 1] = y;
      about[4][at] = 1;
      about[5][at + 1] = 1;
      for (let axis = 0; axis < 2; axis++) left[at + axis] = flat[at + axis] - pose.turned(base, point, axis);
    }
    const weigh = (field: Float32Array): Float32Array => field.map((value, at) => value * weights[at >> 1]);
    const weighted = about.map(weigh);
    const [vector, ...across] = seen.along(pose.rotation, [weigh(left), ...weighted]);
    const right = new Float64Array(POSE * (size + 1)); // [6, N + 1]: products with the modes, and with what is left
    const own = new Float64Array(POSE * POSE);
    for (let one = 0; one < POSE; one++) {
      right.set(across[one], one * (size + 1));
      right[one * (size + 1) + size] = inner(weighted[one], 0, left, 0, left.length);
      for (let other = 0; other < POSE; other++) own[one * POSE + other] = inner(weighted[one], 0, about[other], 0, left.length);
    }
    const cleared = solved(own, right, POSE, size + 1);
    const matrix = seen.matrix(pose.rotation);
    const pull = vector;
    for (let one = 0; one < POSE; one++) {
      const row = cleared.subarray(one * (size + 1), (one + 1) * (size + 1));
      for (let a = 0; a < size; a++) {
        const share = across[one][a];
        pull[a] -= share * row[size];
        for (let b = 0; b < size; b++) matrix[a * size + b] -= share * row[b];
      }
    }
    const found = solveBounded(
      matrix.map((value, at) => value + priors.curvature[at]),
      pull.map((value, at) => value + priors.pull[at]),
      bounds,
      values,
    );
    const change = Array.from({ length: POSE }, (_, one) => {
      const begin = one * (size + 1);
      let sum = cleared[begin + size];
      for (let at = 0; at < size; at++) sum -= cleared[begin + at] * found[at];
      return sum;
    }) as [number, number, number, number, number, number];
    const rotation = product(turnOf(change[0], change[1], change[2]), pose.rotation);
    const scale = pose.scale * Math.exp(clipped(change[3], -0.3, 0.3));
    return [new Pose(rotation, scale, pose.x + pose.scale * change[4], pose.y + pose.scale * change[5]), found];
  }
}

/** The sum of products of `count` numbers of two arrays, each from its own place on. */
function inner(one: Float32Array, from: number, other: Float32Array, to: number, count: number): number {
  let sum = 0;
  for (let at = 0; at < count; at++) sum += one[from + at] * other[to + at];
  return sum;
}

/** ARKit coefficients `[52]` from mixed values. */
export function unmix(values: Float64Array): Float32Array {
  const out = Float32Array.from(values.subarray(0, 52));
  out[JAW] = Math.min(1, values[JAW] + values[CLOSE]);
  return out;
}

/** Mixed values `[52]` from ARKit coefficients. */
export function mix(coefficients: Float32Array): Float64Array {
  const out = Float64Array.from(coefficients);
  out[JAW] = Math.max(0, coefficients[JAW] - coefficients[CLOSE]);
  return out;
}
