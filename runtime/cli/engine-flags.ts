/**
 * How the engine compiles guests. Only the command line sets these flags: in others' programs they are theirs.
 * docs/rationale.md#engine-flags
 */
import { availableParallelism } from "node:os";

/** What a function may run in baseline code before it is optimised: five times V8's own. */
const TIERING_BUDGET = 9_000_000;

export const ENGINE_FLAGS: readonly string[] = [
  `--wasm-tiering-budget=${TIERING_BUDGET}`,
  `--wasm-num-compilation-tasks=${Math.max(1, availableParallelism() - 1)}`,
  "--no-flush-bytecode", // what a save needs was compiled ahead and stays, also if it is not called for days
];
