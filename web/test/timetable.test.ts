/** When sound is fed and pictures are shown. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { unpacked } from "../src/assets.js";
import { adapted, BLOCK_S, LEAD_S, Meter, MOST_LEAD_S, Timetable } from "../src/timetable.js";

const RATE = 48_000;

test("sound of a file is fed whole, in order, a lead before it is heard, whatever the clock does in between", () => {
  const table = new Timetable();
  table.begin(10, 0);
  table.set(100); // second 3 of the audio clock is our second 103
  const samples = Float32Array.from({ length: RATE }, (_, i) => i);
  table.put({ samples, rate: RATE, start: (10 + 3) * RATE });
  let next = 0;
  for (let now_s = 102; now_s < 105; now_s += 0.007) {
    for (const block of table.take(now_s)) {
      assert.equal(block.start, 13 * RATE + next);
      assert.equal(block.samples[0], next);
      next += block.samples.length;
    }
    const due = Math.min(RATE, Math.max(0, (now_s + LEAD_S - 103) * RATE));
    assert.ok(next <= due + 1e-6 && next > due - BLOCK_S * RATE - 1, `${now_s}: ${next} of ${due}`);
  }
  assert.equal(next, RATE);
  assert.ok(!table.busy);
});

test("sound that nobody hears here passes at once, and its pictures have no time", () => {
  const table = new Timetable();
  table.begin(0, 0);
  table.set(100);
  table.begin(50, null);
  table.put({ samples: new Float32Array(1000), rate: RATE, start: 50 * RATE });
  assert.equal(table.take(0).reduce((sum, block) => sum + block.samples.length, 0), 1000);
  assert.ok(Number.isNaN(table.heard_s(51)));
  assert.ok(table.led(7) && !table.led(51) && !table.led(-1));
  assert.equal(table.heard_s(7), 107); // pictures of the stream before keep theirs
  assert.ok(Number.isNaN(table.heard_s(-1)));
});

test("the lead grows where pictures are late until they are in time, has bounds, and comes back", () => {
  const drawing_s = 0.35; // from fed to drawn: more than the lead allows for
  let lead_s = LEAD_S;
  const slacks = Array.from({ length: 200 }, () => {
    const slack_s = lead_s - drawing_s;
    lead_s = adapted(lead_s, slack_s);
    return slack_s;
  });
  assert.ok((slacks[0] ?? 0) < -0.1);
  assert.ok(slacks.slice(60).every((one) => one >= 0 && one < 0.1));
  for (let i = 0; i < 1000; i++) lead_s = adapted(lead_s, -1);
  assert.equal(lead_s, MOST_LEAD_S);
  for (let i = 0; i < 1000; i++) lead_s = adapted(lead_s, 0.3);
  assert.equal(lead_s, LEAD_S);
});

test("what was not fed is forgotten", () => {
  const table = new Timetable();
  table.begin(0, 0);
  table.set(0);
  table.put({ samples: new Float32Array(RATE), rate: RATE, start: 0 });
  assert.ok(table.take(0.3).length > 0);
  table.clear();
  assert.equal(table.take(1e9).length, 0);
});

test("percentiles are those of the last values", () => {
  const meter = new Meter(100);
  for (let i = 0; i < 1000; i++) meter.add("a", i);
  assert.deepEqual(meter.of("a"), { p50: 950, p95: 995 });
  assert.equal(meter.of("b"), undefined);
});

test("packed files are unpacked, others are left", async () => {
  const bytes = Uint8Array.from({ length: 999 }, (_, i) => i % 7);
  assert.deepEqual(await unpacked(new Uint8Array(gzipSync(bytes))), bytes);
  assert.deepEqual(await unpacked(bytes), bytes);
});
