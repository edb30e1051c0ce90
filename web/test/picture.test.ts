/** Pictures of the embedded avatars against Python's (tools/web_vectors.py). */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { before, test } from "node:test";
import { type WebAvatar, readAvatar } from "../src/avatar/file.js";
import { checksum } from "../src/avatar/zip.js";
import { LiteRt, variant } from "../src/litert.js";
import { type Drawn, Renderer } from "../src/render/renderer.js";
import type { MotionFrame, Picture, Stages } from "../src/types.js";
import { wasmBytes } from "./files.js";
import { readPng } from "./png.js";
import { shorts, stored } from "./vectors.js";

const FOLDER = "out/pictures";
const ENOUGH_DB = 55; // 38 would look the same; the kernels are made to give the same bytes
const MANY = Number(process.env.FRAMES ?? 60); // FRAMES=10000 takes two minutes of processor time
const told = JSON.parse(stored("picture.json").toString());
const python = process.env.PYTHON ?? (existsSync("../.venv/bin/python") ? "../.venv/bin/python" : "python3");

before(() => {
  execFileSync(python, ["../tools/web_vectors.py", "--prepare", FOLDER], { stdio: "inherit" });
});

/** An avatar with the pictures that Python decoded, since node decodes none. */
async function avatarOf(name: string): Promise<WebAvatar> {
  const file = readFileSync(`${FOLDER}/${name}.avatar`);
  const kinds = ["reference", "matte", "plate"];
  const sizes: Record<string, readonly [number, number]> = { reference: [980, 1540], matte: [980, 1540], plate: [360, 640] };
  return readAvatar(new Uint8Array(file).buffer, async () => {
    const kind = kinds.shift() as string;
    const [width, height] = sizes[kind] as readonly [number, number];
    return { data: new Uint8ClampedArray(readFileSync(`${FOLDER}/${name}.${kind}.raw`)), width, height };
  });
}

async function open(name: string): Promise<Renderer> {
  const litert = await LiteRt.load(wasmBytes(variant()));
  return Renderer.open(await avatarOf(name), litert, readFileSync("out/test/kernels.wasm"));
}

/** The motion of the vectors, of a person whose reference shows `own`. */
function motions(own: MotionFrame): MotionFrame[] {
  const values = shorts(Buffer.from(told.motion, "base64"), told.step);
  return Array.from({ length: told.frames }, (_, frame) => {
    const row = values.slice(62 * frame, 62 * frame + 62);
    return { expression: row.slice(0, 52).map((value, i) => value + own.expression[i]), head: row.slice(52, 58), gaze: row.slice(58) };
  });
}

function copied({ pixels }: Drawn, width: number, height: number): Picture {
  return { data: pixels.slice(), width, height };
}

/** Averaged over squares of `times` pixels. */
function shrunk({ data, width, height }: Picture, times: number): Picture {
  const [wide, high] = [width / times, height / times];
  const out = new Uint8ClampedArray(4 * wide * high).fill(255);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let at = 0; at < times * times; at++) {
          sum += data[4 * ((times * y + Math.floor(at / times)) * width + times * x + (at % times)) + c];
        }
        out[4 * (y * wide + x) + c] = Math.round(sum / times ** 2);
      }
    }
  }
  return { data: out, width: wide, height: high };
}

/** Peak signal to noise ratio in decibels of a picture against a part of another that begins at `left`, `top`. */
function likeness(part: Picture, whole: Picture, left: number, top: number): number {
  let squares = 0;
  for (let y = 0; y < part.height; y++) {
    for (let x = 0; x < part.width; x++) {
      for (let c = 0; c < 3; c++) {
        squares += (part.data[4 * (y * part.width + x) + c] - whole.data[4 * ((y + top) * whole.width + x + left) + c]) ** 2;
      }
    }
  }
  return 10 * Math.log10((255 ** 2 * 3 * part.width * part.height) / Math.max(squares, 1e-9));
}

for (const name of ["ada", "ben"]) {
  test(`${name} is drawn as Python draws`, async () => {
    const renderer = await open(name);
    const state = renderer.start();
    const least: Stages = {}; // milliseconds, to be read: what a busy machine can tell of speed
    const frames = motions(renderer.own).map((motion) => {
      const drawn = renderer.step(state, motion);
      for (const [stage, ms] of Object.entries(drawn.stages)) least[stage] = Math.min(ms, least[stage] ?? Infinity);
      return copied(drawn, renderer.width, renderer.height);
    });
    console.log(`${name}: least ms ${Object.entries(least).map(([stage, ms]) => `${stage} ${ms.toFixed(2)}`).join(", ")}`);
    const sheet = readPng(stored(`picture-${name}.png`));
    const small = told.shown.map((at: number) => shrunk(frames[at] as Picture, told.smaller)) as Picture[];
    const found = small.map((picture, at) => likeness(picture, sheet, at * picture.width, 0));
    console.log(`${name}: ${found.map((one) => one.toFixed(1)).join(", ")} dB`);
    assert.ok(found.every((one) => one > ENOUGH_DB));
    if (name === "ada") {
      const { frame, left, top } = told.close;
      const close = likeness(readPng(stored("picture-ada-close.png")), frames[frame] as Picture, left, top);
      console.log(`${name}, close: ${close.toFixed(1)} dB`);
      assert.ok(close > ENOUGH_DB);
    }
    assert.ok(frames.every(({ data }) => data.every((value, at) => at % 4 !== 3 || value === 255)));
    renderer.drop(state);
    renderer.close();
  });
}

test("what is kept is in the state: two faces of one renderer do not mix, and memory does not grow", async () => {
  const litert = await LiteRt.load(wasmBytes(variant()));
  const renderer = await Renderer.open(await avatarOf("ben"), litert, readFileSync("out/test/kernels.wasm"));
  const [way, back] = [motions(renderer.own), motions(renderer.own).reverse()];
  const alone = renderer.start();
  const wanted = way.slice(0, 7).map((motion) => renderer.step(alone, motion).pixels.slice());
  const [one, other] = [renderer.start(), renderer.start()];
  const bytes = litert.memory.buffer.byteLength;
  way.slice(0, 7).forEach((motion, at) => {
    assert.deepEqual(renderer.step(one, motion).pixels, wanted[at]);
    renderer.step(other, back[at] as MotionFrame);
  });
  const heap: number[] = [];
  for (let at = 0; at < MANY; at++) {
    renderer.step(one, way[at % way.length] as MotionFrame);
    if (at % (MANY / 4) === 0) heap.push(process.memoryUsage.rss() / 1e6);
  }
  assert.equal(litert.memory.buffer.byteLength, bytes);
  console.log(`after ${MANY} frames: WebAssembly ${(bytes / 1e6).toFixed(0)} MB, process ${heap.map((mb) => mb.toFixed(0)).join(", ")} MB`);
});

test("a damaged avatar, another file and an avatar of the program are refused in a sentence", async () => {
  const whole = new Uint8Array(readFileSync(`${FOLDER}/ada.avatar`));
  const none = async (): Promise<Picture> => ({ data: new Uint8ClampedArray(4), width: 1, height: 1 });
  const refused = async (bytes: Uint8Array, why: RegExp): Promise<void> => assert.rejects(readAvatar(new Uint8Array(bytes).buffer, none), why);
  await refused(whole.subarray(0, 9_000_000), /damaged archive.*copy or download it again/);
  await refused(new TextEncoder().encode("an avatar, believe me, it is long enough"), /damaged archive/);
  const altered = whole.slice();
  altered[60_000] ^= 1;
  await refused(altered, /another check sum/);
  await refused(new Uint8Array(readFileSync("../src/liveface/data/ada.avatar")), /for the program, not for the browser/);
  await refused(whole, /pictures do not fit its canvas/);
  await refused(said(whole, '"synthetic": true', '"synthetic": null'), /says it is "liveface web avatar", version 1/);
  await refused(said(whole, '"version": 1,', '"version": 9,'), /version 9; this page reads/);
  await refused(said(whole, '{"format', '["format'), /web.json cannot be read/);
  const fitting = said(whole, '"carriers"', '"carrying"');
  const sides = [[980, 1540], [980, 1540], [360, 640]] as [number, number][];
  const sized = async (): Promise<Picture> => {
    const [width, height] = sides.shift() as [number, number];
    return { data: new Uint8ClampedArray(4), width, height };
  };
  await assert.rejects(readAvatar(new Uint8Array(fitting).buffer, sized), /has no numbers called carriers/);
});

/** An avatar whose first file, stored as it is, says something else, with the check sum of that. */
function said(whole: Uint8Array, before: string, after: string): Uint8Array {
  const made = Buffer.from(whole);
  assert.equal(before.length, after.length);
  const [from, size] = [30 + made.readUInt16LE(26), made.readUInt32LE(22)];
  const place = made.indexOf(before, from);
  assert.ok(place >= from && place < from + size);
  made.write(after, place);
  const sum = checksum(made.subarray(from, from + size));
  made.writeUInt32LE(sum, 14);
  made.writeUInt32LE(sum, made.readUInt32LE(made.length - 6) + 16);
  return made;
}
