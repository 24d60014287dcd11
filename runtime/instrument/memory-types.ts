/**
 * The types that the guest's memories have in what we make of its module.
 *
 * A memory that grows is declared shared, although one thread alone uses it. V8 counts the whole length of an unshared
 * memory as newly allocated whenever it grows, and beyond 64 MiB begins a garbage collection each time: an allocator that asks
 * for 64 KiB at a time then costs more than all else. It does not count shared memory, whose code is the same.
 *
 * Left as they are: memories of modules with atomic instructions, which could tell; and of modules that import more than the
 * system interface, since functions of the user's would meet a SharedArrayBuffer, which much of JavaScript declines.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { ExternalKind, type Limits, MOST_MEMORY_PAGES, type Module } from "../wasm/module.js";
import type { CodeFeatures } from "./body-scanner.js";
import { VERMILION_MODULE, WASI_MODULES } from "./own-modules.js";

export function memoryTypes(module: Module, { memoryGrow, atomics }: CodeFeatures): Limits[] {
  const ours = module.imports.every(
    ({ kind, module: from }) => kind === ExternalKind.function && (WASI_MODULES.has(from) || from === VERMILION_MODULE),
  );
  return module.memories.map((limits, index) => {
    if (atomics || !ours || limits.shared || !memoryGrow.has(index)) return limits;
    return { minimum: limits.minimum, maximum: limits.maximum ?? MOST_MEMORY_PAGES, shared: true };
  });
}

export function definedMemoryTypes(module: Module, features: CodeFeatures): Limits[] {
  const imported = module.imports.filter(({ kind }) => kind === ExternalKind.memory).length;
  return memoryTypes(module, features).slice(imported);
}

export function writeLimits(out: ByteWriter, { minimum, maximum, shared }: Limits): void {
  out.u8((maximum === undefined ? 0 : 1) | (shared ? 2 : 0));
  out.u32(minimum);
  if (maximum !== undefined) out.u32(maximum);
}
