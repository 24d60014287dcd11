/** How a run of a machine ended, and which errors are the guest's own. */
import type { MachineState } from "./image/state-file.js";

export type Outcome =
  | { readonly kind: "returned"; readonly results: readonly (number | bigint)[] }
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "suspended"; readonly state: MachineState; readonly frames: number }
  | { readonly kind: "trapped"; readonly error: Error };

/** What the engine says when a call finds no stack left. */
const STACK_EXHAUSTED = "Maximum call stack size exceeded";

/** The trap that an error which has left guest code stands for; undefined: it is not the guest's. */
export function trapOf(error: unknown): Error | undefined {
  if (error instanceof WebAssembly.Exception) {
    return new Error("an exception that the program throws is caught by nobody");
  }
  if (error instanceof WebAssembly.RuntimeError) return error;
  if (error instanceof RangeError && error.message === STACK_EXHAUSTED) return new Error("call stack exhausted");
  return undefined;
}
