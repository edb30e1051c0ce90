/** Motion in the browser: the frame of `types.ts`, and the small arithmetic that everything here shares. */

import type { MotionFrame } from "../types.js";
import { ARKIT_NAMES } from "./tables.js";

export type Motion = MotionFrame;

export const HOUSE_RATE_HZ = 24_000; // house audio rate: 800 samples a frame
export const HOUSE_FPS = 30; // rate of every motion network

/** Place of a coefficient by its name. */
export const ARKIT_INDEX: Readonly<Record<string, number>> = Object.fromEntries(
  ARKIT_NAMES.map((name, index) => [name, index]),
);

/** Places of the coefficients whose names begin with one of `starts`. */
export function starting(...starts: string[]): number[] {
  return ARKIT_NAMES.flatMap((name, index) => (starts.some((start) => name.startsWith(start)) ? [index] : []));
}

/** A neutral face that looks into the camera. */
export function rest(): Motion {
  return { expression: new Float32Array(52), head: new Float32Array(6), gaze: new Float32Array(4) };
}

/** A number held to a range. */
export function clipped(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** A smooth step from 0 to 1. */
export function smooth(share: number): number {
  const held = clipped(share, 0, 1);
  return held * held * (3 - 2 * held);
}

/** `one` where `share` is 0, `other` where it is 1. */
export function mixed(one: Float32Array, other: Float32Array, share: number): Float32Array {
  return one.map((value, at) => value * (1 - share) + other[at] * share);
}

/** The sum of products of two vectors of one length. */
export function dot(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += one[at] * other[at];
  return sum;
}

/** How far a value with a time constant comes within one frame. */
export function share(seconds: number, fps: number = HOUSE_FPS): number {
  return 1 - Math.exp(-1 / (fps * seconds));
}
