/**
 * The worker: an avatar's bytes, sound, camera pictures and wishes in; pictures on the canvas out, thirty a second.
 *
 * Notable choices: one loop on one timer; a picture waits for its sound and is never late by more than the frame after
 * it; while nobody looks, time stands still here, so that nothing has to be caught up with.
 */

import { fetched } from "./assets.js";
import { readAvatar } from "./avatar/file.js";
import { LiteRt, variant as fits } from "./litert.js";
import { MotionEngine } from "./motion/engine.js";
import { type FromWorker, now_s, type Source, type TapBlock, type ToWorker, type Variant } from "./protocol.js";
import { Renderer, type RenderState } from "./render/renderer.js";
import { adapted, Meter, Timetable } from "./timetable.js";
import { openMirror, type Mirror } from "./mirror.js";
import { FPS, type Picture } from "./types.js";

const FOLDER = new URL(".", self.location.href).href;
const MOST_HELD = 8; // pictures that wait for their sound
const EARLY_S = 0.004; // a timer is no finer
const GAP_S = 1; // the loop was away for longer: the computer slept
const STATS_S = 1;

interface Held {
  readonly due_s: number;
  readonly image: ImageData;
  readonly number: number;
  readonly sound_s: number;
  readonly source: Source;
  readonly ms: number;
}

interface Face {
  readonly engine: MotionEngine;
  readonly renderer: Renderer;
  readonly state: RenderState;
  readonly litert: LiteRt;
  readonly variant: Variant;
}

const post = self.postMessage.bind(self) as (message: FromWorker, transfer?: Transferable[]) => void;
const table = new Timetable();
const meter = new Meter();
let canvas: OffscreenCanvas | null = null;
let face: Face | null = null;
let wishes: Extract<ToWorker, { kind: "set" }>[] = []; // before the face is there
let held: Held[] = [];
const sheets: ImageData[] = []; // pictures that were shown, to be drawn on again
let mirror: Mirror | null = null;
let camera: { bitmap: ImageBitmap; time_s: number } | null = null;
let tap: MessagePort | null = null;
let epoch = 0;
let running = true;
let timer: ReturnType<typeof setTimeout> | null = null;
let rested_s = 0;
let left_s = now_s();
let told_s = 0;
let shown = 0;
let dropped = 0;

/** Our clock without the time in which nobody looked. */
function clock_s(): number {
  return now_s() - rested_s;
}

async function load(avatar: ArrayBuffer, wanted?: Variant): Promise<void> {
  const variant = wanted ?? fits();
  const step = (name: string): void => post({ kind: "loading", step: name });
  const [parts, wasm, kernels, speech] = await Promise.all([
    readAvatar(avatar),
    fetched(`litert-${variant}.wasm.gz`, FOLDER),
    fetched("kernels.wasm", FOLDER),
    fetched("speech.tflite", FOLDER),
  ]);
  step("files");
  const litert = await LiteRt.load(wasm, variant);
  step("litert");
  const renderer = await Renderer.open(parts, litert, kernels);
  step("renderer");
  const engine = new MotionEngine(await litert.open(speech), { behaviour: parts.about.behaviour });
  face = { engine, renderer, state: renderer.start(), litert, variant };
  for (const one of wishes) turn(one);
  wishes = [];
  left_s = now_s();
  post({ kind: "ready", name: parts.about.name, width: renderer.width, height: renderer.height, fps: FPS, variant });
  wake(0);
}

function turn(said: Extract<ToWorker, { kind: "set" }>): void {
  if (face === null) {
    wishes.push(said);
    return;
  }
  face.engine.turn({ ...said.dials, ...(said.emotion === undefined ? {} : { emotion: said.emotion }) });
}

function wake(after_s: number): void {
  if (timer !== null) clearTimeout(timer);
  timer = running && face !== null ? setTimeout(loop, Math.max(0, 1000 * after_s)) : null;
}

function loop(): void {
  const at_s = now_s();
  if (at_s - left_s > GAP_S) rested_s += at_s - left_s;
  left_s = at_s;
  timer = null;
  try {
    show();
    feed();
    draw();
    show();
  } catch (error) {
    post({ kind: "error", sentence: sentence(error), fatal: true });
    return;
  }
  if (now_s() - told_s > STATS_S) tell();
  left_s = now_s();
  const due_s = Math.min((face as Face).engine.dueS() - clock_s(), (held[0]?.due_s ?? Infinity) - now_s());
  wake(due_s);
}

function feed(): void {
  if (face === null) return;
  for (const block of table.take(now_s())) face.engine.hear(block, clock_s());
}

function draw(): void {
  if (face === null || face.engine.dueS() > clock_s() + EARLY_S / 4) return;
  const began = performance.now();
  see();
  const seen = performance.now();
  const shot = face.engine.tick(clock_s());
  if (shot === null) return;
  const moved = performance.now();
  const made = face.renderer.step(face.state, shot.motion);
  const image = sheets.pop() ?? new ImageData(face.renderer.width, face.renderer.height);
  image.data.set(made.pixels);
  const ended = performance.now();
  if (seen - began > 0.05) meter.add("camera", seen - began);
  meter.add("motion", moved - seen);
  for (const [name, ms] of Object.entries(made.stages)) meter.add(name, ms);
  meter.add("frame", ended - seen);
  dropped += shot.frames - 1;
  const heard_s = shot.source === "camera" ? NaN : table.heard_s(shot.soundS);
  const due_s = Number.isNaN(heard_s) ? now_s() : heard_s;
  if (table.led(shot.soundS) && shot.source === "sound") table.lead_s = adapted(table.lead_s, due_s - now_s());
  held.push({ due_s, image, number: shot.number, sound_s: shot.soundS, source: shot.source, ms: ended - began });
  for (const name of shot.events) post({ kind: "event", name });
}

/** Look at the newest picture of the camera. */
function see(): void {
  if (face === null || camera === null || mirror === null) return;
  const { bitmap, time_s } = camera;
  camera = null;
  const motion = mirror.see(pixelsOf(bitmap));
  if (motion !== null) face.engine.see(motion, clock_s(), time_s);
}

let sheet: OffscreenCanvasRenderingContext2D | null = null;

function pixelsOf(bitmap: ImageBitmap): Picture {
  const { width, height } = bitmap;
  if (sheet === null || sheet.canvas.width !== width || sheet.canvas.height !== height) {
    sheet = new OffscreenCanvas(width, height).getContext("2d", { alpha: false, willReadFrequently: true });
  }
  const context = sheet as OffscreenCanvasRenderingContext2D;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height) as Picture;
}

/** Show the newest picture whose sound is heard by now; what lies before it is too late. */
function show(): void {
  const at_s = now_s();
  let last = -1;
  held.forEach((one, index) => {
    if (one.due_s <= at_s + EARLY_S || one.due_s > at_s + 2) last = index; // far ahead: of a clock that is gone
  });
  if (last < 0 && held.length > MOST_HELD) last = 0;
  if (last < 0) return;
  dropped += last;
  const gone = held.splice(0, last + 1);
  const one = gone[last] as Held;
  sheets.push(...gone.slice(0, -1).map((early) => early.image));
  const began = performance.now();
  shown++;
  const said = { kind: "frame", number: one.number, epoch, sound_s: one.sound_s, ms: one.ms, source: one.source } as const;
  const heard_s = table.heard_s(one.sound_s);
  if (!Number.isNaN(heard_s) && one.source !== "camera") meter.add("behind", 1000 * (at_s - heard_s));
  if (canvas !== null) {
    if (canvas.width !== one.image.width || canvas.height !== one.image.height) {
      [canvas.width, canvas.height] = [one.image.width, one.image.height];
    }
    canvas.getContext("2d", { alpha: false })?.putImageData(one.image, 0, 0);
    sheets.push(one.image);
    meter.add("show", performance.now() - began);
    post(said);
  } else {
    void createImageBitmap(one.image).then((bitmap) => {
      sheets.push(one.image);
      post({ ...said, bitmap }, [bitmap]);
    });
  }
}

function tell(): void {
  told_s = now_s();
  const { behind, ...stages } = meter.all();
  const stats = { stages, shown, dropped, lead_s: table.lead_s, variant: (face as Face).variant, ...(behind === undefined ? {} : { behind }) };
  post({ kind: "stats", stats });
}

function plug(port: MessagePort, base_s: number): void {
  tap?.close();
  tap = port;
  port.onmessage = (event: MessageEvent<TapBlock>) => {
    const { samples, rate, start } = event.data;
    table.put({ samples, rate, start: start + Math.round(base_s * rate) });
    feed();
  };
}

function interrupt(next: number): void {
  epoch = next;
  table.clear();
  held = [];
  face?.engine.interrupt();
}

function rest(wanted: boolean): void {
  if (running === wanted) return;
  running = wanted;
  if (!running) table.clear(); // what was said meanwhile was not seen
  held = [];
  wake(0);
}

async function openCamera(): Promise<void> {
  if (face === null || mirror !== null) return;
  mirror = await openMirror(face.litert, (name) => fetched(name, FOLDER));
  post({ kind: "mirror-ready" });
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const said = event.data;
  const fail = (fatal: boolean) => (error: unknown) => post({ kind: "error", sentence: sentence(error), fatal });
  switch (said.kind) {
    case "load":
      load(said.avatar, said.variant).catch(fail(true));
      break;
    case "canvas":
      canvas = said.canvas;
      break;
    case "stream":
      table.begin(said.base_s, said.delay_s);
      break;
    case "clock":
      table.set(said.offset_s);
      break;
    case "audio":
      table.put(said);
      feed();
      break;
    case "tap":
      plug(said.port, said.base_s);
      break;
    case "interrupt":
      interrupt(said.epoch);
      break;
    case "set":
      turn(said);
      break;
    case "mirror":
      openCamera().catch(fail(false));
      break;
    case "camera":
      camera?.bitmap.close();
      camera = said;
      break;
    case "centre":
      mirror?.centre();
      break;
    case "run":
      rest(said.running);
      break;
  }
};
