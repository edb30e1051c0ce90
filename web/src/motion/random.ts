/**
 * Random numbers that Python repeats: SplitMix64 for idle life, and what `numpy.random.default_rng([a, b]).normal`
 * draws for the speech network's noise.
 *
 * Sources: Steele et al. 2014 (SplitMix64); O'Neill 2014 (PCG XSL RR 128/64 and the seeding of randutils), as NumPy
 * documents its SeedSequence and PCG64; Marsaglia and Tsang 2000 for the ziggurat, whose tables are computed here.
 */

const WORD = 64;
const cut = (value: bigint): bigint => BigInt.asUintN(WORD, value);
const UNIT = 2 ** -64;
const KEPT = 4096; // hashes remembered: a frame asks for much the same as the one before
const known = new Map<string, number>();

/** A number in [0, 1) that depends on nothing but `keys`. Twin of `motion.idle._hash`. */
export function hash(...keys: number[]): number {
  const name = keys.join();
  const found = known.get(name);
  if (found !== undefined) return found;
  let value = 0x9e3779b97f4a7c15n;
  for (const key of keys) {
    value = cut((value ^ cut(BigInt(key))) * 0xbf58476d1ce4e5b9n);
    value = cut((value ^ (value >> 27n)) * 0x94d049bb133111ebn);
    value ^= value >> 31n;
  }
  if (known.size >= KEPT) known.clear();
  const made = Number(value) * UNIT;
  known.set(name, made);
  return made;
}

/** Four 64-bit words from 32-bit words of entropy: NumPy's `SeedSequence(entropy).generate_state(4, uint64)`. */
function seedWords(entropy: readonly number[]): bigint[] {
  if (entropy.length > 4) throw new Error(`a seed of ${entropy.length} words came; expected at most 4`);
  let factor = 0x43b0d7e5;
  const mixed = (value: number): number => {
    let out = (value ^ factor) >>> 0;
    factor = Math.imul(factor, 0x931e8875) >>> 0;
    out = Math.imul(out, factor) >>> 0;
    return (out ^ (out >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((index) => mixed(entropy[index] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const out = (Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, mixed(pool[from]))) >>> 0;
      pool[to] = (out ^ (out >>> 16)) >>> 0;
    }
  }
  let other = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, index) => {
    let out = (pool[index % 4] ^ other) >>> 0;
    other = Math.imul(other, 0x58f38ded) >>> 0;
    out = Math.imul(out, other) >>> 0;
    return BigInt((out ^ (out >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((at) => words[at] | (words[at + 1] << 32n));
}

const MULTIPLIER = (2549297995355413924n << 64n) | 4865540595714422341n;
const wide = (value: bigint): bigint => BigInt.asUintN(128, value);

/** NumPy's PCG64: 64 random bits a call. */
function pcg64(entropy: readonly number[]): () => bigint {
  const [high, low, otherHigh, otherLow] = seedWords(entropy) as [bigint, bigint, bigint, bigint];
  const step = wide((((otherHigh << 64n) | otherLow) << 1n) | 1n);
  let state = wide((step + ((high << 64n) | low)) * MULTIPLIER + step); // after one step from 0
  return () => {
    state = wide(state * MULTIPLIER + step);
    const upper = state >> 64n;
    const turn = upper >> 58n;
    const value = upper ^ cut(state);
    return cut((value >> turn) | (value << (64n - turn)));
  };
}

const EDGE = 3.6541528853610087963519472518; // where the tail begins, of 256 layers
const AREA = 0.0049286732339721695; // of a layer
const SCALE = 2 ** 52;

function layers(): { inside: Float64Array; width: Float64Array; height: Float64Array } {
  const bell = (x: number): number => Math.exp(-0.5 * x * x);
  const inside = new Float64Array(256);
  const width = new Float64Array(256);
  const height = new Float64Array(256);
  let x = EDGE;
  inside[0] = Math.floor(((x * bell(x)) / AREA) * SCALE);
  width[0] = AREA / bell(x) / SCALE;
  width[255] = x / SCALE;
  height[0] = 1;
  height[255] = bell(x);
  for (let layer = 254; layer >= 1; layer--) {
    const next = Math.sqrt(-2 * Math.log(AREA / x + bell(x)));
    inside[layer + 1] = Math.floor((next / x) * SCALE);
    width[layer] = next / SCALE;
    height[layer] = bell(next);
    x = next;
  }
  return { inside, width, height };
}

const LAYERS = layers();

/** `count` normal numbers as `numpy.random.default_rng(entropy).normal(size=count)` draws them, float32. */
export function normals(entropy: readonly number[], count: number): Float32Array {
  const bits = pcg64(entropy);
  const share = (): number => Number(bits() >> 11n) * 2 ** -53;
  return Float32Array.from({ length: count }, () => normal(bits, share));
}

function normal(bits: () => bigint, share: () => number): number {
  for (;;) {
    const word = bits();
    const layer = Number(word & 0xffn);
    const size = Number((word >> 9n) & 0xfffffffffffffn);
    const x = (word >> 8n) & 1n ? -size * LAYERS.width[layer] : size * LAYERS.width[layer];
    if (size < LAYERS.inside[layer]) return x;
    if (layer > 0) {
      const low = LAYERS.height[layer];
      if ((LAYERS.height[layer - 1] - low) * share() + low < Math.exp(-0.5 * x * x)) return x;
      continue;
    }
    for (;;) {
      const beyond = -Math.log1p(-share()) / EDGE;
      const limit = -Math.log1p(-share());
      if (2 * limit > beyond * beyond) return (BigInt(size) >> 8n) & 1n ? -(EDGE + beyond) : EDGE + beyond;
    }
  }
}
