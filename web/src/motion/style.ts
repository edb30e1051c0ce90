/** Speaking style: how one talks, beside what one feels. Twin of `liveface/motion/style.py`. */

export const STYLES = ["articulation", "smile", "brows", "head"] as const;
const MOST = 3.0;

/** The style `[4]` of a line such as "articulation:1,head:-0.5" or of numbers by name, in standard deviations. */
export function styleOf(said: string | Readonly<Record<string, number>>): Float32Array {
  const out = new Float32Array(STYLES.length);
  const named = new Set<string>();
  for (const [name, value] of typeof said === "string" ? pairs(said) : Object.entries(said)) {
    const at = STYLES.findIndex((one) => one === name);
    if (at < 0) throw new Error(`there is no style "${name}"; expected some of ${STYLES.join(", ")}, such as smile:1.`);
    if (named.has(name)) throw new Error(`style "${name}" is named twice; expected each at most once.`);
    if (!(Math.abs(value) <= MOST)) throw new Error(`${name} ${value} is not usable; expected a number from -3 to 3, 0 is average.`);
    named.add(name);
    out[at] = value;
  }
  return out;
}

function pairs(line: string): [string, number][] {
  return line.split(",").map((part) => {
    const [name, number] = part.split(":").map((piece) => piece.trim());
    return [name, number === undefined || number === "" ? NaN : Number(number)];
  });
}
