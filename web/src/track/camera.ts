/**
 * `CameraFace`: pictures of a webcam in, the motion of the face in them out. Twin of `liveface/live/camera.py`.
 *
 * Notable choices: the first second calibrates the person and where the head rests, while the avatar lives on by itself;
 * what is computed then is spread over pictures, because the same thread draws the avatar.
 */

import { SeenModes } from "../motion/fit.js";
import type { FaceModel } from "../motion/face_model.js";
import { type Motion, HOUSE_FPS, clipped } from "../motion/motion.js";
import { percentile } from "../motion/linear.js";
import { MotionSolver } from "../motion/solve.js";
import { WIDENED } from "../motion/tables.js";
import { type TrackerNets, FaceTracker } from "../signals/face.js";
import type { Picture } from "../types.js";

const CALIBRATE_FACES = 24; // faces that calibrate: 0.8 s
const AT_ONCE = 4; // faces that are fitted again with each picture that follows
const SIDES_PX = [64, 1280] as const;

/** Solved coefficients `[52]` as large as the face really moves. */
export function widened(expression: Float32Array): Float32Array {
  return expression.map((value, at) => clipped(value * WIDENED[at], 0, 1));
}

/** Follows one person in front of a camera. */
export class CameraFace {
  private readonly tracker: FaceTracker;
  private readonly modes: SeenModes;
  private solver: MotionSolver | null = null;
  private size = "";
  private faces: Float32Array[] = []; // points of those that calibrate
  private learning: Generator<void, Float32Array> | null = null;
  private rest: Float32Array | null = null; // where the head rests, [6]

  constructor(
    nets: TrackerNets,
    private readonly model: FaceModel,
  ) {
    this.tracker = new FaceTracker(nets);
    this.modes = SeenModes.of(model);
  }

  /** Whether the person is known, so that motion comes out. */
  get ready(): boolean {
    return this.rest !== null;
  }

  /** Begin anew: the person, and the pose that counts as rest. */
  centre(): void {
    this.tracker.reset();
    this.solver = this.rest = this.learning = null;
    this.faces = [];
  }

  /** The motion of a picture; null while calibrating, or where no face is seen. */
  see(picture: Picture): Motion | null {
    const { width, height } = picture;
    if (Math.min(width, height) < SIDES_PX[0] || Math.max(width, height) > SIDES_PX[1]) {
      throw new Error(`the camera's picture has ${width} x ${height} pixels; expected ${SIDES_PX[0]} to ${SIDES_PX[1]} a side.`);
    }
    if (`${width}x${height}` !== this.size) this.centre();
    this.size = `${width}x${height}`;
    this.solver ??= new MotionSolver(this.model, HOUSE_FPS, this.modes);
    const face = this.tracker.track(picture);
    if (face === null) return null;
    const { rest } = this;
    if (rest === null) {
      this.learn(face.points, this.solver);
      return null;
    }
    const { expression, head, gaze } = this.solver.step(face.points);
    return { expression: widened(expression), head: head.map((value, at) => value - rest[at]), gaze };
  }

  /** Take a face into the calibration; what it asks for is done a few faces at a time. */
  private learn(points: Float32Array, solver: MotionSolver): void {
    if (this.faces.length < CALIBRATE_FACES) {
      this.faces.push(points);
      solver.follow(points);
      return;
    }
    this.learning ??= calibrated(this.faces, solver);
    const { value, done } = this.learning.next();
    if (!done) return;
    this.rest = value;
    this.learning = null;
    this.faces = [];
  }
}

/** Look at the faces a second time, then for where the head rests: the median of its poses `[6]`. */
function* calibrated(faces: readonly Float32Array[], solver: MotionSolver): Generator<void, Float32Array> {
  solver.again();
  for (const [at, points] of faces.entries()) {
    solver.follow(points);
    if (at % AT_ONCE === AT_ONCE - 1) yield;
  }
  solver.settle();
  const heads: Float32Array[] = [];
  for (const [at, points] of faces.entries()) {
    heads.push(solver.step(points).head);
    if (at % AT_ONCE === AT_ONCE - 1 && at + 1 < faces.length) yield;
  }
  solver.settle(); // back to the beginning, the person stays known
  return Float32Array.from({ length: 6 }, (_, axis) => percentile(Float64Array.from(heads, (head) => head[axis]), 50));
}
