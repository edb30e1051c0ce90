/** What an avatar has learned to show. Twin of `liveface/motion/reach.py`. */

import type { Limits, Reach } from "../avatar/file.js";
import type { MotionFrame } from "../types.js";
import { easeTurn } from "./geometry.js";

const SLACK = 0.1; // of a range: how far beyond it a number is let
const HEAD_SLACK = 0.35;

/** Values held softly to the range called `name`, in place; unchanged where there is none. */
export function hold(reach: Reach, name: string, values: Float32Array): Float32Array {
  const limits: Limits | undefined = reach.ranges[name];
  if (limits === undefined) return values;
  const [low, high] = limits;
  const slack = name === "head" ? HEAD_SLACK : SLACK;
  for (let i = 0; i < values.length; i++) {
    const room = slack * (high[i] - low[i]);
    const inside = Math.min(Math.max(values[i], low[i]), high[i]);
    values[i] = inside + room * Math.tanh((values[i] - inside) / Math.max(room, 1e-6));
  }
  return values;
}

/** Motion within reach: turns eased, then every track held to its range. Twin of `Renderer._pose`'s first line. */
export function within(reach: Reach, { expression, head, gaze }: MotionFrame): MotionFrame {
  const eased = head.slice();
  for (let i = 0; i < 3; i++) eased[i] = easeTurn(eased[i]);
  return {
    expression: hold(reach, "expression", expression.slice()),
    head: hold(reach, "head", eased),
    gaze: hold(reach, "gaze", gaze.slice()),
  };
}

/** Shift of the shoulders `[2]` in eye distances; `house` is how far they go where the person's manner is not known. */
export function shoulders(reach: Reach, head: Float32Array, house: number): Float32Array {
  const follow = reach.follow ?? [[0, 0, 0, house, 0, 0], [0, 0, 0, 0, house, 0]]; // prettier-ignore
  const out = Float32Array.from(follow, (row) => row.reduce((sum, value, i) => sum + value * head[i], 0));
  return hold(reach, "shoulders", out);
}
