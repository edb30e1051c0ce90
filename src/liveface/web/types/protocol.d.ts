/**
 * What page and worker say to each other. Sound is the master clock: every block has a place on the page's audio clock,
 * the page says how that clock and ours compare, and the worker shows a picture when its sound is heard.
 *
 * Seconds of our clock are `performance.timeOrigin + performance.now()` over 1000 in both threads (`now_s`). A place is
 * `base_s` of its stream plus the audio clock's time at which it is played or was captured; every stream has a base ten
 * seconds above the one before, so that nobody takes it for the same sound going on.
 */
import type { Emotion } from "./types.js";
/** What the dials of the studio page do: 1 is natural; see `liveface/live/dials.py`. */
export interface Dials {
    /** Size of the expression, 0 to 2. */
    scale?: number;
    /** Size of head motion, 0 to 2. */
    head?: number;
    /** Size of glances, 0 to 2. */
    gaze?: number;
    /** How much to blink, 0 to 2. */
    blink?: number;
    /** Strength of speech in the mouth, 0 to 2; 1 is natural. */
    articulation?: number;
    /** Where the eyes look, x right and y down, each -1 to 1; null is where they please. */
    look?: readonly [number, number] | null;
}
/** An emotion's strengths, 0 to 1, by name. */
export type Feeling = Partial<Record<Emotion, number>>;
/** Which build of LiteRT: relaxed SIMD is faster, and Safari lacked it for long. */
export type Variant = "relaxed" | "plain";
/** Page to worker. */
export type ToWorker = 
/** First: the avatar's bytes. Answered by `ready`, or by a fatal `error`. */
{
    kind: "load";
    avatar: ArrayBuffer;
    variant?: Variant;
}
/** Where to draw; without one, frames carry bitmaps. */
 | {
    kind: "canvas";
    canvas: OffscreenCanvas;
}
/** A new stream of sound: its base, and by how much later than captured it is heard; null is not heard here. */
 | {
    kind: "stream";
    base_s: number;
    delay_s: number | null;
}
/** Our clock minus the audio clock, at the loudspeaker. */
 | {
    kind: "clock";
    offset_s: number;
}
/** Mono sound, -1 to 1, at its place in samples of `rate`; sound that will be heard later is kept until its turn. */
 | {
    kind: "audio";
    samples: Float32Array<ArrayBuffer>;
    rate: number;
    start: number;
}
/** A port on which the audio thread says `TapBlock`s itself. */
 | {
    kind: "tap";
    port: MessagePort;
    base_s: number;
}
/** Forget what was not shown and shut the mouth; frames from now on are of `epoch`. */
 | {
    kind: "interrupt";
    epoch: number;
} | {
    kind: "set";
    dials?: Dials;
    emotion?: Feeling;
}
/** Make the parts of the mirror ready. */
 | {
    kind: "mirror";
}
/** A picture of the webcam, taken at `time_s`; the camera drives until none came for half a second. */
 | {
    kind: "camera";
    bitmap: ImageBitmap;
    time_s: number;
}
/** Look straight ahead: what the camera sees next is the centre. */
 | {
    kind: "centre";
}
/** Draw, or rest because nobody looks. */
 | {
    kind: "run";
    running: boolean;
};
/** What the audio thread hears: mono, from the audio clock's sample `start` on. */
export interface TapBlock {
    samples: Float32Array<ArrayBuffer>;
    rate: number;
    start: number;
}
/** How long stages of a frame took, in milliseconds, over the last frames. */
export type Percentiles = Record<string, {
    p50: number;
    p95: number;
}>;
/** What became of the frames, said once a second. */
export interface Stats {
    readonly stages: Percentiles;
    /** Frames shown and left out since the beginning. */
    readonly shown: number;
    readonly dropped: number;
    /** Pictures shown after their sound was heard, in milliseconds, over the last frames; none without sound. */
    readonly behind?: {
        p50: number;
        p95: number;
    };
    /** How long before it is heard sound must be there, on this computer. */
    readonly lead_s: number;
    readonly variant: Variant;
}
/** Worker to page. */
export type FromWorker = 
/** A step of loading is done. */
{
    kind: "loading";
    step: string;
} | {
    kind: "ready";
    name: string;
    width: number;
    height: number;
    fps: number;
    variant: Variant;
}
/** A picture is shown: `sound_s` is the place of its sound (NaN without any), `ms` what it took. */
 | {
    kind: "frame";
    number: number;
    epoch: number;
    sound_s: number;
    ms: number;
    source: Source;
    bitmap?: ImageBitmap;
} | {
    kind: "event";
    name: EventName;
} | {
    kind: "stats";
    stats: Stats;
} | {
    kind: "mirror-ready";
}
/** One sentence; `fatal` when nothing can be drawn. */
 | {
    kind: "error";
    sentence: string;
    fatal: boolean;
};
export type Source = "idle" | "sound" | "camera";
export type EventName = "speech-start" | "speech-end" | "interrupted" | "resync" | "camera-ready";
/** Seconds, the same in page and worker. */
export declare function now_s(): number;
