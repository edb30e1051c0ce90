/**
 * What a face does by itself: blinks, gaze, brows, breath, and a head that is never quite still.
 * Twin of `liveface/motion/idle.py`; see there for choices and sources. The same seed moves the same way in both.
 */

import { type Motion, ARKIT_INDEX, HOUSE_FPS, clipped, rest, smooth } from "./motion.js";
import { hash } from "./random.js";

const BLINK_SLOT_S = 4.0;
const BLINK_CHANCE = 0.94;
const DOUBLE_CHANCE = 0.12;
const CLOSE_S = 0.08;
const SHUT_S = 0.045;
const OPEN_S = 0.17;
const GAZE_SLOT_S = 0.7;
const GAZE_KEEP = 0.55;
const GAZE_LONGEST = 6;
const GAZE_HOME = 0.62;
const GAZE_SPREAD_RAD = [0.05, 0.1] as const;
const GAZE_MOST_RAD = [0.16, 0.3] as const;
const SACCADE_S = 0.021;
const SACCADE_S_PER_RAD = 2.2e-3 * 57.3;
const TREMBLE_SLOT_S = 0.55;
const TREMBLE_RAD = 0.006;
export const LOOK_FULL_RAD = 0.55;
const SWAY_RAD = [0.021, 0.03, 0.017] as const; // pitch, yaw, roll: standard deviations
const SWAY_CM = [0.2, 0.1, 0.22] as const;
const SWAY_HZ = [0.07, 0.16, 0.37, 0.8] as const;
export const BREATH_HZ = 0.23;
const BREATH_RAD = 0.004;
const BREATH_CM = 0.06;
const NOD_RAD = 0.05;
const BROW_ACCENT = 0.35;
const TALK_SWAY = 0.7;
const LISTEN_NOD_RAD = 0.045;
const LISTEN_NOD_HZ = 1.6;
const LISTEN_LOUDNESS = 0.12;
const SIDES = ["Left", "Right"] as const;

/** Value noise: smooth, mean 0, deviation about 0.5, one new value a unit of `at`. */
function noise(seed: number, channel: number, at: number): number {
  const cell = Math.floor(at);
  const low = 2 * hash(seed, channel, cell) - 1;
  const high = 2 * hash(seed, channel, cell + 1) - 1;
  return low + (high - low) * smooth(at - cell);
}

/** Slow noise with a 1/f spectrum, deviation about 1. */
function sway(seed: number, channel: number, timeS: number): number {
  let sum = 0;
  SWAY_HZ.forEach((hertz, at) => {
    sum += (hertz / SWAY_HZ[0]) ** -0.8 * noise(seed, channel * 16 + at, timeS * hertz);
  });
  return 1.65 * sum;
}

/** How shut the lids are `since` seconds after a blink began: 0 to 1, quick down, slower up. */
function lidProfile(since: number): number {
  if (since <= 0 || since >= CLOSE_S + SHUT_S + OPEN_S) return 0;
  if (since < CLOSE_S) return smooth(since / CLOSE_S);
  if (since < CLOSE_S + SHUT_S) return 1;
  const left = 1 - (since - CLOSE_S - SHUT_S) / OPEN_S;
  return left * left * (1.6 - 0.6 * left);
}

/** The manner of an idle face; 1 is natural. */
export interface IdleManner {
  readonly seed: number;
  readonly head: number;
  readonly blink: number;
  readonly gaze: number;
  readonly breathHz: number;
  readonly nods: number;
}

/** Its frame, and what follows the voice: a quick and a slow loudness, the nod, its speed, the brow, its speed. */
export interface IdleState {
  readonly frame: number;
  readonly voice: readonly number[];
}

const HOUSE: IdleManner = { seed: 0, head: 1, blink: 1, gaze: 1, breathHz: BREATH_HZ, nods: 0 };
const FPS = HOUSE_FPS;

/** A seeded idle face. */
export class IdleMotion {
  readonly manner: IdleManner;

  constructor(manner: Partial<IdleManner> = {}) {
    this.manner = { ...HOUSE, ...manner };
    const { head, blink, gaze, breathHz, nods } = this.manner;
    for (const [name, value] of Object.entries({ head, blink, gaze })) {
      if (!(value >= 0 && value <= 4)) {
        throw new Error(`idle motion with ${name} = ${value} is not usable; expected a number from 0 to 4.`);
      }
    }
    if (!(breathHz > 0 && breathHz <= 1 && nods >= 0 && nods <= 30)) {
      throw new Error(`idle motion with ${breathHz} breaths a second and ${nods} nods a minute is not usable; expected above 0 to 1, and 0 to 30.`);
    }
  }

  /** State before the first frame. */
  start(): IdleState {
    return { frame: 0, voice: [0, 0, 0, 0, 0, 0] };
  }

  /** The next frame; `loudness` of the voice is 0 (silent) to 1. */
  step(state: IdleState, loudness: number): [IdleState, Motion] {
    const timeS = state.frame / FPS;
    const voice = followed(state.voice, clipped(loudness, 0, 1));
    const motion = rest();
    motion.head.set(this.head(timeS, voice));
    motion.gaze.set(this.gaze(timeS, motion.head));
    this.eyes(motion.expression, timeS, motion.gaze);
    this.brows(motion.expression, timeS, voice);
    return [{ frame: state.frame + 1, voice }, motion];
  }

  private head(timeS: number, voice: readonly number[]): number[] {
    const { seed, breathHz } = this.manner;
    const size = 1 + TALK_SWAY * voice[1];
    const angles = SWAY_RAD.map((deviation, at) => deviation * size * sway(seed, 1 + at, timeS));
    const shifts = SWAY_CM.map((deviation, at) => deviation * size * sway(seed, 5 + at, timeS));
    const breath = Math.sin(2 * Math.PI * (breathHz * timeS + 0.35 * noise(seed, 200, timeS * 0.05)));
    angles[0] += NOD_RAD * voice[2] + BREATH_RAD * breath + this.nod(timeS, voice);
    shifts[1] -= BREATH_CM * breath;
    return [...angles, ...shifts].map((value) => this.manner.head * value);
  }

  /** Pitch in radians of the nods of one who listens: one to three dips, each smaller, while nobody speaks. */
  private nod(timeS: number, voice: readonly number[]): number {
    const { seed, nods } = this.manner;
    if (nods === 0) return 0;
    const length = 60 / nods;
    const slot = Math.floor(timeS / length);
    const begin = (slot + 0.6 * hash(seed, 350, slot)) * length;
    const wanted = 1 + Math.floor(3 * hash(seed, 351, slot) ** 2);
    const count = Math.max(1, Math.min(wanted, Math.floor(0.35 * length * LISTEN_NOD_HZ)));
    const at = (timeS - begin) * LISTEN_NOD_HZ;
    if (!(at >= 0 && at < count)) return 0;
    const size = LISTEN_NOD_RAD * (0.6 + 0.8 * hash(seed, 352, slot)) * 0.6 ** Math.floor(at);
    const quiet = smooth(1 - (voice[0] + voice[1]) / LISTEN_LOUDNESS);
    return quiet * size * Math.sin(Math.PI * (at % 1)) ** 2;
  }

  /** When the fixation of `slot` began (s), and where it looks: pitch, yaw in radians. */
  private fixation(slot: number): [number, number, number] {
    const { seed } = this.manner;
    let begun = slot;
    for (let back = 0; back < GAZE_LONGEST; back++) {
      begun = slot - back;
      if (begun % GAZE_LONGEST === 0 || hash(seed, 300, begun) >= GAZE_KEEP) break;
    }
    const atS = (begun + 0.8 * hash(seed, 301, begun)) * GAZE_SLOT_S;
    const where: [number, number] = [0, 0];
    if (hash(seed, 302, begun) >= GAZE_HOME) {
      for (const axis of [0, 1] as const) {
        const share = hash(seed, 303 + axis, begun) - 0.5;
        const size = -Math.log(1 - 2 * Math.abs(share) + 1e-9) * GAZE_SPREAD_RAD[axis]; // Laplace distribution
        where[axis] = Math.sign(share) * Math.min(size, GAZE_MOST_RAD[axis]);
      }
    }
    return [atS, ...where];
  }

  /** Where the eyes look in space, pitch and yaw in radians. */
  private look(timeS: number): [number, number] {
    let slot = Math.floor(timeS / GAZE_SLOT_S);
    let [atS, pitch, yaw] = this.fixation(slot);
    if (atS > timeS) {
      slot -= 1; // this slot's fixation has not begun
      [atS, pitch, yaw] = this.fixation(slot);
    }
    let before = slot - 1;
    while (this.fixation(before)[0] === atS) before -= 1;
    const [, oldPitch, oldYaw] = this.fixation(before);
    const size = Math.hypot(pitch - oldPitch, yaw - oldYaw);
    const share = smooth((timeS - atS) / (SACCADE_S + SACCADE_S_PER_RAD * size));
    return [oldPitch + (pitch - oldPitch) * share, oldYaw + (yaw - oldYaw) * share];
  }

  /** Gaze relative to the head `[4]`: the eyes hold their target while the head sways. */
  private gaze(timeS: number, head: Float32Array): number[] {
    const { seed, gaze } = this.manner;
    let [pitch, yaw] = this.look(timeS);
    const cell = Math.floor(timeS / TREMBLE_SLOT_S);
    pitch += TREMBLE_RAD * (2 * hash(seed, 310, cell) - 1);
    yaw += TREMBLE_RAD * (2 * hash(seed, 311, cell) - 1);
    pitch = gaze * pitch - head[0];
    yaw = gaze * yaw - head[1];
    return [pitch, yaw, pitch, yaw];
  }

  private lids(timeS: number): number {
    const { seed, blink } = this.manner;
    if (blink === 0) return 0;
    const length = BLINK_SLOT_S / blink;
    const slot = Math.floor(timeS / length);
    let shut = 0;
    for (const index of [slot - 1, slot]) {
      if (hash(seed, 320, index) >= BLINK_CHANCE) continue;
      const begin = (index + 0.05 + 0.85 * hash(seed, 321, index)) * length;
      shut = Math.max(shut, lidProfile(timeS - begin));
      if (hash(seed, 322, index) < DOUBLE_CHANCE) {
        shut = Math.max(shut, lidProfile(timeS - begin - CLOSE_S - SHUT_S - OPEN_S * 0.8));
      }
    }
    return shut;
  }

  /** Lids and the eye-look coefficients that belong to `gaze`. */
  private eyes(expression: Float32Array, timeS: number, gaze: Float32Array): void {
    const shut = this.lids(timeS);
    const squint = 0.12 * shut + 0.03 * (1 + noise(this.manner.seed, 330, timeS * 0.2));
    SIDES.forEach((side, index) => {
      const pitch = gaze[2 * index];
      const outward = side === "Left" ? gaze[1] : -gaze[3]; // the person's left is the image's right
      const values: Record<string, number> = {
        eyeBlink: shut,
        eyeLookDown: pitch / LOOK_FULL_RAD,
        eyeLookUp: -pitch / LOOK_FULL_RAD,
        eyeLookOut: outward / LOOK_FULL_RAD,
        eyeLookIn: -outward / LOOK_FULL_RAD,
        eyeSquint: squint,
        cheekSquint: 0.1 * shut,
      };
      for (const [name, value] of Object.entries(values)) expression[ARKIT_INDEX[name + side]] = clipped(value, 0, 1);
    });
  }

  /** Brows that drift and lift with stressed syllables, and a trace of life at the mouth's corners. */
  private brows(expression: Float32Array, timeS: number, voice: readonly number[]): void {
    const { seed } = this.manner;
    const accent = Math.max(voice[4], 0);
    const lift = 0.05 + 0.05 * noise(seed, 340, timeS * 0.25) + BROW_ACCENT * accent;
    const down = 0.03 * (1 + noise(seed, 341, timeS * 0.15));
    const smile = 0.025 * (1 + noise(seed, 342, timeS * 0.1));
    expression[ARKIT_INDEX.browInnerUp] = clipped(lift, 0, 1);
    SIDES.forEach((side, index) => {
      const tilt = 0.02 * noise(seed, 343 + index, timeS * 0.2);
      expression[ARKIT_INDEX[`browOuterUp${side}`]] = clipped(0.7 * lift + tilt, 0, 1);
      expression[ARKIT_INDEX[`browDown${side}`]] = clipped(down * (1 - Math.min(accent * 3, 1)), 0, 1);
      expression[ARKIT_INDEX[`mouthSmile${side}`]] = clipped(smile + 0.5 * tilt, 0, 1);
    });
  }
}

/** Follow the voice: envelopes, then two damped springs that syllables push, integrated at 240 Hz. */
function followed(voice: readonly number[], loudness: number): number[] {
  let [quick, slow, nod, nodSpeed, brow, browSpeed] = voice as [number, number, number, number, number, number];
  const dt = 1 / FPS;
  quick += (loudness - quick) * (1 - Math.exp(-dt / 0.06));
  slow += (loudness - slow) * (1 - Math.exp(-dt / (loudness > slow ? 0.5 : 1.2)));
  const push = Math.max(quick - slow, 0);
  const steps = Math.round(240 / FPS);
  const h = dt / steps;
  for (let step = 0; step < steps; step++) {
    nodSpeed += h * (9 ** 2 * (push - nod) - 2 * 0.8 * 9 * nodSpeed);
    nod += h * nodSpeed;
    browSpeed += h * (6 ** 2 * (push - brow) - 2 * 0.9 * 6 * browSpeed);
    brow += h * browSpeed;
  }
  return [quick, slow, nod, nodSpeed, brow, browSpeed];
}
