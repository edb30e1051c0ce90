/** What esbuild bundles and TypeScript cannot see the types of. */
declare module "@litertjs/core/wasm/*.js" {
  const make: (options: object) => Promise<import("./litert.js").Bindings>;
  export default make;
}
