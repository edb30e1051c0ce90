/**
 * `MotionEngine`: one live face. Sound, a camera's motion and wishes in, the motion of at most one picture a thirtieth
 * of a second out. Twin of `liveface/live/engine.py` without its drawing.
 *
 * Notable choices: nothing here reads a clock. When several frames are due at once, motion is made for all of them and
 * only the last is given out: late pictures are dropped, never queued. Whoever drives, the face goes on living: without
 * sound it is idle life's, without a camera's picture for half a second it is sound's again.
 */

import { type Network, SpeechToMotion } from "./audio.js";
import { type Behaviour, houseIdle, idleOf } from "./behaviour.js";
import { type DialState, type LiveDials, DIALS_START, NATURAL, dialled, felt } from "./dials.js";
import { type EmoterState, emoter, emotionOf } from "./emotion.js";
import { type SoundBlock, type SpeechEvent, LiveSpeech } from "./live.js";
import { type Motion, HOUSE_FPS, clipped, mixed, smooth } from "./motion.js";
import { styleOf } from "./style.js";

const CAMERA_S = 0.5; // a camera that is silent for so long drives no longer
const HAND_OVER_S = 0.2; // from one driver to the other
const SLACK_S = 0.05; // by which a frame may lie beside the sound that came and still belong to it
const DELAY_S = 0.02; // how long packets of sound are waited for
const AHEAD_S = 2.0; // sound that leaves a longer gap is another stream
const BEHIND_S = 0.5; // and so is one that begins so much earlier
const ARTICULATION = 3; // standard deviations between talkers, from the dial's middle to its ends

/** Who drives. */
export type Driver = "idle" | "sound" | "camera";

/**
 * What is due now: of how many frames the last, its number, the sender's time of its sound (NaN beside it), and when the
 * camera's picture was taken that it shows (NaN without one).
 */
export interface Shot {
  readonly motion: Motion;
  readonly number: number;
  readonly frames: number;
  readonly source: Driver;
  readonly soundS: number;
  readonly cameraS: number;
  readonly events: readonly SpeechEvent[];
}

/** What may be asked for; what is not said stays as it was. All dials 0 to 2, 1 is natural. */
export interface Wishes {
  readonly emotion?: string | Readonly<Record<string, number>>;
  readonly style?: string | Readonly<Record<string, number>>;
  readonly scale?: number;
  readonly head?: number;
  readonly gaze?: number;
  readonly blink?: number;
  /** How wide the mouth opens in speech. */
  readonly articulation?: number;
  /** Where the eyes look, x right and y down, each -1 to 1; null is where they please. */
  readonly look?: readonly [number, number] | null;
}

export interface EngineOptions {
  readonly behaviour?: Behaviour | null;
  readonly seed?: number;
  readonly delayS?: number;
}

/** The camera's side: its newest motion, when it came, and how much of the face it drives. */
interface Seen {
  motion: Motion | null;
  atS: number;
  timeS: number;
  share: number;
}

export class MotionEngine {
  private readonly live: LiveSpeech;
  private dials: LiveDials = NATURAL;
  private dialState: DialState = DIALS_START;
  private blink = 1;
  private emotion = emotionOf({});
  private style = styleOf({});
  private mood: EmoterState = emoter.start();
  private seen: Seen = { motion: null, atS: -Infinity, timeS: NaN, share: 0 };
  private zeroS: number | null = null;
  private frames = 0;
  private stream: { beganS: number; endS: number } | null = null; // the sound that came, by the sender's time

  constructor(
    private readonly speech: Network,
    private readonly options: EngineOptions = {},
  ) {
    this.live = new LiveSpeech(this.model(), options.delayS ?? DELAY_S);
  }

  /** Take a block of sound, which came at `nowS`. */
  hear(block: SoundBlock, nowS: number): void {
    this.live.hear(block, nowS);
    const startS = block.start / block.rate;
    const endS = startS + block.samples.length / block.rate;
    const known = this.stream?.endS ?? startS;
    const goesOn = this.stream !== null && known - BEHIND_S < startS && startS < known + AHEAD_S;
    this.stream = goesOn ? { beganS: this.stream?.beganS ?? startS, endS: Math.max(known, endS) } : { beganS: startS, endS };
  }

  /** Take the motion of a camera's picture, which came at `nowS` and was taken at `timeS`. */
  see(motion: Motion, nowS: number, timeS: number): void {
    this.seen.motion = motion;
    this.seen.atS = nowS;
    this.seen.timeS = timeS;
  }

  /** Do as is wished. */
  turn(wishes: Wishes): void {
    const { scale, head, gaze, look, blink, articulation } = wishes;
    for (const [name, value] of Object.entries({ scale, head, gaze, blink, articulation })) {
      if (value !== undefined && !(value >= 0 && value <= 2)) {
        throw new Error(`${name} ${value} is not usable; expected a number from 0 to 2, 1 is natural.`);
      }
    }
    const { dials } = this;
    this.dials = {
      scale: scale ?? dials.scale, head: head ?? dials.head, gaze: gaze ?? dials.gaze,
      look: look === undefined ? dials.look : look,
    };
    if (wishes.emotion !== undefined) this.emotion = emotionOf(wishes.emotion);
    if (wishes.style !== undefined) this.style = styleOf(wishes.style);
    if (articulation !== undefined) {
      this.style = this.style.slice();
      this.style[0] = ARTICULATION * (articulation - 1);
    }
    this.live.direct({ emotion: this.emotion, style: this.style });
    if (blink !== undefined && blink !== this.blink) {
      this.blink = blink;
      this.live.model = this.model();
    }
  }

  /** Forget the sound that was not shown yet and shut the mouth. */
  interrupt(): void {
    this.live.interrupt();
    this.stream = null;
  }

  /** When the next frame is due; before the first tick, at once. */
  dueS(): number {
    return this.zeroS === null ? -Infinity : this.zeroS + (this.frames + 1) / HOUSE_FPS;
  }

  /** What is due by `nowS`; null when nothing is. */
  tick(nowS: number): Shot | null {
    this.zeroS ??= nowS;
    const frames = this.live.frames(nowS);
    const last = frames.at(-1);
    if (last === undefined) return null;
    this.frames += frames.length;
    const drives = this.seen.motion !== null && nowS - this.seen.atS < CAMERA_S;
    const step = frames.length / (HAND_OVER_S * HOUSE_FPS);
    this.seen.share = clipped(this.seen.share + (drives ? step : -step), 0, 1);
    const [driven, source] = this.driven(last.motion);
    let motion = driven;
    for (let frame = 0; frame < frames.length; frame++) [this.dialState, motion] = dialled(this.dials, this.dialState, driven);
    const events = frames.flatMap((frame) => frame.events);
    const cameraS = source === "camera" ? this.seen.timeS : NaN;
    return { motion, number: last.index, frames: frames.length, source, soundS: this.soundS(last.soundS), cameraS, events };
  }

  /** A place in the sender's stream, or NaN beside it. */
  private soundS(soundS: number): number {
    const { stream } = this;
    return stream !== null && soundS >= stream.beganS - SLACK_S && soundS <= stream.endS + SLACK_S ? soundS : NaN;
  }

  /** The motion model with the present manner; its state goes on. */
  private model(): SpeechToMotion {
    const { behaviour = null, seed = 0 } = this.options;
    const manner = { seed, blink: this.blink };
    return new SpeechToMotion(this.speech, { idle: behaviour === null ? houseIdle(manner) : idleOf(behaviour, manner) });
  }

  /** The motion of whoever drives, and who it is. */
  private driven(heard: Motion): [Motion, Driver] {
    const { motion, share } = this.seen;
    if (motion === null || share === 0) return [heard, this.live.model.speaking(this.live.state) ? "sound" : "idle"];
    const [mood, seen] = felt(this.emotion, this.mood, motion);
    this.mood = mood;
    const eased = smooth(share);
    const blend = (name: keyof Motion): Float32Array => mixed(heard[name], seen[name], eased);
    return [{ expression: blend("expression"), head: blend("head"), gaze: blend("gaze") }, "camera"];
  }
}
