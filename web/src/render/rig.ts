/** One person's reference picture, posed. Twin of `render/liveface/rig.py` (`Rig.pose`) and of `layers.Inverse`. */

import { type Region, REGIONS, type WebAvatar } from "../avatar/file.js";
import type { MotionFrame } from "../types.js";
import { type Box, chain, headRotation, similarity, timesTransposed } from "./geometry.js";

const CAMERA_CM = 300;
const DISTANCE_CM = 60; // of the viewer for whom motion along z is told
const LIPS = 40;
const UNITS = 32; // of a texture pixel

/** One frame's geometry. */
export interface Posed {
  /** `[40, 2]` lip points in canvas pixels. */
  readonly lips: Float32Array;
  /** Patch pixels to canvas pixels. */
  readonly boxes: Readonly<Record<Region, Box>>;
  /** `[rows, columns, 2]` displacement of the grid's nodes in canvas pixels, without the face's own motion. */
  readonly field: Float32Array;
  /** `[anchors]` x and y of the face's own motion in canvas pixels, which `weights` spread over the field. */
  readonly own_x: Float32Array;
  readonly own_y: Float32Array;
  /** `[2]` shift of the shoulders in eye distances. */
  readonly shoulders: Float32Array;
}

/** The geometry of an avatar; nothing in it changes. */
export class Rig {
  readonly rows: number;
  readonly columns: number;
  readonly anchors: number;
  readonly rest: Readonly<Record<Region, Box>>;
  private readonly take: (name: string) => Float32Array;
  private readonly back: Float64Array;

  constructor(private readonly avatar: Pick<WebAvatar, "about" | "numbers">) {
    const { canvas, rig, regions } = avatar.about;
    this.take = (name) => avatar.numbers[name] as Float32Array;
    this.columns = Math.ceil((canvas[0] + 3 * rig.cell) / rig.cell);
    this.rows = Math.ceil((canvas[1] + 3 * rig.cell) / rig.cell);
    this.anchors = this.take("carriers").length / 3 - LIPS;
    this.rest = Object.fromEntries(REGIONS.map((name) => [name, Float64Array.from(regions[name].box)])) as Record<Region, Box>;
    const [pitch, yaw, roll] = this.take("turn") as unknown as [number, number, number];
    this.back = headRotation(pitch, yaw, roll);
    const nodes = this.rows * this.columns;
    if (this.take("rigid").length !== nodes || this.take("weights").length !== nodes * this.anchors || this.anchors % 4 !== 0) {
      throw new Error(`the avatar's grid has ${this.take("rigid").length} nodes; expected ${this.columns} x ${this.rows}: export it again.`);
    }
  }

  /** Geometry of one frame within reach; `shoulders` `[2]` is their shift in eye distances, y down. */
  pose({ expression, head }: MotionFrame, shoulders: Float32Array): Posed {
    const { rig } = this.avatar.about;
    const [carriers, own] = [this.take("carriers"), this.take("own")];
    const formed = Float32Array.from(carriers);
    const basis = this.take("basis");
    for (let shape = 0; shape < own.length; shape++) {
      const change = expression[shape] - own[shape];
      if (change === 0) continue;
      const row = basis.subarray(shape * formed.length, (shape + 1) * formed.length);
      for (let i = 0; i < formed.length; i++) formed[i] += change * row[i];
    }
    const project = this.camera(head);
    const [carried, rigid] = [project(formed), project(carriers)];
    const moved = similarity(this.take("steady_px"), project(this.take("steady")));
    const boxes = Object.fromEntries(REGIONS.map((name) => [name, name === "body" ? this.rest.body : chain(moved, this.rest[name])]));
    const own_x = new Float32Array(this.anchors);
    const own_y = new Float32Array(this.anchors);
    for (let k = 0; k < this.anchors; k++) {
      own_x[k] = carried[2 * (LIPS + k)] - rigid[2 * (LIPS + k)];
      own_y[k] = carried[2 * (LIPS + k) + 1] - rigid[2 * (LIPS + k) + 1];
    }
    return {
      lips: carried.subarray(0, 2 * LIPS),
      boxes: boxes as Record<Region, Box>,
      field: this.field(project(this.take("nodes_cm")), shoulders[0] * rig.eye_px, shoulders[1] * rig.eye_px),
      own_x,
      own_y,
      shoulders,
    };
  }

  /** Turn and shift centimetres `[K, 3]` with the head, and project them to canvas pixels `[K, 2]`. */
  private camera(head: Float32Array): (points: Float32Array) => Float32Array {
    const turn = this.take("turn");
    const now = headRotation(head[0] + turn[0], head[1] + turn[1], head[2] + turn[2]);
    const r = timesTransposed(now, this.back);
    const [sx, sy, sz] = [head[3], head[4], (head[5] * CAMERA_CM) / DISTANCE_CM];
    const scale = this.avatar.about.rig.px_per_cm * CAMERA_CM;
    const [cx, cy] = this.take("centre") as unknown as [number, number];
    return (points) => {
      const out = new Float32Array((points.length / 3) * 2);
      for (let k = 0, to = 0; k < points.length; k += 3, to += 2) {
        const [x, y, z] = [points[k], points[k + 1], points[k + 2]];
        const reach = scale / Math.max(CAMERA_CM + r[6] * x + r[7] * y + r[8] * z + sz, 10);
        out[to] = (r[0] * x + r[1] * y + r[2] * z + sx) * reach + cx;
        out[to + 1] = (r[3] * x + r[4] * y + r[5] * z + sy) * reach + cy;
      }
      return out;
    };
  }

  /** Where nodes went: with the head as far as they are rigid, with the shoulders for the rest. */
  private field(moved: Float32Array, low_x: number, low_y: number): Float32Array {
    const { cell } = this.avatar.about.rig;
    const rigid = this.take("rigid");
    for (let row = 0, node = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, node++) {
        const share = rigid[node];
        moved[2 * node] = (moved[2 * node] - (column - 1) * cell) * share + low_x * (1 - share);
        moved[2 * node + 1] = (moved[2 * node + 1] - (row - 1) * cell) * share + low_y * (1 - share);
      }
    }
    return moved;
  }

  /** First and last row of the canvas that the person may touch. Twin of `Rig._reach`. */
  touched(field: Float32Array): readonly [number, number] {
    const { cell } = this.avatar.about.rig;
    const height = this.avatar.about.canvas[1];
    let [least, most] = [Infinity, -Infinity];
    for (const node of this.avatar.numbers.near_person as Int32Array) {
      const y = (Math.floor(node / this.columns) - 1) * cell + field[2 * node + 1];
      least = Math.min(least, y);
      most = Math.max(most, y);
    }
    const low = Math.trunc(Math.max(least - cell, 0));
    const high = Math.trunc(Math.min(most + cell, height));
    return [Math.min(low, height - 1), Math.max(high, Math.min(low, height - 1) + 1)];
  }

  /**
   * The field turned around: for every node, the texture pixel in 32nds that it shows. Twin of `layers.Inverse`.
   *
   * @param field `[rows, columns, 2]`; into: the same, written
   */
  invert(field: Float32Array, into: Float32Array): void {
    const { cell, margin, steps, texture_scale } = this.avatar.about.rig;
    const cells = field.map((value) => value / cell);
    let at: Float32Array = cells;
    for (let step = 0; step < steps; step++) at = this.follow(cells, at);
    for (let row = 0, node = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, node++) {
        const x = texture_scale * ((column - 1 - at[2 * node]) * cell - 0.5 + margin) + (texture_scale - 1) / 2;
        const y = texture_scale * ((row - 1 - at[2 * node + 1]) * cell - 0.5 + margin) + (texture_scale - 1) / 2;
        into[2 * node] = UNITS * x;
        into[2 * node + 1] = UNITS * y;
      }
    }
  }

  /** The field at the places `node - at`, between nodes as OpenCV looks: in 32nds of a cell. */
  private follow(cells: Float32Array, at: Float32Array): Float32Array {
    const out = new Float32Array(cells.length);
    const [wide, high] = [(this.columns - 1) * UNITS, (this.rows - 1) * UNITS];
    const down = 2 * this.columns;
    for (let row = 0, node = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, node += 2) {
        const x = Math.min(Math.max(Math.round((column - at[node]) * UNITS), 0), wide);
        const y = Math.min(Math.max(Math.round((row - at[node + 1]) * UNITS), 0), high);
        const [fx, fy] = [(x & 31) / UNITS, (y & 31) / UNITS];
        const from = (y >> 5) * down + 2 * (x >> 5);
        const right = fx > 0 ? 2 : 0;
        const below = fy > 0 ? down : 0;
        for (let axis = 0; axis < 2; axis++) {
          const upper = cells[from + axis] * (1 - fx) + cells[from + right + axis] * fx;
          const lower = cells[from + below + axis] * (1 - fx) + cells[from + below + right + axis] * fx;
          out[node + axis] = upper * (1 - fy) + lower * fy;
        }
      }
    }
    return out;
  }
}
