import { continuedFunction } from "../instrument/continuation-names.js";
import type { TrapFrame } from "./image/epoch-record.js";

/**
 * A line of V8's stack trace: `at <name> (wasm://wasm/<module>:wasm-function[<index>]:0x<offset>)`, without name and
 * brackets for a function that has none. A name may be anything, lines too; then it also has the frames of JavaScript before it.
 */
const WASM_FRAME = /^\s*at (?:((?:.|\n)+?) \()?wasm:\/\/wasm\/[^\s:]*:wasm-function\[(\d+)\]:0x[0-9a-f]+\)?$/gm;

/** The guest's functions that were running when it trapped, innermost first, as the engine tells them. */
export function trapFrames(error: Error, functionCount: number): TrapFrame[] {
  return [...`${error.stack}`.matchAll(WASM_FRAME)]
    .map(
      ([, name = "", index]) =>
        continuedFunction(name.slice(name.lastIndexOf("\n") + 1).replace(/^\s*at /, "")) ?? Number(index),
    )
    .filter((index) => index < functionCount) // our helpers come behind the guest's functions
    .map((functionIndex) => ({ functionIndex }));
}
