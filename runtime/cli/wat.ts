import { readFileSync } from "node:fs";
import binaryen from "binaryen";
import { VermilionError } from "../index.js";

/** What Vermilion carries. Not "All": that has encodings of imports which no engine takes yet. */
const { Features } = binaryen;
const FEATURES =
  Features.MutableGlobals |
  Features.SignExt |
  Features.NontrappingFPToInt |
  Features.BulkMemory |
  Features.BulkMemoryOpt |
  Features.ReferenceTypes |
  Features.Multivalue |
  Features.ExceptionHandling |
  Features.TailCall |
  Features.SIMD128 |
  Features.RelaxedSIMD |
  Features.ExtendedConst |
  Features.MultiMemory |
  Features.Atomics;

/** The binary form of a module in text. NOT_FOUND, MODULE_INVALID. Imported when first needed: binaryen is 10 MB. */
export function assemble(path: string): Uint8Array {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new VermilionError("NOT_FOUND", `${path}: cannot read the module: ${(cause as Error).message}`, { cause });
  }
  let module: binaryen.Module;
  try {
    module = binaryen.parseText(text);
  } catch (cause) {
    throw new VermilionError("MODULE_INVALID", `${path}: no valid WebAssembly text: ${messageOf(cause)}`, { cause });
  }
  module.setFeatures(FEATURES);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/** What binaryen throws has a message, but is no Error. */
function messageOf(cause: unknown): string {
  return typeof cause === "object" && cause !== null && "message" in cause ? String(cause.message) : String(cause);
}
