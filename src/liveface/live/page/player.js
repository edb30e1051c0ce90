// Pictures of the server on a canvas: decoded at once, shown when the sound that they belong to is heard.

import { codecOf } from "./wire.js";

const MOST_QUEUED = 14;
const AHEAD = 0.012; // seconds by which a picture may be early rather than a whole refresh of the screen late
const KEPT = 300; // of every measurement

export class Player {
  constructor(canvas, sound) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false, desynchronized: true });
    this.sound = sound;
    this.queue = []; // { image, number, epoch, source, due, ... } in order
    this.pending = new Map();
    this.epoch = 0;
    this.lastDue = -Infinity;
    this.onack = () => {};
    this.onkey = () => {};
    this.onshown = () => {};
    this.times = { latency: [], offset: [], camera: [], interval: [], ahead: [] };
    this.counts = { shown: 0, dropped: 0 };
    this.source = "idle";
    this.shownAt = 0;
    const show = () => {
      this.show();
      requestAnimationFrame(show);
    };
    requestAnimationFrame(show);
  }

  static async codec() {
    if (!("VideoDecoder" in window)) return "jpeg";
    const wanted = { codec: "avc1.4d401f", optimizeForLatency: true };
    try {
      return (await VideoDecoder.isConfigSupported(wanted)).supported ? "h264" : "jpeg";
    } catch {
      return "jpeg";
    }
  }

  // A new connection: the decoder begins anew, what is on the canvas stays.
  reset() {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
    this.pending.clear();
    this.flush();
  }

  // Forget what was not shown yet; pictures of an older epoch are not shown any more.
  interrupt(epoch) {
    this.epoch = epoch;
    this.flush();
  }

  flush() {
    for (const one of this.queue) one.image.close();
    this.queue = [];
    this.lastDue = -Infinity;
  }

  take(message) {
    if (message.codec === "jpeg") {
      createImageBitmap(new Blob([message.payload], { type: "image/jpeg" })).then(
        (image) => this.ready(image, message),
        () => this.onack(message.number),
      );
      return;
    }
    if (message.fresh || !this.decoder) {
      if (!message.key) {
        this.onkey();
        this.onack(message.number);
        return;
      }
      this.open(codecOf(message.payload));
    }
    const timestamp = message.number * 33333;
    this.pending.set(timestamp, message);
    this.decoder.decode(
      new EncodedVideoChunk({ type: message.key ? "key" : "delta", timestamp, data: message.payload }),
    );
  }

  open(codec) {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.pending.clear();
    this.decoder = new VideoDecoder({
      output: (image) => {
        const message = this.pending.get(image.timestamp);
        this.pending.delete(image.timestamp);
        if (message) this.ready(image, message);
        else image.close();
      },
      error: () => {
        for (const message of this.pending.values()) this.onack(message.number);
        this.pending.clear();
        this.decoder = null;
        this.onkey();
      },
    });
    this.decoder.configure({ codec: codec ?? "avc1.4d401f", optimizeForLatency: true });
  }

  ready(image, message) {
    this.onack(message.number);
    if (message.epoch < this.epoch) {
      image.close();
      return;
    }
    const now = this.sound.now();
    const timed = !Number.isNaN(message.sound) && message.source !== "camera";
    // What belongs to no sound follows what waits before it, a little faster than it came, until nothing waits.
    const due = timed ? message.sound : this.queue.length ? this.lastDue + 0.8 / 30 : now;
    this.lastDue = due;
    if (timed && this.sound.mode === "file") this.keep("ahead", 1000 * (due - now));
    this.queue.push({ image, due, timed, ...message, payload: null });
    while (this.queue.length > MOST_QUEUED) this.drop();
  }

  drop() {
    this.queue.shift().image.close();
    this.counts.dropped++;
  }

  show() {
    const now = this.sound.now();
    let ready = -1;
    for (let i = 0; i < this.queue.length; i++) {
      // A place far ahead is of another clock, one that a sleeping computer left behind.
      if (this.queue[i].due <= now + AHEAD || this.queue[i].due > now + 2) ready = i;
    }
    if (ready < 0) return;
    for (; ready > 0; ready--) this.drop();
    const one = this.queue.shift();
    const width = one.image.displayWidth ?? one.image.width;
    const height = one.image.displayHeight ?? one.image.height;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.drawImage(one.image, 0, 0);
    one.image.close();
    this.note(one, now);
    this.onshown(one);
  }

  note(one, now) {
    const at = performance.now();
    this.counts.shown++;
    this.source = one.source;
    if (this.shownAt) this.keep("interval", at - this.shownAt);
    this.shownAt = at;
    if (one.source === "camera" && !Number.isNaN(one.camera)) this.keep("camera", at - 1000 * one.camera);
    if (!one.timed) return;
    if (this.sound.mode === "file") this.keep("offset", 1000 * (now - one.sound));
    if (this.sound.mode === "microphone") {
      const sent = this.sound.sentAt(one.sound + 1 / 30);
      if (sent !== null) this.keep("latency", at - sent);
    }
  }

  keep(name, value) {
    this.times[name].push(value);
    if (this.times[name].length > KEPT) this.times[name].shift();
  }

  // Middle and high value of what was measured, in milliseconds.
  measured(name) {
    const sorted = [...this.times[name]].sort((one, two) => one - two);
    if (!sorted.length) return null;
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return { p50: at(0.5), p95: at(0.95), count: sorted.length };
  }
}
