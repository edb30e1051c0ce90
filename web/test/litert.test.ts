/** A network of the package, run by LiteRT's WebAssembly in node. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LiteRt, type Values, variant } from "../src/litert.js";
import { PACKAGE, wasmBytes } from "./files.js";

test("a float network runs, the same twice, and another input gives another output", async () => {
  const litert = await LiteRt.load(wasmBytes(variant()));
  const net = await litert.open(readFileSync(`${PACKAGE}/data/face_detection_short_range.tflite`));
  assert.equal(net.inputs.length, 1);
  const [slot] = net.inputs;
  assert.ok(slot);
  const grey = new Float32Array(slot.count).fill(0.1);
  const first = net.call({ [slot.name]: grey });
  const again = net.call({ [slot.name]: grey });
  const other = net.call({ [slot.name]: grey.map((_, i) => Math.sin(i)) });
  for (const { name, count } of net.outputs) {
    assert.equal(first[name]?.length, count);
    assert.ok(first[name]?.every(Number.isFinite));
    assert.deepEqual(first[name], again[name]);
    assert.notDeepEqual(first[name], other[name]);
  }
});

test("inputs lie at fixed addresses of the shared memory, results where invoke says", async () => {
  const litert = await LiteRt.load(wasmBytes(variant()));
  const net = await litert.open(readFileSync(`${PACKAGE}/data/compositor.tflite`));
  const [slot] = net.inputs;
  assert.ok(slot);
  const place = net.address(slot.name);
  new Float32Array(litert.memory.buffer, place, slot.count).fill(0.7);
  assert.equal(net.fill(slot.name)[slot.count - 1], Math.fround(0.7));
  const made = net.invoke();
  for (const { name, count } of net.outputs) {
    assert.ok(new Float32Array(litert.memory.buffer, made[name], count).some((value) => value !== 0));
  }
  assert.equal(net.address(slot.name), place);
  const other = litert.allocate(64 << 20); // memory grows and moves nothing
  new Uint8Array(litert.memory.buffer, other, 64 << 20).fill(1);
  assert.equal(net.fill(slot.name)[0], Math.fround(0.7));
  litert.free(other);
});

test("both builds of LiteRT agree", async () => {
  const made: Record<string, Values>[] = [];
  for (const kind of ["relaxed", "plain"] as const) {
    if (kind === "relaxed" && variant() === "plain") continue;
    const litert = await LiteRt.load(wasmBytes(kind), kind);
    const net = await litert.open(readFileSync(`${PACKAGE}/data/face_detection_short_range.tflite`));
    const [slot] = net.inputs;
    assert.ok(slot);
    made.push(net.call({ [slot.name]: Float32Array.from({ length: slot.count }, (_, i) => Math.sin(i)) }));
  }
  for (const [name, values] of Object.entries(made[0] ?? {})) {
    values.forEach((value, i) => assert.ok(Math.abs(value - (made.at(-1)?.[name]?.[i] ?? NaN)) < 1e-2 * Math.max(1, Math.abs(value))));
  }
});
