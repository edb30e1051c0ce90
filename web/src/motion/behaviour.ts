/** How one person behaves when nothing drives them, as an avatar holds it. Twin of `liveface/motion/behaviour.py`. */

import { BREATH_HZ, IdleMotion } from "./idle.js";

const BLINKS_PER_MIN = 16.0; // what `IdleMotion` does with blink = 1

/** An avatar's own manner; see `liveface.motion.behaviour.Behaviour` for units and ranges. */
export interface Behaviour {
  readonly blinks_per_min: number;
  readonly gaze: number;
  readonly sway: number;
  readonly breaths_per_min: number;
  readonly breath_e: number;
  readonly nods_per_min: number;
}

/** Further sizes from the user; 1 leaves the person's own. */
export interface Manner {
  readonly seed?: number;
  readonly head?: number;
  readonly blink?: number;
}

/** The house's own manner, for an avatar that tells none: it does not nod. */
export function houseIdle({ seed = 0, head = 1, blink = 1 }: Manner = {}): IdleMotion {
  return new IdleMotion({ seed, head, blink, breathHz: BREATH_HZ });
}

/** The idle face of this person, who nods while nobody speaks. */
export function idleOf(behaviour: Behaviour, { seed = 0, head = 1, blink = 1 }: Manner = {}): IdleMotion {
  return new IdleMotion({
    seed,
    head: head * behaviour.sway,
    blink: (blink * behaviour.blinks_per_min) / BLINKS_PER_MIN,
    gaze: behaviour.gaze,
    breathHz: behaviour.breaths_per_min / 60,
    nods: behaviour.nods_per_min,
  });
}
