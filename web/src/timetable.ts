/**
 * `Timetable`: when sound is fed to the engine and when its picture is shown. No clock is read here: `now_s` is given.
 *
 * Sound of a file comes long before it is heard and waits here, because the engine takes sound as it flows; sound of a
 * microphone passes at once. Pictures that are early wait for their sound; late ones were dropped by the engine.
 */

/** Sound is fed so long before it is heard: what the engine looks ahead, its wait, a frame, and time to draw. */
export const LEAD_S = 0.2;
/** On a computer that draws slowly, at most so long: the engine takes what comes half a second early for a mistake. */
export const MOST_LEAD_S = 0.5;
const SLACK_S = [0.01, 0.12] as const; // by which pictures should be early: less is late soon, more only waits
const RISE = 0.2; // of what is missing, a picture
const FALL_S = 0.001;
export const BLOCK_S = 0.02;

export interface Block {
  readonly samples: Float32Array;
  readonly rate: number;
  readonly start: number;
}

/** The lead after a picture that was ready `slack_s` before its sound is heard; negative is late. */
export function adapted(lead_s: number, slack_s: number): number {
  const [low, high] = SLACK_S;
  if (slack_s < low) return Math.min(MOST_LEAD_S, lead_s + RISE * Math.min(0.1, low - slack_s));
  return slack_s > high ? Math.max(LEAD_S, lead_s - FALL_S) : lead_s;
}

interface Stream {
  readonly base_s: number;
  readonly delay_s: number | null;
}

const KEPT = 8; // streams whose pictures may still be under way

export class Timetable {
  private streams: Stream[] = [];
  private waiting: Block[] = [];
  private fed = 0; // samples of the first that waits
  private offset_s = NaN;
  /** How long before it is heard sound is fed; see `adapted`. */
  lead_s = LEAD_S;

  /** A new stream begins; see `ToWorker`. */
  begin(base_s: number, delay_s: number | null): void {
    this.streams.push({ base_s, delay_s });
    if (this.streams.length > KEPT) this.streams.shift();
  }

  /** Our clock minus the audio clock. */
  set(offset_s: number): void {
    this.offset_s = offset_s;
  }

  /** When the sound at a place is heard by our clock; NaN where it is not heard here. */
  heard_s(place_s: number): number {
    const stream = this.streams.findLast((one) => place_s >= one.base_s);
    if (stream === undefined || stream.delay_s === null) return NaN;
    return place_s - stream.base_s + stream.delay_s + this.offset_s;
  }

  /** Whether the sound at a place is fed by this table's lead, rather than as it comes. */
  led(place_s: number): boolean {
    const stream = this.streams.findLast((one) => place_s >= one.base_s);
    return stream?.delay_s === 0;
  }

  /** Keep sound until its turn. */
  put(block: Block): void {
    this.waiting.push(block);
  }

  /** Sound whose turn it is, in blocks of 20 ms. */
  take(now_s: number): Block[] {
    const out: Block[] = [];
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      const size = Math.round(BLOCK_S * first.rate);
      while (this.fed < first.samples.length) {
        const end = Math.min(first.samples.length, this.fed + size);
        const heard_s = this.heard_s((first.start + end) / first.rate);
        if (heard_s - this.lead_s > now_s) return out; // false for NaN: what is not heard here passes at once
        out.push({ samples: first.samples.subarray(this.fed, end), rate: first.rate, start: first.start + this.fed });
        this.fed = end;
      }
      this.waiting.shift();
      this.fed = 0;
    }
    return out;
  }

  /** Whether sound waits. */
  get busy(): boolean {
    return this.waiting.length > 0;
  }

  /** Forget what waits. */
  clear(): void {
    this.waiting = [];
    this.fed = 0;
  }
}

/** The last values of several measurements, and their percentiles. */
export class Meter {
  private readonly kept: Map<string, number[]> = new Map();

  constructor(private readonly most = 300) {}

  add(name: string, value: number): void {
    const values = this.kept.get(name) ?? [];
    values.push(value);
    if (values.length > this.most) values.shift();
    this.kept.set(name, values);
  }

  /** Middle and high value of one; undefined before the first. */
  of(name: string): { p50: number; p95: number } | undefined {
    const sorted = (this.kept.get(name) ?? []).slice().sort((one, two) => one - two);
    if (sorted.length === 0) return undefined;
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
    return { p50: at(0.5), p95: at(0.95) };
  }

  /** Of all. */
  all(): Record<string, { p50: number; p95: number }> {
    return Object.fromEntries([...this.kept.keys()].map((name) => [name, this.of(name) as { p50: number; p95: number }]));
  }
}
