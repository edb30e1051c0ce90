/**
 * Pixels in SIMD WebAssembly (AssemblyScript). Every function works at byte addresses of a memory that it is given
 * (LiteRT's own, so networks and pictures need no copies) and has none of its own. Each gives to the bit what OpenCV
 * gives in the Python twin; `src/render/pixels.ts` says how they are called.
 */

export { base } from "./base";
export { bounds, fade, mix } from "./patch";
export { paste } from "./paste";
export { correct, half, join, opacity } from "./compositor";
export { spread } from "./spread";
