/** Pictures of the vectors: PNG of 8 bits a channel, RGB, not interlaced. Source: the PNG specification, W3C. */

import { inflateSync } from "node:zlib";
import type { Picture } from "../src/types.js";

export function readPng(file: Buffer): Picture {
  const width = file.readUInt32BE(16);
  const height = file.readUInt32BE(20);
  if (file.readUInt16BE(24) !== 0x0802 || file[28] !== 0) throw new Error("expected a PNG of 8-bit RGB without interlacing");
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  const rows = inflateSync(Buffer.concat(parts));
  const stride = 3 * width;
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  let above = new Uint8Array(stride);
  for (let row = 0; row < height; row++) {
    const begin = row * (stride + 1);
    const filter = rows[begin];
    const line = Uint8Array.from(rows.subarray(begin + 1, begin + 1 + stride));
    for (let at = 0; at < stride; at++) {
      const left = at < 3 ? 0 : line[at - 3];
      const corner = at < 3 ? 0 : above[at - 3];
      line[at] += [0, left, above[at], (left + above[at]) >> 1, paeth(left, above[at], corner)][filter];
    }
    for (let at = 0; at < stride; at++) data[4 * (row * width + Math.floor(at / 3)) + (at % 3)] = line[at];
    above = line;
  }
  return { data, width, height };
}

function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner;
  const [a, b, c] = [left, above, corner].map((one) => Math.abs(guess - one)) as [number, number, number];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}
