/** What one searcher can do: the reference run, walks with forks, and a chain of failures again. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import { describeFrames, type FrameInspection } from "../process/frame-inspection.js";
import type { MachineState } from "../process/image/state-file.js";
import { callOf, entryOf } from "../process/invocation.js";
import type { Program } from "../process/program.js";
import { decodeStacks, type EntryCall } from "../process/stacks.js";
import { type Finding, type ForkCounts, type ForkOptions, Forks } from "./forks.js";
import { type Checkers, Judge, type Verdict } from "./judge.js";
import type { Difference, Observation } from "./observation.js";
import { Random } from "./random.js";
import { type CallChoice, callsOf, type SafepointChoice, safepointsOf } from "./strata.js";
import type { Subject } from "./subject.js";
import type { Strike, Trace } from "./trace.js";
import { Walk, type WalkEnd, type WalkPlan } from "./walk.js";

/** The run without a failure. */
export interface Reference {
  readonly observation: Observation;
  readonly safepoints: number;
  readonly calls: number;
  /** What the checkers have against it: nothing, or there is no point in going on. */
  readonly differences: readonly Difference[];
}

export interface WalkOrder {
  readonly seed: number;
  readonly safepoints: SafepointChoice | undefined;
  readonly calls: CallChoice | undefined;
  /** Failures behind the first, each soon after the one before. */
  readonly furtherFailures: number;
  /** One of so many runs goes to its end even if that is not needed. */
  readonly toEndEvery: number;
  /** Findings at which it ends. */
  readonly mostFindings: number;
  /** Report ends of every kind. */
  readonly keepsEnds: boolean;
}

export interface WalkReport {
  readonly counts: ForkCounts;
  readonly findings: readonly Finding[];
  /** Runs that ended otherwise than any other, and against which nothing is to be said but by the user's own check. */
  readonly ends: readonly Finding[];
  /** The walk came to the program's end. */
  readonly whole: boolean;
}

/** A chain of failures, made again. */
export interface Repetition {
  readonly differences: readonly Difference[];
  readonly observation: Observation;
  /** Where each failure struck, innermost frame first; shorter when the program ended before. */
  readonly where: readonly (readonly FrameInspection[])[];
}

/** What a searcher has to do with the others. */
export interface SearchProgress {
  /** Asked at each crash point, and often between them: a walk then ends early. */
  isOver(): boolean;
  /** At a crash point, by so many failures. */
  looked(failures: number): void;
}

/** For tests of the explorer itself. */
export type Corruption = (state: MachineState) => MachineState;

class WalkOver extends Error {}

const MOST_DISTANCE_BITS = 10;

export class Explorer {
  readonly #program: Program;
  readonly #subject: Subject;
  readonly #folder: string;
  readonly #entry: EntryCall;
  readonly #judge: Judge;
  readonly #corrupt: Corruption | undefined;
  readonly #progress: SearchProgress;
  #reference: Reference | undefined;
  #folders = 0;

  constructor(
    program: Program,
    subject: Subject,
    folder: string,
    checkers: Checkers,
    progress: SearchProgress,
    corrupt?: Corruption,
  ) {
    this.#entry = entryOf(program.module, { invoke: null, args: subject.args });
    if (checkers.exportName !== undefined) callOf(program.module, checkers.exportName, []); // throws
    this.#program = program;
    this.#subject = subject;
    this.#folder = folder;
    this.#judge = new Judge(checkers, folder);
    this.#progress = progress;
    this.#corrupt = corrupt;
  }

  /** The same for every searcher. */
  set reference(reference: Reference) {
    this.#reference = reference;
    this.#judge.reference = reference.observation;
  }

  /** BUDGET_ENDED: it was over first. */
  refer(): Reference {
    const nothing: WalkPlan = { safepoints: [], calls: [], distanceAt: () => 1 };
    const isOver = (): boolean => this.#progress.isOver();
    const end = (): never => {
      throw new VermilionError(
        "BUDGET_ENDED",
        `${this.#subject.module}: the run without a failure did not end within the budget; give it more time or less to do`,
      );
    };
    return this.#inFolder((folder) => {
      const walk = new Walk(this.#program, this.#subject, folder, nothing, {
        ...{ reached: () => false, visit: () => {}, isOver, end },
      });
      try {
        const { outcome, safepoints, calls } = walk.run(this.#entry);
        const observation = this.#judge.observe(walk.vessel, outcome, safepoints);
        return { observation, safepoints, calls, differences: this.#judge.check(walk.vessel, observation) };
      } finally {
        walk.close();
      }
    });
  }

  walk(order: WalkOrder): WalkReport {
    const { seed, safepoints, calls, furtherFailures, toEndEvery, mostFindings, keepsEnds } = order;
    const random = new Random(seed);
    const chains = new Map<Strike, readonly number[]>();
    const plan: WalkPlan = {
      safepoints: safepoints === undefined ? [] : safepointsOf(safepoints),
      calls: calls === undefined ? [] : callsOf(calls),
      distanceAt: (strike) => {
        const chain = randomChain(furtherFailures, random);
        chains.set(strike, chain);
        return chain.reduce((sum, distance) => sum + distance, 1);
      },
    };
    return this.#inFolder((folder) => {
      const options = { toEndEvery, keepsEnds, chainAt: (strike: Strike) => chains.get(strike) ?? [] };
      const forks = this.#forks(folder, random, options);
      const walk = new Walk(this.#program, this.#subject, folder, plan, {
        reached: () => {
          if (this.#progress.isOver() || forks.findings.length >= mostFindings) throw new WalkOver();
          return true;
        },
        isOver: () => this.#progress.isOver(),
        end: endWalk,
        visit: (pending, standing) => {
          const before = forks.counts.failures;
          forks.visit(pending, standing);
          this.#progress.looked(forks.counts.failures - before);
          chains.delete(pending.strike);
        },
      });
      const end = finish(walk, forks, this.#entry, ({ outcome, safepoints: crossed }) =>
        // K1 of walk.ts, seen from outside: the walk's own end is judged too, with all that it wrote.
        this.#judge.judge(walk.vessel, outcome, crossed, 0),
      );
      const own = end === undefined || end.differences.length === 0 ? [] : [{ trace: [], ...end }];
      const findings = [...own, ...forks.findings];
      return { counts: forks.counts, findings, ends: [...forks.ends.values()], whole: end !== undefined };
    });
  }

  /** Undefined: the program ended before the first failure. */
  repeat([first, ...further]: Trace): Repetition | undefined {
    if (first === undefined) return undefined;
    const { kind, ordinal } = first;
    const chain = further.map((strike) => strike.ordinal);
    const where: FrameInspection[][] = [];
    const plan: WalkPlan = {
      safepoints: kind === "safepoint" ? [ordinal] : [],
      calls: kind === "safepoint" ? [] : [ordinal],
      distanceAt: () => 1,
    };
    return this.#inFolder((folder) => {
      const failed = (state: MachineState) => where.push(this.#framesOf(state));
      const forks = this.#forks(folder, new Random(0), {
        toEndEvery: 1,
        keepsEnds: false,
        chainAt: () => chain,
        failed,
      });
      let verdict: Verdict | undefined;
      const walk = new Walk(this.#program, this.#subject, folder, plan, {
        reached: (strike) => strike.kind === kind,
        isOver: () => false,
        end: endWalk,
        visit: ({ remains }) => {
          verdict = forks.runToEnd(remains, chain, true);
          throw new WalkOver();
        },
      });
      finish(walk, forks, this.#entry, () => {});
      return verdict && { ...verdict, where };
    });
  }

  #forks(
    folder: string,
    random: Random,
    options: Pick<ForkOptions, "toEndEvery" | "keepsEnds" | "chainAt" | "failed">,
  ): Forks {
    return new Forks(this.#program, this.#subject, join(folder, "forks"), this.#judge, random, {
      ...options,
      safepoints: this.#reference?.safepoints ?? 0,
      corrupt: this.#corrupt,
    });
  }

  #framesOf(state: MachineState): FrameInspection[] {
    return describeFrames(this.#subject.moduleBytes, decodeStacks(state.stacks).tasks, this.#subject.module);
  }

  #inFolder<Result>(action: (folder: string) => Result): Result {
    const folder = join(this.#folder, `${this.#folders++}`);
    mkdirSync(folder, { recursive: true });
    try {
      return action(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function endWalk(): never {
  throw new WalkOver();
}

/** Undefined: the walk was ended early. */
function finish<Result>(
  walk: Walk,
  forks: Forks,
  entry: EntryCall,
  ended: (end: WalkEnd) => Result,
): Result | undefined {
  try {
    return ended(walk.run(entry));
  } catch (error) {
    if (error instanceof WalkOver) return undefined;
    throw error;
  } finally {
    walk.close();
    forks.close();
  }
}

/** Distances: most are short, so that the next failure comes before the program has recovered. */
function randomChain(length: number, random: Random): number[] {
  return Array.from({ length }, () => 1 + random.below(2 ** random.below(MOST_DISTANCE_BITS)));
}
