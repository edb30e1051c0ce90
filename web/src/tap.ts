/** An AudioWorklet that says what it hears in blocks of 512 samples, straight to the worker, and its loudness to the page. */

import type { TapBlock } from "./protocol.js";

declare const currentFrame: number;
declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, made: typeof AudioWorkletProcessor): void;

const BLOCK = 512;

class Tap extends AudioWorkletProcessor {
  private block = new Float32Array(BLOCK);
  private filled = 0;
  private to: MessagePort | null = null;

  constructor() {
    super();
    this.port.onmessage = (event: MessageEvent<{ port: MessagePort }>) => (this.to = event.data.port);
  }

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0] ?? [];
    const [first] = channels;
    if (first === undefined) {
      this.filled = 0; // nothing is plugged in
      return true;
    }
    for (let i = 0; i < first.length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i] as number;
      this.block[this.filled + i] = sum / channels.length;
    }
    this.filled += first.length;
    if (this.filled >= BLOCK) {
      const said: TapBlock = { samples: this.block, rate: sampleRate, start: currentFrame + first.length - this.filled };
      let power = 0;
      for (const value of this.block) power += value * value;
      this.port.postMessage(Math.sqrt(power / BLOCK));
      this.to?.postMessage(said, [this.block.buffer]);
      this.block = new Float32Array(BLOCK);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
