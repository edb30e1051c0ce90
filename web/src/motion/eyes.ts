/**
 * The way of the eyes: synthesised or measured, through one slot, into the motion.
 * Twin of `liveface/motion/eyes.py`.
 */

import { EYE_SLOT, eyesOf, liftEyes, readEyes } from "./codes.js";
import { LOOK_FULL_RAD } from "./idle.js";
import { type Motion, ARKIT_INDEX, HOUSE_FPS, clipped, mixed, smooth } from "./motion.js";

const HAND_OVER_S = 0.2;
const FARTHEST_RAD = 0.7;

/** A motion whose gaze and lids are what a slot `[160]` says, with the larger wide and squint of both. */
export function showEyes(motion: Motion, slot: Float32Array): Motion {
  const eyes = readEyes(slot);
  const pitch = clipped(eyes[0], -FARTHEST_RAD, FARTHEST_RAD);
  const yaw = clipped(eyes[1], -FARTHEST_RAD, FARTHEST_RAD);
  const expression = motion.expression.slice();
  const set = (name: string, value: number): void => {
    expression[ARKIT_INDEX[name]] = clipped(value, 0, 1);
  };
  for (const [index, side] of ["Left", "Right"].entries()) {
    const outward = side === "Left" ? yaw : -yaw; // the person's left is the image's right
    set(`eyeLookDown${side}`, pitch / LOOK_FULL_RAD);
    set(`eyeLookUp${side}`, -pitch / LOOK_FULL_RAD);
    set(`eyeLookOut${side}`, outward / LOOK_FULL_RAD);
    set(`eyeLookIn${side}`, -outward / LOOK_FULL_RAD);
    set(`eyeBlink${side}`, eyes[2 + index]);
    for (const [name, value] of [["eyeWide", eyes[4]], ["eyeSquint", eyes[5]]] as const) {
      const at = ARKIT_INDEX[`${name}${side}`];
      expression[at] = Math.max(expression[at], clipped(value, 0, 1));
    }
  }
  return { expression, head: motion.head, gaze: Float32Array.of(pitch, yaw, pitch, yaw) };
}

/** The last measured slot `[160]`, and how much of the eyes it holds, 0 to 1. */
export interface EyeState {
  readonly slot: Float32Array;
  readonly share: number;
}

/** Eyes of a live stream: measured where there is a measurement, idle life elsewhere. */
export const eyeFeed = {
  start(): EyeState {
    return { slot: new Float32Array(EYE_SLOT), share: 0 };
  },

  /** One frame of idle life and, where there is one, a measured slot. */
  step(state: EyeState, life: Motion, measured: Float32Array | null): [EyeState, Float32Array] {
    const change = 1 / (HAND_OVER_S * HOUSE_FPS);
    const share = clipped(state.share + (measured === null ? -change : change), 0, 1);
    const slot = measured ?? state.slot;
    return [{ slot, share }, mixed(liftEyes(eyesOf(life)), slot, smooth(share))];
  },
};
