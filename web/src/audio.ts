/**
 * Sound of the page: what is spoken is played and sent, what a microphone hears is sent; the audio clock is the master.
 *
 * Notable choices: the worker gets the whole of what is spoken at once, with the place at which it is heard, so that no
 * timer of a busy page stands between; a stream that others speak (a call, an agent) is heard a little later than it
 * came, so that mouth and voice agree.
 */

import { now_s, type ToWorker } from "./protocol.js";
import { LEAD_S } from "./timetable.js";

export type Post = (message: ToWorker, transfer?: Transferable[]) => void;

/** What can be spoken. Samples alone are mono, -1 to 1, at the `rate` given with them. */
export type Speakable = AudioBuffer | ArrayBuffer | Blob | Float32Array | MediaStream | URL | string;

/** How it ended: its sound was heard to the end, or somebody interrupted or stopped it. */
export type Ending = "ended" | "interrupted";

const TAKE_S = 0.06; // for the worker to take what is spoken
const CLOCK_MS = 500;
const BASE_S = 10; // between the bases of streams

interface Spoken {
  readonly node: AudioBufferSourceNode;
  readonly ended: (how: Ending) => void;
}

/** See the module's notes. */
export class Sound {
  /** Loudness of what goes to the face, 0 to 1; falls slowly. */
  level = 0;
  /** How long before it is heard the worker needs sound: said by it, longer on a computer that draws slowly. */
  lead_s = LEAD_S;
  private context: AudioContext | null = null;
  private tap: AudioWorkletNode | null = null;
  private live: { nodes: AudioNode[]; stream: MediaStream; delay_s: number | null; done: (how: Ending) => void } | null = null;
  private readonly spoken: Set<Spoken> = new Set();
  private base_s = 0;
  private free_s = 0; // on the audio clock: where what was spoken so far ends
  private clock: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly post: Post,
    private readonly files: string,
  ) {}

  /** Whether something is being spoken or listened to. */
  get busy(): boolean {
    return this.spoken.size > 0 || this.live !== null;
  }

  /**
   * Say something; what is said already is said first.
   *
   * Throws what the browser throws where the sound cannot be fetched, decoded or played.
   */
  async speak(what: Speakable, rate?: number): Promise<Ending> {
    const context = await this.begin();
    if (what instanceof MediaStream) return this.pass(what, this.lead_s);
    if (this.live !== null) this.rest();
    const buffer = await decoded(what, context, rate);
    const mono = mixed(buffer);
    if (this.free_s < context.currentTime) this.stream(0);
    const at_s = Math.max(this.free_s, context.currentTime + this.lead_s + TAKE_S);
    this.free_s = at_s + buffer.duration;
    this.tell();
    const start = Math.round((this.base_s + at_s) * buffer.sampleRate);
    this.post({ kind: "audio", samples: mono, rate: buffer.sampleRate, start }, [mono.buffer]);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    node.start(at_s);
    return new Promise((done) => {
      const one: Spoken = {
        node,
        ended: (how) => {
          this.spoken.delete(one);
          done(how);
        },
      };
      this.spoken.add(one);
      node.onended = () => one.ended("ended");
    });
  }

  /** Hear a microphone, without playing it. Throws what the browser throws where it is not allowed or not there. */
  async listen(device?: string): Promise<Ending> {
    await this.begin();
    const wanted: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    if (device) wanted.deviceId = { exact: device };
    const stream = await devices().getUserMedia({ audio: wanted });
    return this.pass(stream, null);
  }

  /** Let go of microphone and streams, and of what is spoken. */
  rest(): void {
    this.hush("interrupted");
    const live = this.live;
    this.live = null;
    if (live === null) return;
    live.nodes.forEach((node) => node.disconnect());
    if (live.delay_s === null) live.stream.getTracks().forEach((track) => track.stop());
    this.level = 0;
    live.done("interrupted");
  }

  /** Stop what is spoken at once; a microphone goes on, as a new stream. */
  interrupt(): void {
    this.hush("interrupted");
    if (this.live === null) return;
    this.stream(this.live.delay_s);
    this.route();
  }

  /** Give the sound card back. */
  close(): void {
    this.rest();
    if (this.clock !== null) clearInterval(this.clock);
    void this.context?.close();
    this.context = this.tap = this.clock = null;
  }

  private hush(how: Ending): void {
    for (const one of this.spoken) {
      one.node.onended = null;
      one.node.stop();
      one.node.disconnect();
      one.ended(how);
    }
    this.free_s = 0;
  }

  /** Send a stream; one that is heard here (`delay_s`) is somebody else's, a microphone is ours to let go of. */
  private async pass(stream: MediaStream, delay_s: number | null): Promise<Ending> {
    this.rest();
    const context = this.context as AudioContext;
    const tap = await this.tapped(context);
    const input = context.createMediaStreamSource(stream);
    input.connect(tap);
    const nodes: AudioNode[] = [input];
    if (delay_s !== null) {
      const later = new DelayNode(context, { delayTime: delay_s, maxDelayTime: delay_s });
      input.connect(later).connect(context.destination);
      nodes.push(later);
    }
    this.stream(delay_s);
    this.route();
    return new Promise((done) => {
      this.live = { nodes, stream, delay_s, done };
      stream.addEventListener("inactive", () => {
        if (this.live?.stream !== stream) return;
        this.live = null;
        nodes.forEach((node) => node.disconnect());
        done("ended");
      });
    });
  }

  /** A port from the audio thread to the worker, under the present base. */
  private route(): void {
    const { port1, port2 } = new MessageChannel();
    (this.tap as AudioWorkletNode).port.postMessage({ port: port1 }, [port1]);
    this.post({ kind: "tap", port: port2, base_s: this.base_s }, [port2]);
  }

  private stream(delay_s: number | null): void {
    this.base_s += BASE_S;
    this.post({ kind: "stream", base_s: this.base_s, delay_s });
    this.tell();
  }

  /** Say how our clock and the audio clock compare at the loudspeaker. */
  private tell(): void {
    const context = this.context as AudioContext;
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    const age_s = (performance.now() - (performanceTime ?? 0)) / 1000;
    const known = contextTime !== undefined && performanceTime !== undefined && performanceTime > 0 && age_s < 1;
    const latency_s = context.outputLatency || context.baseLatency || 0;
    const offset_s = known
      ? (performance.timeOrigin + performanceTime) / 1000 - contextTime
      : now_s() - context.currentTime + latency_s;
    this.post({ kind: "clock", offset_s });
  }

  /** The audio thread's ear; made when the first stream comes, for it needs a page of https or of localhost. */
  private async tapped(context: AudioContext): Promise<AudioWorkletNode> {
    if (this.tap === null) {
      await context.audioWorklet.addModule(new URL("tap.js", this.files));
      const tap = new AudioWorkletNode(context, "tap", { numberOfInputs: 1, numberOfOutputs: 1 });
      tap.connect(context.destination); // its output is silent, but it must lead somewhere to run
      tap.port.onmessage = (event: MessageEvent<number>) => (this.level = Math.max(event.data, this.level * 0.85));
      this.tap = tap;
    }
    return this.tap;
  }

  /** Browsers let sound begin only after a click or a key. */
  private async begin(): Promise<AudioContext> {
    if (this.context === null) {
      this.context = new AudioContext({ latencyHint: "interactive" });
      this.clock = setInterval(() => {
        if (this.busy) this.tell();
      }, CLOCK_MS);
    }
    const late = new Promise<void>((_, no) => {
      setTimeout(() => no(new DOMException("sound may begin only after a click or a key", "NotAllowedError")), 1500);
    });
    await Promise.race([this.context.resume(), late]);
    return this.context;
  }
}

/** The browser's devices. */
export function devices(): MediaDevices {
  const found = (navigator as { mediaDevices?: MediaDevices }).mediaDevices;
  if (found === undefined) {
    throw new DOMException("microphone and camera need a page of https or of localhost", "SecurityError");
  }
  return found;
}

async function decoded(what: Exclude<Speakable, MediaStream>, context: AudioContext, rate?: number): Promise<AudioBuffer> {
  if (what instanceof AudioBuffer) return what;
  if (what instanceof Float32Array) {
    if (rate === undefined) throw new TypeError("samples came without their rate; expected speak(samples, {rate: 24000})");
    const buffer = new AudioBuffer({ length: Math.max(1, what.length), sampleRate: rate });
    buffer.copyToChannel(new Float32Array(what), 0);
    return buffer;
  }
  let bytes: ArrayBuffer;
  if (what instanceof ArrayBuffer) bytes = what.slice(0); // decoding takes it away
  else if (what instanceof Blob) bytes = await what.arrayBuffer();
  else {
    const answer = await fetch(what);
    if (!answer.ok) throw new DOMException(`${String(what)} is answered with ${answer.status}`, "NotFoundError");
    bytes = await answer.arrayBuffer();
  }
  return context.decodeAudioData(bytes);
}

function mixed(buffer: AudioBuffer): Float32Array<ArrayBuffer> {
  const mono = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, i) => (mono[i] = (mono[i] as number) + value / buffer.numberOfChannels));
  }
  return mono;
}
