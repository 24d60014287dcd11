/**
 * Joins the compiled modules into few files: Node opens a file of modules in half a millisecond, and the guest's thread
 * alone needs 90 of them. `vermilion run` starts 40 ms sooner. docs/rationale.md#bundles
 *
 * In place: dist/runtime/{index,cli/main,process/worker}.js keep their names, and the main thread's part of
 * runtime/process stays in that folder, because it finds the worker beside itself.
 */
import { defineConfig } from "rolldown";

export default defineConfig({
  input: {
    index: "dist/runtime/index.js",
    "cli/main": "dist/runtime/cli/main.js",
    "process/worker": "dist/runtime/process/worker.js",
  },
  platform: "node",
  external: ["koffi", "binaryen"],
  output: {
    dir: "dist/runtime",
    entryFileNames: "[name].js",
    chunkFileNames: "process/[name].js",
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  },
  logLevel: "silent",
});
