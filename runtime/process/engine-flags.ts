/**
 * The engine's version, and how it compiles guests. Only programs of our own set these flags, the command line and an exploration's
 * searchers: in others' programs they are theirs.
 * docs/rationale.md#engine-flags
 */
import { availableParallelism } from "node:os";
import type { HintFormat } from "../wasm/compilation-hints.js";

export const V8_VERSION = Number.parseInt(process.versions.v8, 10);

/** What a function may run in baseline code before it is optimised: five times V8's own; three times in newer ones, which wait longer. */
const TIERING_BUDGET = V8_VERSION < 13 ? 9_000_000 : 40_000_000;

/** Before it was finished in the engine, hints were taken if asked for; what a later one no longer knows it complains of. */
const ASKS_FOR_HINTS = V8_VERSION < 14;

/** Since then optimised code goes back to baseline code when it meets what that has not seen. */
const DEOPTIMIZES = V8_VERSION >= 14;
const NO_DEOPTIMIZATION = "--no-wasm-deopt";

/** While the guest runs, and while it waits for them. */
const compilers = (count: number): string => `--wasm-num-compilation-tasks=${Math.max(1, count)}`;
const COMPILERS_BESIDE_GUEST = compilers(availableParallelism() - 1);

export const ENGINE_FLAGS: readonly string[] = [
  `--wasm-tiering-budget=${TIERING_BUDGET}`,
  ...(ASKS_FOR_HINTS ? ["--experimental-wasm-branch-hinting"] : []),
  ...(DEOPTIMIZES ? [NO_DEOPTIMIZATION] : []),
  COMPILERS_BESIDE_GUEST,
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

const HINTS = "experimental-wasm-compilation-hints";
/** The older kind speaks of all functions, and is heard only if not all are lazy whatever it says. */
const OLDER_HINTS = V8_VERSION < 14;

/** For the time in which modules are compiled as their hints say (compilation-hints.ts), and behind it. */
export const READ_HINTS: readonly string[] = [`--${HINTS}`, ...(OLDER_HINTS ? ["--no-wasm-lazy-compilation"] : [])];
export const UNREAD_HINTS: readonly string[] = [`--no-${HINTS}`, ...(OLDER_HINTS ? ["--wasm-lazy-compilation"] : [])];
/** The same while the guest waits for that. */
export const HEED_HINTS: readonly string[] = [...READ_HINTS, compilers(availableParallelism())];
export const PASS_OVER_HINTS: readonly string[] = [...UNREAD_HINTS, COMPILERS_BESIDE_GUEST];
/**
 * The engine of Node 20 gives a function with more than 8,192 values its registers by a quicker method, whose code takes up to half
 * as long again. The other one needs some 0.3 s for an interpreter's function of 70 KB, and seconds for one of 250 KB.
 */
const HAS_QUICK_REGISTERS = process.versions.v8.startsWith("11.3.");
const QUICK_REGISTERS = "turbo-use-mid-tier-regalloc-for-huge-functions";
const LARGEST_WITH_GOOD_REGISTERS = 1 << 17;

/** For a program whose largest function has that many bytes, instrumented; asked only where it matters. */
export function registerFlags(program: { readonly largestBody: number }): readonly string[] {
  if (!HAS_QUICK_REGISTERS) return [];
  return program.largestBody > LARGEST_WITH_GOOD_REGISTERS ? SOON_COMPILED : [`--no-${QUICK_REGISTERS}`];
}

/** While continuations are compiled, which are to be there soon. */
export const SOON_COMPILED: readonly string[] = HAS_QUICK_REGISTERS ? [`--${QUICK_REGISTERS}`] : [];

export const HINT_FORMAT: HintFormat = OLDER_HINTS ? "strategies" : "priorities";
