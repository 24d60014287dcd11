/**
 * The engine's own stack trace of a running guest: cheaper than to unwind and look.
 *
 * V8 writes a wasm frame as `wasm://wasm/<module>:wasm-function[<index>]:0x<offset>`. An engine that writes it otherwise
 * shows no frames.
 */
import { isNearCall } from "../instrument/near-call.js";

/** Source of a pattern: the URL of the module, the function's index and the offset. */
export const WASM_PLACE = String.raw`(wasm:\/\/wasm\/[^:\s]*):wasm-function\[(\d+)\]:(0x[0-9a-f]+)`;
const WASM_FRAME = new RegExp(WASM_PLACE, "g");
const MOST_FRAMES = 100;

/** An activation as the engine tells it. */
export interface EngineFrame {
  /** URL of its module. */
  readonly module: string;
  readonly functionIndex: number;
  /** Of the byte in its module that it stands at. */
  readonly offset: number;
}

/** The innermost of them, innermost first. */
export function wasmStack(): EngineFrame[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = MOST_FRAMES;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  return [...`${stack}`.matchAll(WASM_FRAME)]
    .map(([, module = "", index, offset]) => ({ module, functionIndex: Number(index), offset: Number(offset) }))
    .filter(({ module }) => !isNearCall(module));
}
