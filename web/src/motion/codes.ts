/**
 * The code of one frame of facial motion as the speech network sees it, and the slot through which it sees the eyes.
 * Twin of `liveface/motion/codes.py`.
 */

import { type Motion, ARKIT_INDEX, clipped, rest } from "./motion.js";
import { CODE_NAMES, EYE_BASIS, EYE_UNITS, TRACKS } from "./tables.js";

export const HEAD_UNIT_RAD = 0.1;
export const CODES = CODE_NAMES.length; // 26
export const EYE_SLOT = EYE_BASIS.length / EYE_UNITS.length; // 160
const EYES = EYE_UNITS.length; // pitch, yaw, blinkLeft, blinkRight, wide, squint
const MOUTH_TRACKS = 17;

/** First and last place plus one of each part of a code. */
export const GROUPS = {
  mouth: [0, MOUTH_TRACKS],
  upper: [MOUTH_TRACKS, TRACKS.length],
  head: [TRACKS.length, CODES],
} as const;

/** Eyes `[6]` (radians, and lids and openings 0 to 1) in the slot `[160]`. */
export function liftEyes(eyes: Float32Array): Float32Array {
  const scaled = eyes.map((value, at) => value / EYE_UNITS[at]);
  const out = new Float32Array(EYE_SLOT);
  for (let row = 0; row < EYE_SLOT; row++) {
    let sum = 0;
    for (let at = 0; at < EYES; at++) sum += EYE_BASIS[row * EYES + at] * scaled[at];
    out[row] = sum;
  }
  return out;
}

/** What a slot `[160]` says about the eyes, `[6]`. */
export function readEyes(slot: Float32Array): Float32Array {
  return EYE_UNITS.map((unit, at) => {
    let sum = 0;
    for (let row = 0; row < EYE_SLOT; row++) sum += slot[row] * EYE_BASIS[row * EYES + at];
    return sum * unit;
  });
}

/** Eyes `[6]` of a motion. */
export function eyesOf({ expression, gaze }: Motion): Float32Array {
  const of = (name: string): number => expression[ARKIT_INDEX[name]];
  return Float32Array.of(
    (gaze[0] + gaze[2]) / 2,
    (gaze[1] + gaze[3]) / 2,
    of("eyeBlinkLeft"),
    of("eyeBlinkRight"),
    (of("eyeWideLeft") + of("eyeWideRight")) / 2,
    (of("eyeSquintLeft") + of("eyeSquintRight")) / 2,
  );
}

/** The code `[26]` of a motion; left and right are averaged. */
export function codesOf({ expression, head }: Motion): Float32Array {
  const out = new Float32Array(CODES);
  TRACKS.forEach((places, at) => {
    out[at] = places.reduce((sum, place) => sum + expression[place], 0) / places.length;
  });
  for (let axis = 0; axis < 3; axis++) out[TRACKS.length + axis] = head[axis] / HEAD_UNIT_RAD;
  return out;
}

/** The motion of a code `[26]`, coefficients held to 0 to 1; lids and gaze rest. */
export function motionOf(codes: Float32Array): Motion {
  const out = rest();
  TRACKS.forEach((places, at) => {
    for (const place of places) out.expression[place] = clipped(codes[at], 0, 1);
  });
  for (let axis = 0; axis < 3; axis++) out.head[axis] = codes[TRACKS.length + axis] * HEAD_UNIT_RAD;
  return out;
}
