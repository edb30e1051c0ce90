/**
 * Faces in pictures: detection, then 478 points with irises, followed from picture to picture.
 * Twin of `liveface/signals/face.py` in its video mode; see there for choices and sources.
 */

import type { Net } from "../litert.js";
import { MESH, POINTS } from "../motion/face_model.js";
import { IRIS_LIDS } from "../motion/tables.js";
import type { Picture } from "../types.js";
import { type Affine, cut, growth, inverse, through, upright } from "./picture.js";

const MIN_SCORE = 0.5;
const SAME = 0.3; // overlap from which two boxes are one face
const CROP = 1.5; // crop side over face box side
const EYE_CROP = 2.3; // crop side over eye width
const RIGHT_EYE = [33, 133] as const; // corners, image left to image right; the person's own right and left
const LEFT_EYE = [362, 263] as const;
const LID_SHARES = [1, 1, 0.5]; // the outer ring blends into the mesh
const TILE_PX = 192; // far faces are sought in tiles of large pictures
const SMALLEST_PX = 4; // side of a crop that can still be looked at

/** The tracker's networks. */
export interface TrackerNets {
  readonly shortRange: Net;
  readonly fullRange: Net;
  readonly mesh: Net;
  readonly iris: Net;
}

/** A square of the picture: its middle, side and turn in radians. */
interface Region {
  readonly x: number;
  readonly y: number;
  readonly side: number;
  readonly angle: number;
}

/** A detected face: box and six points `[12]` in pixels. */
interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly marks: Float64Array;
}

/** Points `[478, 2]` in pixels, and 0 to 1, how much this is a face. */
export interface Face {
  readonly points: Float32Array;
  readonly score: number;
}

const sigmoid = (logit: number): number => 1 / (1 + Math.exp(-Math.min(Math.max(logit, -80), 80)));

/** Run a network of one input on a crop, cut into its own memory; outputs by name, good until its next run. */
function looked(net: Net, picture: Picture, affine: Affine, gain: number, offset: number): Record<string, Float32Array> {
  const [{ name, shape }] = net.inputs;
  cut(picture, affine, { out: net.fill(name) as Float32Array, size: shape[1], gain, offset });
  return net.run() as Record<string, Float32Array>;
}

const anchors = new Map<number, Float64Array>();

/** Anchor centres `[A, 2]` in 0..1; short range: 2 per cell of 16 and 6 per cell of 8, full range: 1 of 48. */
function anchorsOf(size: number): Float64Array {
  const known = anchors.get(size);
  if (known !== undefined) return known;
  // Rows of cells: first those of 16, then those of 8; both lists of the short range go through cells in turn.
  const grids = size === 128 ? [[16, 2], [8, 6]] : [[48, 1]];
  const out: number[] = [];
  for (const [side, count] of grids) {
    for (let cell = 0; cell < side * side; cell++) {
      for (let one = 0; one < count; one++) out.push(((cell % side) + 0.5) / side, (Math.floor(cell / side) + 0.5) / side);
    }
  }
  const made = Float64Array.from(out);
  anchors.set(size, made);
  return made;
}

/** Weighted non-maximum suppression of boxes `[16]` (x, y, w, h, six points) with scores. */
function merged(boxes: { values: Float64Array; score: number }[]): Float64Array[] {
  let left = [...boxes].sort((a, b) => b.score - a.score);
  const out: Float64Array[] = [];
  while (left.length > 0) {
    const best = left[0].values;
    const same = left.filter(({ values }, at) => at === 0 || overlap(best, values) > SAME);
    const total = same.reduce((sum, { score }) => sum + score, 0);
    out.push(best.map((_, at) => same.reduce((sum, { values, score }) => sum + values[at] * score, 0) / total));
    left = left.filter((one) => !same.includes(one));
  }
  return out;
}

function overlap(one: Float64Array, other: Float64Array): number {
  const along = (axis: number): number => {
    const low = Math.max(one[axis] - one[axis + 2] / 2, other[axis] - other[axis + 2] / 2);
    return Math.max(Math.min(one[axis] + one[axis + 2] / 2, other[axis] + other[axis + 2] / 2) - low, 0);
  };
  const shared = along(0) * along(1);
  return shared / Math.max(one[2] * one[3] + other[2] * other[3] - shared, 1e-9);
}

/** Views to try in turn, cheap and likely first: square to 0..1, and whether the short range looks at it. */
function views(width: number, height: number): [Affine, boolean][] {
  const side = Math.max(width, height);
  const [x, y] = [width / 2, height / 2];
  const square = (middleX: number, middleY: number, length: number, angle = 0): Affine => upright(middleX, middleY, length, -angle, 1);
  const out: [Affine, boolean][] = [[square(x, y, side), true], [square(x, y, side), false]];
  for (const pad of [0.25, 0.6]) out.push([square(x, y, side * (1 + 2 * pad)), true]);
  for (const turn of [1, 3, 2]) out.push([square(x, y, side, (turn * Math.PI) / 2), true]);
  const tile = 0.4 * side;
  if (tile < TILE_PX) return out;
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      const left = (column / 2) * Math.max(width - tile, 0);
      const top = (row / 2) * Math.max(height - tile, 0);
      out.push([square(left + tile / 2, top + tile / 2, tile), false]);
    }
  }
  return out;
}

/** Faces in one square view, which maps picture pixels to 0..1. */
function detected(picture: Picture, view: Affine, net: Net): Box[] {
  const size = net.inputs[0].shape[1];
  const scaled = view.map((value) => value * size) as unknown as Affine;
  const made = looked(net, picture, scaled, 2 / 255, -1);
  const raw = made[net.outputs.find(({ shape }) => shape[2] === 16)?.name ?? ""];
  const logits = made[net.outputs.find(({ shape }) => shape[2] === 1)?.name ?? ""];
  const places = anchorsOf(size);
  const kept: { values: Float64Array; score: number }[] = [];
  logits.forEach((logit, anchor) => {
    const score = sigmoid(logit);
    if (score <= MIN_SCORE) return;
    const values = Float64Array.from(raw.subarray(16 * anchor, 16 * anchor + 16), (value, at) => {
      const base = at === 2 || at === 3 ? 0 : places[2 * anchor + (at % 2)];
      return value / size + base;
    });
    kept.push({ values, score });
  });
  const back = inverse(view);
  const scale = growth(back);
  return merged(kept).map((values) => {
    const [x, y] = through(back, values[0], values[1]);
    const [width, height] = [values[2] * scale, values[3] * scale];
    const marks = new Float64Array(12);
    for (let mark = 0; mark < 6; mark++) marks.set(through(back, values[4 + 2 * mark], values[5 + 2 * mark]), 2 * mark);
    return { x: x - width / 2, y: y - height / 2, width, height, marks };
  });
}

function regionOfBox({ x, y, width, height, marks }: Box): Region {
  const angle = Math.atan2(marks[3] - marks[1], marks[2] - marks[0]);
  return { x: x + width / 2, y: y + height / 2, side: CROP * Math.max(width, height), angle };
}

function regionOfPoints(points: Float32Array): Region {
  let [left, top, right, low] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let at = 0; at < 2 * MESH; at += 2) {
    left = Math.min(left, points[at]);
    right = Math.max(right, points[at]);
    top = Math.min(top, points[at + 1]);
    low = Math.max(low, points[at + 1]);
  }
  const [from, to] = [2 * RIGHT_EYE[0], 2 * LEFT_EYE[1]];
  const angle = Math.atan2(points[to + 1] - points[from + 1], points[to] - points[from]);
  return { x: (left + right) / 2, y: (top + low) / 2, side: CROP * Math.max(right - left, low - top), angle };
}

/** The next crop: it drifts after a face that is nearly still and jumps after one that moves. */
function eased(last: Region, found: Region): Region {
  const turn = Math.atan2(Math.sin(found.angle - last.angle), Math.cos(found.angle - last.angle));
  const away = Math.hypot(found.x - last.x, found.y - last.y) / last.side;
  const share = Math.min(1, 0.15 + 10 * Math.max(away, Math.abs(found.side / last.side - 1), Math.abs(turn)));
  return {
    x: last.x + share * (found.x - last.x),
    y: last.y + share * (found.y - last.y),
    side: last.side + share * (found.side - last.side),
    angle: last.angle + share * turn,
  };
}

/** Points of a network's crop `[K, 3]` back in the picture, `[K, 2]`. */
function placed(raw: Float32Array, count: number, back: Affine): Float32Array {
  const out = new Float32Array(2 * count);
  for (let point = 0; point < count; point++) out.set(through(back, raw[3 * point], raw[3 * point + 1]), 2 * point);
  return out;
}

/** 468 points `[468, 2]` and the score of one crop. */
function meshed(picture: Picture, region: Region, net: Net): Face {
  const affine = upright(region.x, region.y, region.side, region.angle, 192);
  const made = looked(net, picture, affine, 1 / 255, 0);
  return { points: placed(made.conv2d_21, MESH, inverse(affine)), score: sigmoid(made.conv2d_31[0]) };
}

/** Lid rings `[48, 2]` and iris `[5, 2]` of one eye; the left one is shown to the network mirrored. */
function irised(picture: Picture, points: Float32Array, corners: readonly [number, number], mirror: boolean, net: Net): [Float32Array, Float32Array] {
  const [one, other] = corners;
  const across = points[2 * other] - points[2 * one];
  const down = points[2 * other + 1] - points[2 * one + 1];
  const side = EYE_CROP * Math.max(Math.abs(across), Math.abs(down));
  const [x, y] = [points[2 * one] + across / 2, points[2 * one + 1] + down / 2];
  const affine = upright(x, y, side, Math.atan2(down, across), 64, mirror);
  const made = looked(net, picture, affine, 1 / 255, 0);
  const back = inverse(affine);
  const iris = placed(made.output_iris, 5, back);
  if (mirror) [iris[2], iris[3], iris[6], iris[7]] = [iris[6], iris[7], iris[2], iris[3]]; // left and right of the ring
  return [placed(made.output_eyes_contours_and_brows, 48, back), iris];
}

/** Mesh and irises from a crop; more rounds re-centre the crop on the points just found. */
function followed(picture: Picture, begin: Region, rounds: number, nets: TrackerNets): Face | null {
  let region = begin;
  let mesh: Face | null = null;
  for (let round = 0; round < rounds; round++) {
    mesh = meshed(picture, region, nets.mesh);
    if (mesh.score < MIN_SCORE || !mesh.points.every(Number.isFinite)) return null;
    region = regionOfPoints(mesh.points);
    if (region.side < SMALLEST_PX) return null;
  }
  if (mesh === null) return null;
  const points = new Float32Array(2 * POINTS);
  points.set(mesh.points);
  const eyes = [irised(picture, points, RIGHT_EYE, false, nets.iris), irised(picture, points, LEFT_EYE, true, nets.iris)];
  eyes.forEach(([lids, iris], eye) => {
    points.set(iris, 2 * (MESH + 5 * eye));
    IRIS_LIDS[eye].forEach((point, at) => {
      const share = LID_SHARES[Math.floor(at / 16)];
      for (let axis = 0; axis < 2; axis++) points[2 * point + axis] += share * (lids[2 * at + axis] - points[2 * point + axis]);
    });
  });
  return { points, score: mesh.score };
}

/** Height of the face along its own axis, forehead to chin, in pixels. */
function heightOf({ points }: Face): number {
  return Math.hypot(points[304] - points[20], points[305] - points[21]);
}

/** Finds the largest face and follows it from picture to picture. */
export class FaceTracker {
  private region: Region | null = null;

  constructor(private readonly nets: TrackerNets) {}

  /** Forget the face that was followed. */
  reset(): void {
    this.region = null;
  }

  /** The face in a picture, or null. */
  track(picture: Picture): Face | null {
    if (this.region !== null) {
      const face = followed(picture, this.region, 1, this.nets);
      if (face !== null) {
        this.region = eased(this.region, regionOfPoints(face.points));
        return face;
      }
    }
    const found = this.find(picture);
    this.region = found === null ? null : regionOfPoints(found.points);
    return found;
  }

  private find(picture: Picture): Face | null {
    for (const [view, shortRange] of views(picture.width, picture.height)) {
      const boxes = detected(picture, view, shortRange ? this.nets.shortRange : this.nets.fullRange);
      const faces = boxes.flatMap((box) => followed(picture, regionOfBox(box), 2, this.nets) ?? []);
      if (faces.length > 0) return faces.reduce((best, face) => (heightOf(face) > heightOf(best) ? face : best));
    }
    return null;
  }
}
