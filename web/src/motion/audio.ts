/**
 * `SpeechToMotion`: speech in, a talking face out, one frame of 30 fps for every 800 samples.
 * Twin of `liveface/motion/audio.py`; see there for choices and sources. State is an argument of every call.
 */

import type { Net } from "../litert.js";
import { EMOTIONS } from "../types.js";
import { FRAME_SAMPLES, HOPS_PER_FRAME, MELS, type LogMelState, logMel, loudness } from "../signals/features.js";
import { joined } from "../signals/resample.js";
import { type VoiceState, voiceInput } from "../signals/voice.js";
import { CODES, EYE_SLOT, GROUPS, liftEyes, motionOf, readEyes } from "./codes.js";
import { ONSET_S, any, complete, resting, shut } from "./emotion.js";
import { type EyeState, eyeFeed, showEyes } from "./eyes.js";
import { IdleMotion, type IdleState } from "./idle.js";
import { type Motion, clipped, rest, share, starting } from "./motion.js";
import { normals } from "./random.js";
import { STYLES } from "./style.js";
import { TRACKS } from "./tables.js";

const FADE_FRAMES = 5; // after the gate has shut the mouth is led to rest within 0.17 s
const SHUT_FRAMES = 4; // after an interruption within 0.13 s
const RETURN = 0.85; // share of the way back in the first frame with a voice
const TALK_S = 0.3;
const LISTEN_S = 0.8;
const IDLE_BROWS = 0.4; // share of idle brows beside speech's own
const FARTHEST_HEAD = 6.0; // head numbers are held to 0.6 rad
const START_FEATURE = -2.0; // the network's past before the first sample
const NOISE_MEMORY = 0.9; // of the noise of one frame in the next; of motion/diffusion.py
const LIDS = new Set(starting("eyeBlink", "eyeLook"));
const BROWS = new Set(starting("brow"));
const OPENINGS = new Set(starting("eyeWide", "eyeSquint"));

/** What of a loaded network is used here. */
export type Network = Pick<Net, "inputs" | "outputs" | "fill" | "run">;
type Tensors = Readonly<Record<string, Float32Array>>;
type Part = keyof typeof GROUPS;

/** How a face speaks. */
export interface SpeechOptions {
  /** Blinks, gaze, breath, and a head and brows that are never quite still; null adds nothing. */
  readonly idle?: IdleMotion | null;
  /** Size of the expression, 1 is natural. */
  readonly scale?: number;
  /** Size of the head's motion in speech. */
  readonly head?: number;
  /** `[8]` intensities, 0 to 1. */
  readonly emotion?: Float32Array;
  /** `[4]` numbers of `STYLES`. */
  readonly style?: Float32Array;
  /** Of what sound does not tell. */
  readonly seed?: number;
  /** Which parts of the face the network moves. */
  readonly parts?: readonly Part[];
}

/**
 * Everything that a stream of speech is made of between two calls; see `SpeechToMotion.start` in Python. A step uses the
 * state up: `net`, 0.3 MB, is written over instead of made anew thirty times a second.
 */
export interface SpeechState {
  readonly held: Float32Array; // samples that make no frame yet
  readonly frame: number;
  readonly wanted: Float32Array; // the emotion asked for
  readonly emotion: Float32Array; // the one in force
  readonly style: Float32Array;
  readonly share: number; // what of the mouth's motion is let through
  readonly shut: number; // frames left to shut it
  readonly talk: number; // how much brows and head belong to speech
  readonly noise: Float32Array;
  readonly last: Float32Array; // the code shown last
  readonly voice: VoiceState;
  readonly mel: LogMelState;
  readonly eyes: EyeState;
  readonly idle: IdleState | null;
  readonly net: Tensors;
}

/** One frame of sound and what the face does beside it. */
interface Heard {
  readonly features: Float32Array;
  readonly open: boolean;
  readonly life: Motion;
  readonly slot: Float32Array;
  readonly measured: number;
}

const WIDTHS: Readonly<Record<string, number>> = {
  noise: CODES, last: CODES, emotion: EMOTIONS.length, style: STYLES.length, eyes: EYE_SLOT, features: HOPS_PER_FRAME * MELS,
};

/** A motion model driven by sound. */
export class SpeechToMotion {
  private readonly size: Float32Array;
  private readonly idle: IdleMotion | null;

  constructor(
    private readonly network: Network,
    private readonly options: SpeechOptions = {},
  ) {
    const { scale = 1, head = 1, parts = ["mouth", "upper", "head"] } = options;
    this.idle = options.idle === undefined ? new IdleMotion() : options.idle;
    for (const [name, count] of Object.entries(WIDTHS)) {
      const found = network.inputs.find((slot) => slot.name === name)?.count;
      if (found !== count) {
        throw new Error(`the speech network has ${found ?? 0} numbers of ${name}; expected ${count}: export the folder again.`);
      }
    }
    this.size = new Float32Array(CODES);
    for (const part of parts) this.size.fill(part === "head" ? head : scale, ...GROUPS[part]);
  }

  /** The state before the first sample. */
  start(): SpeechState {
    const { emotion = new Float32Array(EMOTIONS.length), style = new Float32Array(STYLES.length) } = this.options;
    const recurrent = this.network.inputs.filter(({ name }) => !(name in WIDTHS));
    const net = recurrent.map(({ name, count }) => [name, new Float32Array(count).fill(name === "hops" ? START_FEATURE : 0)]);
    return {
      held: new Float32Array(0),
      frame: 0,
      wanted: emotion,
      emotion,
      style,
      share: 0,
      shut: 0,
      talk: 0,
      noise: new Float32Array(CODES),
      last: new Float32Array(CODES),
      voice: voiceInput.start(),
      mel: logMel.start(),
      eyes: eyeFeed.start(),
      idle: this.idle?.start() ?? null,
      net: Object.fromEntries(net) as Tensors,
    };
  }

  /**
   * The frames that `samples` at the house rate complete: none, one or several. `eyes` `[160]` is the slot of measured
   * eyes in these frames.
   */
  step(state: SpeechState, samples: Float32Array, eyes: Float32Array | null = null): [SpeechState, Motion[]] {
    if (!samples.every(Number.isFinite)) {
      throw new Error("sound has samples that are not finite; expected numbers from -1 to 1: check its source.");
    }
    const stream = joined(state.held, samples);
    const whole = Math.floor(stream.length / FRAME_SAMPLES) * FRAME_SAMPLES;
    const motions: Motion[] = [];
    let later = state;
    for (let at = 0; at < whole; at += FRAME_SAMPLES) {
      const [next, motion] = this.frame(later, stream.subarray(at, at + FRAME_SAMPLES), eyes);
      later = next;
      motions.push(motion);
    }
    return [{ ...later, held: stream.slice(whole) }, motions];
  }

  /** The state with another emotion or style from the next frame on; emotions pass over smoothly. */
  direct(state: SpeechState, { emotion, style }: { emotion?: Float32Array; style?: Float32Array }): SpeechState {
    return { ...state, wanted: emotion ?? state.wanted, style: style ?? state.style };
  }

  /** The state after the speaker was cut short: the mouth shuts in four frames, unused sound is forgotten. */
  interrupt(state: SpeechState): SpeechState {
    return { ...state, voice: voiceInput.forget(state.voice), held: new Float32Array(0), shut: SHUT_FRAMES };
  }

  /** Whether a voice was heard a moment ago. */
  speaking(state: SpeechState): boolean {
    return voiceInput.open(state.voice);
  }

  /** The last, unfinished frame, as if silence followed. */
  finish(state: SpeechState): [SpeechState, Motion[]] {
    return this.step(state, new Float32Array((FRAME_SAMPLES - state.held.length) % FRAME_SAMPLES));
  }

  private frame(state: SpeechState, samples: Float32Array, eyes: Float32Array | null): [SpeechState, Motion] {
    const [heardState, heard] = this.hear(state, samples, eyes);
    const fresh = normals([(this.options.seed ?? 0) >>> 0, state.frame], CODES);
    const kept = Math.sqrt(1 - NOISE_MEMORY ** 2);
    const noise = state.frame === 0 ? fresh : fresh.map((value, at) => NOISE_MEMORY * state.noise[at] + kept * value);
    const { last, emotion, style } = heardState;
    const codes = this.drawn({ noise, last, emotion, style, eyes: heard.slot, features: heard.features }, state.net);
    return this.show({ ...heardState, noise, frame: state.frame + 1 }, heard, codes);
  }

  /** The network's codes `[26]`; `net`, its recurrent state, is carried on in place. */
  private drawn(given: Tensors, net: Tensors): Float32Array {
    for (const [name, values] of Object.entries(given)) this.network.fill(name).set(values);
    for (const [name, values] of Object.entries(net)) this.network.fill(name).set(values);
    const made = this.network.run();
    for (const [name, values] of Object.entries(net)) values.set(made[`next_${name}`]);
    return Float32Array.from(made.codes);
  }

  /** The ears and the idle life of one frame. */
  private hear(state: SpeechState, samples: Float32Array, measured: Float32Array | null): [SpeechState, Heard] {
    const [voice, spoken] = voiceInput.step(state.voice, samples);
    const [mel, features] = logMel.step(state.mel, spoken.samples);
    const [idle, life] =
      this.idle === null ? [null, rest()] : this.idle.step(state.idle ?? this.idle.start(), loudness(features));
    const [eyes, slot] = eyeFeed.step(state.eyes, life, measured);
    const onset = share(ONSET_S);
    const emotion = state.emotion.map((value, at) => value + (state.wanted[at] - value) * onset);
    const heard = { features, open: spoken.open, life, slot, measured: eyes.share };
    return [{ ...state, voice, mel, idle, eyes, emotion }, heard];
  }

  /** What is shown of the network's codes `[26]`, with eyes and idle life. */
  private show(state: SpeechState, heard: Heard, codes: Float32Array): [SpeechState, Motion] {
    const { emotion } = state;
    const feels = any(emotion);
    const [through, left] = shared(state.share, state.shut, heard.open);
    const talk = state.talk + (Number(heard.open) - state.talk) * share(heard.open ? TALK_S : LISTEN_S);
    const still = feels ? resting(emotion) : new Float32Array(CODES);
    const drawn = codes.map((value, at) =>
      at < TRACKS.length ? clipped(value, 0, 1) : clipped(value, -FARTHEST_HEAD, FARTHEST_HEAD),
    );
    const last = shut(drawn, emotion, still).map((value, at) => {
      const spoken = at < GROUPS.mouth[1] ? through : talk;
      return spoken * value + (1 - spoken) * still[at];
    });
    const spoken = motionOf(last.map((value, at) => value * this.size[at]));
    const motion = living(spoken, heard, 1 - (1 - IDLE_BROWS) * talk);
    return [{ ...state, share: through, shut: left, talk, last }, feels ? complete(motion, emotion) : motion];
  }
}

/** One frame of speech with eyes and idle life, `brows` of its brows. */
function living(motion: Motion, { life, slot, measured }: Heard, brows: number): Motion {
  // Eyes hold their target while the head moves otherwise than idle life meant it to; measured eyes know.
  const eyes = readEyes(slot);
  eyes[0] -= motion.head[0] * (1 - measured);
  eyes[1] -= motion.head[1] * (1 - measured);
  const seen = showEyes(motion, liftEyes(eyes));
  const expression = seen.expression.map((value, at) => {
    if (OPENINGS.has(at)) return Math.max(value, motion.expression[at]);
    const idle = LIDS.has(at) ? 0 : life.expression[at] * (BROWS.has(at) ? brows : 1);
    return clipped(value + idle, 0, 1);
  });
  return { expression, head: motion.head.map((value, at) => value + life.head[at]), gaze: seen.gaze };
}

/** One frame later: the share of the mouth's motion that is let through, and the frames left to shut it. */
export function shared(through: number, shut: number, open: boolean): [number, number] {
  if (shut > 0) return [(through * (shut - 1)) / shut, shut - 1];
  if (open) return [through + RETURN * (1 - through), 0];
  return [Math.max(0, through - 1 / FADE_FRAMES), 0];
}

