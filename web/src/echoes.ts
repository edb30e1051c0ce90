/**
 * Outputs of a network that are inputs of it, untouched: a state that is simply what came in last.
 *
 * LiteRT's build for browsers gives such an output a buffer of its own, in which the input then is sought: what was put
 * in is lost. So these outputs are taken off the file's lists before it is loaded, and answered from the input.
 * Source of the layout: the FlatBuffers internals page and the schema of TensorFlow Lite, version 3.
 */

/** The file without its echoes, and the input that each of them repeats, by names. */
export interface Unechoed {
  readonly file: Uint8Array;
  readonly echoes: Readonly<Record<string, string>>;
}

const SUBGRAPHS = 2; // fields of the model's table
const SIGNATURES = 7;
const GRAPH_INPUTS = 1; // of a subgraph's
const GRAPH_OUTPUTS = 2;
const INPUTS = 0; // of a signature's
const OUTPUTS = 1;
const NAME = 0; // of a signature's end
const TENSOR = 1;

class Reader {
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  word(at: number): number {
    return this.view.getUint32(at, true);
  }

  write(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  follow(at: number): number {
    return at + this.word(at);
  }

  /** Place of a table's field, 0 where it is not set. */
  field(table: number, index: number): number {
    const layout = table - this.view.getInt32(table, true);
    if (4 + 2 * index + 2 > this.view.getUint16(layout, true)) return 0;
    const offset = this.view.getUint16(layout + 4 + 2 * index, true);
    return offset === 0 ? 0 : table + offset;
  }

  /** Places of the four-byte elements of a vector. */
  elements(table: number, index: number): number[] {
    const at = this.field(table, index);
    if (at === 0) return [];
    const vector = this.follow(at);
    return Array.from({ length: this.word(vector) }, (_, place) => vector + 4 + 4 * place);
  }

  tables(table: number, index: number): number[] {
    return this.elements(table, index).map((at) => this.follow(at));
  }

  number(table: number, index: number): number {
    const at = this.field(table, index);
    return at === 0 ? 0 : this.word(at);
  }

  text(table: number, index: number): string {
    const at = this.follow(this.field(table, index));
    return new TextDecoder().decode(this.bytes.subarray(at + 4, at + 4 + this.word(at)));
  }

  /** Take elements off a vector; `moved` says how a value changes when it lies `by` bytes earlier. */
  remove(table: number, index: number, places: readonly number[], moved: (value: number, by: number) => number): void {
    const all = this.elements(table, index);
    const left = all.filter((at) => !places.includes(at)).map((at) => [at, this.word(at)] as const);
    left.forEach(([from, value], order) => this.write(all[order], moved(value, from - all[order])));
    this.write(this.follow(this.field(table, index)), left.length);
  }
}

/** A network's file without outputs that are inputs; a file that has none is given back as it is. */
export function unechoed(file: Uint8Array): Unechoed {
  const found = new Reader(file);
  const root = found.follow(0);
  const [graph] = found.tables(root, SUBGRAPHS);
  const [signature] = found.tables(root, SIGNATURES);
  if (graph === undefined || signature === undefined) return { file, echoes: {} };
  const taken = new Map(found.tables(signature, INPUTS).map((end) => [found.number(end, TENSOR), found.text(end, NAME)]));
  const inputs = new Set(found.elements(graph, GRAPH_INPUTS).map((at) => found.word(at)));
  const repeated = found.tables(signature, OUTPUTS).filter((end) => inputs.has(found.number(end, TENSOR)));
  const echoes = Object.fromEntries(
    repeated.map((end) => [found.text(end, NAME), taken.get(found.number(end, TENSOR)) ?? ""]),
  );
  if (repeated.length === 0) return { file, echoes };
  const made = new Reader(file.slice());
  const gone = (at: number): boolean => inputs.has(made.word(at));
  const ends = made.elements(signature, OUTPUTS).filter((at) => inputs.has(made.number(made.follow(at), TENSOR)));
  made.remove(graph, GRAPH_OUTPUTS, made.elements(graph, GRAPH_OUTPUTS).filter(gone), (value) => value);
  made.remove(signature, OUTPUTS, ends, (value, by) => value + by); // offsets count from where they stand
  return { file: made.bytes, echoes };
}
