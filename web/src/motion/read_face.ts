/**
 * What is read directly off lids, irises and lips of a posed face, and what of it bounds a fit.
 * Twin of the first half of `liveface/motion/solve.py`; see there for choices.
 */

import { IRIS } from "./face_model.js";
import type { Bounds, Pose, Priors } from "./fit.js";
import { ARKIT_INDEX, clipped } from "./motion.js";
import { CURVATURE, PULL, RIVALS } from "./tables.js";

const EYE_RADIUS = 1.08; // cm from the centre of the eye to the plane of the iris
export const OPEN_CM = 0.9; // lid gap of an open eye before the person was seen
const CLOSED = 0.25;
const SLACK = 0.08;
const LOWERED = 0.25;
const PITCH_RANGE = 0.45;
const YAW_RANGE = 0.6;
const ROLLED_CM = 0.25;
const JAW_CM = 4.2;
const RIDGE = 3.0;
const COEFFICIENTS = 52;
const LID_PAIRS = [
  [[386, 374], [385, 380], [387, 373]],
  [[159, 145], [158, 153], [160, 144]],
] as const; // left eye, right eye
const LIP_PAIRS = [[13, 14], [82, 87], [312, 317]] as const;
const SIDES = ["Left", "Right"] as const;

/** Lid gaps `[2]` cm, left then right, and gaze `[4]` radians. */
export interface Eyes {
  readonly gapCm: readonly [number, number];
  readonly gaze: Float32Array;
}

/** Curvature and pull of the prior on 52 mixed coefficients and `more` unit-variance values. */
export function expressionPriors(more = 0): Priors {
  const size = COEFFICIENTS + more;
  const curvature = new Float64Array(size * size);
  const pull = new Float64Array(size);
  pull.set(PULL);
  for (let at = 0; at < size; at++) curvature[at * size + at] = at < COEFFICIENTS ? CURVATURE[at] : 1;
  for (const [one, other] of RIVALS) curvature[one * size + other] = curvature[other * size + one] = RIDGE;
  return { curvature, pull };
}

/** The head's own down, as seen, and the square of how much its pitch shortens it. */
function downOf(pose: Pose): [number, number, number] {
  const [x, y] = [pose.rotation[1], pose.rotation[4]];
  return [x, y, Math.max(Math.hypot(x, y), 0.5) ** 2];
}

/** Lid gaps and gaze of a posed head; `centres` `[2, 3]` cm are those of the eyeballs, left then right. */
export function readEyes(points: Float32Array, pose: Pose, centres: Float32Array): Eyes {
  const [downX, downY, squash] = downOf(pose);
  const gaps = LID_PAIRS.map((pairs) => {
    let sum = 0;
    for (const [up, low] of pairs) {
      sum += (points[2 * low] - points[2 * up]) * downX + (points[2 * low + 1] - points[2 * up + 1]) * downY;
    }
    return sum / pairs.length / pose.scale / squash;
  }) as [number, number];
  const gaze = new Float32Array(4);
  const r = pose.rotation;
  IRIS.forEach(([begin, end], eye) => {
    let [x, y] = [0, 0];
    for (let point = begin; point < end; point++) {
      x += points[2 * point] / (end - begin);
      y += points[2 * point + 1] / (end - begin);
    }
    let across = (x - pose.x) / pose.scale - pose.turned(centres, eye, 0);
    let down = (y - pose.y) / pose.scale - pose.turned(centres, eye, 1);
    const held = Math.min(1, (0.9 * EYE_RADIUS) / Math.max(Math.hypot(across, down), 1e-6));
    across *= held;
    down *= held;
    const away = -Math.sqrt(EYE_RADIUS ** 2 - across ** 2 - down ** 2);
    const own = (axis: number): number => (r[axis] * across + r[3 + axis] * down + r[6 + axis] * away) / EYE_RADIUS;
    gaze[2 * eye] = Math.asin(clipped(own(1), -1, 1));
    gaze[2 * eye + 1] = Math.atan2(own(0), -own(2));
  });
  return { gapCm: gaps, gaze };
}

/** Both eyes look the same way up and nearly the same way across; averaging halves the noise. */
export function together(gaze: Float32Array): Float32Array {
  const pitch = (gaze[0] + gaze[2]) / 2;
  const yaw = (gaze[1] + gaze[3]) / 2;
  const apart = clipped((gaze[3] - gaze[1]) / 2, -0.05, 0.15) * 0.5;
  return Float32Array.of(pitch, yaw - apart, pitch, yaw + apart);
}

/** The coefficients that are measured directly, by their place: the eyeLooks of a gaze, and lids. */
export function measured(gaze: Float32Array, gapCm: readonly number[], openCm: readonly number[]): Map<number, number> {
  const out = new Map<number, number>();
  SIDES.forEach((side, eye) => {
    const [pitch, yaw] = [gaze[2 * eye], gaze[2 * eye + 1]];
    const inward = side === "Left" ? -1 : 1;
    out.set(ARKIT_INDEX[`eyeLookDown${side}`], clipped(pitch / PITCH_RANGE, 0, 1));
    out.set(ARKIT_INDEX[`eyeLookUp${side}`], clipped(-pitch / PITCH_RANGE, 0, 1));
    out.set(ARKIT_INDEX[`eyeLookIn${side}`], clipped((inward * yaw) / YAW_RANGE, 0, 1));
    out.set(ARKIT_INDEX[`eyeLookOut${side}`], clipped((-inward * yaw) / YAW_RANGE, 0, 1));
    const lowered = 1 - LOWERED * clipped(pitch / PITCH_RANGE, 0, 1); // a lid follows the eye when it looks down
    const begin = openCm[eye] * lowered * (1 - SLACK);
    const end = openCm[eye] * CLOSED;
    out.set(ARKIT_INDEX[`eyeBlink${side}`], clipped((begin - gapCm[eye]) / Math.max(begin - end, 1e-3), 0, 1));
    out.set(ARKIT_INDEX[`eyeWide${side}`], clipped((gapCm[eye] / openCm[eye] - 1 - SLACK) / 0.35, 0, 1));
  });
  return out;
}

/** The largest opening of the jaw that a gap between the lips allows, so that closed lips mean a closed jaw. */
export function jawLimit(points: Float32Array, pose: Pose): number {
  const [downX, downY, squash] = downOf(pose);
  const gaps = LIP_PAIRS.map(
    ([up, low]) => (points[2 * low] - points[2 * up]) * downX + (points[2 * low + 1] - points[2 * up + 1]) * downY,
  );
  const gap = Math.max(...gaps) / pose.scale / squash;
  return clipped(((gap + ROLLED_CM) / JAW_CM) * 1.15, 0.05, 1);
}

/** Bounds of 52 coefficients: 0 to 1, the measured ones fixed; and of `more` values, three deviations. */
export function boundsOf(found: Map<number, number>, jaw: number, more = 0): Bounds {
  const low = new Float64Array(COEFFICIENTS + more).fill(-3, COEFFICIENTS);
  const high = new Float64Array(COEFFICIENTS + more).fill(1).fill(3, COEFFICIENTS);
  high[ARKIT_INDEX.tongueOut] = 0;
  for (const [at, value] of found) low[at] = high[at] = value;
  high[ARKIT_INDEX.jawOpen] = jaw;
  return { low, high };
}
