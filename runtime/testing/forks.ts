/**
 * What becomes of a program after a failure: runs from a walk's crash points, in a second vessel beside the walk's.
 *
 * F1  A run that stands at a safepoint in exactly the state in which the walk stands there will end as the walk does: it is
 *     not run further. Exactly: frames, globals, tables, memory, system interface, time, output, files.
 * F2  Some runs go to their end all the same, chosen by the seed, in a new machine: F1 would be blind to state that no
 *     remains holds.
 * F3  A run that differs is made again from what remains, without a stop on the way, and only its end is judged. It may
 *     differ rightly: the program was told of the failure, or has seen a file's number.
 * F4  A run that goes on much longer than the whole program does not end.
 */
import type { MachineState } from "../process/image/state-file.js";
import type { Outcome } from "../process/outcome.js";
import type { Program } from "../process/program.js";
import { sameBytes, sameWasiState } from "./comparison.js";
import type { Judge, Verdict } from "./judge.js";
import { type Difference, digestOf, type Observation } from "./observation.js";
import type { Random } from "./random.js";
import type { Subject } from "./subject.js";
import type { Strike, Trace } from "./trace.js";
import { type Remains, Vessel } from "./vessel.js";
import type { Pending, Standing, WalkVisitor } from "./walk.js";

export interface Finding {
  readonly trace: Trace;
  readonly differences: readonly Difference[];
  readonly observation: Observation;
}

export interface ForkCounts {
  /** Failures that were caused. */
  failures: number;
  /** Crash points that were looked at. */
  points: number;
  /** Of these, those whose run was not needed to its end (F1). */
  converged: number;
  /** Of these, those that left the same as the point before. */
  equivalent: number;
}

export interface ForkOptions {
  /** Of the program without a failure. */
  readonly safepoints: number;
  /** Safepoints between the failures of a chain; empty: a single failure. */
  readonly chainAt: (strike: Strike) => readonly number[];
  /** Somebody else judges too: ends are kept. */
  readonly keepsEnds: boolean;
  /** One of so many runs goes to its end (F2). */
  readonly toEndEvery: number;
  /** Told of each state that a failure leaves. */
  readonly failed?: ((state: MachineState) => void) | undefined;
  /** Changes a state that is taken over, as a mistake of the runtime would; for tests of the explorer itself. */
  readonly corrupt?: ((state: MachineState) => MachineState) | undefined;
}

const SAFEPOINTS_MORE = 100_000;
/** A new machine for one of so many runs: an old one could hide what a state lacks. */
const FRESH_EVERY = 16;
/** So many runs in a row that differed but ended well: the program sees the failures, and F1 will not help. */
const HOPELESS = 8;

export class Forks implements Pick<WalkVisitor, "reached" | "visit"> {
  readonly counts: ForkCounts = { failures: 0, points: 0, converged: 0, equivalent: 0 };
  readonly findings: Finding[] = [];
  /** Runs with nothing wrong that we could see, one of each kind of end. */
  readonly ends = new Map<string, Finding>();
  readonly #vessel: Vessel;
  readonly #judge: Judge;
  readonly #random: Random;
  readonly #options: ForkOptions;
  #previous: Remains | undefined;
  #differing = 0;

  constructor(program: Program, subject: Subject, folder: string, judge: Judge, random: Random, options: ForkOptions) {
    this.#vessel = new Vessel(program, subject, folder);
    this.#judge = judge;
    this.#random = random;
    this.#options = options;
  }

  reached(): boolean {
    return true;
  }

  visit(pending: Pending, standing: Standing | undefined): void {
    this.counts.points++;
    const chain = this.#options.chainAt(pending.strike);
    if (chain.length === 0 && this.#isEquivalent(pending.remains)) {
      this.counts.equivalent++;
      return;
    }
    const chosen = this.#random.below(this.#options.toEndEvery) === 0; // F2
    const toEnd = chosen || this.#differing >= HOPELESS;
    if (!toEnd && standing !== undefined && this.#converges(pending, chain, standing)) {
      this.counts.converged++;
      this.#differing = 0;
      return;
    }
    this.#differing = Math.min(HOPELESS, this.#differing + 1);
    const verdict = this.runToEnd(pending.remains, chain, chosen || this.#isTimeForFresh());
    const further = chain.map((ordinal) => ({ kind: "safepoint" as const, ordinal }));
    const run = { trace: [pending.strike, ...further], ...verdict };
    if (verdict.differences.length > 0) this.findings.push(run);
    else if (this.#options.keepsEnds) this.#keep(run);
  }

  #keep(run: Finding): void {
    const digest = digestOf(run.observation);
    if (!this.ends.has(digest)) this.ends.set(digest, run);
  }

  close(): void {
    this.#vessel.close();
  }

  /** One that holds what the point before held: nothing could be told apart. */
  #isEquivalent(remains: Remains): boolean {
    const previous = this.#previous;
    this.#previous = remains;
    return (
      previous !== undefined &&
      previous.stdoutByteLength === remains.stdoutByteLength &&
      previous.stderrByteLength === remains.stderrByteLength &&
      previous.moment.nanoseconds === remains.moment.nanoseconds &&
      previous.moment.random === remains.moment.random &&
      previous.files.isSameAs(remains.files) &&
      sameMachineState(previous.machine, remains.machine) &&
      remains.memories.every(({ changed }) => !changed) &&
      sameWasiState(previous.wasi, remains.wasi)
    );
  }

  #isTimeForFresh(): boolean {
    return this.#random.below(FRESH_EVERY) === 0;
  }

  /** Runs the chain from what remains, and then to the end; `fresh`: in new machines. */
  runToEnd(remains: Remains, chain: readonly number[], fresh: boolean): Verdict {
    const limit = 2 * this.#options.safepoints + SAFEPOINTS_MORE;
    const { outcome, safepoints } = this.#run(remains, chain, limit, fresh);
    return this.#judge.judge(this.#vessel, outcome, safepoints, remains.stdoutByteLength);
  }

  #converges({ remains, safepoint }: Pending, chain: readonly number[], standing: Standing): boolean {
    const distance = standing.safepoint - safepoint - chain.reduce((sum, step) => sum + step, 0);
    if (distance < 1) return false;
    const { outcome } = this.#run(remains, chain, distance, this.#isTimeForFresh());
    if (outcome.kind !== "suspended") return false;
    const { vessel } = standing;
    const [here, there] = [this.#vessel.stdio.outputByteLengths, vessel.stdio.outputByteLengths];
    return (
      sameMachineState(outcome.state, standing.machine) &&
      here.stdout === there.stdout &&
      here.stderr === there.stderr &&
      this.#vessel.moment.nanoseconds === vessel.moment.nanoseconds &&
      this.#vessel.moment.random === vessel.moment.random &&
      this.#sameMemories(remains, vessel) &&
      sameWasiState(this.#vessel.saveWasi(), vessel.saveWasi()) &&
      (here.stdout === remains.stdoutByteLength || this.#sameOutput(vessel, remains.stdoutByteLength)) &&
      this.#vessel.sandbox.hasSameFilesAs(vessel.sandbox)
    );
  }

  #sameMemories({ memories }: Remains, walk: Vessel): boolean {
    return memories.every(({ store }, index) => {
      const [here, there] = [this.#vessel.memories[index], walk.memories[index]];
      return here !== undefined && there !== undefined && store.isSame(here, there);
    });
  }

  #sameOutput(other: Vessel, from: number): boolean {
    return this.#vessel.stdio.readOutput("stdout", from).equals(other.stdio.readOutput("stdout", from));
  }

  /** A failure has left this. */
  #saved(state: MachineState): MachineState {
    const { corrupt, failed } = this.#options;
    this.counts.failures++;
    failed?.(state);
    return corrupt === undefined ? state : corrupt(state);
  }

  #run(
    remains: Remains,
    chain: readonly number[],
    limit: number,
    fresh: boolean,
  ): { readonly outcome: Outcome; readonly safepoints: number } {
    this.#vessel.load({ ...remains, machine: this.#saved(remains.machine) }, fresh);
    for (const atSafepoint of chain) {
      const outcome = this.#vessel.resume({ atSafepoint });
      if (outcome.kind !== "suspended") return { outcome, safepoints: this.#vessel.machine.safepointsCrossed };
      this.#vessel.reload(this.#saved(outcome.state), fresh);
    }
    const outcome = this.#vessel.resume({ atSafepoint: limit });
    return { outcome, safepoints: this.#vessel.machine.safepointsCrossed };
  }
}

function sameMachineState(a: MachineState, b: MachineState): boolean {
  return (
    sameBytes(a.stacks, b.stacks) &&
    sameBytes(a.globals, b.globals) &&
    sameBytes(a.tables, b.tables) &&
    sameBytes(a.segments, b.segments)
  );
}
