import { setFlagsFromString } from "node:v8";
import { ENGINE_FLAGS, optimizesFromScratch } from "../../runtime/process/engine-flags.js";
import { OPTIMIZED, USUAL } from "../../runtime/process/optimizing-compiler.js";

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
