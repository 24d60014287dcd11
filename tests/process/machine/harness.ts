/**
 * Runs a small program in this process, interrupted at chosen safepoints, each resume in a new machine.
 *
 * The program is text; it exports `run` and logs through "env"."log_i32" and its like, which are host calls and thus
 * safepoints. What survives is what an image would hold: a copy of linear memory and the machine's state.
 */
import binaryen from "binaryen";
import { VermilionError } from "../../../pmem/error.js";
import { Machine } from "../../../runtime/process/machine.js";
import type { HostFunction, Injection, MachineHost } from "../../../runtime/process/machine-host.js";
import type { Outcome } from "../../../runtime/process/outcome.js";
import { Program } from "../../../runtime/process/program.js";
import type { Random } from "../../../runtime/testing/random.js";
import { CarriedMemories } from "../../support/carried-memories.js";

const { Features } = binaryen;

const FEATURES = [
  ...[
    Features.MutableGlobals,
    Features.SignExt,
    Features.NontrappingFPToInt,
    Features.BulkMemory,
    Features.BulkMemoryOpt,
  ],
  ...[Features.ReferenceTypes, Features.Multivalue, Features.ExceptionHandling, Features.TailCall, Features.SIMD128],
  ...[Features.ExtendedConst, Features.Atomics, Features.MultiMemory],
];

/** What the assembler does not take. */
export class NotAssembled extends Error {}

export function assemble(text: string): Uint8Array {
  let module: ReturnType<typeof binaryen.parseText>;
  try {
    module = binaryen.parseText(text);
  } catch (error) {
    throw new NotAssembled((error as { message: string }).message);
  }
  try {
    module.setFeatures(FEATURES.reduce<number>((all, feature) => all | feature, 0));
    binaryen.setDebugInfo(true); // the name section
    return module.emitBinary();
  } finally {
    binaryen.setDebugInfo(false);
    module.dispose();
  }
}

/** The log of the same program on the bare engine: the oracle. Wordings of traps differ between an engine's tiers. */
export function plainLog(bytes: Uint8Array): string[] {
  const log: string[] = [];
  const note = (...values: unknown[]): void => {
    log.push(values.map((value) => (Object.is(value, -0) ? "-0" : `${value}`)).join(" "));
  };
  const env = { log_i32: note, log_i64: note, log_f32: note, log_f64: note, log: note };
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), { env });
    (instance.exports["_initialize"] as (() => void) | undefined)?.();
    (instance.exports["run"] as () => void)();
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    log.push("trap");
  }
  return log;
}

interface Run {
  readonly log: readonly string[];
  readonly resumes: number;
  /** Crossed in all, whichever machine ran; the exact form only. */
  readonly safepoints: number;
  readonly outcome: Outcome;
}

const MOST_RESUMES = 100_000;

export class Guest {
  /** The continuations of `apart` have no loop twice. */
  readonly #forms: Readonly<Record<"exact" | "fast" | "tracking" | "apart", Program>>;
  readonly plainLog: readonly string[];

  constructor(text: string) {
    const bytes = assemble(text);
    this.plainLog = plainLog(bytes);
    this.#forms = {
      exact: Program.load(bytes, { cacheDirectory: undefined, exact: true }),
      fast: Program.load(bytes, { cacheDirectory: undefined, exact: false }),
      tracking: Program.load(bytes, { cacheDirectory: undefined, exact: true, tracking: true }),
      apart: Program.load(bytes, { cacheDirectory: undefined, exact: true, largestRepeated: 0 }),
    };
  }

  /**
   * Runs to the end; `failAt(n)` is the safepoint at which the nth run (from 0) is stopped, or undefined. With "calls", all of it
   * in the fast form, it is a host call.
   */
  run(
    failAt: (run: number) => number | undefined = () => undefined,
    others: "fast" | "calls" | "tracking" | "apart" | "none" = "none",
  ): Run {
    const log: string[] = [];
    const memories = new CarriedMemories();
    const note: HostFunction = (...values) => {
      log.push(values.map((value) => (Object.is(value, -0) ? "-0" : `${value}`)).join(" "));
      return undefined;
    };
    const host: MachineHost = {
      functions: { env: { log_i32: note, log_i64: note, log_f32: note, log_f64: note, log: note } },
      attachMemory: memories.attach,
      growMemory: () => true,
      failurePending: () => false,
      exitStatus: () => undefined,
    };
    const injection = (run: number): Injection => {
      const at = failAt(run);
      if (at === undefined) return {};
      const when = (run + at) % 2 === 0 ? "before" : "after";
      return others === "calls" ? { atCall: { name: "*", ordinal: at, when } } : { atSafepoint: at };
    };
    const { tracking, apart, exact, fast } = this.#forms;
    const usual = { tracking, apart, fast: exact, calls: fast, none: exact }[others];
    let machine = new Machine(usual, host);
    let outcome = machine.start("run", [], injection(0));
    let resumes = 0;
    let safepoints = machine.safepointsCrossed;
    while (outcome.kind === "suspended") {
      if (++resumes > MOST_RESUMES) throw new Error("no progress");
      memories.save();
      // A fast program counts in steps, so it only carries the state over: it is stopped at its first host call.
      machine = new Machine(others === "fast" && failAt(resumes) === undefined ? fast : usual, host);
      machine.restore(outcome.state);
      outcome = machine.resume({ callback: true, injection: injection(resumes) });
      safepoints += machine.safepointsCrossed;
    }
    return { log, resumes, safepoints, outcome };
  }
}

/** What every program here must withstand; returns the number of resumes that were tried. */
export function interruptEverywhere(text: string, given?: readonly string[]): number {
  const guest = new Guest(text);
  const expected = given ?? guest.plainLog;
  const reference = guest.run();
  compare(reference, guest.plainLog, "uninterrupted");
  /** A callback is called on resume, and crosses safepoints of its own. */
  const called = expected.join("\n") !== guest.plainLog.join("\n");
  let resumes = 0;
  for (let at = 1; at <= reference.safepoints; at++) {
    const once = guest.run((run) => (run === 0 ? at : undefined), at % 2 === 0 ? "fast" : "none");
    compare(once, expected, `stopped at safepoint ${at}`);
    if (at % 2 !== 0 && !called) sameCount(once, reference, `stopped at safepoint ${at}`);
    resumes += once.resumes;
  }
  for (const step of [1, 2, 3, 7]) {
    const chain = guest.run(() => step);
    compare(chain, expected, `stopped at every safepoint number ${step}`);
    if (!called) sameCount(chain, reference, `stopped at every safepoint number ${step}`);
    resumes += chain.resumes;
  }
  for (const step of [2, 5, 11]) {
    const chain = guest.run(() => step, "apart");
    compare(chain, expected, `further turns in functions of their own, stopped at every safepoint number ${step}`);
    if (!called) sameCount(chain, reference, `further turns apart, stopped at every safepoint number ${step}`);
    resumes += chain.resumes;
  }
  // Telling the host of stores must change nothing, in the program or in its continuations.
  compare(
    guest.run(() => undefined, "tracking"),
    guest.plainLog,
    "with stores tracked",
  );
  compare(
    guest.run(() => 2, "tracking"),
    expected,
    "with stores tracked, stopped at every second safepoint",
  );
  return resumes;
}

/** More safepoints than that take too long to be stopped at. */
const MOST_SAFEPOINTS = 3000;

/**
 * The same at some safepoints, for programs that nobody has written; returns the number of resumes. Undefined: it is refused, or too long.
 */
export function interruptAtRandom(text: string, random: Random, name: string): number | undefined {
  let guest: Guest;
  let reference: Run;
  try {
    guest = new Guest(text);
    reference = guest.run();
  } catch (error) {
    if (error instanceof VermilionError && error.code === "MODULE_UNSUPPORTED") return undefined;
    if (error instanceof NotAssembled) throw error;
    throw new Error(`${name}: ${(error as Error).stack}`);
  }
  compare(reference, guest.plainLog, `${name}: uninterrupted`);
  const { safepoints } = reference;
  if (safepoints === 0) return 0;
  if (safepoints > MOST_SAFEPOINTS) return undefined;
  let resumes = 0;
  const attempt = (failAt: (run: number) => number | undefined, others: Parameters<Guest["run"]>[1], when: string) => {
    try {
      const run = guest.run(failAt, others);
      compare(run, guest.plainLog, when);
      if (others !== "fast" && others !== "calls") sameCount(run, reference, when);
      resumes += run.resumes;
    } catch (error) {
      if (error instanceof VermilionError && error.code === "CANNOT_SAVE") return; // a reference that nobody can save
      throw new Error(`${name}, ${when}: ${(error as Error).stack}`);
    }
  };
  const forms = ["none", "fast", "tracking", "apart"] as const;
  for (let time = 0; time < 6; time++) {
    const [at, form] = [1 + random.below(safepoints), forms[random.below(4)]];
    attempt((run) => (run === 0 ? at : undefined), form, `stopped at safepoint ${at}, ${form}`);
  }
  for (const step of [safepoints <= 300 ? 1 : 5, 2 + random.below(4), 6 + random.below(20)]) {
    const form = forms[[0, 2, 3][random.below(3)]!];
    attempt(() => step, form, `stopped at every safepoint number ${step}, ${form}`);
  }
  const calls = Math.max(1, guest.plainLog.length);
  for (const ordinal of [1, 1 + random.below(calls), 1 + random.below(calls)]) {
    attempt(() => ordinal, "calls", `stopped at every host call number ${ordinal}, fast`);
  }
  return resumes;
}

function compare(run: Run, expected: readonly string[], when: string): void {
  const got = run.outcome.kind === "trapped" ? [...run.log, "trap"] : run.log;
  if (got.join("\n") === expected.join("\n")) return;
  throw new Error(`${when}: expected\n${expected.join("\n")}\ngot\n${got.join("\n")}`);
}

/** What --fail-at counts must not depend on where the program was stopped before. */
function sameCount(run: Run, reference: Run, when: string): void {
  if (run.safepoints === reference.safepoints) return;
  throw new Error(`${when}: crossed ${run.safepoints} safepoints, not ${reference.safepoints}`);
}
