/** Where tests find the package and LiteRT; bundles run from web/. */

import { readFileSync } from "node:fs";

export const PACKAGE = "../src/liveface";

const NAMES = { relaxed: "litert_wasm_internal.wasm", plain: "litert_wasm_compat_internal.wasm" };

/** LiteRT's WebAssembly, of the package that npm installed. */
export function wasmBytes(kind: "relaxed" | "plain"): Uint8Array {
  return readFileSync(`node_modules/@litertjs/core/wasm/${NAMES[kind]}`);
}
