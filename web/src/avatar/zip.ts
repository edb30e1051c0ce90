/**
 * A zip file in memory, read with suspicion. Twin of `liveface/archive.py`: a few small files with plain names, stored or
 * deflated, whose check sums are right; nothing else.
 */

const MAX_ENTRIES = 64;
const MAX_BYTES = 64 << 20; // unpacked
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*(\/[a-z0-9][a-z0-9_.-]*){0,3}$/;

/** Every file of a zip by name, in its order; `what` is for messages. */
export async function unzip(data: Uint8Array<ArrayBuffer>, what: string): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  try {
    return await read(data);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${what} is a damaged archive (${why}); expected a whole file: copy or download it again.`, { cause: error });
  }
}

async function read(data: Uint8Array<ArrayBuffer>): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = data.byteLength - 22;
  if (end < 0 || view.getUint32(end, true) !== END) throw new Error("it does not end as a zip does");
  const count = view.getUint16(end + 10, true);
  if (count < 1 || count > MAX_ENTRIES) throw new Error(`it holds ${count} files`);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let total = 0;
  for (let at = view.getUint32(end + 16, true), index = 0; index < count; index++) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("its directory is broken");
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
    const [sum, packed, size] = [view.getUint32(at + 16, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [named, extra, noted] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true), view.getUint16(at + 32, true)];
    const name = new TextDecoder().decode(data.subarray(at + 46, at + 46 + named));
    if (!NAME.test(name) || name.includes("..") || files.has(name)) throw new Error(`a file is named ${JSON.stringify(name.slice(0, 80))}`);
    if (flags & 0x1 || (method !== 0 && method !== 8)) throw new Error(`${name} is packed by an unknown method`);
    total += size;
    if (total > MAX_BYTES) throw new Error(`it unpacks to more than ${MAX_BYTES >> 20} MiB`);
    const local = view.getUint32(at + 42, true);
    if (view.getUint32(local, true) !== LOCAL) throw new Error(`${name} does not begin where it should`);
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (from + packed > end) throw new Error(`${name} reaches beyond the end`);
    const content = data.subarray(from, from + packed);
    const whole = method === 0 ? content.slice() : await inflate(content, size);
    if (whole.byteLength !== size || checksum(whole) !== sum) throw new Error(`${name} has another check sum`);
    files.set(name, whole);
    at += 46 + named + extra + noted;
  }
  return files;
}

/** Bytes packed by "deflate", of which `size` are expected; never more are unpacked. */
async function inflate(packed: Uint8Array<ArrayBuffer>, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const whole = new Uint8Array(size);
  let at = 0;
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.byteLength > size) throw new Error("a file is larger than it says");
    whole.set(part.value, at);
    at += part.value.byteLength;
  }
  return whole.subarray(0, at);
}

const TABLES = tables();

/** CRC-32 of bytes, eight at a time. */
export function checksum(data: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
  let sum = -1;
  let at = 0;
  const d = data;
  for (const end = d.length - 7; at < end; at += 8) {
    const a = sum ^ (d[at] | (d[at + 1] << 8) | (d[at + 2] << 16) | (d[at + 3] << 24));
    sum = t7[a & 255] ^ t6[(a >>> 8) & 255] ^ t5[(a >>> 16) & 255] ^ t4[a >>> 24];
    sum ^= t3[d[at + 4]] ^ t2[d[at + 5]] ^ t1[d[at + 6]] ^ t0[d[at + 7]];
  }
  for (; at < d.length; at++) sum = (sum >>> 8) ^ t0[(sum ^ d[at]) & 255];
  return ~sum >>> 0;
}

function tables(): Int32Array[] {
  const made = Array.from({ length: 8 }, () => new Int32Array(256));
  const first = made[0] as Int32Array;
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    first[n] = c;
  }
  for (let k = 1; k < 8; k++) {
    const [before, now] = [made[k - 1] as Int32Array, made[k] as Int32Array];
    for (let n = 0; n < 256; n++) now[n] = (before[n] >>> 8) ^ first[before[n] & 255];
  }
  return made;
}
