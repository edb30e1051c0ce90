/** The mirror: loads the tracker's networks and the face model, and follows the face before the webcam. */

import type { LiteRt } from "./litert.js";
import { FaceModel } from "./motion/face_model.js";
import { CameraFace } from "./track/camera.js";
import type { MotionFrame, Picture } from "./types.js";

/** What the worker asks of a webcam's face; see `CameraFace`. */
export interface Mirror {
  readonly ready: boolean;
  see(picture: Picture): MotionFrame | null;
  centre(): void;
}

/** Files of the folder that the mirror reads. */
export const MIRROR_FILES = [
  "face_detection_short_range.tflite", "face_detection_full_range_sparse.tflite", "face_landmark.tflite", "iris_landmark.tflite",
  "face_model.npz",
] as const;

/** A mirror, from files that `read` gives by name. */
export async function openMirror(litert: LiteRt, read: (name: string) => Promise<Uint8Array<ArrayBuffer>>): Promise<Mirror> {
  const files = await Promise.all(MIRROR_FILES.map(read));
  const [shortRange, fullRange, mesh, iris] = await Promise.all(files.slice(0, 4).map((file) => litert.open(file)));
  return new CameraFace({ shortRange, fullRange, mesh, iris }, await FaceModel.read(files[4]));
}
