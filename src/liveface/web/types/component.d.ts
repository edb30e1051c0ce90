/**
 * `<live-face src="me.avatar">`: a face that talks, drawn by a worker on this computer.
 *
 *     const face = document.querySelector("live-face");
 *     await face.ready;
 *     await face.speak(await fetch("hello.wav").then((answer) => answer.arrayBuffer()));
 *     face.setEmotion("happy", 0.7);
 *     face.interrupt();
 *
 * Events: `load` ({name, width, height}), `progress` ({share}), `speechstart`, `speechend`, `camera` (the camera knows
 * you), `stats` (milliseconds by stage, once a second), `error` ({sentence, fatal}). None of them bubbles.
 */
import { type Ending, type Speakable } from "./audio.js";
import { type Dials, type Source, type Stats, type Variant } from "./protocol.js";
import { type Emotion } from "./types.js";
/** What `load` tells. */
export interface Loaded {
    readonly name: string;
    readonly width: number;
    readonly height: number;
    readonly variant: Variant;
}
/** What `error` tells: one sentence; `fatal` when the face is gone. */
export interface Trouble {
    readonly sentence: string;
    readonly fatal: boolean;
}
export interface LiveFaceEvents {
    load: CustomEvent<Loaded>;
    progress: CustomEvent<{
        share: number;
    }>;
    speechstart: CustomEvent<null>;
    speechend: CustomEvent<null>;
    camera: CustomEvent<null>;
    frame: CustomEvent<{
        source: Source;
        ms: number;
    }>;
    stats: CustomEvent<Stats>;
    error: CustomEvent<Trouble>;
}
/** The element; `define` gives it its name. */
export declare class LiveFace extends HTMLElement {
    static readonly observedAttributes: string[];
    /** Fulfilled when the face is drawn; anew after every change of `src`. */
    ready: Promise<Loaded>;
    /** Numbers of the last second. */
    stats: Stats | null;
    private worker;
    private canvas;
    private readonly sound;
    private readonly webcam;
    private settle;
    private epoch;
    private turn;
    private silent;
    private drawn;
    private watchdog;
    private bytes;
    private retried;
    private dials;
    private feeling;
    private readonly rest;
    constructor();
    /** Where the avatar lies. */
    get src(): string;
    set src(value: string);
    /** How loud what goes to the face is, 0 to 1: for a meter. */
    get level(): number;
    /** Whether it speaks, listens or mirrors. */
    get busy(): boolean;
    /**
     * Say sound: an AudioBuffer, the bytes or the address of a file, samples with their rate, or a stream that others
     * speak. Sound that comes while it speaks is said after. Fulfilled when it was heard to its end or was interrupted.
     */
    speak(audio: Speakable, options?: {
        rate?: number;
    }): Promise<Ending>;
    /** Speak with the microphone's voice until `stop` or `interrupt`. */
    listen(device?: string): Promise<Ending>;
    /** Move as the webcam sees; fulfilled with the camera's stream, for a preview. */
    mirror(device?: string): Promise<MediaStream>;
    /** The pose of the webcam's next pictures is looking straight ahead. */
    centre(): void;
    /** Let go of microphone, webcam and what is spoken; what was heard is still shown to its end. */
    stop(): void;
    /** Stop speaking at once: sound ends, the mouth shuts. A microphone or webcam goes on. */
    interrupt(): void;
    /** Feel something: one of `EMOTIONS`, 0 to 1. */
    setEmotion(name: Emotion, intensity?: number): void;
    /** Turn dials: size of the expression, of head motion, of glances, blinks, where to look. */
    set(dials: Dials): void;
    connectedCallback(): void;
    disconnectedCallback(): void;
    attributeChangedCallback(_name: string, old: string | null, value: string | null): void;
    addEventListener<Name extends keyof LiveFaceEvents>(name: Name, does: (event: LiveFaceEvents[Name]) => void, options?: AddEventListenerOptions | boolean): void;
    addEventListener(name: string, does: EventListenerOrEventListenerObject | null, options?: AddEventListenerOptions | boolean): void;
    private load;
    private download;
    /** A worker of its own for this face; `variant` after one that hung. */
    private begin;
    /** A worker that hangs is ended and started once more with the plain build; then it is an error. */
    private watch;
    private end;
    private take;
    private draw;
    private cut;
    private fail;
    /** Do it when the face is there; what fails is one sentence, as an event and as the promise's error. */
    private told;
    private post;
    private promised;
    private paper;
    private say;
}
/** Give the element its name; a second call does nothing. */
export declare function define(name?: string): void;
