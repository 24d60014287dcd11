/**
 * Chains of SIGKILL at random moments: in the start, while the guest runs, in a persistence point, in a replay. What the run
 * leaves must be what an uninterrupted one does, exactly once.
 */
import type { Program } from "./program.js";
import type { Random } from "./random.js";
import { type Result, Run } from "./run.js";

export interface KillOptions {
  /** Of `vermilion run`. */
  readonly options: readonly string[];
  readonly kills: number;
  readonly stdout: "file" | "appended";
}

export interface Killed {
  readonly result: Result;
  readonly kills: number;
  /** Those that left a process behind which then went on. */
  readonly resumes: number;
  readonly history: readonly string[];
}

/** A chain that gets nowhere is a fault. */
const MOST_STEPS = 200;

/** One run to its end; `reference` is what an uninterrupted one leaves, and how long it takes. */
export async function killAtRandom(
  program: Program,
  module: string,
  random: Random,
  { milliseconds, ...expected }: Result & { readonly milliseconds: number },
  { options, kills, stdout }: KillOptions,
): Promise<Killed> {
  const run = new Run(module, program.test, stdout);
  try {
    let killed = 0;
    let resumes = 0;
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      let timer: NodeJS.Timeout | undefined;
      // Before half of that time the guest has not begun, mostly.
      const after = milliseconds * (0.4 + 0.8 * random.next());
      const step = await run.go(options, (child) => {
        if (killed < kills) timer = setTimeout(() => child.kill("SIGKILL"), after);
      });
      clearTimeout(timer);
      if (step.stderr.includes("resuming ")) resumes++;
      if (step.signal === "SIGKILL") {
        killed++;
        // Between its last act and its end; asking takes as long as a run, so only then.
        const { stdout: written } = run.result(null);
        const ended = written.length >= expected.stdout.length ? run.finishedWith() : undefined;
        if (ended !== undefined) return { result: run.result(ended), kills: killed, resumes, history: run.history };
      } else return { result: run.result(step.status), kills: killed, resumes, history: run.history };
    }
    throw new Error(`${program.name}: not done after ${MOST_STEPS} runs\n${run.history.slice(-5).join("\n")}`);
  } finally {
    run.remove();
  }
}
