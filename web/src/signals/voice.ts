/**
 * What a microphone hears, made ready for the speech network, and whether somebody speaks.
 * Twin of `liveface/signals/voice.py`; see there for choices and sources. The high-pass runs sample by sample.
 */

import { HOUSE_RATE_HZ, clipped, dot } from "../motion/motion.js";
import { VOICE_WEIGHTS } from "../motion/tables.js";
import { FRAME_SAMPLES } from "./features.js";
import { powerSpectrum, signalOfPower } from "./fft.js";
import { joined } from "./resample.js";

const HIGH_PASS_HZ = 80.0;
const TARGET_DB = -26.0;
const GAIN_DB = [-20.0, 36.0] as const;
const GAIN_RISE_DB = 6.0 / 30;
const GAIN_FALL_DB = 24.0 / 30;
const LOWEST_DB = -72.0;
const START_FLOOR_DB = -70.0;
const FLOOR_RISE_DB = 3.0 / 30;
const FLOOR_FALL = 0.5;
const BELOW_VOICE_DB = 32.0;
const VOICE_FALL_DB = 4.0 / 30;
const START_VOICE_DB = -45.0;
const HOLD_FRAMES = 7; // the gate stays open 0.23 s after the last voice
const REACH = 1600; // samples that the judgement of a frame sees
const PITCH_HZ = [70.0, 400.0] as const;
const THIN = 4;
const BAND_HZ = [80.0, 300.0, 800.0, 1800.0, 3500.0, 7600.0];
const BANDS = BAND_HZ.length - 1;
const NOTHING_DB = -119.0;
const MEMORY = 24;
const BIAS = -3.48;

/** One frame of a voice made ready: samples `[800]`, and what the gate did and saw. */
export interface VoiceFrame {
  readonly samples: Float32Array;
  readonly open: boolean;
  readonly began: boolean;
  readonly ended: boolean;
  readonly evidence: number;
}

/** Memory of the high-pass `[2]`, newest samples `[1600]`, levels, bands `[24, 5]`, frames since the last voice. */
export interface VoiceState {
  readonly filter: readonly [number, number];
  readonly recent: Float32Array;
  readonly floor: number;
  readonly voice: number;
  readonly gain: number;
  readonly bands: Float32Array;
  readonly quiet: number;
}

/** Numerator and denominator of the high-pass. Source: Butterworth, bilinear, as in Bristow-Johnson's cookbook. */
const [B0, B1, B2, A1, A2] = ((): [number, number, number, number, number] => {
  const turn = (2 * Math.PI * HIGH_PASS_HZ) / HOUSE_RATE_HZ;
  const cosine = Math.cos(turn);
  const alpha = Math.sin(turn) / Math.SQRT2;
  const whole = 1 + alpha;
  return [(1 + cosine) / 2 / whole, -(1 + cosine) / whole, (1 + cosine) / 2 / whole, (-2 * cosine) / whole, (1 - alpha) / whole];
})();

const EDGES = BAND_HZ.map((hertz) => Math.round((hertz * 2048) / HOUSE_RATE_HZ));
const HANN = Float32Array.from({ length: REACH }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / (REACH - 1)));

function highPass(samples: Float32Array, memory: readonly [number, number]): [Float32Array, [number, number]] {
  let [first, second] = memory;
  const out = new Float32Array(samples.length);
  for (let at = 0; at < samples.length; at++) {
    const value = samples[at];
    const made = B0 * value + first;
    first = B1 * value - A1 * made + second;
    second = B2 * value - A2 * made;
    out[at] = made;
  }
  return [out, [first, second]];
}

/** Power of the bands `[5]` of the newest samples, in decibels. */
function bandsDb(recent: Float32Array): Float32Array {
  const power = powerSpectrum(recent.map((value, at) => value * HANN[at]), 2048);
  return Float32Array.from({ length: BANDS }, (_, band) => {
    let sum = 0;
    for (let bin = EDGES[band]; bin < EDGES[band + 1]; bin++) sum += power[bin];
    return 10 * Math.log10(sum / REACH ** 2 + 1e-12);
  });
}

/** How periodic the newest samples are at pitches of voices: 0 for noise, near 1 for a vowel. */
function pitchStrength(recent: Float32Array): number {
  const count = REACH / THIN;
  const thin = Float64Array.from({ length: count }, (_, at) => {
    let sum = 0;
    for (let tap = 0; tap < THIN; tap++) sum += recent[at * THIN + tap];
    return sum / THIN;
  });
  const mean = thin.reduce((a, b) => a + b, 0) / count;
  const likeness = signalOfPower(powerSpectrum(thin.map((value) => value - mean), 1024));
  if (likeness[0] < 1e-10) return 0;
  const rate = HOUSE_RATE_HZ / THIN;
  let best = -Infinity;
  for (let lag = Math.floor(rate / PITCH_HZ[1]); lag <= Math.floor(rate / PITCH_HZ[0]); lag++) {
    best = Math.max(best, likeness[lag] / (1 - lag / count));
  }
  return clipped(best / likeness[0], 0, 1);
}

/** What the judgement looks at `[4]`; bands are `[24, 5]`. */
function signs(recent: Float32Array, bands: Float32Array, level: number, floor: number): Float32Array {
  const highest = Array.from({ length: BANDS }, (_, band) => {
    let best = -Infinity;
    for (let row = 0; row < MEMORY; row++) best = Math.max(best, bands[row * BANDS + band]);
    return best;
  });
  const held = bands.map((value, at) => Math.max(value, highest[at % BANDS] - 30));
  let moved = 0;
  for (let at = BANDS; at < held.length; at++) moved += Math.abs(held[at] - held[at - BANDS]);
  moved /= (MEMORY - 1) * BANDS;
  const newest = bands.subarray((MEMORY - 1) * BANDS);
  const slope = Math.max(...newest.subarray(0, 2)) - Math.max(...newest.subarray(3));
  return Float32Array.of((level - floor) / 10, pitchStrength(recent), moved / 2, slope / 20);
}

/** A frame of sound at the house rate in, a frame of voice out. */
export const voiceInput = {
  /** The state before the first sample. */
  start(): VoiceState {
    return {
      filter: [0, 0],
      recent: new Float32Array(REACH),
      floor: START_FLOOR_DB,
      voice: START_VOICE_DB,
      gain: 0,
      bands: new Float32Array(MEMORY * BANDS).fill(-120),
      quiet: HOLD_FRAMES,
    };
  },

  /** Whether the gate is open. */
  open(state: VoiceState): boolean {
    return state.quiet < HOLD_FRAMES;
  },

  /** The state after the stream was cut: the gate is shut and the newest samples are gone, levels stay. */
  forget(state: VoiceState): VoiceState {
    return { ...state, recent: new Float32Array(REACH), quiet: HOLD_FRAMES };
  },

  /** The next frame `[800]`. */
  step(state: VoiceState, samples: Float32Array): [VoiceState, VoiceFrame] {
    if (samples.length !== FRAME_SAMPLES) {
      throw new Error(`a frame of sound has ${samples.length} samples; expected ${FRAME_SAMPLES}.`);
    }
    const [clean, filter] = highPass(samples, state.filter);
    const recent = joined(state.recent.subarray(FRAME_SAMPLES), clean);
    const newest = bandsDb(recent);
    const bands = joined(state.bands.subarray(BANDS), newest).map((value, at) =>
      value > NOTHING_DB ? value : newest[at % BANDS], // what was not heard yet did not move
    );
    const level = 10 * Math.log10(dot(clean, clean) / FRAME_SAMPLES + 1e-12);
    let { floor, voice, gain } = state;
    floor = level < floor ? floor + FLOOR_FALL * (level - floor) : Math.min(floor + FLOOR_RISE_DB, level);
    const evidence = dot(signs(recent, bands, level, floor), VOICE_WEIGHTS) + BIAS;
    const spoken = evidence > 0 && level > Math.max(LOWEST_DB, voice - BELOW_VOICE_DB);
    voice = Math.max(voice - VOICE_FALL_DB, LOWEST_DB);
    if (spoken) {
      voice = Math.max(voice, level);
      gain += clipped(TARGET_DB - voice - gain, -GAIN_FALL_DB, GAIN_RISE_DB);
    }
    gain = clipped(gain, ...GAIN_DB);
    const quiet = spoken ? 0 : Math.min(state.quiet + 1, HOLD_FRAMES);
    const was = voiceInput.open(state);
    const open = quiet < HOLD_FRAMES;
    const rise = (gain - state.gain) / (FRAME_SAMPLES - 1);
    const made = clean.map((value, at) => clipped(value * 10 ** ((state.gain + at * rise) / 20), -1, 1));
    const frame = { samples: made, open, began: open && !was, ended: was && !open, evidence };
    return [{ filter, recent, floor, voice, gain, bands, quiet }, frame];
  },
};
