/**
 * Eight emotions over codes of motion: what each does to a face, and how it gives way to speech.
 * Twin of `liveface/motion/emotion.py`; see there for choices and sources. The tables are Python's.
 */

import { EMOTIONS } from "../types.js";
import { CODES } from "./codes.js";
import { type Motion, ARKIT_INDEX, clipped, dot, share, smooth } from "./motion.js";
import {
  ACCENT, ARTICULATION, CODE_NAMES, CODE_RIVALS, CORNERS, DROP_RAD, FROWN, LIDS, LIVELINESS, MOUTH, ONE_SIDED, OPENERS,
  PARTING, ROUND, SHUTTERS, SNEER, TARGET, TRACKS, WIDE,
} from "./tables.js";

export const ONSET_S = 0.22; // time constant with which an expression comes and goes
const TALK_S = 0.35;
const QUICK_S = 0.06;
const SLOW_S = 0.6;
const ACCENT_S = 0.1;
const SHUT_CM = 0.3;
const CORNERS_YIELD_SHUT = 0.3;
const CORNERS_YIELD_ROUND = 0.45;
const NEAR_SHARE = 0.9;
const NEAR_CM = 0.2;
const NEAR_POWER = 1.5;
const SEEN = 0.6;
const SMILE_PRESS = 0.4;
const LONG_LASHES = 0.75;
const BOUNDED = TRACKS.length;
const CONTEMPT = EMOTIONS.indexOf("contemptuous");
const [BITE, SMILE, PRESS, RAISE] = ["mouthRollLower", "mouthSmileLeft", "mouthPressLeft", "mouthShrugLower"].map((name) =>
  CODE_NAMES.indexOf(name),
) as [number, number, number, number];
const PARTING_MOUTH = PARTING.map((value, at) => value * MOUTH[at]);
const PARTING_OPENERS = PARTING.map((value, at) => value * OPENERS[at]);

/**
 * Intensities `[8]` from a line such as "happy:0.7,surprised:0.2" (a name alone means 1) or from numbers by name;
 * neutral's entry is 0.
 */
export function emotionOf(said: string | Readonly<Record<string, number>>): Float32Array {
  const out = new Float32Array(EMOTIONS.length);
  const named = new Set<string>();
  for (const [name, value] of typeof said === "string" ? pairs(said) : Object.entries(said)) {
    const at = EMOTIONS.findIndex((one) => one === name);
    if (at < 0) throw new Error(`there is no emotion "${name}"; expected some of ${EMOTIONS.join(", ")}, such as happy:0.7,sad:0.2.`);
    if (named.has(name)) throw new Error(`emotion "${name}" is named twice; expected each at most once.`);
    if (!(value >= 0 && value <= 1)) throw new Error(`intensity ${value} of ${name} is not usable; expected a number from 0 to 1.`);
    named.add(name);
    out[at] = value;
  }
  out[0] = 0;
  return out;
}

function pairs(line: string): [string, number][] {
  return line.split(",").map((part) => {
    const [name, number] = part.split(":").map((piece) => piece.trim());
    return [name, number === undefined ? 1 : number === "" ? NaN : Number(number)];
  });
}

/** Whether any emotion is in force. */
export function any(emotion: Float32Array): boolean {
  return emotion.some((value) => value !== 0);
}

/** Whether there was a frame, the sizes in force `[8]`, and the mouth's envelopes. */
export interface EmoterState {
  readonly begun: boolean;
  readonly emotion: Float32Array;
  readonly mouth: Mouth;
}

/** Whether it talks (1 falling to 0), a quick and a slow opening in cm, and the accent. */
interface Mouth {
  readonly talk: number;
  readonly quick: number;
  readonly slow: number;
  readonly accent: number;
}

/** Puts emotions on codes frame by frame. */
export const emoter = {
  start(): EmoterState {
    return { begun: false, emotion: new Float32Array(EMOTIONS.length), mouth: { talk: 0, quick: 0, slow: 0, accent: 0 } };
  },

  /** One frame: a code `[26]` of neutral speech and intensities `[8]`. */
  step(state: EmoterState, codes: Float32Array, emotion: Float32Array): [EmoterState, Float32Array] {
    const wanted = emotion.map((value) => value ** SEEN);
    const onset = share(ONSET_S);
    const now = state.begun ? state.emotion.map((value, at) => value + (wanted[at] - value) * onset) : wanted;
    const later = { begun: true, emotion: now, mouth: envelopes(state.mouth, gapCm(codes)) };
    return [later, express(codes, later.emotion, later.mouth)];
  },
};

/** The code `[26]` of a silent face in an emotion `[8]`: what a mouth returns to when nobody speaks. */
export function resting(emotion: Float32Array): Float32Array {
  return emoter.step(emoter.start(), new Float32Array(CODES), emotion)[1];
}

/** A network's code `[26]` in an emotion `[8]`, at rest `[26]`, whose lips come all the way where they come near. */
export function shut(code: Float32Array, emotion: Float32Array, rest: Float32Array): Float32Array {
  const strength = Math.min(emotion.reduce((a, b) => a + b, 0), 1);
  if (strength === 0) return code;
  const gap = gapCm(code);
  const near = NEAR_SHARE * Math.max(gapCm(rest), 0) + NEAR_CM * strength;
  const opens = dot(code, PARTING_OPENERS);
  if (!(gap > 0 && gap < near) || opens <= 0) return code;
  const left = Math.max(0, 1 - (gap * (1 - (gap / near) ** NEAR_POWER)) / opens);
  return code.map((value, at) => value * (1 - OPENERS[at] * (1 - left)));
}

function envelopes(mouth: Mouth, gap: number): Mouth {
  const open = Math.max(gap, 0);
  const moves = Math.min(Math.abs(open - mouth.quick) / 0.15, 1); // a mouth that is held open does not talk
  const talk = Math.max(mouth.talk * (1 - share(TALK_S)), moves);
  const quick = mouth.quick + (open - mouth.quick) * share(QUICK_S);
  const slow = mouth.slow + (open - mouth.slow) * share(SLOW_S);
  const push = clipped((quick - slow) / 0.6, 0, 1);
  return { talk, quick, slow, accent: mouth.accent + (push - mouth.accent) * share(ACCENT_S) };
}

/** Centimetres between the lips of a code; below 0 they press on each other. */
function gapCm(codes: Float32Array): number {
  return dot(codes, PARTING_MOUTH);
}

/** Sum of rows `[8, 26]`, each by its intensity. */
function blended(emotion: Float32Array, rows: Float32Array): Float32Array {
  return Float32Array.from({ length: CODES }, (_, at) => {
    let sum = 0;
    for (let row = 0; row < emotion.length; row++) sum += emotion[row] * rows[row * CODES + at];
    return sum;
  });
}

/** One instant: a code `[26]`, intensities `[8]` and envelopes to a code with emotion. */
function express(codes: Float32Array, emotion: Float32Array, mouth: Mouth): Float32Array {
  const gap = gapCm(codes);
  const closing = smooth(1 - gap / SHUT_CM);
  const pressed = smooth((dot(codes, SHUTTERS) - 0.08) / 0.12);
  const rounded = smooth((dot(codes, ROUND) - 0.12) / 0.45);
  const shut = closing * Math.max(pressed, smooth(mouth.talk / 0.5));
  const bitten = smooth((codes[BITE] - 0.15) / 0.15); // f and v: lip under teeth
  const strength = Math.min(emotion.reduce((a, b) => a + b, 0), 1);
  const wide = dot(emotion, ARTICULATION.map((value) => value - 1));
  const lively = dot(emotion, LIVELINESS.map((value) => value - 1));
  const target = blended(emotion, TARGET);
  const accent = blended(emotion, ACCENT);
  const base = codes.map((value, at) => value * (1 + wide * WIDE[at]) * (1 + lively * (1 - MOUTH[at])));
  const opening = Math.max(shut, bitten, 0.5 * mouth.talk);
  const sneering = Math.max(0.5 * shut, 0.8 * bitten);
  const corners = Math.max(CORNERS_YIELD_SHUT * shut, CORNERS_YIELD_ROUND * rounded);
  const add = target.map(
    (value, at) =>
      (value + accent[at] * mouth.accent) *
      (1 - OPENERS[at] * opening) *
      (1 - SNEER[at] * sneering) *
      (1 - FROWN[at] * 0.6 * mouth.talk) *
      (1 - CORNERS[at] * corners) *
      (1 - SHUTTERS[at] * (1 - closing)), // pressed lips are for silence: a mouth that opens is not pressed
  );
  add[PRESS] += SMILE_PRESS * shut * add[SMILE];
  for (const [one, other] of CODE_RIVALS) {
    base[one] *= 1 - strength * clipped(2 * add[other], 0, 0.8);
    base[other] *= 1 - strength * clipped(2 * add[one], 0, 0.8);
  }
  const out = base.map((value, at) => {
    if (at >= BOUNDED) return value + add[at];
    const track = clipped(value, 0, 1);
    return track + clipped(add[at], 0, 1) * (1 - track);
  });
  let parted = 0;
  for (let at = 0; at < BOUNDED; at++) parted += out[at] * PARTING[at];
  const ajar = Math.max(parted - Math.max(gap, 0), 0) * shut;
  out[RAISE] = Math.min(out[RAISE] - ajar / PARTING[RAISE], 1);
  return out;
}

/** A motion with what the code of an emotion `[8]` cannot hold: heavy lids, a lowered gaze, contempt's one corner. */
export function complete(motion: Motion, emotion: Float32Array): Motion {
  const expression = motion.expression.slice();
  const gaze = motion.gaze.slice();
  const heavy = dot(emotion, LIDS);
  for (const lid of [ARKIT_INDEX.eyeBlinkLeft, ARKIT_INDEX.eyeBlinkRight]) {
    expression[lid] = Math.max(expression[lid], Math.min(expression[lid] + heavy, LONG_LASHES));
  }
  const drop = dot(emotion, DROP_RAD);
  gaze[0] += drop;
  gaze[2] += drop;
  const size = emotion[CONTEMPT] * (1 - 0.5 * smooth(motion.expression[ARKIT_INDEX.mouthPucker] / 0.5));
  ONE_SIDED.forEach((value, at) => {
    if (value !== 0) expression[at] = clipped(expression[at] + value * size, 0, 1);
  });
  return { expression, head: motion.head, gaze };
}
