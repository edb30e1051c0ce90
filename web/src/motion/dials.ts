/**
 * What the page's dials do to a motion, whoever drives it, and an emotion put on a camera's motion.
 * Twin of `liveface/live/dials.py`.
 */

import { codesOf, eyesOf, liftEyes, motionOf } from "./codes.js";
import { type EmoterState, any, complete, emoter } from "./emotion.js";
import { showEyes } from "./eyes.js";
import { type Motion, clipped, share, starting } from "./motion.js";

const LOOK_RAD = [0.22, 0.35] as const; // pitch and yaw at which eyes look at the edge of the page
const LOOK_S = 0.08;
const NOTHING = 1e-3; // an emotion so small is over
const LIDS = new Set(starting("eyeBlink", "eyeLook"));

/** Sizes of expression, head motion and glances, 1 is natural; `look`: x right and y down, each -1 to 1, or null. */
export interface LiveDials {
  readonly scale: number;
  readonly head: number;
  readonly gaze: number;
  readonly look: readonly [number, number] | null;
}

export const NATURAL: LiveDials = { scale: 1, head: 1, gaze: 1, look: null };

/** How much the eyes are led, and where to (pitch, yaw). */
export interface DialState {
  readonly led: number;
  readonly target: readonly [number, number];
}

export const DIALS_START: DialState = { led: 0, target: [0, 0] };

/** One frame with the dials applied. */
export function dialled(dials: LiveDials, state: DialState, motion: Motion): [DialState, Motion] {
  const expression = motion.expression.map((value, at) => clipped(LIDS.has(at) ? value : value * dials.scale, 0, 1));
  const head = motion.head.map((value) => value * dials.head);
  const pace = share(LOOK_S);
  let { target } = state;
  if (dials.look !== null) {
    const wanted = [dials.look[1] * LOOK_RAD[0], dials.look[0] * LOOK_RAD[1]] as const;
    const step = state.led < 0.01 ? 1 : pace;
    target = [target[0] + (wanted[0] - target[0]) * step, target[1] + (wanted[1] - target[1]) * step];
  }
  const led = state.led + (Number(dials.look !== null) - state.led) * pace;
  const gaze = motion.gaze.map((value, at) => {
    const space = value + motion.head[at % 2]; // where the eyes look, whatever the head does
    return dials.gaze * space * (1 - led) + led * target[at % 2] - head[at % 2];
  });
  return [{ led, target }, showEyes({ expression, head, gaze }, liftEyes(eyesOf({ expression, head, gaze })))];
}

/** One frame of a motion that has no emotion of its own, a camera's, with an emotion `[8]` put on it. */
export function felt(emotion: Float32Array, state: EmoterState, motion: Motion): [EmoterState, Motion] {
  const neutral = codesOf(motion);
  const [later, codes] = emoter.step(state, neutral, emotion);
  if (!any(emotion) && Math.max(...later.emotion) < NOTHING) return [later, motion];
  const before = motionOf(neutral);
  const after = motionOf(codes);
  const expression = motion.expression.map((value, at) => clipped(value + after.expression[at] - before.expression[at], 0, 1));
  const head = motion.head.map((value, at) => value + after.head[at] - before.head[at]);
  return [later, complete({ expression, head, gaze: motion.gaze }, later.emotion.map((value) => clipped(value, 0, 1)))];
}
