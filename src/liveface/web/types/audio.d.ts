/**
 * Sound of the page: what is spoken is played and sent, what a microphone hears is sent; the audio clock is the master.
 *
 * Notable choices: the worker gets the whole of what is spoken at once, with the place at which it is heard, so that no
 * timer of a busy page stands between; a stream that others speak (a call, an agent) is heard a little later than it
 * came, so that mouth and voice agree.
 */
import { type ToWorker } from "./protocol.js";
export type Post = (message: ToWorker, transfer?: Transferable[]) => void;
/** What can be spoken. Samples alone are mono, -1 to 1, at the `rate` given with them. */
export type Speakable = AudioBuffer | ArrayBuffer | Blob | Float32Array | MediaStream | URL | string;
/** How it ended: its sound was heard to the end, or somebody interrupted or stopped it. */
export type Ending = "ended" | "interrupted";
/** See the module's notes. */
export declare class Sound {
    private readonly post;
    private readonly files;
    /** Loudness of what goes to the face, 0 to 1; falls slowly. */
    level: number;
    /** How long before it is heard the worker needs sound: said by it, longer on a computer that draws slowly. */
    lead_s: number;
    private context;
    private tap;
    private live;
    private readonly spoken;
    private base_s;
    private free_s;
    private clock;
    constructor(post: Post, files: string);
    /** Whether something is being spoken or listened to. */
    get busy(): boolean;
    /**
     * Say something; what is said already is said first.
     *
     * Throws what the browser throws where the sound cannot be fetched, decoded or played.
     */
    speak(what: Speakable, rate?: number): Promise<Ending>;
    /** Hear a microphone, without playing it. Throws what the browser throws where it is not allowed or not there. */
    listen(device?: string): Promise<Ending>;
    /** Let go of microphone and streams, and of what is spoken. */
    rest(): void;
    /** Stop what is spoken at once; a microphone goes on, as a new stream. */
    interrupt(): void;
    /** Give the sound card back. */
    close(): void;
    private hush;
    /** Send a stream; one that is heard here (`delay_s`) is somebody else's, a microphone is ours to let go of. */
    private pass;
    /** A port from the audio thread to the worker, under the present base. */
    private route;
    private stream;
    /** Say how our clock and the audio clock compare at the loudspeaker. */
    private tell;
    /** The audio thread's ear; made when the first stream comes, for it needs a page of https or of localhost. */
    private tapped;
    /** Browsers let sound begin only after a click or a key. */
    private begin;
}
/** The browser's devices. */
export declare function devices(): MediaDevices;
