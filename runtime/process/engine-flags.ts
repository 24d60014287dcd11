/**
 * The engine's version, and how it compiles guests. Only programs of our own set these flags, the command line and an exploration's
 * searchers: in others' programs they are theirs.
 * docs/rationale.md#engine-flags
 */
import { availableParallelism } from "node:os";

export const V8_VERSION = Number.parseInt(process.versions.v8, 10);

/** What a function may run in baseline code before it is optimised: five times V8's own; three times in newer ones, which wait longer. */
const TIERING_BUDGET = V8_VERSION < 13 ? 9_000_000 : 40_000_000;

/** Before it was finished in the engine, hints were taken if asked for; what a later one no longer knows it complains of. */
const ASKS_FOR_HINTS = V8_VERSION < 14;

/** Since then optimised code goes back to baseline code when it meets what that has not seen. */
const DEOPTIMIZES = V8_VERSION >= 14;
const NO_DEOPTIMIZATION = "--no-wasm-deopt";

export const ENGINE_FLAGS: readonly string[] = [
  `--wasm-tiering-budget=${TIERING_BUDGET}`,
  ...(ASKS_FOR_HINTS ? ["--experimental-wasm-branch-hinting"] : []),
  ...(DEOPTIMIZES ? [NO_DEOPTIMIZATION] : []),
  `--wasm-num-compilation-tasks=${Math.max(1, availableParallelism() - 1)}`,
  "--wasm-lazy-validation", // of what has been validated before: program.ts
  "--no-flush-bytecode", // what a save needs was compiled ahead and stays, also if it is not called for days
];

/**
 * Whether code may be optimised that was never baseline code. An engine that can go back asks, for each function that it inlines,
 * how large its baseline frame was, and ends the program if there was none ("function_feedback != ...").
 */
export function optimizesFromScratch(flags: readonly string[]): boolean {
  return !DEOPTIMIZES || flags.includes(NO_DEOPTIMIZATION);
}
