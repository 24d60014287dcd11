/**
 * One run of a program that stops at crash points, has what a failure there leaves looked at, and goes on unharmed.
 *
 * A point is looked at when the run has reached the next safepoint behind it (or its end): until then nothing is known that
 * a run with a failure could be held against. So what remains waits, and memory and files are copied for it.
 *
 * K1  The walk itself is never what is tested: it goes on in the same instance, in the state it stopped in.
 * K2  Ordinals are those of a run without stops: a host call that is left and made again counts once, its safepoint too.
 * K3  Copies of files are shared by remains between which no file changed, and free again when the last is done.
 */
import { join } from "node:path";
import type { MachineState } from "../process/image/state-file.js";
import type { Outcome } from "../process/outcome.js";
import type { Program } from "../process/program.js";
import type { EntryCall } from "../process/stacks.js";
import { Sandbox } from "./sandbox.js";
import type { Subject } from "./subject.js";
import type { Strike } from "./trace.js";
import { type Remains, Vessel, type Watcher } from "./vessel.js";
import { type FrozenMemory, WarmMemory } from "./warm-memory.js";

/** Where a walk stops. */
export interface WalkPlan {
  /** Ascending, each once. */
  readonly safepoints: Iterable<number>;
  /** Host calls, ascending, each with all of its points. */
  readonly calls: Iterable<number>;
  /** Safepoints between a point and the place where the run with a failure is held against this one; at least 1. */
  readonly distanceAt: (strike: Strike) => number;
}

/** A crash point, and what a failure there leaves. */
export interface Pending {
  readonly strike: Strike;
  readonly remains: Remains;
  /** Safepoints crossed when it was taken. */
  readonly safepoint: number;
  readonly checkAt: number;
}

/** Where the walk stands now. */
export interface Standing {
  readonly safepoint: number;
  readonly machine: MachineState;
  readonly vessel: Vessel;
}

export interface WalkVisitor {
  /** The walk stands at the point; false: it is not wanted. */
  reached(strike: Strike, state: MachineState): boolean;
  /** `standing` is undefined when the program has ended first. Throws to end the walk. */
  visit(pending: Pending, standing: Standing | undefined): void;
  /** Whether to end the walk; asked often, however far apart the points are, while the guest runs. */
  isOver(): boolean;
  /** It was over: throws. */
  end(): never;
}

export interface WalkEnd {
  readonly outcome: Outcome;
  readonly safepoints: number;
  readonly calls: number;
}

export class Walk {
  readonly vessel: Vessel;
  readonly #visitor: WalkVisitor;
  readonly #plan: WalkPlan;
  readonly #safepoints: Iterator<number>;
  readonly #frozen: FrozenFiles;
  readonly #folder: string;
  readonly #warm: WarmMemory[] = [];
  #nextSafepoint: number;
  readonly #calls: Iterator<number>;
  #nextCall: number;
  #pending: Pending[] = [];
  #callsMade = 0;
  /** All points of the call that is coming are wanted. */
  #atCall = false;
  /** What the next stop is for, besides safepoints. */
  #stop: "before" | "inside" | "after" | undefined;
  /** The call has been left once as if it waited. */
  #triedInside = false;

  constructor(program: Program, subject: Subject, folder: string, plan: WalkPlan, visitor: WalkVisitor) {
    this.#folder = folder;
    this.#plan = plan;
    this.#visitor = visitor;
    this.#safepoints = plan.safepoints[Symbol.iterator]();
    this.#nextSafepoint = next(this.#safepoints);
    this.#calls = plan.calls[Symbol.iterator]();
    this.#nextCall = next(this.#calls);
    this.#frozen = new FrozenFiles(subject, folder);
    this.vessel = new Vessel(program, subject, join(folder, "walk"), this.#watcher());
  }

  run(entry: EntryCall): WalkEnd {
    const outcome = this.vessel.start(entry, {}, this.#nextSafepoint);
    for (const pending of this.#pending.splice(0)) this.#visitor.visit(pending, undefined);
    return { outcome, safepoints: this.vessel.machine.safepointsCrossed, calls: this.#callsMade };
  }

  #watcher(): Watcher {
    const isDue = (): boolean => this.vessel.machine.safepointsCrossed >= this.#nextStop() || this.#isOver();
    return {
      isDue,
      isDueAtCall: () => {
        this.#atCall = this.#callsMade + 1 === this.#nextCall;
        this.#triedInside = false;
        if (!this.#atCall && !isDue()) return false;
        this.#stop = "before";
        return true;
      },
      beforeCall: () => {
        const interrupts = this.#atCall && !this.#triedInside;
        this.#triedInside = true;
        return interrupts;
      },
      interrupted: () => {
        this.#stop = "inside";
      },
      afterCall: () => {
        this.#callsMade++;
        if (this.#callsMade === this.#nextCall) this.#nextCall = next(this.#calls);
      },
      isDueAfterCall: () => {
        if (!this.#atCall) return false;
        this.#atCall = false;
        this.#stop = "after";
        return true;
      },
      persist: (state) => {
        this.#stopped(state);
        return undefined;
      },
    };
  }

  /** Points that were counted are looked at first. */
  #isOver(): boolean {
    return this.#pending.length === 0 && this.#visitor.isOver();
  }

  #nextStop(): number {
    return this.#pending.reduce((next, { checkAt }) => Math.min(next, checkAt), this.#nextSafepoint);
  }

  #stopped(machine: MachineState): void {
    const safepoint = this.vessel.machine.safepointsCrossed;
    const stop = this.#stop;
    this.#stop = undefined;
    if (stop !== "inside" && stop !== "after") this.#lookAtPending(safepoint, machine);
    if (this.#isOver()) this.#visitor.end();
    const strike = this.#strikeAt(stop, safepoint);
    while (this.#nextSafepoint <= safepoint) this.#nextSafepoint = next(this.#safepoints);
    if (strike !== undefined && this.#visitor.reached(strike, machine)) {
      const checkAt = safepoint + this.#plan.distanceAt(strike);
      this.#pending.push({ strike, remains: this.#freeze(machine), safepoint, checkAt });
    }
    this.vessel.machine.askAtSafepoint(this.#nextStop());
  }

  #strikeAt(stop: "before" | "inside" | "after" | undefined, safepoint: number): Strike | undefined {
    if (stop === "inside") return { kind: "call-inside", ordinal: this.#callsMade + 1 };
    if (stop === "after") return { kind: "call-after", ordinal: this.#callsMade };
    const wanted = this.#nextSafepoint <= safepoint || (stop === "before" && this.#atCall);
    return wanted ? { kind: "safepoint", ordinal: safepoint } : undefined;
  }

  #lookAtPending(safepoint: number, machine: MachineState): void {
    const due = this.#pending.filter(({ checkAt }) => checkAt <= safepoint);
    if (due.length === 0) return;
    this.#pending = this.#pending.filter(({ checkAt }) => checkAt > safepoint);
    for (const pending of due) this.#visitor.visit(pending, { safepoint, machine, vessel: this.vessel });
  }

  #freezeMemory(memory: WebAssembly.Memory, index: number): FrozenMemory {
    let store = this.#warm[index];
    if (store === undefined) {
      store = new WarmMemory(join(this.#folder, `memory-${index}`));
      this.#warm[index] = store;
    }
    return store.freeze(
      memory,
      this.#pending.flatMap(({ remains }) => remains.memories[index] ?? []),
    );
  }

  /** Lets go of everything; nothing that it froze can be loaded any more. */
  close(): void {
    this.vessel.close();
    for (const store of this.#warm) store.close();
  }

  #freeze(machine: MachineState): Remains {
    const { vessel } = this;
    const { stdout, stderr } = vessel.stdio.outputByteLengths;
    return {
      machine,
      memories: vessel.memories.map((memory, index) => this.#freezeMemory(memory, index)),
      wasi: vessel.saveWasi(),
      moment: vessel.moment,
      stdoutByteLength: stdout,
      stderrByteLength: stderr,
      files: this.#frozen.copyOf(
        vessel.sandbox,
        this.#pending.map(({ remains }) => remains.files),
      ),
    };
  }
}

/** Infinity: there is none any more. */
function next(ordinals: Iterator<number>): number {
  const { done, value } = ordinals.next();
  return done === true ? Number.POSITIVE_INFINITY : value;
}

/** K3. */
class FrozenFiles {
  readonly #subject: Subject;
  readonly #folder: string;
  readonly #copies: Sandbox[] = [];

  constructor(subject: Subject, folder: string) {
    this.#subject = subject;
    this.#folder = folder;
  }

  copyOf(sandbox: Sandbox, inUse: readonly Sandbox[]): Sandbox {
    let copy = this.#copies.find((candidate) => candidate.isSameAs(sandbox));
    copy ??= this.#copies.find((candidate) => !inUse.includes(candidate));
    if (copy === undefined) {
      copy = new Sandbox(join(this.#folder, `frozen-${this.#copies.length}`), this.#subject.preopens);
      this.#copies.push(copy);
    }
    copy.copyFrom(sandbox);
    return copy;
  }
}
