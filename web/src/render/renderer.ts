/**
 * Motion to pictures with an avatar's networks, in LiteRT and SIMD kernels on one thread. Twin of
 * `render/liveface/renderer.py`.
 *
 * Notable choices: every picture lies in LiteRT's own memory, where networks read and write it too, so nothing is copied
 * and nothing is made anew from frame to frame; what is kept between frames is in the state, which the caller holds.
 */

import { type About, type NetworkName, type Region, REGIONS, type WebAvatar } from "../avatar/file.js";
import type { LiteRt, Net } from "../litert.js";
import type { MotionFrame, Stages } from "../types.js";
import { type Past, controls, remember } from "./controls.js";
import { inverse } from "./geometry.js";
import { personLayer, tilesOf } from "./layer.js";
import { type Kernels, openKernels, spotOf } from "./pixels.js";
import { shoulders, within } from "./reach.js";
import { Rig } from "./rig.js";

const FINEST = 8; // bits after the point of the residual's weights
const CELL = 8; // canvas pixels a cell of the residual

/** What goes from frame to frame. Made by `Renderer.start`, advanced in place by `step`, given back by `drop`. */
export interface RenderState {
  index: number;
  past: Past | null;
  /** Addresses of the last two drawings of the slow regions, older first. */
  readonly slow: Record<string, [number, number]>;
}

/** One picture. */
export interface Drawn {
  /** RGBA `[height, width]`, opaque: a view that is good until the next step. */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  /** Milliseconds: controls, base, decoders, paste, compositor. */
  readonly stages: Stages;
}

/** Addresses of what is made once. */
interface Places {
  readonly layer: number; readonly tiles: number; readonly plate: number; readonly picture: number; readonly below: number; readonly shown: number;
  readonly cells: number; readonly grid: number; readonly line: number; readonly field: number; readonly weights: number;
  readonly own: number; readonly box: number; readonly steps: number;
  readonly windows: Record<string, number>;
  readonly fronts: Record<string, number>;
} // prettier-ignore

export class Renderer {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** The motion that shows the reference picture. */
  readonly own: MotionFrame;
  private readonly rig: Rig;
  private readonly about: About;
  private readonly rest_lips: Float32Array;

  private constructor(
    avatar: WebAvatar,
    private readonly litert: LiteRt,
    private readonly kernels: Kernels,
    private readonly nets: Readonly<Record<NetworkName, Net>>,
    private readonly now: () => number,
  ) {
    this.about = avatar.about;
    [this.width, this.height] = avatar.about.canvas;
    this.fps = avatar.about.fps;
    this.rig = new Rig(avatar);
    this.rest_lips = avatar.numbers.rest_lips as Float32Array;
    this.own = { expression: (avatar.numbers.own as Float32Array).slice(), head: new Float32Array(6), gaze: new Float32Array(4) };
    this.places = this.settle(avatar);
  }

  private readonly places: Places;

  /**
   * Make ready to draw an avatar.
   *
   * @param kernels the bytes of `kernels.wasm`
   * @param now a clock in milliseconds
   */
  static async open(avatar: WebAvatar, litert: LiteRt, kernels: BufferSource, now: () => number = () => performance.now()): Promise<Renderer> {
    const names: readonly NetworkName[] = [...REGIONS, "compositor"];
    const opened: [NetworkName, Net][] = [];
    for (const name of names) opened.push([name, await litert.open(avatar.networks[name])]);
    const nets = Object.fromEntries(opened) as Record<NetworkName, Net>;
    for (const [name, net] of opened) checkEnds(avatar.about, name, net);
    return new Renderer(avatar, litert, await openKernels(kernels, litert.memory), nets, now);
  }

  /** A fresh state: nothing was drawn yet. */
  start(): RenderState {
    const slow: Record<string, [number, number]> = {};
    for (const name of REGIONS) {
      if (this.about.regions[name].every > 1) slow[name] = [this.zeros(this.patchBytes(name)), this.zeros(this.patchBytes(name))];
    }
    return { index: 0, past: null, slow };
  }

  /** Give a state's memory back. */
  drop(state: RenderState): void {
    for (const pair of Object.values(state.slow)) pair.forEach((place) => this.litert.free(place));
  }

  /** Draw one frame; head and gaze of `motion` are relative to the reference picture. */
  step(state: RenderState, motion: MotionFrame): Drawn {
    const { behaviour, reach, rig } = this.about;
    const { kernels, places, width, height } = this;
    const stages: Stages = {};
    let since = this.now();
    const tick = (stage: string): void => {
      const now = this.now();
      stages[stage] = now - since;
      since = now;
    };
    const held = within(reach, motion);
    const breath = ((2 * Math.PI * behaviour.breaths_per_min) / 60) * (state.index / this.fps);
    const low = shoulders(reach, held.head, rig.shoulders_follow);
    low[1] -= behaviour.breath_e * Math.sin(breath);
    const posed = this.rig.pose(held, low);
    state.past = remember(state.past, held.head.slice(0, 3));
    const vectors = controls(this.about, this.rig, this.rest_lips, held, posed, state.past, breath);
    tick("controls");
    const field = this.floats(places.field, posed.field.length);
    field.set(posed.field);
    this.floats(places.own, this.rig.anchors).set(posed.own_x);
    this.floats(places.own + 4 * this.rig.anchors, this.rig.anchors).set(posed.own_y);
    kernels.spread(places.weights, field.length / 2, this.rig.anchors, places.own, places.own + 4 * this.rig.anchors, places.field);
    const [first, last] = this.rig.touched(field);
    this.rig.invert(field, this.floats(places.grid, field.length));
    const wide = rig.texture_scale * (width + 2 * rig.margin);
    const deep = rig.texture_scale * (height + 2 * rig.margin);
    kernels.base(places.layer, wide, deep, places.tiles, places.grid, this.rig.columns, places.line, places.plate, places.picture, width, height, first, last);
    kernels.half(places.picture, width >> 1, height >> 1, places.below);
    tick("base");
    const fronts = Object.fromEntries(REGIONS.map((name) => [name, this.front(state, name, vectors)])) as Record<Region, number>;
    tick("decoders");
    this.bytes(places.shown, width * height).fill(0);
    for (const name of this.about.paint_order) this.paste(name, fronts[name], posed.boxes[name]);
    tick("paste");
    this.compose();
    tick("compositor");
    state.index += 1;
    return { pixels: new Uint8ClampedArray(this.litert.memory.buffer as ArrayBuffer, places.picture, 4 * width * height), stages };
  }

  /** Give all memory back. */
  close(): void {
    for (const net of Object.values(this.nets)) net.close();
    const { windows, fronts, ...others } = this.places;
    for (const place of [...Object.values(others), ...Object.values(windows), ...Object.values(fronts)]) this.litert.free(place);
  }

  /** The faded patch of a region at this frame: a slow one lies between its last two drawings. */
  private front(state: RenderState, name: Region, vectors: Readonly<Record<string, Float32Array>>): number {
    const { every, offset } = this.about.regions[name];
    const front = this.places.fronts[name] as number;
    const pair = state.slow[name];
    if (pair === undefined) {
      this.decode(name, vectors, front);
      return front;
    }
    const turn = (((state.index - offset) % every) + every) % every;
    if (state.index === 0) {
      this.decode(name, vectors, pair[1]);
      this.bytes(pair[0], this.patchBytes(name)).set(this.bytes(pair[1], this.patchBytes(name)));
    } else if (turn === 0) {
      pair.reverse();
      this.decode(name, vectors, pair[1]);
    }
    if (state.index === 0 || turn + 1 === every) return pair[1];
    this.kernels.mix(pair[0], pair[1], front, this.patchBytes(name), turn + 1, every);
    return front;
  }

  /** Run a region's decoder and fade its patch into `patch`. */
  private decode(name: Region, vectors: Readonly<Record<string, Float32Array>>, patch: number): void {
    const net = this.nets[name];
    for (const { name: end } of net.inputs) (net.fill(end) as Float32Array).set(end === "mode" ? [1] : (vectors[end] as Float32Array));
    const [output] = net.outputs;
    const { [output!.name]: grid } = net.invoke();
    const [size, zero] = this.about.networks[name].steps[output!.name] as readonly [number, number];
    const [wide, deep] = this.about.regions[name].size;
    this.kernels.fade(grid as number, deep / 8, wide / 8, size, zero, this.places.windows[name] as number, patch);
  }

  /** Lay a patch over the picture. */
  private paste(name: Region, patch: number, box: Float64Array): void {
    const { kernels, places, width, height } = this;
    const [wide, deep] = this.about.regions[name].size;
    kernels.bounds(patch, wide, deep, places.box);
    const spot = spotOf(box, new Int32Array(this.litert.memory.buffer, places.box, 4), width, height);
    if (spot === null) return;
    const [left, top, right, bottom] = spot;
    const shifted = Float64Array.from(box);
    shifted[2] -= left;
    shifted[5] -= top;
    const [a, b, c, d, e, f] = inverse(shifted) as unknown as [number, number, number, number, number, number];
    kernels.paste(patch, wide, deep, a, b, c, d, e, f, places.picture, width, left, top, right, bottom, places.steps, places.shown + REGIONS.indexOf(name));
  }

  /** Add what the compositor would change, by how opaque the patches are. */
  private compose(): void {
    const { kernels, places, width, height } = this;
    const net = this.nets.compositor;
    kernels.join(places.picture, width >> 1, height >> 1, places.shown, places.below, net.address("canvas"));
    const [output] = net.outputs;
    const { [output!.name]: residual } = net.invoke();
    const [size, zero] = this.about.networks.compositor.steps[output!.name] as readonly [number, number];
    const bits = Math.trunc(Math.min(Math.max(Math.log2(128 / (255 * size)), 1), FINEST));
    kernels.opacity(places.shown, height / CELL, width / CELL, places.cells);
    kernels.correct(residual as number, height / CELL, width / CELL, places.cells, size, zero, bits, places.picture);
  }

  /** Put into memory what never changes, and make room for what does. */
  private settle(avatar: WebAvatar): Places {
    const { width, height, rig } = this;
    const nodes = rig.rows * rig.columns;
    const person = personLayer(avatar.reference, avatar.matte, avatar.plate, avatar.about.rig.margin);
    const windows = Object.fromEntries(REGIONS.map((name) => [name, this.filled(avatar.numbers[`window/${name}`] as Uint8Array)]));
    const fronts = Object.fromEntries(REGIONS.map((name) => [name, this.zeros(this.patchBytes(name))]));
    this.nets.compositor.fill("features").set(avatar.numbers.features as Int8Array);
    return {
      layer: this.filled(person, 4 * avatar.reference.width + 8),
      tiles: this.filled(tilesOf(person, avatar.reference.width, avatar.reference.height)),
      plate: this.filled(new Uint8Array(avatar.plate.data.buffer, avatar.plate.data.byteOffset, 4 * width * height)),
      picture: this.zeros(4 * width * height),
      below: this.zeros(width * height),
      shown: this.zeros(width * height),
      cells: this.zeros((width / CELL) * (height / CELL)),
      grid: this.zeros(8 * nodes + 8 * rig.columns + 16),
      line: this.zeros(8 * rig.columns + 16),
      field: this.zeros(8 * nodes),
      weights: this.filled(new Uint8Array(Float32Array.from(avatar.numbers.weights as Float32Array).buffer)),
      own: this.zeros(8 * rig.anchors),
      box: this.zeros(16),
      steps: this.zeros(8 * width + 32),
      windows,
      fronts,
    };
  }

  /** Bytes of a patch with its border. */
  private patchBytes(name: Region): number {
    const [wide, deep] = this.about.regions[name].size;
    return 4 * (wide + 2) * (deep + 2) + ((4 * (wide + 2) * (deep + 2)) % 16 ? 16 - ((4 * (wide + 2) * (deep + 2)) % 16) : 0);
  }

  private bytes(place: number, count: number): Uint8Array {
    return new Uint8Array(this.litert.memory.buffer, place, count);
  }

  private floats(place: number, count: number): Float32Array {
    return new Float32Array(this.litert.memory.buffer, place, count);
  }

  private zeros(count: number): number {
    const place = this.litert.allocate(count);
    this.bytes(place, count).fill(0);
    return place;
  }

  private filled(content: Uint8Array, beyond = 0): number {
    const place = this.zeros(content.length + beyond);
    this.bytes(place, content.length).set(content);
    return place;
  }
}

/** Every network must take and give what this version says. */
function checkEnds(about: About, name: NetworkName, net: Net): void {
  const [width, height] = about.canvas;
  const [wide, deep] = name === "compositor" ? [width, height] : about.regions[name].size;
  const wanted = (wide / 8) * (deep / 8) * (name === "compositor" ? 192 : 256);
  const [output] = net.outputs;
  if (net.outputs.length !== 1 || output?.count !== wanted || output.kind !== "int8") {
    throw new Error(`the avatar's ${name} network gives ${JSON.stringify(net.outputs)}; expected ${wanted} numbers of INT8: export it again.`);
  }
}
