/**
 * Bundles: `node build.mjs` writes the scripts of the export to out/site, `--test` every test/*.test.ts to out/test/.
 * `python tools/build_web.py` calls this and puts the result into the package.
 */

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

/** LiteRT's glue is a script that leaves a global behind; as a module it hands that out. */
const glue = {
  name: "glue",
  setup(one) {
    one.onLoad({ filter: /litert_wasm_\w+\.js$/ }, ({ path }) => ({
      contents: `${readFileSync(path, "utf8")}\nexport default ModuleFactory;`,
      loader: "js",
    }));
  },
};

/** SIMD kernels, of AssemblyScript; they work in LiteRT's memory. */
function kernels(file) {
  const flags = ["-O3", "--runtime", "stub", "--importMemory", "--initialMemory", "1", "--enable", "simd", "--noAssert", "--use", "abort="];
  execFileSync("node_modules/.bin/asc", ["kernels/index.ts", "-o", file, ...flags], { stdio: "inherit" });
}

const shared = { plugins: [glue], bundle: true, target: "es2022", charset: "utf8", legalComments: "none", logLevel: "warning" };

if (process.argv.includes("--test")) {
  rmSync("out/test", { recursive: true, force: true });
  kernels("out/test/kernels.wasm");
  const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: tests.map((name) => `test/${name}`),
    outdir: "out/test",
    outExtension: { ".js": ".mjs" },
    format: "esm",
    platform: "node",
    banner: { js: "import { createRequire as _make } from 'node:module'; const require = _make(import.meta.url); const __dirname = import.meta.dirname;" },
    sourcemap: "inline",
  });
} else {
  const shipped = { ...shared, outdir: "out/site", minify: true, platform: "browser", external: ["fs", "path", "node:*"] };
  rmSync("out/site", { recursive: true, force: true });
  await build({ ...shipped, entryPoints: ["src/liveface.ts", "src/service.ts", "src/tap.ts"], format: "esm" });
  await build({ ...shipped, entryPoints: ["src/page.ts"], format: "esm", external: ["./liveface.js"] });
  await build({ ...shipped, entryPoints: ["src/worker.ts"], format: "iife" });
  kernels("out/site/kernels.wasm");
}
