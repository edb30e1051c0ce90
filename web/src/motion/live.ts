/**
 * `LiveSpeech`: packets of live sound in, at any size and rate and in any order; motion at the exact rate out.
 * Twin of `liveface/motion/live.py`; see there for choices and sources. Nothing here reads a clock.
 */

import { FRAME_SAMPLES, HOP } from "../signals/features.js";
import { type ResamplerState, Resampler, joined } from "../signals/resample.js";
import type { SpeechState, SpeechToMotion } from "./audio.js";
import { type Motion, HOUSE_FPS, HOUSE_RATE_HZ, clipped } from "./motion.js";

const DELAY_S = 0.04;
const AHEAD_S = 2.0;
const BEHIND_S = 0.5;
const LATE_RUN_S = 0.25;
const RECENT_S = 0.06;
const FADE_S = [0.03, 0.12] as const;
const PERIOD_S = [0.0025, 0.015] as const;
const SLACKS = 128;
const ENOUGH = 32;
const EARLY_S = 0.035;
const AHEAD_OF_TIME_S = 0.5;
const KEEP_FRAMES = 10;
const LOWEST_SHARE = 0.05;

export type SpeechEvent = "speech-start" | "speech-end" | "interrupted" | "resync";

/** A packet: mono samples, their place in the sender's stream in samples of its rate, and that rate. */
export interface SoundBlock {
  readonly samples: Float32Array;
  readonly start: number;
  readonly rate: number;
}

/** One frame of a live face: shown from `index / 30` s on; the sender's time of its sound; the share that never came. */
export interface LiveFrame {
  readonly index: number;
  readonly motion: Motion;
  readonly soundS: number;
  readonly missing: number;
  readonly events: readonly SpeechEvent[];
}

/** What became of the sound. */
export interface LiveCounts {
  packets: number;
  late: number;
  reordered: number;
  filled_samples: number;
  repeated_hops: number;
  skipped_hops: number;
  resyncs: number;
}

/** A stretch of sound at the house rate, and whether it came or fills a gap. */
interface Stretch {
  readonly samples: Float32Array;
  readonly came: boolean;
}

export class LiveSpeech {
  state: SpeechState;
  readonly counts: LiveCounts = { packets: 0, late: 0, reordered: 0, filled_samples: 0, repeated_hops: 0, skipped_hops: 0, resyncs: 0 };
  private made = 0; // frames
  private zeroS: number | null = null; // our time of frame 0
  private begun = false; // a packet has set the place of the stream
  private events: SpeechEvent[] = [];
  private eyes: Float32Array | null = null;
  private speaking = false;
  private pieces = new Map<number, Float32Array>(); // packets that wait for an earlier one
  private next = 0; // sample of the sender that is fed next
  private sentS = 0; // sender's time minus ours, in the stream at the house rate
  private late = 0; // samples of the sender in a row that came too late
  private gap = 0; // samples of the sender filled since the last that came
  private ready: Stretch[] = []; // at the house rate, not used yet
  private slacks: number[] = [];
  private resampler = new Resampler(HOUSE_RATE_HZ);
  private sound: ResamplerState = this.resampler.start();
  private recent = new Float32Array(0);

  constructor(
    public model: SpeechToMotion,
    readonly delayS: number = DELAY_S,
  ) {
    if (!(delayS >= 0 && delayS <= 1)) {
      throw new Error(`a delay of ${delayS} s is not usable; expected 0 to 1: for instance ${DELAY_S}.`);
    }
    this.state = model.start();
  }

  /** Take a packet, which came at `nowS` by our clock; without a clock frames come as soon as their sound is whole. */
  hear({ samples, start, rate }: SoundBlock, nowS: number | null = null): void {
    if (!samples.every(Number.isFinite)) {
      throw new Error("sound has samples that are not finite; expected numbers from -1 to 1: check its source.");
    }
    if (samples.length === 0) return;
    this.counts.packets += 1;
    const jump = (start - this.next) / rate;
    if (!this.begun || rate !== this.resampler.rateHz || !(jump > -BEHIND_S && jump < AHEAD_S)) {
      this.begin(samples, start, rate, nowS);
    } else if (nowS !== null) {
      this.slacks.push(this.due(this.place(start)) - nowS);
      if (this.slacks.length > SLACKS) this.slacks.shift();
    }
    if (start + samples.length <= this.next) {
      this.counts.late += 1;
      this.late += samples.length;
      if (this.late < LATE_RUN_S * rate) return;
      this.begin(samples, start, rate, nowS);
    }
    this.late = 0;
    this.counts.reordered += Number([...this.pieces.keys()].some((other) => other > start));
    this.pieces.set(start, samples);
    this.drain();
    const waited = Math.max(...this.pieces.keys(), this.next) - this.next;
    if (nowS === null && waited > (this.delayS + RECENT_S) * rate) {
      this.fill(Math.min(...this.pieces.keys()) - this.next); // nobody says when frames are due
      this.drain();
    }
  }

  /** The frames that are due by `nowS` (seconds by our clock), or all whose sound is whole. */
  frames(nowS: number | null = null): LiveFrame[] {
    const out: LiveFrame[] = [];
    if (nowS === null) {
      while (this.count() >= FRAME_SAMPLES) out.push(this.frame());
      return out;
    }
    this.zeroS ??= nowS;
    while (this.due(FRAME_SAMPLES * this.made) <= nowS) {
      this.keepTime();
      while (this.count() < FRAME_SAMPLES) this.makeUp();
      out.push(this.frame());
    }
    return out;
  }

  /** Shut the mouth within four frames and forget the sound that was not shown; what comes next begins anew. */
  interrupt(): void {
    this.ready = [];
    this.begun = false;
    this.pieces.clear();
    this.gap = Math.round(FADE_S[1] * this.resampler.rateHz); // silence follows, not an echo
    this.state = this.model.interrupt(this.state);
    this.events.push("interrupted");
  }

  /** Another emotion `[8]` or style `[4]` from the next frame on. */
  direct(wanted: { emotion?: Float32Array; style?: Float32Array }): void {
    this.state = this.model.direct(this.state, wanted);
  }

  /** Measured eyes, a slot `[160]`, from the next frame on; null leaves them to idle life. */
  look(eyes: Float32Array | null): void {
    this.eyes = eyes;
  }

  /** How many samples are ready. */
  private count(): number {
    return this.ready.reduce((sum, { samples }) => sum + samples.length, 0);
  }

  /** When the frame of a sample is due by our clock; `place` counts samples at the house rate. */
  private due(place: number): number {
    if (this.zeroS === null) throw new Error("a frame's time was asked for before the clock began");
    return this.zeroS + (Math.floor(place / FRAME_SAMPLES) + 1) / HOUSE_FPS;
  }

  /** Where a sample of the sender falls in our stream of samples at the house rate. */
  private place(start: number): number {
    const waiting = Math.floor(((start - this.next) * HOUSE_RATE_HZ) / this.resampler.rateHz);
    return this.made * FRAME_SAMPLES + this.count() + waiting;
  }

  /** A stream begins, or goes on elsewhere; with a clock, after as much silence as packets are waited for. */
  private begin(samples: Float32Array, start: number, rate: number, nowS: number | null): void {
    if (this.counts.packets > 1 && this.begun) {
      this.counts.resyncs += 1;
      this.events.push("resync");
    }
    if (rate !== this.resampler.rateHz || !this.begun) {
      this.resampler = new Resampler(rate);
      this.sound = this.resampler.start();
      this.recent = new Float32Array(Math.round(RECENT_S * rate));
    }
    this.pieces.clear();
    this.slacks = [];
    this.begun = true;
    this.next = start;
    if (nowS !== null) {
      this.zeroS ??= nowS;
      const length = samples.length / rate;
      const wantedS = nowS - length + Math.max(this.delayS, 0) + length - this.zeroS;
      const silence = Math.max(0, even(wantedS * HOUSE_RATE_HZ) - (this.made * FRAME_SAMPLES + this.count()));
      this.take(new Float32Array(silence), true);
    }
    this.sentS = start / rate - (this.made * FRAME_SAMPLES + this.count()) / HOUSE_RATE_HZ;
  }

  /** Feed the packets whose turn it is. */
  private drain(): void {
    while (this.pieces.size > 0) {
      const first = Math.min(...this.pieces.keys());
      if (first > this.next) return;
      const samples = (this.pieces.get(first) as Float32Array).subarray(this.next - first);
      this.pieces.delete(first);
      if (samples.length === 0) continue;
      this.gap = 0;
      this.feed(samples, true);
    }
  }

  /** Samples of the sender, in order and without gaps. */
  private feed(samples: Float32Array, came: boolean): void {
    this.next += samples.length;
    if (came) this.recent = joined(this.recent, samples).slice(samples.length);
    const [sound, made] = this.resampler.step(this.sound, samples);
    this.sound = sound;
    this.take(made, came);
  }

  private take(samples: Float32Array, came: boolean): void {
    if (samples.length > 0) this.ready.push({ samples, came });
  }

  /** The oldest `count` samples that are ready, taken away. */
  private draw(count: number): Stretch[] {
    const out: Stretch[] = [];
    for (let left = count; left > 0; ) {
      const first = this.ready.shift();
      if (first === undefined) throw new Error(`${count} samples were asked for where ${count - left} are ready`);
      out.push({ ...first, samples: first.samples.subarray(0, left) });
      if (first.samples.length > left) this.ready.unshift({ ...first, samples: first.samples.subarray(left) });
      left -= first.samples.length;
    }
    return out;
  }

  /** Fill a gap of `count` samples of the sender, a second at a time. */
  private fill(count: number): void {
    const rate = this.resampler.rateHz;
    this.counts.filled_samples += count;
    for (let at = 0; at < count; at += rate) {
      const part = Math.min(rate, count - at);
      this.feed(filling(this.recent, part, this.gap, rate), false);
      this.gap += part;
    }
  }

  /** A frame is due and its sound is not whole: fill up to the next packet that waits, or to the frame's end. */
  private makeUp(): void {
    const short = FRAME_SAMPLES - this.count();
    if (!this.begun) {
      this.take(new Float32Array(short), false);
      return;
    }
    const missing = Math.floor((short * this.resampler.rateHz) / HOUSE_RATE_HZ) + 1;
    const waiting = this.pieces.size > 0 ? Math.min(...this.pieces.keys()) - this.next : missing;
    this.fill(Math.min(missing, waiting));
    this.drain();
  }

  /** Three times a second: give a hop twice when packets keep coming too late, leave out some when too early. */
  private keepTime(): void {
    if (this.made % KEEP_FRAMES !== 0 || this.slacks.length < ENOUGH || this.count() < HOP) return;
    const low = quantile(this.slacks, LOWEST_SHARE);
    let moved: number;
    if (low < 0) {
      const hop = this.draw(HOP);
      this.ready.unshift(...hop, ...hop);
      this.counts.repeated_hops += 1;
      moved = HOP;
    } else if (low > this.delayS + EARLY_S && low < AHEAD_OF_TIME_S) {
      const wanted = this.speaking ? 1 : Math.floor(Math.floor((low - this.delayS) * HOUSE_RATE_HZ) / HOP);
      const hops = Math.min(wanted, Math.floor(this.count() / HOP));
      this.draw(hops * HOP);
      this.counts.skipped_hops += hops;
      moved = -hops * HOP;
    } else {
      return;
    }
    this.sentS -= moved / HOUSE_RATE_HZ;
    this.slacks = this.slacks.map((slack) => slack + moved / HOUSE_RATE_HZ);
  }

  /** The next frame of what is ready. */
  private frame(): LiveFrame {
    const parts = this.draw(FRAME_SAMPLES);
    const samples = parts.map((part) => part.samples).reduce(joined);
    const came = parts.reduce((sum, part) => sum + (part.came ? part.samples.length : 0), 0);
    const [state, motions] = this.model.step(this.state, samples, this.eyes);
    this.state = state;
    const speaking = this.model.speaking(state);
    if (speaking !== this.speaking) this.events.push(speaking ? "speech-start" : "speech-end");
    this.speaking = speaking;
    const { events } = this;
    this.events = [];
    const index = this.made;
    this.made += 1;
    const soundS = this.sentS + index / HOUSE_FPS;
    return { index, motion: motions[0], soundS, missing: 1 - came / FRAME_SAMPLES, events };
  }
}

/** Rounded as Python rounds: halves to the even neighbour. */
function even(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** A quantile, linear between neighbours. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

/** `count` samples that go on from the newest ones: their last period again and again, fading; `done` are filled. */
function filling(recent: Float32Array, count: number, done: number, rate: number): Float32Array {
  const fade = (at: number): number => 1 - clipped(((done + at) / rate - FADE_S[0]) / (FADE_S[1] - FADE_S[0]), 0, 1);
  const out = new Float32Array(count);
  const [low, high] = PERIOD_S.map((limit) => even(limit * rate)) as [number, number];
  const template = Math.min(high, recent.length - high);
  if (fade(0) === 0 || template <= low) return out;
  const begin = recent.length - template;
  let period = low;
  let best = -Infinity;
  for (let lag = low; lag <= high; lag++) {
    let likeness = 0;
    let energy = 1e-9;
    for (let at = 0; at < template; at++) {
      const past = recent[begin - lag + at];
      likeness += past * recent[begin + at];
      energy += past * past;
    }
    if (likeness / Math.sqrt(energy) > best) {
      best = likeness / Math.sqrt(energy);
      period = lag;
    }
  }
  return out.map((_, at) => recent[recent.length - period + ((done + at) % period)] * fade(at));
}
