// Webcam to the server: JPEGs, at most two under way, mirrored as one knows oneself.

import { packCamera } from "./wire.js";

const WIDTH = 480;
const INTERVAL = 1000 / 30;

export class Camera {
  constructor(send) {
    this.send = send;
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.canvas = document.createElement("canvas");
    this.running = false;
    this.sequence = 0;
    this.busy = false;
    this.preview = null;
    this.carry = null; // of a call: takes a track to send
  }

  async begin(device, preview) {
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    if (device) video.deviceId = { exact: device };
    this.stream = await navigator.mediaDevices.getUserMedia({ video });
    this.video.srcObject = this.stream;
    preview.srcObject = this.stream;
    await this.video.play();
    await preview.play();
    this.preview = preview;
    this.running = true;
    this.last = 0;
    if (this.carry) {
      this.carry(this.stream.getVideoTracks()[0]);
      return;
    }
    const frame = () => {
      if (!this.running) return;
      this.shoot();
      if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(frame);
      else setTimeout(frame, INTERVAL);
    };
    frame();
  }

  stop() {
    this.running = false;
    this.carry?.(null);
    if (this.stream) this.stream.getTracks().forEach((track) => track.stop());
    if (this.preview) this.preview.srcObject = null;
    this.stream = null;
  }

  shoot() {
    const now = performance.now();
    if (this.busy || !this.video.videoWidth || now - this.last < INTERVAL - 6) return;
    this.busy = true;
    this.last = now;
    this.canvas.width = WIDTH;
    this.canvas.height = Math.round((WIDTH * this.video.videoHeight) / this.video.videoWidth);
    const context = this.canvas.getContext("2d", { alpha: false });
    context.setTransform(-1, 0, 0, 1, WIDTH, 0);
    context.drawImage(this.video, 0, 0, WIDTH, this.canvas.height);
    this.canvas.toBlob(
      async (blob) => {
        if (blob && this.running) this.send(packCamera(await blob.arrayBuffer(), now / 1000, this.sequence++));
        this.busy = false;
      },
      "image/jpeg",
      0.8,
    );
  }
}
