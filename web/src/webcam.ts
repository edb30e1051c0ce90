/** The webcam to the worker: pictures mirrored as one knows oneself, at most one under way. */

import { devices, type Post } from "./audio.js";
import { now_s } from "./protocol.js";

const WIDTH = 480;
const INTERVAL_MS = 1000 / 30 - 6;

export class Webcam {
  /** The camera's stream, for a preview. */
  stream: MediaStream | null = null;
  private readonly video = document.createElement("video");
  private readonly canvas = document.createElement("canvas");
  private last_ms = 0;
  private turn = 0;

  constructor(private readonly post: Post) {
    this.video.muted = true;
    this.video.playsInline = true;
  }

  /** Begin; throws what the browser throws where the camera is not allowed or not there. */
  async begin(device?: string): Promise<MediaStream> {
    this.stop();
    const turn = ++this.turn;
    const video: MediaTrackConstraints = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    if (device) video.deviceId = { exact: device };
    const stream = await devices().getUserMedia({ video });
    this.stream = stream;
    this.video.srcObject = stream;
    await this.video.play();
    const next = (): void => {
      if (turn !== this.turn) return;
      void this.shoot().finally(() => {
        if (turn !== this.turn) return;
        if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(next);
        else setTimeout(next, INTERVAL_MS);
      });
    };
    next();
    return stream;
  }

  /** Let go of it. */
  stop(): void {
    this.turn++;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  private async shoot(): Promise<void> {
    const { videoWidth, videoHeight } = this.video;
    const at_ms = performance.now();
    if (videoWidth === 0 || at_ms - this.last_ms < INTERVAL_MS) return;
    this.last_ms = at_ms;
    const time_s = now_s();
    this.canvas.width = WIDTH;
    this.canvas.height = Math.round((WIDTH * videoHeight) / videoWidth);
    const context = this.canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    context.setTransform(-1, 0, 0, 1, WIDTH, 0);
    context.drawImage(this.video, 0, 0, WIDTH, this.canvas.height);
    const bitmap = await createImageBitmap(this.canvas);
    if (this.stream === null) bitmap.close();
    else this.post({ kind: "camera", bitmap, time_s }, [bitmap]);
  }
}
