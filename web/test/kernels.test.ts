/** The kernels against the same arithmetic written plainly. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { inverse } from "../src/render/geometry.js";
import { tilesOf } from "../src/render/layer.js";
import { type Kernels, openKernels, spotOf } from "../src/render/pixels.js";

const memory = new WebAssembly.Memory({ initial: 64 });
let kernels: Kernels;
let seed = 1;

before(async () => {
  kernels = await openKernels(readFileSync("out/test/kernels.wasm"), memory);
});

function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
}

/** `count` random bytes at an address. */
function noise(place: number, count: number): Uint8Array {
  const bytes = new Uint8Array(memory.buffer, place, count);
  for (let at = 0; at < count; at++) bytes[at] = Math.floor(256 * random());
  return bytes;
}

const product = (a: number, b: number): number => Math.round((a * b) / 255);

test("mixing rounds to the nearest for every pair of bytes", () => {
  const [before_, after] = [noise(0, 4096), noise(4096, 4096)];
  for (const [share, parts] of [[1, 3], [2, 3], [1, 5], [3, 7]] as const) {
    kernels.mix(0, 4096, 8192, 4096, share, parts);
    const made = new Uint8Array(memory.buffer, 8192, 4096);
    made.forEach((value, at) => assert.equal(value, Math.round((before_[at] * (parts - share) + after[at] * share) / parts)));
  }
});

test("a patch is what its integers say, faded by the window, with an empty border", () => {
  const [rows, columns, size, zero] = [2, 3, 0.0047, -100];
  const grid = new Int8Array(noise(0, rows * columns * 256).buffer, 0, rows * columns * 256);
  const window = noise(8192, 64 * rows * columns);
  new Uint8Array(memory.buffer, 16384, 4 * (8 * rows + 2) * (8 * columns + 2)).fill(0);
  kernels.fade(0, rows, columns, size, zero, 8192, 16384);
  const level = (value: number): number => Math.round(255 * Math.min(Math.max((value - zero) * size, 0), 1));
  const made = new Uint8Array(memory.buffer, 16384, 4 * (8 * rows + 2) * (8 * columns + 2));
  for (let y = -1; y <= 8 * rows; y++) {
    for (let x = -1; x <= 8 * columns; x++) {
      const at = 4 * ((y + 1) * (8 * columns + 2) + x + 1);
      const inside = x >= 0 && y >= 0 && x < 8 * columns && y < 8 * rows;
      const cell = 256 * (Math.floor(y / 8) * columns + Math.floor(x / 8)) + 4 * (8 * (y & 7) + (x & 7));
      const seen = inside ? window[y * 8 * columns + x] : 0;
      const alpha = inside ? product(level(grid[cell + 3]), seen) : 0;
      const wanted = [0, 1, 2].map((c) => (inside ? product(level(grid[cell + c]), alpha) : 0));
      assert.deepEqual([...made.slice(at, at + 3)], wanted);
      assert.equal(made[at + 3], alpha);
    }
  }
});

test("the box of what is seen", () => {
  const [wide, deep] = [12, 9];
  const patch = new Uint8Array(memory.buffer, 0, 4 * (wide + 2) * (deep + 2)).fill(0);
  const alpha = (x: number, y: number, value: number): number => (patch[4 * ((y + 1) * (wide + 2) + x + 1) + 3] = value);
  const box = (): number[] => {
    kernels.bounds(0, wide, deep, 4096);
    return [...new Int32Array(memory.buffer, 4096, 4)];
  };
  assert.deepEqual(box(), [0, 0, 0, 0]);
  alpha(5, 4, 1); // a single level shows nothing
  assert.deepEqual(box(), [0, 0, 0, 0]);
  alpha(7, 3, 2);
  assert.deepEqual(box(), [7, 3, 1, 1]);
  alpha(2, 8, 200);
  assert.deepEqual(box(), [2, 3, 6, 6]);
});

test("a pasted patch lies where its box says, and nowhere else", () => {
  const [wide, deep, width, height] = [16, 8, 48, 40];
  const patch = new Uint8Array(memory.buffer, 0, 4 * (wide + 2) * (deep + 2)).fill(0);
  for (let y = 0; y < deep; y++) patch.fill(255, 4 * ((y + 1) * (wide + 2) + 1), 4 * ((y + 1) * (wide + 2) + 1 + wide));
  const box = Float64Array.of(1.3, -0.4, 14, 0.4, 1.3, 9);
  const spot = spotOf(box, [0, 0, wide, deep], width, height);
  assert.ok(spot);
  const [left, top, right, bottom] = spot;
  const canvas = new Uint8Array(memory.buffer, 8192, 4 * width * height);
  canvas.fill(0);
  const shifted = box.slice();
  shifted[2] -= left;
  shifted[5] -= top;
  const way = inverse(shifted) as unknown as [number, number, number, number, number, number];
  new Uint8Array(memory.buffer, 65536, width * height).fill(0);
  kernels.paste(0, wide, deep, ...way, 8192, width, left, top, right, bottom, 32768, 65536);
  const back = inverse(box);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = back[0] * x + back[1] * y + back[2];
      const v = back[3] * x + back[4] * y + back[5];
      const light = canvas[4 * (y * width + x)];
      const [near, far] = [Math.min(u, v, wide - 1 - u, deep - 1 - v), Math.max(-u, -v, u - wide + 1, v - deep + 1)];
      if (near > 0.1) assert.equal(light, 255, `inside at ${x}, ${y}`);
      if (far > 1.1) assert.equal(light, 0, `outside at ${x}, ${y}`);
      if (x % 2 === 0 && y % 2 === 0) {
        const shown = new Uint8Array(memory.buffer, 65536, width * height)[4 * ((y / 2) * (width / 2) + x / 2)];
        if (near > 0.1) assert.equal(shown, 255);
        if (far > 1.1) assert.equal(shown, 0);
      }
    }
  }
});

test("the base under a still grid is the layer over the plate, averaged from twice its size", () => {
  const [width, height, columns] = [64, 16, 7];
  const [wide, deep] = [2 * width, 2 * height];
  const layer = noise(0, 4 * wide * (deep + 1) + 8);
  for (let at = 0; at < layer.length; at += 4) {
    const x = (at / 4) % wide;
    if (x < 37) layer.fill(0, at, at + 4); // nobody, then an edge, then the person alone
    if (x >= 75) layer[at + 3] = 255;
    for (let c = 0; c < 3; c++) layer[at + c] = Math.min(layer[at + c], layer[at + 3]); // premultiplied
  }
  const plate = noise(65536, 4 * width * height);
  const grid = new Float32Array(memory.buffer, 131072, 2 * columns * 5);
  for (let row = 0; row < 4; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 2 * (row * columns + column);
      [grid[at], grid[at + 1]] = [32 * (2 * ((column - 1) * 16 - 0.5) + 0.5), 32 * (2 * ((row - 1) * 16 - 0.5) + 0.5)];
    }
  }
  new Uint8Array(memory.buffer, 147456, 64).set(tilesOf(layer, wide, deep));
  kernels.base(0, wide, deep, 147456, 131072, columns, 135168, 65536, 139264, width, height, 2, height - 3);
  const made = new Uint8Array(memory.buffer, 139264, 4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = 4 * (y * width + x);
      const front = [0, 1, 2, 3].map((c) => {
        const at = 4 * (2 * y * wide + 2 * x) + c;
        return y < 2 || y >= height - 3 ? 0 : Math.floor((layer[at] + layer[at + 4] + layer[at + 4 * wide] + layer[at + 4 * wide + 4]) / 4 + 0.5);
      });
      for (let c = 0; c < 3; c++) {
        assert.equal(made[to + c], Math.min(255, (front[c] as number) + product(plate[to + c], 255 - (front[3] as number))), `${x}, ${y}`);
      }
    }
  }
});

test("the compositor's picture, opacity and residual", () => {
  const [width, height] = [32, 16];
  const picture = noise(0, 4 * width * height);
  const [below, shown] = [noise(8192, width * height), noise(16384, width * height)];
  kernels.join(0, width / 2, height / 2, 16384, 8192, 24576);
  const joined = new Int8Array(memory.buffer, 24576, (10 * width * height) / 4);
  const mean = (x: number, y: number, c: number): number => {
    const at = 4 * (2 * y * width + 2 * x) + c;
    return (picture[at] + picture[at + 4] + picture[at + 4 * width] + picture[at + 4 * width + 4] + 2) >> 2;
  };
  for (let y = 0; y < height / 2; y++) {
    for (let x = 0; x < width / 2; x++) {
      const cell = (y * width) / 2 + x;
      const wanted = [0, 1, 2].map((c) => mean(x, y, c));
      wanted.push(...shown.subarray(4 * cell, 4 * cell + 4), ...below.subarray(4 * cell, 4 * cell + 3));
      assert.deepEqual([...joined.subarray(10 * cell, 10 * cell + 10)], wanted.map((value) => value - 128));
    }
  }
  const [rows, columns, size, zero, bits] = [height / 8, width / 8, 0.0011, -15, 8];
  kernels.opacity(16384, rows, columns, 40960);
  const cells = new Uint8Array(memory.buffer, 40960, rows * columns);
  cells[1] = 0;
  const residual = new Int8Array(noise(49152, rows * columns * 192).buffer, 49152, rows * columns * 192);
  const was = picture.slice();
  kernels.correct(49152, rows, columns, 40960, size, zero, bits, 0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = (y >> 3) * columns + (x >> 3);
      for (let c = 0; c < 3; c++) {
        const change = (residual[192 * cell + 24 * (y & 7) + 3 * (x & 7) + c] - zero) * size * cells[cell];
        const now = picture[4 * (y * width + x) + c] - was[4 * (y * width + x) + c];
        const cut = Math.min(Math.max(was[4 * (y * width + x) + c] + change, 0), 255) - was[4 * (y * width + x) + c];
        assert.ok(Math.abs(now - cut) < 1.1, `${x}, ${y}: ${now} for ${cut}`);
        if (cell === 1) assert.equal(now, 0);
      }
    }
  }
});
