/**
 * The face in three dimensions: mean, identity modes and the 52 ARKit expressions on the tracker's 478 points.
 * Twin of `liveface/motion/face_model.py`.
 */

import { readNpz } from "../avatar/npz.js";
import { added } from "./linear.js";
import { LID_EDGES } from "./tables.js";

export const POINTS = 478;
export const MESH = 468; // points before those of the irises
/** First and last point plus one of each iris, the person's left, then right. */
export const IRIS = [[473, 478], [468, 473]] as const;

/** `mean` `[478, 3]`, `identity` `[I, 478, 3]`, `expression` `[52, 478, 3]`, `eyeCentre` `[2, 3]`, left then right; cm. */
export class FaceModel {
  readonly modes: number;
  private readonly lids: Float32Array; // [I, 2, 3]: how each identity mode moves the middle of the lids

  constructor(
    readonly mean: Float32Array,
    readonly identity: Float32Array,
    readonly expression: Float32Array,
    readonly eyeCentre: Float32Array,
  ) {
    const width = 3 * POINTS;
    this.modes = identity.length / width;
    if (mean.length !== width || expression.length !== 52 * width || eyeCentre.length !== 6 || this.modes % 1 !== 0) {
      throw new Error("the face model has arrays of another shape; expected face_model.npz of the export: export the folder again.");
    }
    this.lids = new Float32Array(this.modes * 6);
    for (let mode = 0; mode < this.modes; mode++) {
      LID_EDGES.forEach((points, eye) => {
        for (const point of points) {
          for (let axis = 0; axis < 3; axis++) {
            this.lids[6 * mode + 3 * eye + axis] += identity[mode * width + 3 * point + axis] / points.length;
          }
        }
      });
    }
  }

  /** From `face_model.npz`. */
  static async read(file: Uint8Array<ArrayBuffer>): Promise<FaceModel> {
    const stored = await readNpz(file, "face_model.npz");
    const [mean, identity, expression, centre] = ["mean", "identity", "expression", "eye_centre"].map(
      (name) => (stored.get(name)?.values ?? new Float32Array()) as Float32Array,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    return new FaceModel(mean, identity, expression, centre);
  }

  /** The face `[478, 3]` of an identity and, unless null, an expression. */
  points(identity: ArrayLike<number>, expression: ArrayLike<number> | null): Float32Array {
    const shape = added(this.mean, this.identity, identity);
    return expression === null ? shape : added(shape, this.expression, expression);
  }

  /** Centres `[2, 3]` of both eyeballs, left then right, for an identity. */
  eyes(identity: ArrayLike<number>): Float32Array {
    return added(this.eyeCentre, this.lids, identity);
  }
}
