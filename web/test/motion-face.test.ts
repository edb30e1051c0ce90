/** A webcam drives the face in TypeScript as in Python: the vectors of tools/web_motion_vectors.py. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LiteRt, variant } from "../src/litert.js";
import { openMirror } from "../src/mirror.js";
import { FaceModel } from "../src/motion/face_model.js";
import { type Motion, HOUSE_FPS } from "../src/motion/motion.js";
import { MotionSolver } from "../src/motion/solve.js";
import { type TrackerNets, FaceTracker } from "../src/signals/face.js";
import type { Picture } from "../src/types.js";
import { PACKAGE, wasmBytes } from "./files.js";
import { readPng } from "./png.js";
import { moves, shorts, stored } from "./vectors.js";

const POINT_STEP = 0.02; // pixels, of stored points
const FAR_PX = 0.25; // root mean square of the points of a face 110 pixels high: 0.5 % of the distance of its eyes

interface Vectors {
  solved: { leap: number; learning: string; known: string };
  tracked: { count: number; points: string; far: string; motion: string };
}

const { solved, tracked } = JSON.parse(stored("motion-face.json").toString()) as Vectors;
const read = async (name: string): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(readFileSync(`${PACKAGE}/data/${name}`));

/** Stored points of all frames; from the leap on the face is turned and elsewhere. */
function storedPoints(): Float32Array[] {
  const all = shorts(stored("motion-points.bin"), POINT_STEP);
  return Array.from({ length: all.length / 956 }, (_, frame) => {
    const points = all.slice(956 * frame, 956 * (frame + 1));
    if (frame < solved.leap) return points;
    return points.map((_, at) => {
      const [x, y] = [points[at - (at % 2)] - 180, points[at - (at % 2) + 1] - 330];
      return at % 2 === 0 ? 0.8 * x - 0.6 * y + 190 : 0.6 * x + 0.8 * y + 340;
    });
  });
}

function storedPictures(): Picture[] {
  const { data, width, height } = readPng(stored("motion-faces.png"));
  const rows = height / tracked.count;
  return Array.from({ length: tracked.count }, (_, at) => ({
    data: data.slice(4 * width * rows * at, 4 * width * rows * (at + 1)), width, height: rows,
  }));
}

async function openNets(): Promise<TrackerNets> {
  const litert = await LiteRt.load(wasmBytes(variant()));
  const open = async (name: string) => litert.open(await read(`${name}.tflite`));
  return {
    shortRange: await open("face_detection_short_range"),
    fullRange: await open("face_detection_full_range_sparse"),
    mesh: await open("face_landmark"),
    iris: await open("iris_landmark"),
  };
}

function near(points: Float32Array, wanted: Float32Array, what: string): void {
  const away = points.map((value, at) => Math.abs(value - wanted[at]));
  const usual = Math.sqrt(away.reduce((sum, one) => sum + one * one, 0) / points.length);
  const worst = Math.max(...away);
  console.log(`${what}: rms ${usual.toFixed(3)} px, worst ${worst.toFixed(3)} px`);
  assert.ok(usual < FAR_PX);
}

test("points to motion, learning while it goes, over a leap", async () => {
  const solver = new MotionSolver(await FaceModel.read(await read("face_model.npz")), HOUSE_FPS);
  moves(storedPoints().map((points) => solver.step(points)), solved.learning, "learning");
});

test("points to motion of a person known beforehand", async () => {
  const solver = new MotionSolver(await FaceModel.read(await read("face_model.npz")), HOUSE_FPS);
  const points = storedPoints();
  for (let look = 0; look < 2; look++) {
    solver.again();
    for (let at = 0; at < solved.leap - 1; at += 2) solver.follow(points[at]);
  }
  solver.settle();
  moves(points.map((one) => solver.step(one)), solved.known, "known");
});

test("pictures to points, followed, and found in a large picture", async () => {
  const nets = await openNets();
  const tracker = new FaceTracker(nets);
  const wanted = shorts(Buffer.from(tracked.points, "base64"), POINT_STEP);
  storedPictures().forEach((picture, at) => {
    const face = tracker.track(picture);
    assert.ok(face);
    near(face.points, wanted.subarray(956 * at, 956 * (at + 1)), `picture ${at}`);
  });
  const [first] = storedPictures();
  const times = 4;
  const data = new Uint8ClampedArray(first.data.length * times * times);
  const large = { data, width: first.width * times, height: first.height * times };
  for (let at = 0; at < data.length; at++) {
    const [x, y] = [Math.floor((at / 4) % large.width / times), Math.floor(at / 4 / large.width / times)];
    data[at] = first.data[4 * (y * first.width + x) + (at % 4)];
  }
  const face = new FaceTracker(nets).track(large);
  assert.ok(face);
  near(face.points.map((value) => value / times), shorts(Buffer.from(tracked.far, "base64"), POINT_STEP), "large picture");
});

test("pictures to motion: the mirror calibrates itself, then follows", async () => {
  const mirror = await openMirror(await LiteRt.load(wasmBytes(variant())), read);
  const pictures = storedPictures();
  const motions: Motion[] = [];
  for (let at = 0; at < 36 + 2 * pictures.length; at++) {
    const motion = mirror.see(pictures[at % pictures.length]);
    assert.equal(motion !== null, at >= 36);
    if (motion !== null) motions.push(motion);
  }
  assert.ok(mirror.ready);
  moves(motions, tracked.motion, "mirror");
});

test("a picture without a face moves nothing, one that is too small is refused, and another size calibrates anew", async () => {
  const mirror = await openMirror(await LiteRt.load(wasmBytes(variant())), read);
  const grey = (width: number, height: number): Picture => ({ data: new Uint8ClampedArray(4 * width * height).fill(120), width, height });
  assert.equal(mirror.see(grey(160, 200)), null);
  assert.throws(() => mirror.see(grey(32, 32)), /32 x 32 pixels; expected 64 to 1280/);
  const [picture] = storedPictures();
  for (let at = 0; at < 37; at++) mirror.see(picture);
  assert.ok(mirror.ready);
  assert.equal(mirror.see(grey(200, 160)), null);
  assert.ok(!mirror.ready);
});
