/** The vectors of tools/web_motion_vectors.py, and how near the browser's motion must come to Python's. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Motion } from "../src/motion/motion.js";
import { ARKIT_NAMES } from "../src/motion/tables.js";

const FOLDER = "../tests/web/vectors";
const STEP = 1e-4; // of stored motion
const FAR = 0.02; // of any coefficient, what a face may differ
const USUAL = 0.002; // root mean square
const NAMES = [...ARKIT_NAMES, ..."pitch yaw roll x y z leftPitch leftYaw rightPitch rightYaw".split(" ")];

export function stored(name: string): Buffer {
  return readFileSync(`${FOLDER}/${name}`);
}

/** Numbers of two bytes. */
export function shorts(bytes: Buffer, step: number): Float32Array {
  return Float32Array.from({ length: bytes.length / 2 }, (_, at) => bytes.readInt16LE(2 * at) * step);
}

/** Frames of stored motion. */
export function unpacked(text: string): Motion[] {
  const values = shorts(Buffer.from(text, "base64"), STEP);
  return Array.from({ length: values.length / NAMES.length }, (_, frame) => {
    const row = values.slice(NAMES.length * frame, NAMES.length * (frame + 1));
    return { expression: row.slice(0, 52), head: row.slice(52, 58), gaze: row.slice(58) };
  });
}

const row = ({ expression, head, gaze }: Motion): number[] => [...expression, ...head, ...gaze];

/** Compare motion with Python's, and tell the largest difference and the root mean square of all. */
export function moves(motions: Motion[], wanted: string, name: string): void {
  const rows = unpacked(wanted).map(row);
  assert.equal(motions.length, rows.length);
  let worst = { far: 0, frame: 0, name: "" };
  let squares = 0;
  motions.forEach((motion, frame) => {
    row(motion).forEach((value, column) => {
      const far = Math.abs(value - rows[frame][column]);
      squares += far * far;
      if (!(far <= worst.far)) worst = { far, frame, name: NAMES[column] };
    });
  });
  const usual = Math.sqrt(squares / motions.length / NAMES.length);
  console.log(`${name}: ${motions.length} frames, rms ${usual.toFixed(5)}, worst ${worst.far.toFixed(4)} (${worst.name}, frame ${worst.frame})`);
  assert.ok(usual < USUAL && worst.far < FAR);
}
