/** From motion to the control vectors of the decoders. Twin of `render/liveface/controls.py`, mouth by landmarks. */

import type { About } from "../avatar/file.js";
import { ARKIT_INDEX } from "../motion/motion.js";
import type { MotionFrame } from "../types.js";
import { inverse } from "./geometry.js";
import { hold } from "./reach.js";
import type { Posed, Rig } from "./rig.js";

const LIP_GAIN = 5; // lip shifts are told in fifths of the eye distance
const ANGLE_GAIN = 2; // radians to about -1 to 1
const SPEED_GAIN = 20; // radians a frame
const SHIFT_GAIN = 0.2; // centimetres
const SHOULDER_GAIN = 5; // eye distances
const VISEMES = 45 + 8 + 2; // weights of three frames, emotions, jaw and loudness; the mouth does not look at them here

/** Head angles of this frame and the two before it, oldest first. */
export type Past = readonly [Float32Array, Float32Array, Float32Array];

export type Vectors = Readonly<Record<"visemes" | "landmarks" | "eyes" | "hair" | "body", Float32Array>>;

/** The past with one more frame; without one the frame counts as having lasted. */
export function remember(past: Past | null, angles: Float32Array): Past {
  return past === null ? [angles, angles, angles] : [past[1], past[2], angles];
}

/**
 * Control vectors of one frame, held to the avatar's reach.
 *
 * @param past of this frame; lips: `[40, 2]` of the reference in pixels of the mouth's patch
 * @param breath phase in radians
 */
export function controls(about: About, rig: Rig, rest_lips: Float32Array, motion: MotionFrame, posed: Posed, past: Past, breath: number): Vectors {
  const { expression, head, gaze } = motion;
  const get = (name: string): number => expression[ARKIT_INDEX[name]];
  const mean = (name: string): number => (get(`${name}Left`) + get(`${name}Right`)) / 2;
  const angles = [...past[2]];
  const turned = angles.map((value) => value * ANGLE_GAIN);
  const velocity = angles.map((value, i) => (value - past[1][i]) * SPEED_GAIN);
  const acceleration = angles.map((value, i) => (value - 2 * past[1][i] + past[0][i]) * SPEED_GAIN);
  const shift = [head[3] * SHIFT_GAIN, head[4] * SHIFT_GAIN];
  const summary = [get("jawOpen"), mean("mouthSmile"), get("browInnerUp") - mean("browDown")];
  const visemes = [...new Float32Array(VISEMES), ...turned];
  visemes[VISEMES - 2] = get("jawOpen");
  const vectors: Record<string, number[]> = {
    visemes,
    landmarks: lips(about, rig, rest_lips, posed, get("jawOpen"), turned),
    eyes: [...eyes(get, mean, gaze), ...turned],
    hair: [...turned, ...velocity, ...acceleration, ...scaled(past[1]), ...scaled(past[0]), ...shift, ...summary],
    body: [Math.sin(breath), Math.cos(breath), ...[...posed.shoulders].map((value) => value * SHOULDER_GAIN), ...turned, ...velocity, ...shift],
  };
  const made = Object.entries(vectors).map(([name, values]) => [name, hold(about.reach, name, Float32Array.from(values, cut))]);
  return Object.fromEntries(made) as Vectors;
}

function scaled(angles: Float32Array): number[] {
  return Array.from(angles, (value) => value * ANGLE_GAIN);
}

function cut(value: number): number {
  return Math.min(Math.max(value, -3), 3);
}

/** The landmark conditioning `[85]`. Twin of `lip_vector`. */
function lips(about: About, rig: Rig, rest: Float32Array, posed: Posed, jaw: number, turned: readonly number[]): number[] {
  const box = rig.rest.mouth;
  const scale = (Math.hypot(box[0], box[3]) / about.rig.eye_px) * LIP_GAIN;
  const back = inverse(posed.boxes.mouth);
  const shape = new Float64Array(rest.length);
  for (let i = 0; i < rest.length; i += 2) {
    const [x, y] = [posed.lips[i], posed.lips[i + 1]];
    shape[i] = back[0] * x + back[1] * y + back[2];
    shape[i + 1] = back[3] * x + back[4] * y + back[5];
  }
  const apart = (a: number, b: number): number => Math.hypot(shape[2 * a] - shape[2 * b], shape[2 * a + 1] - shape[2 * b + 1]);
  const aspect = apart(25, 35) / Math.max(apart(0, 10), 1e-3);
  return [...Array.from(shape, (value, i) => (value - rest[i]) * scale), jaw, aspect, ...turned];
}

/** The fifteen values of the eyes without the head. Twin of `_eyes`. */
function eyes(get: (name: string) => number, mean: (name: string) => number, gaze: Float32Array): number[] {
  const [left, right] = [get("eyeBlinkLeft"), get("eyeBlinkRight")];
  return [
    1 - left + get("eyeWideLeft"), 1 - right + get("eyeWideRight"), ...Array.from(gaze, (value) => value * ANGLE_GAIN),
    get("browDownLeft"), get("browDownRight"), get("browInnerUp"), mean("browOuterUp"),
    get("eyeSquintLeft"), get("eyeSquintRight"), Math.max(left - right, 0), Math.max(right - left, 0), mean("mouthSmile"),
  ]; // prettier-ignore
}
