/**
 * Networks: one `.tflite` file, run by LiteRT's WebAssembly on one thread. Twin of `liveface/runtime.py` (`Step`).
 *
 * Notable choices: spoken to through its own bindings, because the package's wrapper wants a script tag (which a module
 * worker and node lack), awaits every call and copies every tensor; here a call is a function and pictures are written
 * into the network's own memory. LiteRT.js as a package refuses INT8 inputs; its WebAssembly does not.
 */

import makePlain from "@litertjs/core/wasm/litert_wasm_compat_internal.js";
import makeRelaxed from "@litertjs/core/wasm/litert_wasm_internal.js";
import { unechoed } from "./echoes.js";

export type Values = Float32Array | Int32Array | Int8Array | Uint8Array;
export type Kind = "float32" | "int32" | "int8" | "uint8";

/** Name, shape and kind of an input or output. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: Kind;
  readonly count: number;
}

interface Deletable {
  delete(): void;
}
interface Vector<T> extends Deletable {
  size(): number;
  get(index: number): T;
}
interface Layout extends Deletable {
  dimensions(): Vector<number>;
}
interface TensorType extends Deletable {
  elementType(): { value: number };
  layout(): Layout;
  bytes(): number;
}
interface Buffer extends Deletable {
  lock(mode: unknown): number;
  unlock(): void;
  packedSize(): number;
}
interface Signature extends Deletable {
  inputNames(): Vector<string>;
  outputNames(): Vector<string>;
}
interface Model extends Deletable {
  getNumSignatures(): number;
  getSignature(index: number): Signature;
  getInputTensorType(signature: number, index: number): TensorType;
  getOutputTensorType(signature: number, index: number): TensorType;
}
interface Compiled extends Deletable {
  run(signature: number, inputs: Buffer[]): Buffer[] | Promise<Buffer[]>;
}
/** The part of LiteRT's WebAssembly module that is used here. */
export interface Bindings {
  HEAPU8: Uint8Array<ArrayBuffer>;
  _malloc(bytes: number): number;
  _free(place: number): void;
  loadModel(environment: Deletable, place: number, bytes: number): Model;
  compileModel(environment: Deletable, model: Model, options: object): Compiled | Promise<Compiled>;
  LiteRtEnvironment: { create(device: null): Deletable };
  LiteRtTensorBuffer: {
    createManaged(environment: Deletable, kind: unknown, type: TensorType, bytes: number): Buffer;
  };
  LiteRtTensorBufferType: { HOST_MEMORY: unknown };
  LiteRtTensorBufferLockMode: { READ: unknown; READ_WRITE: unknown };
}

const KINDS: Record<number, Kind> = { 1: "float32", 2: "int32", 3: "uint8", 9: "int8" }; // of litert::ElementType
const ARRAYS = { float32: Float32Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array };

/** `(func (result v128) i32.const 1 i8x16.splat i32.const 2 i8x16.splat i8x16.relaxed_swizzle)`: is it understood? */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]);

/** Which of the two files this machine runs: relaxed SIMD is faster, and Safari lacked it for long. */
export function variant(): "relaxed" | "plain" {
  return WebAssembly.validate(RELAXED) ? "relaxed" : "plain";
}

/** One loaded network; see `LiteRt.open`. */
export class Net {
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  private readonly places: Map<string, number> = new Map();
  private readonly buffers: Buffer[] = [];
  private made: Buffer[] = [];

  constructor(
    private readonly wasm: Bindings,
    environment: Deletable,
    model: Model,
    private readonly compiled: Compiled,
    private readonly echoes: Readonly<Record<string, string>>,
  ) {
    const signature = model.getSignature(0);
    this.inputs = slots(signature.inputNames(), (index) => model.getInputTensorType(0, index));
    const repeated = Object.entries(echoes).map(([name, input]) => ({ ...(this.slot(input) as Slot), name }));
    this.outputs = [...slots(signature.outputNames(), (index) => model.getOutputTensorType(0, index)), ...repeated];
    this.inputs.forEach((slot, index) => {
      const type = model.getInputTensorType(0, index);
      const kind = wasm.LiteRtTensorBufferType.HOST_MEMORY;
      const buffer = wasm.LiteRtTensorBuffer.createManaged(environment, kind, type, bytesOf(slot));
      this.places.set(slot.name, buffer.lock(wasm.LiteRtTensorBufferLockMode.READ_WRITE));
      buffer.unlock();
      this.buffers.push(buffer);
      this.fill(slot.name).fill(0);
    });
  }

  /** Where an input lies in the memory that kernels share, the same for the network's life. */
  address(name: string): number {
    const place = this.places.get(name);
    if (place === undefined) {
      throw new Error(`a network has no input "${name}"; expected ${this.inputs.map((one) => one.name).join(", ")}`);
    }
    return place;
  }

  /**
   * The memory of an input, to be written in place before `run`. Ask for it anew before every use: memory that grows
   * leaves an older view empty.
   */
  fill(name: string): Values {
    const place = this.address(name);
    return view(this.wasm, place, this.slot(name) as Slot);
  }

  private slot(name: string): Slot | undefined {
    return this.inputs.find((one) => one.name === name);
  }

  /** Run on what the inputs hold; where the results lie, good until the next run. */
  invoke(): Record<string, number> {
    for (const buffer of this.made) buffer.delete();
    const made = this.compiled.run(0, this.buffers);
    if (!Array.isArray(made)) throw new Error("a network did not run at once; expected LiteRT's build without JSPI");
    this.made = made;
    const out: Record<string, number> = {};
    made.forEach((buffer, index) => {
      out[this.outputs[index].name] = buffer.lock(this.wasm.LiteRtTensorBufferLockMode.READ);
      buffer.unlock();
    });
    for (const [name, input] of Object.entries(this.echoes)) out[name] = this.address(input);
    return out;
  }

  /** Run on what the inputs hold; the results are views of the network's own memory, good until its next run. */
  run(): Record<string, Values> {
    const places = this.invoke();
    return Object.fromEntries(this.outputs.map((slot) => [slot.name, view(this.wasm, places[slot.name] as number, slot)]));
  }

  /** Run once on named arrays; the results are copies. */
  call(arrays: Record<string, ArrayLike<number>>): Record<string, Values> {
    for (const slot of this.inputs) {
      const given = arrays[slot.name];
      if (given === undefined || given.length !== slot.count) {
        throw new Error(`input "${slot.name}" has ${given?.length ?? 0} values; expected ${slot.shape.join("x")}`);
      }
      this.fill(slot.name).set(given);
    }
    return Object.fromEntries(Object.entries(this.run()).map(([name, values]) => [name, values.slice()]));
  }

  /** Give the memory back. */
  close(): void {
    for (const buffer of [...this.made, ...this.buffers]) buffer.delete();
    this.made = [];
    this.compiled.delete();
  }
}

/** LiteRT, loaded once a worker. */
export class LiteRt {
  private readonly environment: Deletable;

  private constructor(
    private readonly wasm: Bindings,
    /** LiteRT's own memory: kernels import it and work in place. It may grow: make views anew after every run. */
    readonly memory: WebAssembly.Memory,
  ) {
    this.environment = wasm.LiteRtEnvironment.create(null);
  }

  /** Begin with the bytes of `litert-relaxed.wasm` or `litert-plain.wasm`, whichever `variant` asked for. */
  static async load(binary: Uint8Array, kind: "relaxed" | "plain" = variant()): Promise<LiteRt> {
    const make = kind === "relaxed" ? makeRelaxed : makePlain;
    const quiet = (): void => undefined; // LiteRT tells every network's operators
    let memory: WebAssembly.Memory | undefined;
    const instantiateWasm = (imports: WebAssembly.Imports, done: (made: WebAssembly.Instance) => void): object => {
      void WebAssembly.instantiate(binary as Uint8Array<ArrayBuffer>, imports).then(({ instance }) => {
        memory = Object.values(instance.exports).find((one) => one instanceof WebAssembly.Memory);
        done(instance);
      }, failed);
      return {};
    };
    let failed: (error: Error) => void = quiet;
    const broken = new Promise<never>((_, reject) => (failed = reject));
    const wasm = await Promise.race([make({ instantiateWasm, print: quiet, printErr: quiet }), broken]);
    if (memory === undefined) throw new Error("LiteRT's WebAssembly shows no memory; expected the file of the export");
    return new LiteRt(wasm, memory);
  }

  /** Bytes of that memory for kernels; 16-byte aligned. */
  allocate(bytes: number): number {
    return this.wasm._malloc(bytes);
  }

  /** Give them back. */
  free(place: number): void {
    this.wasm._free(place);
  }

  /** A network of the bytes of a `.tflite` file. */
  async open(whole: Uint8Array): Promise<Net> {
    const { file, echoes } = unechoed(whole);
    const place = this.wasm._malloc(file.byteLength); // kept as long as the network: LiteRT reads weights from it
    this.wasm.HEAPU8.set(file, place);
    const model = this.wasm.loadModel(this.environment, place, file.byteLength);
    const options = { environment: this.environment, accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {} };
    const compiled = await this.wasm.compileModel(this.environment, model, options);
    return new Net(this.wasm, this.environment, model, compiled, echoes);
  }
}

function view(wasm: Bindings, place: number, slot: Slot): Values {
  return new ARRAYS[slot.kind](wasm.HEAPU8.buffer, place, slot.count);
}

function bytesOf(slot: Slot): number {
  return slot.count * ARRAYS[slot.kind].BYTES_PER_ELEMENT;
}

function slots(names: Vector<string>, type: (index: number) => TensorType): Slot[] {
  const out: Slot[] = [];
  for (let index = 0; index < names.size(); index++) {
    const told = type(index);
    const dimensions = told.layout().dimensions();
    const shape = Array.from({ length: dimensions.size() }, (_, axis) => dimensions.get(axis));
    const kind = KINDS[told.elementType().value];
    if (kind === undefined) {
      throw new Error(`"${names.get(index)}" is of a kind that is not run here; expected float32, int32, int8 or uint8`);
    }
    out.push({ name: names.get(index), shape, kind, count: shape.reduce((a, b) => a * b, 1) });
  }
  return out;
}
