import { closeSync, writeSync } from "node:fs";
import binaryen from "binaryen";
import { expect, test } from "vitest";
import { clearSharedWord, mapSharedWord } from "../../pmem/shared-word.js";
import { USUAL_MODE } from "../../runtime/process/forms.js";

const DISTANCE = 2 ** 32 + 4 * 65_536;

/** `load` takes what is at DISTANCE, by the last index and an offset; `at` takes what is at an index. */
function instantiate(): { memory: WebAssembly.Memory; load: () => number; at: (index: number) => number } {
  const module = binaryen.parseText(`(module
    (memory (export "memory") 1)
    (func (export "load") (result i32) (i32.load offset=${5 * 65_536} (i32.const -65536)))
    (func (export "at") (param i32) (result i32) (i32.load (local.get 0))))`);
  const bytes = module.emitBinary();
  module.dispose();
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>));
  return exports as unknown as ReturnType<typeof instantiate>;
}

const hasGuardRegion = USUAL_MODE === "flag";
const missing = hasGuardRegion ? "" : " (skipped: this engine has no guard region)";

test.skipIf(!hasGuardRegion)(`a word in the guard region: code loads what is written to the file${missing}`, () => {
  const { memory, load, at } = instantiate();
  expect(load).toThrow(WebAssembly.RuntimeError);
  const descriptor = mapSharedWord(memory, DISTANCE) as number;
  try {
    expect(load()).toBe(0);
    writeSync(descriptor, Uint8Array.of(1, 0, 0, 0), 0, 4, 0);
    expect(load()).toBe(1);
    clearSharedWord(descriptor);
    expect(load()).toBe(0);
    expect(() => at(65_536)).toThrow(WebAssembly.RuntimeError); // memory is as it was
    expect(() => at(-4)).toThrow(WebAssembly.RuntimeError);
    expect(memory.grow(3)).toBe(1);
    expect(at(65_536)).toBe(0);
    expect(load()).toBe(0);
  } finally {
    closeSync(descriptor);
  }
});

test("beyond what the engine has reserved: no word, and nothing is mapped", () => {
  const { memory, load } = instantiate();
  expect(mapSharedWord(memory, 2 ** 40)).toBeUndefined();
  expect(load).toThrow(WebAssembly.RuntimeError);
});
