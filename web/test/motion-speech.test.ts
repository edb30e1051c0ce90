/** Speech drives the face in TypeScript as in Python: the vectors of tools/web_motion_vectors.py. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { LiteRt, type Net, variant } from "../src/litert.js";
import { SpeechToMotion, type SpeechOptions } from "../src/motion/audio.js";
import { type Behaviour, idleOf } from "../src/motion/behaviour.js";
import { liftEyes } from "../src/motion/codes.js";
import { emotionOf } from "../src/motion/emotion.js";
import { MotionEngine, type Wishes } from "../src/motion/engine.js";
import { IdleMotion } from "../src/motion/idle.js";
import { type LiveFrame, LiveSpeech } from "../src/motion/live.js";
import { type Motion, ARKIT_INDEX } from "../src/motion/motion.js";
import { styleOf } from "../src/motion/style.js";
import { PACKAGE, wasmBytes } from "./files.js";
import { moves, shorts, stored, unpacked } from "./vectors.js";

interface Case {
  name: string;
  rate: number;
  seed: number;
  motion: string;
  events: [number, string][];
  sound_s: number[];
  missing: number[];
  behaviour?: Behaviour | null;
  style?: string;
  eyes?: number[];
  size?: number;
  deeds?: [number, number, never][];
  block?: number;
  shots?: (number | string | null)[][];
  seen?: string;
  counts?: Record<string, number>;
}

const { cases } = JSON.parse(stored("motion-speech.json").toString()) as { cases: Case[] };
const samples = shorts(stored("motion-speech.pcm"), 1 / 32767);
let net: Net;

before(async () => {
  net = await (await LiteRt.load(wasmBytes(variant()))).open(readFileSync(`${PACKAGE}/data/speech.tflite`));
});

function named(name: string): Case {
  const found = cases.find((one) => one.name === name);
  assert.ok(found, `no case ${name}`);
  return found;
}

function agrees(frames: LiveFrame[], one: Case): void {
  moves(frames.map(({ motion }) => motion), one.motion, one.name);
  assert.deepEqual(frames.flatMap(({ index, events }) => events.map((event) => [index, event])), one.events);
  frames.forEach(({ soundS, missing }, at) => {
    assert.ok(Math.abs(soundS - one.sound_s[at]) < 1e-5);
    assert.ok(Math.abs(missing - one.missing[at]) < 1e-5);
  });
}

function options({ seed, behaviour }: Case, more: SpeechOptions = {}): SpeechOptions {
  return { seed, idle: behaviour ? idleOf(behaviour, { seed, blink: 1.5 }) : new IdleMotion({ seed }), ...more };
}

test("ten seconds of speech, whatever the size of its blocks", () => {
  const one = named("plain");
  for (const size of [160, 4801]) {
    const live = new LiveSpeech(new SpeechToMotion(net, options(one)));
    const frames: LiveFrame[] = [];
    for (let at = 0; at < samples.length; at += size) {
      live.hear({ samples: samples.subarray(at, at + size), start: at, rate: one.rate });
      frames.push(...live.frames());
    }
    agrees(frames, one);
  }
});

test("a behaviour, a style, an emotion that changes, measured eyes", () => {
  const one = named("felt");
  const more = { scale: 1.2, head: 0.8, emotion: emotionOf("happy:0.8"), style: styleOf(one.style ?? "") };
  const live = new LiveSpeech(new SpeechToMotion(net, options(one, more)));
  const frames: LiveFrame[] = [];
  for (let at = 0; at < 3 * one.rate; at += 800) {
    if (at === one.rate) {
      live.direct({ emotion: emotionOf({ angry: 0.6, contemptuous: 0.5 }) });
      live.look(liftEyes(Float32Array.from(one.eyes ?? [])));
    }
    if (at === 2 * one.rate) live.look(null);
    live.hear({ samples: samples.subarray(at, at + 800), start: at, rate: one.rate });
    frames.push(...live.frames());
  }
  agrees(frames, one);
});

test("an interruption shuts the mouth within 150 ms, wherever it comes", () => {
  const opening = ({ expression }: Motion): number => expression[ARKIT_INDEX.jawOpen];
  for (const atS of [1.2, 2.05, 3.4]) {
    const live = new LiveSpeech(new SpeechToMotion(net, { idle: null }));
    const cut = Math.round(atS * 16_000);
    live.hear({ samples: samples.subarray(0, cut), start: 0, rate: 16_000 });
    const before = live.frames().map(({ motion }) => opening(motion));
    assert.ok(Math.max(...before) > 0.05); // it had spoken
    live.interrupt();
    live.hear({ samples: samples.subarray(cut, cut + 8000), start: 0, rate: 16_000 }); // it goes on all the same
    const [first, , , fourth] = live.frames();
    assert.ok(first.events.includes("interrupted"));
    assert.ok(opening(fourth.motion) < 1e-6);
  }
});

test("wishes that are not usable are refused in a sentence", () => {
  const engine = new MotionEngine(net);
  assert.throws(() => engine.turn({ emotion: "joyful:1" }), /no emotion "joyful"; expected some of neutral, happy/);
  assert.throws(() => engine.turn({ emotion: { happy: 1.5 } }), /intensity 1.5 of happy is not usable/);
  assert.throws(() => engine.turn({ emotion: "happy,happy:1" }), /named twice/);
  assert.throws(() => engine.turn({ style: "smile:4" }), /smile 4 is not usable/);
  assert.throws(() => engine.turn({ head: NaN }), /head NaN is not usable/);
  assert.throws(() => engine.hear({ samples: Float32Array.of(NaN), start: 0, rate: 16_000 }, 0), /not finite/);
  assert.throws(() => engine.hear({ samples: new Float32Array(8), start: 0, rate: 100 }, 0), /100 Hz is not usable/);
  assert.throws(() => new IdleMotion({ blink: 5 }), /blink = 5 is not usable/);
  assert.throws(() => new LiveSpeech(new SpeechToMotion(net), 2), /delay of 2 s/);
});

test("a bad network, a clock, an interruption", () => {
  const one = named("network");
  const live = new LiveSpeech(new SpeechToMotion(net, options(one)));
  const size = one.size ?? 0;
  const frames: LiveFrame[] = [];
  for (const [when, deed, at] of one.deeds ?? []) {
    if (deed === 0) live.hear({ samples: samples.subarray(at * size, (at + 1) * size), start: at * size, rate: one.rate }, when);
    else if (deed === 1) live.interrupt();
    else frames.push(...live.frames(when));
  }
  agrees(frames, one);
  assert.deepEqual({ ...live.counts }, one.counts);
});

test("the engine: sound, dials, an emotion, a camera for a while, an interruption, frames that drop", () => {
  const one = named("engine");
  const { block = 0, seen = "" } = one;
  const engine = new MotionEngine(net, { seed: one.seed, behaviour: one.behaviour ?? null });
  const camera = unpacked(seen)[Symbol.iterator]();
  let newest: { motion: Motion; atS: number; timeS: number } | null = null;
  const motions: Motion[] = [];
  const shots: unknown[] = [];
  const plain = (value: number): number | null => (Number.isNaN(value) ? null : Number(value.toFixed(6)));
  for (const [when, deed, what] of one.deeds ?? []) {
    if (deed === 0) engine.hear({ samples: samples.subarray(what, what + block), start: what, rate: one.rate }, when);
    else if (deed === 1) engine.turn(what as Wishes);
    else if (deed === 2) newest = { motion: camera.next().value as Motion, atS: when, timeS: when };
    else if (deed === 3) engine.interrupt();
    else {
      if (newest !== null) engine.see(newest.motion, newest.atS, newest.timeS);
      newest = null;
      const shot = engine.tick(when);
      if (shot === null) continue;
      motions.push(shot.motion);
      shots.push([shot.number, shot.frames, shot.source, plain(shot.soundS), plain(shot.cameraS)]);
    }
  }
  moves(motions, one.motion, one.name);
  assert.deepEqual(shots, one.shots);
});
