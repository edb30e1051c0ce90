/**
 * `Resampler`: sound at any rate to the house's or another, block by block, its past as explicit state.
 * Twin of `liveface/signals/resample.py`; see there for choices and sources.
 */

import { HOUSE_RATE_HZ } from "../motion/motion.js";

const CROSSINGS = 12;
const ROLL_OFF = 0.92;
const BETA = 8.0;
const RATES_HZ = [4000, 192_000] as const;
const MOST_PHASES = 4800;

/** `past`: the newest samples; `made`, `seen`: the index of the next output sample and of the next source sample. */
export interface ResamplerState {
  readonly past: Float32Array;
  readonly made: number;
  readonly seen: number;
}

export class Resampler {
  private readonly up: number; // the ratio of the rates in lowest terms is up / down
  private readonly down: number;
  private readonly taps: number;
  private readonly weights: Float32Array; // [down, taps]

  constructor(
    readonly rateHz: number,
    wantedHz: number = HOUSE_RATE_HZ,
  ) {
    if (!(Number.isInteger(rateHz) && rateHz >= RATES_HZ[0] && rateHz <= RATES_HZ[1])) {
      throw new Error(`live sound at ${rateHz} Hz is not usable; expected ${RATES_HZ[0]} to ${RATES_HZ[1]}: for instance 16000 or 48000.`);
    }
    const shared = divisor(rateHz, wantedHz);
    this.up = rateHz / shared;
    this.down = wantedHz / shared;
    if (this.down > MOST_PHASES) {
      throw new Error(`live sound at ${rateHz} Hz does not divide well into ${wantedHz} Hz; expected a usual rate: for instance 16000, 44100 or 48000.`);
    }
    [this.taps, this.weights] = rows(this.up, this.down);
  }

  /** Source samples that must follow the position of an output sample; 0 when the rates agree. */
  get delay(): number {
    return this.up === this.down ? 0 : this.taps / 2;
  }

  /** The state before the first sample: silence. */
  start(): ResamplerState {
    const reach = this.up === this.down ? 0 : this.taps + Math.floor(this.up / this.down) + 1;
    return { past: new Float32Array(reach), made: 0, seen: 0 };
  }

  /** The samples at the wanted rate that `samples` complete. */
  step(state: ResamplerState, samples: Float32Array): [ResamplerState, Float32Array] {
    const seen = state.seen + samples.length;
    if (this.up === this.down) return [{ past: state.past, made: seen, seen }, samples];
    const stream = joined(state.past, samples);
    const last = Math.max(state.made, Math.ceil(((seen - this.delay) * this.down) / this.up));
    const out = new Float32Array(last - state.made);
    const begin = seen - stream.length; // index in the source of the stream's first sample
    for (let index = 0; index < out.length; index++) {
      const place = (state.made + index) * this.up;
      const first = Math.floor(place / this.down) - this.taps / 2 + 1 - begin;
      const row = (place % this.down) * this.taps;
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += stream[first + tap] * this.weights[row + tap];
      out[index] = sum;
    }
    return [{ past: stream.slice(stream.length - state.past.length), made: last, seen }, out];
  }
}

/** Two runs of samples as one. */
export function joined(one: Float32Array, other: Float32Array): Float32Array {
  const out = new Float32Array(one.length + other.length);
  out.set(one);
  out.set(other, one.length);
  return out;
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Modified Bessel function of the first kind and order 0, by its series. */
function bessel(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** Taps, and weights `[down, taps]` of the source samples around each position between two of them. */
function rows(up: number, down: number): [number, Float32Array] {
  const scale = ROLL_OFF * Math.min(1, down / up); // cut-off as a share of the source's Nyquist frequency
  const half = Math.ceil(CROSSINGS / scale);
  const taps = 2 * half;
  const out = new Float32Array(down * taps);
  const row = new Float64Array(taps);
  for (let phase = 0; phase < down; phase++) {
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      const away = tap - half + 1 - phase / down;
      const turn = Math.PI * away * scale;
      const window = bessel(BETA * Math.sqrt(Math.max(0, 1 - (away / half) ** 2))) / bessel(BETA);
      row[tap] = (turn === 0 ? 1 : Math.sin(turn) / turn) * window;
      sum += row[tap];
    }
    for (let tap = 0; tap < taps; tap++) out[phase * taps + tap] = row[tap] / sum;
  }
  return [taps, out];
}
