/** Chains of power failures in one run, caused at safepoints or by real signals, and how many a run has room for. */
import type { Program } from "./program.js";
import type { Random } from "./random.js";
import { type Result, Run, SAVED, type Step } from "./run.js";
import { type SignalTiming, strike, whatItMet } from "./signal-timing.js";

/** How a run with failures went. */
export interface Interrupted {
  readonly result: Result;
  /** Failures that were saved. */
  readonly failures: number;
  readonly history: readonly string[];
}

/** A run that nothing interrupts: what all others are held against. Throws if the program itself fails. */
export async function uninterrupted(
  program: Program,
  module: string,
): Promise<Result & { readonly milliseconds: number }> {
  const run = new Run(module, program.test);
  try {
    const startedAt = performance.now();
    const last = await run.go();
    const expected = program.test.exitCode ?? 0;
    if (last.status !== expected)
      throw new Error(`${program.name} must exit with ${expected}: ${run.history.join("\n")}`);
    return { ...run.result(last.status), milliseconds: performance.now() - startedAt };
  } finally {
    run.remove();
  }
}

/**
 * A bound of the number of safepoints of a whole run, at most `precision` times too high: the smallest N that was tried at
 * which `--fail-at N` no longer strikes.
 */
export async function boundSafepoints(program: Program, module: string, precision: number): Promise<number> {
  let [struck, missed] = [1, Number.POSITIVE_INFINITY];
  while (struck * precision < missed) {
    const guess = Math.round(missed === Number.POSITIVE_INFINITY ? struck * 20 : Math.sqrt(struck * missed));
    if (guess === struck) break;
    const run = new Run(module, program.test);
    try {
      const { status } = await run.go(["--fail-at", String(guess)]);
      if (status === SAVED) struck = guess;
      else missed = guess;
    } finally {
      run.remove();
    }
  }
  return missed;
}

/**
 * The safepoints between one failure and the next: random places of the whole run, but every third failure follows the one
 * before it closely, so that it strikes in continuation code.
 */
export function chainOfSafepoints(random: Random, safepoints: number, length: number): number[] {
  const places = Array.from({ length }, () => random.upTo(safepoints)).sort((a, b) => a - b);
  return places.map((place, i) => (i % 3 === 2 ? random.upTo(40) : Math.max(1, place - (places[i - 1] ?? 0))));
}

export async function interruptAtSafepoints(
  program: Program,
  module: string,
  distances: readonly number[],
): Promise<Interrupted> {
  const options = distances.map((distance) => ["--fail-at", String(distance)]);
  return interrupt(program, module, (run, i) => run.go(options[i] ?? []));
}

/** Steps are struck by a real SIGPWR each, until `limit` of them were saved; then the run is left alone. */
export async function interruptBySignals(
  program: Program,
  module: string,
  timing: SignalTiming,
  limit: number,
): Promise<Interrupted> {
  let saved = 0;
  return interrupt(program, module, async (run) => {
    if (saved === limit) return run.go();
    const delay = timing.pick();
    const step = await run.go([], (child) => void strike(child, delay));
    const met = whatItMet(step);
    timing.learn(delay, met);
    if (met === "program") saved++;
    return step;
  });
}

async function interrupt(
  program: Program,
  module: string,
  go: (run: Run, i: number) => Promise<Step>,
): Promise<Interrupted> {
  const run = new Run(module, program.test);
  try {
    for (let i = 0, failures = 0; ; i++) {
      const step = await go(run, i);
      if (step.status === SAVED) {
        if (whatItMet(step) === "program") failures++;
        continue;
      }
      // After the program's end a signal does to the process what it does to any other.
      const status = step.signal === "SIGPWR" ? run.finishedWith() : step.status;
      if (status === undefined) continue;
      return { result: run.result(status), failures, history: run.history };
    }
  } finally {
    run.remove();
  }
}
