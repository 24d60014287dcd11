import { continuedFunction } from "../instrument/continuation-names.js";
import type { TrapFrame } from "./image/epoch-record.js";

/**
 * A line of V8's stack trace: `at <name> (wasm://wasm/<module>:wasm-function[<index>]:0x<offset>)`, without name and
 * brackets for a function that has none.
 */
const WASM_FRAME = /^\s*at (?:(.+) \()?wasm:\/\/wasm\/[^\s:]*:wasm-function\[(\d+)\]:0x[0-9a-f]+\)?$/gm;

/** The guest's functions that were running when it trapped, innermost first, as the engine tells them. */
export function trapFrames(error: Error, functionCount: number): TrapFrame[] {
  return [...`${error.stack}`.matchAll(WASM_FRAME)]
    .map(([, name, index]) => continuedFunction(name ?? "") ?? Number(index))
    .filter((index) => index < functionCount) // our helpers come behind the guest's functions
    .map((functionIndex) => ({ functionIndex }));
}
