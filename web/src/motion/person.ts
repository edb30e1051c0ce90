/**
 * What is learned about one person while frames go by: identity, offsets, open eyes, straight gaze, rest; and the fit of
 * a single frame that it begins with. Twin of `Person` and `fit_photo` of `liveface/motion/solve.py`.
 */

import { FaceModel, MESH, POINTS } from "./face_model.js";
import { JAW, LinearFit, Pose, SeenModes, WITNESSES, firstPose, unmix } from "./fit.js";
import { added, percentile, solved } from "./linear.js";
import { clipped } from "./motion.js";
import { type Eyes, OPEN_CM, boundsOf, expressionPriors, jawLimit, measured, readEyes, together } from "./read_face.js";
import { REST_LIMIT } from "./tables.js";

const PORTION = 3.0; // independent points that one more frame adds to the identity
const HISTORY = 600; // frames remembered
const ROUNDS = 6; // of the fit of a single frame

/** A face model fitted to one picture: identity, coefficients `[52]` and pose. */
export interface PhotoFit {
  readonly identity: Float64Array;
  readonly expression: Float32Array;
  readonly pose: Pose;
}

/** Fits single frames: pose, identity and expression, eyes taken as open. */
export class PhotoFitter {
  private readonly fit: LinearFit;

  constructor(
    private readonly model: FaceModel,
    modes: SeenModes,
  ) {
    this.fit = new LinearFit(modes);
  }

  /** From points `[478, 2]` in pixels. */
  solve(points: Float32Array): PhotoFit {
    const { model } = this;
    const priors = expressionPriors(model.modes);
    let values = new Float64Array(52 + model.modes);
    let pose = firstPose(points, model.mean);
    for (let round = 0; round < ROUNDS; round++) {
      const eyes = readEyes(points, pose, model.eyes(values.subarray(52)));
      const open = eyes.gapCm.map((gap) => Math.max(gap, 0.6 * OPEN_CM));
      const bounds = boundsOf(measured(together(eyes.gaze), eyes.gapCm, open), jawLimit(points, pose), model.modes);
      [pose, values] = this.fit.step(points, model.mean, pose, values, priors, bounds) as [Pose, Float64Array<ArrayBuffer>];
    }
    if (!values.every(Number.isFinite) || !(pose.scale > 0)) {
      throw new Error(`the ${points.length / 2} points in this picture do not form a face; use another.`);
    }
    return { identity: values.slice(52), expression: unmix(values), pose };
  }
}

export class Person {
  frames = 0;
  base: Float32Array; // the neutral face
  centres: Float32Array; // of the eyeballs, [2, 3]
  openCm: readonly [number, number] = [OPEN_CM, OPEN_CM];
  straight = new Float32Array(4);
  rest = new Float32Array(52);
  private identity: Float64Array;
  private readonly offset = new Float32Array(3 * POINTS);
  private readonly seen: SeenModes; // of the identity
  private readonly matrix: Float64Array;
  private readonly vector: Float64Array;
  private history: Float32Array[] = []; // lid gaps, gaze and coefficients, [58]

  constructor(
    private readonly model: FaceModel,
    modes: SeenModes,
  ) {
    this.seen = modes.part(52, modes.count, PORTION / WITNESSES);
    this.identity = new Float64Array(model.modes);
    this.matrix = new Float64Array(model.modes ** 2);
    for (let at = 0; at < model.modes; at++) this.matrix[at * model.modes + at] = 1;
    this.vector = new Float64Array(model.modes);
    this.base = model.mean;
    this.centres = model.eyeCentre;
  }

  /** Start from a fit of the first frame. */
  begin(photo: PhotoFit): void {
    const { modes } = this.model;
    this.identity = photo.identity;
    this.matrix.fill(0);
    for (let at = 0; at < modes; at++) {
      this.matrix[at * modes + at] = 3; // the first guess counts like a few frames
      this.vector[at] = 3 * photo.identity[at];
    }
    this.refresh();
  }

  /** Take one fitted frame into account; the more frames were seen, the less one changes. */
  learn(points: Float32Array, pose: Pose, expression: Float32Array, eyes: Eyes): void {
    this.frames += 1;
    const { model, frames } = this;
    const flat = pose.flatten(points);
    const shown = added(model.mean, model.expression, expression);
    const shape = added(this.base, model.expression, expression);
    const aim = new Float32Array(2 * POINTS);
    for (let point = 0; point < MESH; point++) {
      for (let axis = 0; axis < 2; axis++) {
        const at = 2 * point + axis;
        aim[at] = (flat[at] - pose.turned(shown, point, axis)) * this.seen.weights[point];
      }
    }
    const matrix = this.seen.matrix(pose.rotation);
    const [vector] = this.seen.along(pose.rotation, [aim]);
    matrix.forEach((value, at) => (this.matrix[at] += value));
    vector.forEach((value, at) => (this.vector[at] += value));
    if (frames <= 60 || frames % 5 === 0) this.identity = solved(this.matrix.slice(), this.vector.slice(), model.modes);
    const share = 1 / (Math.min(frames, 300) + 15);
    const r = pose.rotation;
    for (let point = 0; point < MESH; point++) {
      const x = flat[2 * point] - pose.turned(shape, point, 0);
      const y = flat[2 * point + 1] - pose.turned(shape, point, 1);
      for (let axis = 0; axis < 3; axis++) this.offset[3 * point + axis] += share * (x * r[axis] + y * r[3 + axis]);
    }
    this.refresh();
    if (frames <= 30 || frames % 3 === 0) {
      this.history.push(Float32Array.of(...eyes.gapCm, ...eyes.gaze, ...expression));
      if (this.history.length > HISTORY) this.history.shift();
    }
    if (frames <= 30 || frames % 10 === 0) this.summarise();
  }

  private refresh(): void {
    this.base = this.model.points(this.identity, null).map((value, at) => value + this.offset[at]);
    this.centres = this.model.eyes(this.identity);
  }

  /** Open eyes, straight gaze and resting expression from what was seen so far. */
  private summarise(): void {
    const count = this.history.length;
    const column = (at: number, share: number): number => percentile(Float64Array.from(this.history, (row) => row[at]), share);
    const known = count / (count + 4);
    const sure = count / (count + 20);
    const open = (eye: number): number => known * clipped(column(eye, 65), 0.45, 1.5) + (1 - known) * OPEN_CM;
    this.openCm = [open(0), open(1)];
    this.straight = this.straight.map((_, at) => clipped(column(2 + at, 50), -0.2, 0.2) * sure);
    // Mouths that are mostly open still close now and then.
    this.rest = this.rest.map((_, at) => Math.min(column(6 + at, at === JAW ? 4 : 15), REST_LIMIT[at]) * sure);
  }
}
