import { readFileSync } from "node:fs";
import type binaryen from "binaryen";
import { VermilionError } from "../index.js";

/** What Vermilion carries. Not "All": that has encodings of imports which no engine takes yet. */
function featuresOf({ Features }: typeof binaryen): number {
  return (
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
    Features.Atomics
  );
}

/** The binary form of a module in text. NOT_FOUND, MODULE_INVALID. */
export async function assemble(path: string): Promise<Uint8Array> {
  const { default: assembler } = await import("binaryen"); // 10 MB
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new VermilionError("NOT_FOUND", `${path}: cannot read the module: ${(cause as Error).message}`, { cause });
  }
  let module: binaryen.Module;
  try {
    module = assembler.parseText(text);
  } catch (cause) {
    throw new VermilionError("MODULE_INVALID", `${path}: no valid WebAssembly text: ${messageOf(cause)}`, { cause });
  }
  module.setFeatures(featuresOf(assembler));
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/** What binaryen throws has a message, but is no Error. */
function messageOf(cause: unknown): string {
  return typeof cause === "object" && cause !== null && "message" in cause ? String(cause.message) : String(cause);
}
