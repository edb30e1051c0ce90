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

import { type Ending, Sound, type Speakable } from "./audio.js";
import { type Dials, type FromWorker, type Source, type Stats, type ToWorker, type Variant } from "./protocol.js";
import { EMOTIONS, type Emotion } from "./types.js";
import { Webcam } from "./webcam.js";

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
  progress: CustomEvent<{ share: number }>;
  speechstart: CustomEvent<null>;
  speechend: CustomEvent<null>;
  camera: CustomEvent<null>;
  frame: CustomEvent<{ source: Source; ms: number }>;
  stats: CustomEvent<Stats>;
  error: CustomEvent<Trouble>;
}

const FILES = new URL(".", import.meta.url).href;
/** Seconds of silence after which a worker hangs, while it loads and later; counted by a timer that sleeps as the computer does. */
const SILENT = { loading: 60, loaded: 12 };
const WIDTH = 360;
const HEIGHT = 640;
const STYLE = `
:host { display: inline-block; position: relative; aspect-ratio: 9 / 16; width: 360px; max-width: 100%; overflow: hidden; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; object-fit: cover; }
`;

/** The element; `define` gives it its name. */
export class LiveFace extends HTMLElement {
  static readonly observedAttributes = ["src"];

  /** Fulfilled when the face is drawn; anew after every change of `src`. */
  ready: Promise<Loaded>;
  /** Numbers of the last second. */
  stats: Stats | null = null;

  private worker: Worker | null = null;
  private canvas: HTMLCanvasElement;
  private readonly sound: Sound;
  private readonly webcam: Webcam;
  private settle: { done: (loaded: Loaded) => void; no: (error: Error) => void } = { done: () => undefined, no: () => undefined };
  private epoch = 0;
  private turn = 0;
  private silent = 0;
  private drawn = false;
  private watchdog: ReturnType<typeof setInterval> | null = null;
  private bytes: ArrayBuffer | null = null;
  private retried = false;
  private dials: Dials = {};
  private feeling: Partial<Record<Emotion, number>> = {};
  private readonly rest = (): void => this.post({ kind: "run", running: document.visibilityState === "visible" });

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.canvas = this.paper();
    const post = (message: ToWorker, transfer?: Transferable[]): void => this.post(message, transfer);
    this.sound = new Sound(post, FILES);
    this.webcam = new Webcam(post);
    this.ready = this.promised();
  }

  /** Where the avatar lies. */
  get src(): string {
    return this.getAttribute("src") ?? "";
  }
  set src(value: string) {
    this.setAttribute("src", value);
  }

  /** How loud what goes to the face is, 0 to 1: for a meter. */
  get level(): number {
    return this.sound.level;
  }

  /** Whether it speaks, listens or mirrors. */
  get busy(): boolean {
    return this.sound.busy || this.webcam.stream !== null;
  }

  /**
   * Say sound: an AudioBuffer, the bytes or the address of a file, samples with their rate, or a stream that others
   * speak. Sound that comes while it speaks is said after. Fulfilled when it was heard to its end or was interrupted.
   */
  async speak(audio: Speakable, options: { rate?: number } = {}): Promise<Ending> {
    return this.told(() => this.sound.speak(audio, options.rate));
  }

  /** Speak with the microphone's voice until `stop` or `interrupt`. */
  async listen(device?: string): Promise<Ending> {
    return this.told(() => this.sound.listen(device));
  }

  /** Move as the webcam sees; fulfilled with the camera's stream, for a preview. */
  async mirror(device?: string): Promise<MediaStream> {
    return this.told(() => {
      this.post({ kind: "mirror" });
      return this.webcam.begin(device);
    });
  }

  /** The pose of the webcam's next pictures is looking straight ahead. */
  centre(): void {
    this.post({ kind: "centre" });
  }

  /** Let go of microphone, webcam and what is spoken; what was heard is still shown to its end. */
  stop(): void {
    const spoke = this.sound.busy;
    this.sound.rest();
    this.webcam.stop();
    if (spoke) this.cut();
  }

  /** Stop speaking at once: sound ends, the mouth shuts. A microphone or webcam goes on. */
  interrupt(): void {
    this.cut();
    this.sound.interrupt();
  }

  /** Feel something: one of `EMOTIONS`, 0 to 1. */
  setEmotion(name: Emotion, intensity = 0.7): void {
    if (!EMOTIONS.includes(name)) throw new RangeError(`there is no emotion "${name}"; expected one of ${EMOTIONS.join(", ")}`);
    if (!(intensity >= 0 && intensity <= 1)) throw new RangeError(`an intensity of ${intensity} is none; expected 0 to 1`);
    this.feeling = name === "neutral" ? {} : { [name]: intensity };
    this.post({ kind: "set", emotion: this.feeling });
  }

  /** Turn dials: size of the expression, of head motion, of glances, blinks, where to look. */
  set(dials: Dials): void {
    this.dials = { ...this.dials, ...dials };
    this.post({ kind: "set", dials });
  }

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.rest);
    if (this.src) void this.load();
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.rest);
    this.turn++;
    this.sound.close();
    this.webcam.stop();
    this.end();
  }

  attributeChangedCallback(_name: string, old: string | null, value: string | null): void {
    if (this.isConnected && old !== value) void this.load();
  }

  addEventListener<Name extends keyof LiveFaceEvents>(name: Name, does: (event: LiveFaceEvents[Name]) => void, options?: AddEventListenerOptions | boolean): void;
  addEventListener(name: string, does: EventListenerOrEventListenerObject | null, options?: AddEventListenerOptions | boolean): void;
  addEventListener(name: string, does: unknown, options?: AddEventListenerOptions | boolean): void {
    super.addEventListener(name, does as EventListener, options);
  }

  private async load(): Promise<void> {
    const turn = ++this.turn;
    if (this.worker !== null) this.ready = this.promised();
    this.end();
    this.retried = false;
    try {
      this.bytes = await this.download(turn);
      if (turn === this.turn) this.begin();
    } catch (error) {
      if (turn === this.turn) this.fail(sentence(error));
    }
  }

  private async download(turn: number): Promise<ArrayBuffer> {
    const answer = await fetch(this.src).catch(() => {
      throw new Error(`${this.src} cannot be reached; expected an avatar of this site.`);
    });
    if (!answer.ok || answer.body === null) throw new Error(`${this.src} is answered with ${answer.status}; expected an avatar.`);
    const size = Number(answer.headers.get("content-length")) || NaN;
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let got = 0;
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      got += value.byteLength;
      if (turn === this.turn && got <= size) this.say("progress", { share: got / size });
    }
    return new Blob(parts).arrayBuffer();
  }

  /** A worker of its own for this face; `variant` after one that hung. */
  private begin(variant?: Variant): void {
    if (this.bytes === null) return;
    const worker = new Worker(new URL("worker.js", FILES));
    this.worker = worker;
    this.silent = 0;
    this.drawn = false;
    worker.onmessage = (event: MessageEvent<FromWorker>) => {
      if (worker !== this.worker) return;
      this.silent = 0;
      this.take(event.data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.worker) this.fail(event.message || "The worker of the face cannot be loaded; expected worker.js beside liveface.js.");
    };
    if ("transferControlToOffscreen" in this.canvas) {
      const canvas = this.canvas.transferControlToOffscreen();
      this.post({ kind: "canvas", canvas }, [canvas]);
    }
    const avatar = this.bytes.slice(0);
    this.post({ kind: "load", avatar, ...(variant === undefined ? {} : { variant }) }, [avatar]);
    this.post({ kind: "set", dials: this.dials, emotion: this.feeling });
    this.rest();
    this.watchdog = setInterval(() => this.watch(), 1000);
  }

  /** A worker that hangs is ended and started once more with the plain build; then it is an error. */
  private watch(): void {
    this.silent = document.visibilityState === "visible" ? this.silent + 1 : 0;
    if (this.silent < (this.drawn ? SILENT.loaded : SILENT.loading)) return;
    if (this.retried) return this.fail("The face does not answer any more; load the page again.");
    this.retried = true;
    this.end();
    this.begin("plain");
  }

  private end(): void {
    if (this.watchdog !== null) clearInterval(this.watchdog);
    this.watchdog = null;
    if (this.worker === null) return;
    this.worker.terminate();
    this.worker = null;
    this.canvas.remove(); // what was handed to a worker stays there
    this.canvas = this.paper();
  }

  private take(said: FromWorker): void {
    if (said.kind === "ready") {
      this.canvas.setAttribute("aria-label", `${said.name}, a synthetic face that talks`);
      const loaded = { name: said.name, width: said.width, height: said.height, variant: said.variant };
      this.settle.done(loaded);
      this.say("load", loaded);
    } else if (said.kind === "frame") {
      this.drawn = true;
      if (said.bitmap !== undefined) this.draw(said.bitmap, said.epoch);
      this.say("frame", { source: said.source, ms: said.ms });
    } else if (said.kind === "event") {
      const names = { "speech-start": "speechstart", "speech-end": "speechend", "camera-ready": "camera" } as const;
      if (said.name in names) this.say(names[said.name as keyof typeof names], null);
    } else if (said.kind === "stats") {
      this.stats = said.stats;
      this.sound.lead_s = said.stats.lead_s;
      this.say("stats", said.stats);
    } else if (said.kind === "error") {
      if (said.fatal) this.fail(said.sentence);
      else this.say("error", { sentence: said.sentence, fatal: false });
    }
  }

  private draw(bitmap: ImageBitmap, epoch: number): void {
    if (epoch >= this.epoch) {
      if (this.canvas.width !== bitmap.width) [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
      this.canvas.getContext("2d", { alpha: false })?.drawImage(bitmap, 0, 0);
    }
    bitmap.close();
  }

  private cut(): void {
    this.epoch++;
    this.post({ kind: "interrupt", epoch: this.epoch });
  }

  private fail(words: string): void {
    this.end();
    this.settle.no(new Error(words));
    this.say("error", { sentence: words, fatal: true });
  }

  /** Do it when the face is there; what fails is one sentence, as an event and as the promise's error. */
  private async told<T>(does: () => Promise<T>): Promise<T> {
    try {
      await this.ready;
      return await does();
    } catch (error) {
      const words = sentence(error);
      if (this.worker !== null) this.say("error", { sentence: words, fatal: false });
      throw new Error(words, { cause: error });
    }
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker?.postMessage(message, transfer);
  }

  private promised(): Promise<Loaded> {
    const made = new Promise<Loaded>((done, no) => (this.settle = { done, no }));
    made.catch(() => undefined); // told by an event too
    return made;
  }

  private paper(): HTMLCanvasElement {
    const made = document.createElement("canvas");
    [made.width, made.height] = [WIDTH, HEIGHT];
    made.setAttribute("role", "img");
    made.setAttribute("part", "canvas");
    this.shadowRoot?.append(made);
    return made;
  }

  private say<Name extends keyof LiveFaceEvents>(name: Name, detail: LiveFaceEvents[Name]["detail"]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Give the element its name; a second call does nothing. */
export function define(name = "live-face"): void {
  if (customElements.get(name) === undefined) customElements.define(name, LiveFace);
}

const REFUSED: Record<string, string> = {
  NotAllowedError: "The browser allowed neither to listen, to look nor to sound; expected a click and a yes.",
  NotFoundError: "There is no such device or file; expected a microphone, a camera or a sound that is there.",
  NotReadableError: "The device is in use by another program; expected it to be free.",
  EncodingError: "That file holds no sound that this browser can decode; expected WAV, MP3, M4A, FLAC or OGG.",
  SecurityError: "Microphone and webcam need a page of https or of localhost; expected one of them.",
};

function sentence(error: unknown): string {
  if (error instanceof DOMException && error.name in REFUSED) return REFUSED[error.name] as string;
  return error instanceof Error ? error.message : String(error);
}

