/**
 * Streaming log-mel of speech, levelled, for the speech network.
 * Twin of `liveface/signals/features.py`; see there for choices and sources.
 */

import { HOUSE_FPS, HOUSE_RATE_HZ, clipped } from "../motion/motion.js";
import { powerSpectrum } from "./fft.js";
import { joined } from "./resample.js";

export const HOP = 200; // samples, 8.3 ms
export const MELS = 64;
export const FRAME_SAMPLES = HOUSE_RATE_HZ / HOUSE_FPS; // 800
export const HOPS_PER_FRAME = FRAME_SAMPLES / HOP; // 4
const WINDOW = 600;
const FFT = 1024;
const LOW_HZ = 60.0;
const HIGH_HZ = 7600.0;
const SPAN_DB = 20.0;
const LOWEST = -3.0;
const HIGHEST = 2.0;
const QUIET = 1e-10; // power of digital silence, -100 dB
const START_LEVEL_DB = -45.0;
const START_FLOOR_DB = -80.0;
const ABOVE_FLOOR_DB = 25.0;
const LOWEST_LEVEL_DB = -70.0;
const ATTACK = 0.12;
const RELEASE_DB = (4.0 * HOP) / HOUSE_RATE_HZ;
const FLOOR_RISE_DB = (3.0 * HOP) / HOUSE_RATE_HZ;
const FLOOR_FALL = 0.2;
const SPEECH_BANDS = [4, 52] as const;

/** `samples`: the newest, of which `pending` make no full hop yet; the speaker's level and the room's floor. */
export interface LogMelState {
  readonly samples: Float32Array;
  readonly pending: number;
  readonly levelDb: number;
  readonly floorDb: number;
}

interface Filter {
  readonly first: number;
  readonly weights: Float32Array;
}

/** Triangular mel filters of unit sum, each from its first bin that counts. */
function melBank(): Filter[] {
  const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const step = (mel(HIGH_HZ) - mel(LOW_HZ)) / (MELS + 1);
  const edges = Array.from({ length: MELS + 2 }, (_, at) => 700 * (10 ** ((mel(LOW_HZ) + at * step) / 2595) - 1));
  return Array.from({ length: MELS }, (_, band) => {
    const [low, middle, high] = edges.slice(band, band + 3) as [number, number, number];
    const row = Float64Array.from({ length: FFT / 2 + 1 }, (_, bin) => {
      const hertz = (bin * HOUSE_RATE_HZ) / FFT;
      return Math.max(0, Math.min((hertz - low) / (middle - low), (high - hertz) / (high - middle)));
    });
    const sum = row.reduce((a, b) => a + b, 0);
    const first = row.findIndex((weight) => weight > 0);
    const last = row.findLastIndex((weight) => weight > 0);
    return { first, weights: Float32Array.from(row.slice(first, last + 1), (weight) => weight / sum) };
  });
}

function hann(): Float32Array {
  const window = Float64Array.from({ length: WINDOW }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / WINDOW));
  const energy = window.reduce((sum, value) => sum + value * value, 0);
  return Float32Array.from(window, (value) => value / Math.sqrt((energy * FFT) / 2));
}

const BANK = melBank();
const SHAPE = hann();

/** Mel power in decibels `[MELS]` of a window of samples `[600]`. */
function melDb(window: Float32Array): Float32Array {
  const power = powerSpectrum(window.map((value, at) => value * SHAPE[at]), FFT);
  return Float32Array.from(BANK, ({ first, weights }) => {
    let sum = 0;
    for (let at = 0; at < weights.length; at++) sum += weights[at] * power[first + at];
    return 10 * Math.log10(sum + QUIET);
  });
}

function loudnessDb(mels: Float32Array): number {
  let sum = 0;
  for (let band = SPEECH_BANDS[0]; band < SPEECH_BANDS[1]; band++) sum += 10 ** (mels[band] / 10);
  return 10 * Math.log10(sum / (SPEECH_BANDS[1] - SPEECH_BANDS[0]));
}

/** The speaker's level and the noise floor one hop later, in decibels. */
function follow(level: number, floor: number, loudness: number): [number, number] {
  const lower = loudness < floor ? floor + FLOOR_FALL * (loudness - floor) : Math.min(floor + FLOOR_RISE_DB, loudness);
  const next = loudness > level ? level + ATTACK * (loudness - level) : level - RELEASE_DB;
  return [Math.max(next, lower + ABOVE_FLOOR_DB, LOWEST_LEVEL_DB), lower];
}

/** Samples at the house rate in blocks of any size in, one row of features a hop out. */
export const logMel = {
  /** State at the beginning of a stream. */
  start(): LogMelState {
    return { samples: new Float32Array(WINDOW), pending: 0, levelDb: START_LEVEL_DB, floorDb: START_FLOOR_DB };
  },

  /** Features `[N * MELS]`, in [-3, 2], of the hops that `samples` complete. */
  step(state: LogMelState, samples: Float32Array): [LogMelState, Float32Array] {
    const stream = joined(state.samples, samples);
    const hops = Math.floor((state.pending + samples.length) / HOP);
    const rows = new Float32Array(hops * MELS);
    let { levelDb, floorDb } = state;
    for (let hop = 0; hop < hops; hop++) {
      const end = WINDOW - state.pending + (hop + 1) * HOP;
      const mels = melDb(stream.slice(end - WINDOW, end));
      [levelDb, floorDb] = follow(levelDb, floorDb, loudnessDb(mels));
      for (let band = 0; band < MELS; band++) {
        rows[hop * MELS + band] = clipped((mels[band] - levelDb) / SPAN_DB + 0.5, LOWEST, HIGHEST);
      }
    }
    const pending = state.pending + samples.length - hops * HOP;
    return [{ samples: stream.slice(stream.length - WINDOW), pending, levelDb, floorDb }, rows];
  },
};

/** How loud the speaker is in one frame, 0 to 1, from its features `[4 * MELS]`. */
export function loudness(features: Float32Array): number {
  let sum = 0;
  for (let hop = 0; hop < HOPS_PER_FRAME; hop++) {
    for (let band = SPEECH_BANDS[0]; band < SPEECH_BANDS[1]; band++) sum += 10 ** (2 * features[hop * MELS + band]);
  }
  const mean = sum / (HOPS_PER_FRAME * (SPEECH_BANDS[1] - SPEECH_BANDS[0]));
  return clipped((Math.log10(mean + 1e-6) / 2 + 0.6) / 1.1, 0, 1);
}
