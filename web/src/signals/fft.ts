/** The fast Fourier transform of real signals: radix 2, in place, double precision. */

interface Plan {
  readonly turned: Uint32Array; // bit-reversed places
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
}

const plans = new Map<number, Plan>();

function planned(size: number): Plan {
  const known = plans.get(size);
  if (known !== undefined) return known;
  const bits = Math.log2(size);
  if (!Number.isInteger(bits)) throw new Error(`a transform of ${size} samples was asked for; expected a power of two`);
  const turned = new Uint32Array(size);
  for (let at = 0; at < size; at++) turned[at] = (turned[at >> 1] >> 1) | (at & 1 ? size >> 1 : 0);
  const angle = (_: unknown, at: number): number => (-2 * Math.PI * at) / size;
  const half = { length: size / 2 };
  const plan = {
    turned,
    cosine: Float64Array.from(half, (_, at) => Math.cos(angle(_, at))),
    sine: Float64Array.from(half, (_, at) => Math.sin(angle(_, at))),
  };
  plans.set(size, plan);
  return plan;
}

function transform(real: Float64Array, imaginary: Float64Array): void {
  const size = real.length;
  const { turned, cosine, sine } = planned(size);
  for (let at = 0; at < size; at++) {
    const other = turned[at];
    if (other <= at) continue;
    [real[at], real[other]] = [real[other], real[at]];
    [imaginary[at], imaginary[other]] = [imaginary[other], imaginary[at]];
  }
  for (let half = 1; half < size; half *= 2) {
    const stride = size / (2 * half);
    for (let begin = 0; begin < size; begin += 2 * half) {
      for (let step = 0; step < half; step++) {
        const c = cosine[step * stride];
        const s = sine[step * stride];
        const low = begin + step;
        const high = low + half;
        const x = real[high] * c - imaginary[high] * s;
        const y = real[high] * s + imaginary[high] * c;
        real[high] = real[low] - x;
        imaginary[high] = imaginary[low] - y;
        real[low] += x;
        imaginary[low] += y;
      }
    }
  }
}

/** Power `[size / 2 + 1]` of the spectrum of a signal, which is filled up to `size` with zeros. */
export function powerSpectrum(signal: ArrayLike<number>, size: number): Float64Array {
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  real.set(signal);
  transform(real, imaginary);
  return Float64Array.from({ length: size / 2 + 1 }, (_, at) => real[at] ** 2 + imaginary[at] ** 2);
}

/** The real, even signal `[size]` of a power spectrum `[size / 2 + 1]`: an autocorrelation. */
export function signalOfPower(power: Float64Array): Float64Array {
  const size = 2 * (power.length - 1);
  const real = new Float64Array(size);
  real.set(power);
  for (let at = 1; at < size / 2; at++) real[size - at] = power[at];
  transform(real, new Float64Array(size));
  return real.map((value) => value / size);
}
