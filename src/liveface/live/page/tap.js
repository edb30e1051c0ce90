// An AudioWorklet that hands on what it hears in blocks of 512 samples, with the place of each on the context's clock.

const BLOCK = 512;

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
    this.heard = false;
  }

  process(inputs) {
    const channels = inputs[0];
    const count = channels.length ? channels[0].length : 128;
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled + i] = channels.length ? sum / channels.length : 0;
    }
    this.heard = this.heard || channels.length > 0;
    this.filled += count;
    if (this.filled >= BLOCK) {
      const start = currentFrame + count - this.filled;
      this.port.postMessage({ start, samples: this.heard ? this.block.slice(0, this.filled) : null });
      this.filled = 0;
      this.heard = false;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
