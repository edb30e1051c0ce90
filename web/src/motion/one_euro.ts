/** One-Euro filter: smooth when still, quick when moving. Twin of `liveface/motion/one_euro.py`. */

const SPEED_CUTOFF_HZ = 2.0;

function shareOf(cutoffHz: number, rateHz: number): number {
  const step = (2 * Math.PI * cutoffHz) / rateHz;
  return step / (step + 1);
}

/** The filtered value and its speed; null before the first value. */
export type EuroState = { readonly value: Float32Array; readonly speed: Float32Array } | null;

/** Filters vectors: cut-offs at rest grow by `slope` hertz per unit of speed (units per second). */
export class OneEuro {
  constructor(
    private readonly rateHz: number,
    private readonly cutoffHz: Float32Array,
    private readonly slope: ArrayLike<number>,
  ) {}

  step(state: EuroState, value: Float32Array): NonNullable<EuroState> {
    if (state === null) return { value, speed: new Float32Array(value.length) };
    const pace = shareOf(SPEED_CUTOFF_HZ, this.rateHz);
    const speed = state.speed.map((was, at) => was + pace * ((value[at] - state.value[at]) * this.rateHz - was));
    const next = state.value.map((was, at) => {
      const cutoff = this.cutoffHz[at] + this.slope[at] * Math.abs(speed[at]);
      return was + shareOf(cutoff, this.rateHz) * (value[at] - was);
    });
    return { value: next, speed };
  }
}
