// Sound of the page: microphone or a file, sent with its place on the audio clock, which is the master of everything.

import { packSound } from "./wire.js";

const LEAD = 0.2; // seconds by which a file is sent before it is heard

export class Sound {
  constructor(send) {
    this.send = send; // takes a message; returns whether it went out
    this.context = null;
    this.mode = "none"; // "none", "microphone" or "file"
    this.sequence = 0;
    this.level = 0;
    this.sends = []; // [end of the block by the stream's time, performance.now() when it was sent]
    // Every source is a stream of its own: its times lie this many seconds after the audio clock's, and ten after those
    // of the source before it, so that nobody takes it for the same sound going on.
    this.base = 0;
    this.onend = () => {};
    this.carry = null; // of a call: takes a track to send, and whether it is to be heard from there
  }

  // Browsers let sound begin only after a click or a key.
  async begin() {
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive" });
      await this.context.audioWorklet.addModule("tap.js");
      this.tap = new AudioWorkletNode(this.context, "tap", { numberOfInputs: 1, numberOfOutputs: 1 });
      this.tap.connect(this.context.destination); // its output is silent, but it must lead somewhere to run
      this.tap.port.onmessage = (event) => this.tick(event.data);
    }
    await this.context.resume();
  }

  // What is heard now, by the stream's time; `currentTime` alone jumps by a block of the sound card.
  now() {
    return this.context ? this.base + this.heard() : 0;
  }

  heard() {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    const passed = (performance.now() - performanceTime) / 1000;
    if (performanceTime > 0 && passed >= 0 && passed < 0.25) return contextTime + passed;
    return this.context.currentTime - (this.context.outputLatency || this.context.baseLatency || 0);
  }

  async microphone(device) {
    await this.begin();
    this.stop();
    const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    if (device) wanted.deviceId = { exact: device };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    this.input = this.context.createMediaStreamSource(this.stream);
    this.input.connect(this.tap);
    this.carry?.(this.stream.getAudioTracks()[0], false);
    this.base += 10;
    this.mode = "microphone";
  }

  async file(bytes) {
    await this.begin();
    this.stop();
    const buffer = await this.context.decodeAudioData(bytes);
    const mono = new Float32Array(buffer.length);
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const data = buffer.getChannelData(channel);
      for (let i = 0; i < data.length; i++) mono[i] += data[i] / buffer.numberOfChannels;
    }
    this.playing = { mono, sent: 0, start: null }; // begins with the next tick, when nothing stands in the way
    this.source = new AudioBufferSourceNode(this.context, { buffer });
    if (this.carry) {
      const out = this.context.createMediaStreamDestination();
      this.source.connect(out);
      this.carry(out.stream.getAudioTracks()[0], true);
    } else this.source.connect(this.context.destination);
    this.source.onended = () => {
      if (this.mode === "file") {
        this.stop();
        this.onend();
      }
    };
    this.base += 10;
    this.mode = "file";
    return buffer.duration;
  }

  // How much of a file was heard, 0 to 1.
  progress() {
    if (this.mode !== "file" || this.playing.start === null) return 0;
    const { mono, start } = this.playing;
    return Math.max(0, Math.min(1, ((this.now() - start) * this.context.sampleRate) / mono.length));
  }

  stop() {
    this.mode = "none";
    this.level = 0;
    this.sends = [];
    this.carry?.(null, false);
    if (this.source) {
      this.source.onended = null;
      if (this.playing.start !== null) this.source.stop();
      this.source.disconnect();
      this.source = null;
    }
    if (this.input) this.input.disconnect();
    if (this.stream) this.stream.getTracks().forEach((track) => track.stop());
    this.input = this.stream = this.playing = null;
  }

  // When the sound that ends at `time` was sent, or null.
  sentAt(time) {
    const found = this.sends.find((one) => one[0] >= time - 1e-6);
    return found ? found[1] : null;
  }

  tick({ start, samples }) {
    if (this.mode === "microphone" && samples) this.pass(samples, start + this.base * this.context.sampleRate);
    else if (this.mode === "file") this.pace();
  }

  // Send of a file what will be heard within `LEAD`.
  pace() {
    const rate = this.context.sampleRate;
    const now = this.base + this.context.currentTime;
    if (this.playing.start === null) {
      this.playing.start = now + LEAD;
      this.source.start(this.context.currentTime + LEAD);
    }
    const { mono, sent, start } = this.playing;
    const until = Math.min(mono.length, Math.round((now + LEAD - start) * rate) + 1024);
    for (let at = sent; at < until; at += 1024) {
      const end = Math.min(until, at + 1024);
      this.pass(mono.subarray(at, end), Math.round(start * rate) + at);
      this.playing.sent = end;
    }
  }

  pass(samples, start) {
    let power = 0;
    for (const value of samples) power += value * value;
    const level = Math.sqrt(power / samples.length);
    this.level = Math.max(level, this.level * 0.85);
    const rate = this.context.sampleRate;
    if (this.send(packSound(samples, start, rate, this.sequence++))) {
      this.sends.push([(start + samples.length) / rate, performance.now()]);
      if (this.sends.length > 200) this.sends.shift();
    }
  }
}
