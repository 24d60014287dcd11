/**
 * How the engine compiles guests. Only the command line sets these flags: in others' programs they are theirs.
 * docs/rationale.md#engine-flags
 */
import { availableParallelism } from "node:os";

const V8_VERSION = Number.parseInt(process.versions.v8, 10);

/** What a function may run in baseline code before it is optimised: five times V8's own; three times in newer ones, which wait longer. */
const TIERING_BUDGET = V8_VERSION < 13 ? 9_000_000 : 40_000_000;

/** Before it was finished in the engine, hints were taken if asked for; what a later one no longer knows it complains of. */
const ASKS_FOR_HINTS = V8_VERSION < 14;

export const ENGINE_FLAGS: readonly string[] = [
  `--wasm-tiering-budget=${TIERING_BUDGET}`,
  ...(ASKS_FOR_HINTS ? ["--experimental-wasm-branch-hinting"] : []),
  `--wasm-num-compilation-tasks=${Math.max(1, availableParallelism() - 1)}`,
  "--wasm-lazy-validation", // of what has been validated before: program.ts
  "--no-flush-bytecode", // what a save needs was compiled ahead and stays, also if it is not called for days
];
