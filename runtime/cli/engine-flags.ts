/**
 * How the engine compiles guests, set for this whole program before it compiles anything. Only the command line does so: in
 * others' programs these flags are theirs. docs/rationale.md#engine-flags
 */
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";

/** What a function may run in baseline code before it is optimised: five times V8's own. */
const TIERING_BUDGET = 9_000_000;

export function setEngineFlags(): void {
  setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`);
  setFlagsFromString(`--wasm-num-compilation-tasks=${Math.max(1, availableParallelism() - 1)}`);
}
