/** Arrays of an `.npz` file, as `numpy.savez` and `numpy.savez_compressed` write it. */

import { unzip } from "./zip.js";

export interface Numbers {
  readonly shape: readonly number[];
  /** In C order; float16 and float64 come as float32, integers of 8 bytes as int32. */
  readonly values: Float32Array | Int32Array | Uint8Array | Int8Array;
}

/** Every array by name; `what` is for messages. */
export async function readNpz(data: Uint8Array<ArrayBuffer>, what: string): Promise<Map<string, Numbers>> {
  const out = new Map<string, Numbers>();
  for (const [name, file] of await unzip(data, what)) out.set(name.replace(/\.npy$/, ""), array(file, `${name} of ${what}`));
  return out;
}

function array(file: Uint8Array<ArrayBuffer>, what: string): Numbers {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wrong = (why: string): Error => new Error(`${what} is no array that is read here (${why}); expected one of numpy's, in C order.`);
  if (view.getUint32(0) !== 0x934e554d || file[6] !== 1) throw wrong("its beginning");
  const length = view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(file.subarray(10, 10 + length));
  const [, type] = /'descr': '([<|][a-z]\d+)'/.exec(header) ?? [];
  const [, sides] = /'shape': \(([\d, ]*)\)/.exec(header) ?? [];
  if (type === undefined || sides === undefined || !header.includes("'fortran_order': False")) throw wrong(header.slice(0, 100));
  const shape = sides.split(",").filter((side) => side.trim()).map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  const from = file.slice(10 + length).buffer;
  if (from.byteLength !== count * Number(type.slice(2))) throw wrong(`${from.byteLength} bytes for ${shape.join("x")}`);
  const read: Record<string, () => Numbers["values"]> = {
    "<f4": () => new Float32Array(from),
    "<f8": () => Float32Array.from(new Float64Array(from)),
    "<f2": () => halves(new Uint16Array(from)),
    "<i2": () => Int32Array.from(new Int16Array(from)),
    "<i4": () => new Int32Array(from),
    "<i8": () => Int32Array.from(new BigInt64Array(from), Number),
    "|u1": () => new Uint8Array(from),
    "|i1": () => new Int8Array(from),
  };
  const values = read[type];
  if (values === undefined) throw wrong(`type ${type}`);
  return { shape, values: values() };
}

/** float16 as float32. */
function halves(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const [exponent, part] = [(half >> 10) & 31, half & 1023];
    if (exponent === 0) return sign * part * 2 ** -24;
    if (exponent === 31) return part ? NaN : sign * Infinity;
    return sign * (1024 + part) * 2 ** (exponent - 25);
  });
}
