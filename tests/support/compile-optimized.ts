import { setFlagsFromString } from "node:v8";
import { ENGINE_FLAGS, optimizesFromScratch } from "../../runtime/process/engine-flags.js";

const OPTIMIZED = ["--no-liftoff", "--no-wasm-lazy-compilation"];
const USUAL = ["--liftoff", "--wasm-lazy-compilation"];

/** In this thread. */
export function compileOptimized(bytes: Uint8Array): WebAssembly.Module {
  if (!optimizesFromScratch([])) ENGINE_FLAGS.forEach(setFlagsFromString);
  OPTIMIZED.forEach(setFlagsFromString);
  try {
    return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } finally {
    USUAL.forEach(setFlagsFromString);
  }
}
