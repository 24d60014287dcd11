/** Chains of power failures in one run, caused at safepoints or by real signals, and how many a run has room for. */
import type { Program } from "./program.js";
import type { Random } from "./random.js";
import { type Result, Run, SAVED, type Step } from "./run.js";

/** How a run with failures went. */
export interface Interrupted {
  readonly result: Result;
  /** Failures that were saved. */
  readonly failures: number;
  readonly history: readonly string[];
}

/** A run that nothing interrupts: what all others are held against. */
export async function uninterrupted(
  program: Program,
  module: string,
): Promise<Result & { readonly milliseconds: number }> {
  const run = new Run(module, program.test);
  try {
    const startedAt = performance.now();
    const last = await run.go();
    return { ...run.result(last.status), milliseconds: performance.now() - startedAt };
  } finally {
    run.remove();
  }
}

/** How long it takes until the program itself runs. */
export async function measureStart(program: Program, module: string): Promise<number> {
  const run = new Run(module, program.test);
  try {
    const startedAt = performance.now();
    await run.go(["--fail-at", "1"]);
    return performance.now() - startedAt;
  } finally {
    run.remove();
  }
}

/** The number of safepoints of a whole run, within a fifth: the largest N at which `--fail-at N` still strikes. */
export async function countSafepoints(program: Program, module: string): Promise<number> {
  let [struck, missed] = [0, Number.POSITIVE_INFINITY];
  for (
    let guess = 20_000;
    struck * 1.2 < missed;
    guess = Math.round(missed === Number.POSITIVE_INFINITY ? struck * 12 : (struck + missed) / 2)
  ) {
    const run = new Run(module, program.test);
    try {
      const { status } = await run.go(["--fail-at", String(guess)]);
      if (status === SAVED) struck = guess;
      else missed = guess;
    } finally {
      run.remove();
    }
    if (missed < 10) break;
  }
  return struck;
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

/** Each step is struck by a real SIGPWR after these many milliseconds; steps beyond them are left alone. */
export async function interruptBySignals(
  program: Program,
  module: string,
  delays: readonly number[],
): Promise<Interrupted> {
  return interrupt(program, module, (run, i) => {
    const delay = delays[i];
    if (delay === undefined) return run.go();
    return run.go([], (child) => {
      const timer = setTimeout(() => child.kill("SIGPWR"), delay);
      child.once("exit", () => clearTimeout(timer));
    });
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
        failures++;
        continue;
      }
      // Before the runtime listens, and after the program's end, a signal does to the process what it does to any other.
      const status = step.signal === "SIGPWR" ? run.finishedWith() : step.status;
      if (status === undefined) continue;
      return { result: run.result(status), failures, history: run.history };
    }
  } finally {
    run.remove();
  }
}
