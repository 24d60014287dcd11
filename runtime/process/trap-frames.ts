import { continuedFunction } from "../instrument/continuation-names.js";
import type { TrapFrame } from "./image/epoch-record.js";
import { WASM_PLACE } from "./wasm-stack.js";

/**
 * A line of V8's stack trace: `at <name> (<place>)`, without name and brackets for a function that has none. A name may be
 * anything, lines too; then it also has the frames of JavaScript before it.
 */
const WASM_FRAME = new RegExp(String.raw`^\s*at (?:${WASM_PLACE}|((?:.|\n)+?) \(${WASM_PLACE}\))$`, "gm");

/** The guest's functions that were running when it trapped, innermost first, as the engine tells them. */
export function trapFrames(error: Error, functionCount: number): TrapFrame[] {
  return [...`${error.stack}`.matchAll(WASM_FRAME)]
    .map(
      ([, , nameless, , name = "", , named]) =>
        continuedFunction(name.slice(name.lastIndexOf("\n") + 1).replace(/^\s*at /, "")) ?? Number(nameless ?? named),
    )
    .filter((index) => index < functionCount) // our helpers come behind the guest's functions
    .map((functionIndex) => ({ functionIndex }));
}
