/** The fast Fourier transform of real signals: radix 2, in place, double precision. */

interface Plan {
  readonly turned: Uint32Array; // bit-reversed places
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
  readonly real: Float64Array; // room to work in, of no meaning between two calls
  readonly imaginary: Float64Array;
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
    real: new Float64Array(size),
    imaginary: new Float64Array(size),
  };
  plans.set(size, plan);
  return plan;
}

/** The spectrum of a real signal that lies in `real`, in place. */
function transform({ turned, cosine, sine, real, imaginary }: Plan): void {
  const size = real.length;
  for (let at = 0; at < size; at++) {
    const other = turned[at];
    if (other <= at) continue;
    const kept = real[at];
    real[at] = real[other];
    real[other] = kept;
  }
  imaginary.fill(0);
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
  const plan = planned(size);
  plan.real.fill(0, signal.length);
  plan.real.set(signal);
  transform(plan);
  const out = new Float64Array(size / 2 + 1);
  for (let at = 0; at < out.length; at++) out[at] = plan.real[at] ** 2 + plan.imaginary[at] ** 2;
  return out;
}

/** The real, even signal `[size]` of a power spectrum `[size / 2 + 1]`: an autocorrelation. */
export function signalOfPower(power: Float64Array): Float64Array {
  const size = 2 * (power.length - 1);
  const plan = planned(size);
  plan.real.set(power);
  for (let at = 1; at < size / 2; at++) plan.real[size - at] = power[at];
  transform(plan);
  return plan.real.map((value) => value / size);
}
