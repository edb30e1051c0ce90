/**
 * `MotionSolver`: from tracked points to motion: pose, identity, ARKit coefficients and gaze of one face.
 * Twin of `liveface/motion/solve.py`; see there for choices.
 */

import { FaceModel, MESH } from "./face_model.js";
import { CLOSE, JAW, LinearFit, Pose, SeenModes, firstPose, mix, unmix } from "./fit.js";
import { type Motion, clipped } from "./motion.js";
import { type EuroState, OneEuro } from "./one_euro.js";
import { Person, PhotoFitter } from "./person.js";
import { type Eyes, boundsOf, expressionPriors, jawLimit, measured, readEyes, together } from "./read_face.js";
import { EXPRESSION_CUTOFF_HZ, GAZE_CUTOFF_HZ, HEAD_CUTOFF_HZ, HEAD_SLOPE, RIVALS } from "./tables.js";

const DISTANCE_CM = 60.0; // viewing distance assumed to turn growth of the face into movement along z
const LOST_CM = 0.6; // rms distance of the points at which the fit is started anew
const EXPRESSION_SLOPE = 6.0;
const GAZE_SLOPE = 12.0;
const SHUT = 0.4; // share of the open lid gap below which the lid hides the iris

interface Filters {
  expression: EuroState;
  head: EuroState;
  gaze: EuroState;
}

/** Turns the tracked points of one person, frame by frame, into motion; rotation is absolute, translation relative. */
export class MotionSolver {
  readonly person: Person;
  private readonly fit: LinearFit;
  private readonly photos: PhotoFitter;
  private readonly priors = expressionPriors();
  private readonly smoothers: { expression: OneEuro; head: OneEuro; gaze: OneEuro };
  private pose: Pose | null = null;
  private origin: Pose | null = null;
  private values = new Float64Array(52);
  private gaze = new Float32Array(4);
  private learning = true;
  private filters: Filters = { expression: null, head: null, gaze: null };

  /** `modes` are those of the model, made once for all solvers. */
  constructor(model: FaceModel, fps: number, modes: SeenModes = SeenModes.of(model)) {
    this.person = new Person(model, modes);
    this.fit = new LinearFit(modes.part(0, 52));
    this.photos = new PhotoFitter(model, modes);
    this.smoothers = {
      expression: new OneEuro(fps, EXPRESSION_CUTOFF_HZ, new Float32Array(52).fill(EXPRESSION_SLOPE)),
      head: new OneEuro(fps, HEAD_CUTOFF_HZ, HEAD_SLOPE),
      gaze: new OneEuro(fps, GAZE_CUTOFF_HZ, new Float32Array(4).fill(GAZE_SLOPE)),
    };
  }

  /** Begin a further look at the same frames, to learn the person better. */
  again(): void {
    this.pose = null;
  }

  /** Keep the person as it is known now, and go back to the beginning. */
  settle(): void {
    this.learning = false;
    this.pose = this.origin = null;
    this.filters = { expression: null, head: null, gaze: null };
  }

  /** The motion of one frame's points `[478, 2]` in pixels. */
  step(points: Float32Array): Motion {
    const [raw, gaze, pose] = this.follow(points);
    this.origin ??= pose;
    const { rest } = this.person;
    const expression = raw.map((value, at) => clipped((value - rest[at]) / (1 - rest[at]), 0, 1));
    for (const [one, other] of RIVALS.slice(0, 2)) {
      const both = Math.min(expression[one], expression[other]);
      expression[one] -= both;
      expression[other] -= both;
    }
    expression[CLOSE] = Math.min(expression[CLOSE], expression[JAW]);
    const { origin, smoothers, filters } = this;
    const shift = [(pose.x - origin.x) / pose.scale, (pose.y - origin.y) / pose.scale];
    const head = Float32Array.of(...pose.angles, ...shift, DISTANCE_CM * (origin.scale / pose.scale - 1));
    const made = {
      expression: smoothers.expression.step(filters.expression, expression),
      head: smoothers.head.step(filters.head, head),
      gaze: smoothers.gaze.step(filters.gaze, gaze),
    };
    this.filters = made;
    return { expression: made.expression.value.map((value) => clipped(value, 0, 1)), head: made.head.value, gaze: made.gaze.value };
  }

  /** Fit one frame: raw coefficients, gaze and pose, before rest is taken off and before smoothing. */
  follow(points: Float32Array): [Float32Array, Float32Array, Pose] {
    const { person } = this;
    if (this.pose === null) {
      const photo = this.photos.solve(points);
      if (person.frames === 0) person.begin(photo);
      this.pose = photo.pose;
      this.values = mix(photo.expression) as Float64Array<ArrayBuffer>;
    }
    let [pose, eyes] = this.refine(points, this.pose, 2);
    if (this.misfitCm(points, pose) > LOST_CM) {
      this.values = new Float64Array(52); // a cut or a leap: the last frame is no start
      [pose, eyes] = this.refine(points, firstPose(points, person.base), 5);
    }
    this.pose = pose;
    const raw = unmix(this.values);
    if (this.learning && this.misfitCm(points, pose) < LOST_CM) person.learn(points, pose, raw, eyes);
    return [raw, this.gaze, pose];
  }

  /** Gauss-Newton from a pose and the present coefficients, eyes measured anew in each round. */
  private refine(points: Float32Array, begin: Pose, rounds: number): [Pose, Eyes] {
    const { person } = this;
    let pose = begin;
    let gaze = this.gaze;
    let eyes: Eyes = { gapCm: person.openCm, gaze };
    for (let round = 0; round < rounds; round++) {
      eyes = readEyes(points, pose, person.centres);
      const hidden = eyes.gapCm.some((gap, eye) => gap < SHUT * person.openCm[eye]); // a closing lid hides the iris
      gaze = hidden ? this.gaze : together(eyes.gaze).map((value, at) => value - person.straight[at]);
      const bounds = boundsOf(measured(gaze, eyes.gapCm, person.openCm), jawLimit(points, pose));
      const [next, values] = this.fit.step(points, person.base, pose, this.values, this.priors, bounds);
      pose = next;
      this.values = values as Float64Array<ArrayBuffer>;
    }
    this.gaze = gaze as Float32Array<ArrayBuffer>;
    return [pose, eyes];
  }

  private misfitCm(points: Float32Array, pose: Pose): number {
    const shape = this.fit.shape(this.person.base, this.values);
    const flat = pose.flatten(points);
    let sum = 0;
    for (let point = 0; point < MESH; point++) {
      sum += (flat[2 * point] - pose.turned(shape, point, 0)) ** 2 + (flat[2 * point + 1] - pose.turned(shape, point, 1)) ** 2;
    }
    return Math.sqrt(sum / MESH);
  }
}
