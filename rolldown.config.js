/**
 * Joins the compiled modules into few files: Node opens a file of modules in half a millisecond, and the guest's thread
 * alone needs 90 of them. `vermilion run` starts 50 ms sooner. docs/rationale.md#bundles
 *
 * In place: dist/runtime/{index,testing/index}.js keep their names, and what they share has names that no compiled module
 * has, for tests and benchmarks import those. The command line and the workers are CommonJS, which starts without Node's
 * loader for ES modules.
 */
import { defineConfig } from "rolldown";

const minify = { compress: false, mangle: false, codegen: { removeWhitespace: true } }; // names stay, for stack traces
const common = { platform: "node", external: ["koffi", "binaryen", "node-sqlite3-wasm"], logLevel: "warn" };

/** For code that code-cache.ts runs: it gives this in place of import(), which Node 20 has not for code that was kept. */
const kept = {
  name: "kept",
  renderChunk: (code) => code.replaceAll(/(?<![.\w$])import\(/g, "importModule("),
};

/** Entries of threads, processes and commands that need nothing special. */
const PLAIN = ["process/worker-entry", "testing/worker", "testing/searcher-entry", "cli/main", "cli/load-program"];

export default defineConfig([
  {
    ...common,
    plugins: [kept],
    input: { "process/worker": "dist/runtime/process/worker.js" },
    output: { dir: "dist/runtime", format: "cjs", entryFileNames: "[name].cjs", minify, codeSplitting: false },
  },
  ...PLAIN.map((name) => ({
    ...common,
    input: { [name]: `dist/runtime/${name}.js` },
    output: { dir: "dist/runtime", format: "cjs", entryFileNames: "[name].cjs", minify },
  })),
  {
    ...common,
    plugins: [kept],
    input: { "cli/program": "dist/runtime/cli/program.js" },
    output: { dir: "dist/runtime", format: "cjs", entryFileNames: "[name].cjs", minify, codeSplitting: false },
  },
  {
    ...common,
    input: {
      index: "dist/runtime/index.js",
      "testing/index": "dist/runtime/testing/index.js",
    },
    output: {
      ...{ dir: "dist/runtime", entryFileNames: "[name].js", chunkFileNames: "process/shared-[name].js", minify },
      // What looks for the worker beside its own folder must be in such a one.
      codeSplitting: { groups: [{ name: "guest-thread", test: /runtime[/]process[/]guest-thread[.]js$/ }] },
    },
  },
]);
