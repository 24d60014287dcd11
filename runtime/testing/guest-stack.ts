import type { Program } from "../process/program.js";

/** How the engine names a frame of wasm: "name (wasm://wasm/module-1234:wasm-function[12]:0x345)". */
const FRAME = /wasm-function\[(\d+)\]/;
const DEEPEST = 100;

/** Names of the guest's functions that are running, innermost first: for a host function that the guest calls. */
export function guestStack(program: Program): string[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEEPEST;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  const names: string[] = [];
  for (const line of stack.split("\n")) {
    const index = Number(FRAME.exec(line)?.[1] ?? -1);
    // What lies behind the guest's functions is ours.
    if (index < 0 || index >= program.module.functionTypes.length) continue;
    names.push(program.names.get(index) ?? `function ${index}`);
  }
  return names;
}
