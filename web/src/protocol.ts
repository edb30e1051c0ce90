/**
 * What page and worker say to each other. Sound is the master clock: the page says at which second of its own clock a
 * block of sound is heard, and gets with every picture the second at which to show it.
 *
 * Seconds are `performance.timeOrigin + performance.now()` over 1000 in both threads (`now_s`), so they compare.
 */

import type { Emotion } from "./types.js";

/** What the dials of the studio page do: 1 is natural; see `liveface/live/dials.py`. */
export interface Dials {
  /** Size of the expression, 0 to 2. */
  scale?: number;
  /** Size of head motion, 0 to 2. */
  head?: number;
  /** Size of glances, 0 to 2. */
  gaze?: number;
  /** How much to blink, 0 to 2. */
  blink?: number;
  /** Strength of speech in the mouth, 0 to 2; 1 is natural. */
  articulation?: number;
  /** Where the eyes look, x right and y down, each -1 to 1; null is where they please. */
  look?: readonly [number, number] | null;
}

/** An emotion's strengths, 0 to 1, by name. */
export type Feeling = Partial<Record<Emotion, number>>;

/** Page to worker. */
export type ToWorker =
  /** First: the avatar's bytes, and where the folder of networks lies. Answered by `ready` or `error`. */
  | { kind: "load"; avatar: ArrayBuffer; base: string }
  /** A block of mono sound, -1 to 1; `start` is its place in its stream, in samples of `rate`. */
  | { kind: "audio"; samples: Float32Array; rate: number; start: number }
  /** No more sound comes for now: what was heard is shown to its end. */
  | { kind: "speak-end" }
  /** Forget what was not shown and shut the mouth; frames from now on are of `epoch`. */
  | { kind: "interrupt"; epoch: number }
  | { kind: "set"; dials?: Dials; emotion?: Feeling }
  /** A picture of the webcam, which drives until none came for half a second. */
  | { kind: "camera"; bitmap: ImageBitmap; time_s: number }
  /** Look straight ahead: what the camera sees next is the centre. */
  | { kind: "centre" }
  /** Where to draw; without one, frames carry bitmaps. */
  | { kind: "canvas"; canvas: OffscreenCanvas }
  /** Draw, or rest (the page is hidden). */
  | { kind: "run"; running: boolean }
  | { kind: "stop" };

/** How long stages of a frame took, in milliseconds, over the last frames. */
export type Percentiles = Record<string, { p50: number; p95: number }>;

/** Worker to page. */
export type FromWorker =
  | { kind: "ready"; name: string; width: number; height: number; fps: number }
  /** A picture was drawn: `sound_s` is its place in the stream of sound (NaN without any), `ms` what it took. */
  | { kind: "frame"; number: number; epoch: number; sound_s: number; ms: number; source: Source; bitmap?: ImageBitmap }
  | { kind: "event"; name: EventName; sound_s: number }
  | { kind: "stats"; stages: Percentiles; shown: number; dropped: number; variant: string }
  /** One sentence; `fatal` when nothing more can be drawn. */
  | { kind: "error"; sentence: string; fatal: boolean };

export type Source = "idle" | "sound" | "camera";
export type EventName = "speech-start" | "speech-end" | "interrupted" | "resync" | "camera-ready";

/** Seconds, the same in page and worker. */
export function now_s(): number {
  return (performance.timeOrigin + performance.now()) / 1000;
}
