import { closeSync, writeSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { mapSharedWord } from "../../../pmem/shared-word.js";
import type { MachineState } from "../../../runtime/process/image/state-file.js";
import { Machine } from "../../../runtime/process/machine.js";
import { type HostFunction, type MachineHost, RESTART } from "../../../runtime/process/machine-host.js";
import type { Outcome } from "../../../runtime/process/outcome.js";
import { Program } from "../../../runtime/process/program.js";
import { assemble } from "./harness.js";

/** Loops, recursion and operands below calls; memory, which a state must fit. */
const CALLS = `(module
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (func $fib (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2)) (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1))) (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func (export "run") (local $i i32)
    (loop $again
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8))
        (i32.xor (local.get $i) (call $fib (i32.add (i32.const 10) (i32.rem_u (local.get $i) (i32.const 5)))))))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 20))) (then (call $log (i32.load (i32.const 8)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 200))))
    (call $log (i32.load (i32.const 8)))))`;

/** A guest's own exceptions around loops and calls; none of its handlers may see a stop. */
const EXCEPTIONS = `(module
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (tag $e (param i32))
  (global $caught (mut i32) (i32.const 0))
  (func $work (param $n i32) (result i32) (local $i i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 400))))
    (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 3))) (then (throw $e (local.get $s))))
    (local.get $s))
  (func (export "run") (local $i i32) (local $all i32)
    (loop $again
      (try
        (do (local.set $all (i32.add (local.get $all) (call $work (local.get $i)))))
        (catch $e (global.set $caught (i32.xor (global.get $caught))))
        (catch_all (call $log (i32.const -1))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 50))) (then (call $log (local.get $all))))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 600))))
    (call $log (global.get $caught))
    (call $log (local.get $all))))`;

/** A table that changes while the program runs, and grows. */
const TABLES = `(module
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (type $t (func (param i32) (result i32)))
  (table $t 2 funcref)
  (elem declare func $double $add)
  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $add (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
  (func (export "run") (local $i i32) (local $x i32)
    (table.set $t (i32.const 0) (ref.func $double))
    (loop $again
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 700)))
        (then (drop (table.grow $t (ref.func $add) (i32.const 1)))))
      (table.set $t (i32.const 1)
        (table.get $t (select (i32.const 0) (i32.const 2) (i32.rem_u (local.get $i) (i32.const 3)))))
      (local.set $x (call_indirect $t (type $t) (local.get $x) (i32.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 400))) (then (call $log (local.get $x))))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 6000))))
    (call $log (local.get $x))
    (call $log (table.size $t))))`;

/** Two tasks: the entry waits while the start function runs. */
const STARTS = `(module
  (import "env" "log" (func $log (param i32)))
  (memory 1)
  (global $sum (mut i32) (i32.const 1))
  (func $work (param $n i32) (local $i i32)
    (loop $l
      (global.set $sum (i32.add (i32.mul (global.get $sum) (i32.const 31)) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 1000))) (then (call $log (global.get $sum))))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n)))))
  (func $start (call $work (i32.const 5000)))
  (start $start)
  (func (export "run") (call $work (i32.const 4000)) (call $log (i32.const -1))))`;

interface Point {
  readonly state: MachineState;
  readonly memory: Uint8Array;
  /** Lines that the program had logged before. */
  readonly logged: number;
}

interface Stops {
  /** At every nth poll. */
  readonly inPolls?: number;
  /** Before every nth host call. */
  readonly everyCall?: number;
  /** A failure comes during the unwinding of the nth point. */
  readonly failInPoint?: number;
  /** A failure comes while the nth point is made. */
  readonly failBehindPoint?: number;
  /** The first call of each line is interrupted, as one that blocks. */
  readonly blocking?: boolean;
}

interface Run {
  readonly outcome: Outcome;
  readonly log: readonly string[];
  readonly points: readonly Point[];
  /** At the end. */
  readonly memory: Uint8Array;
}

/** How polls know that they are to ask. */
type Form = "fast" | "flag" | "exact";

class Guest {
  readonly #programs = new Map<Form, Program>();
  readonly #bytes: Uint8Array;

  constructor(text: string) {
    this.#bytes = assemble(text);
  }

  run(stops: Stops, form: Form, from?: { readonly state: MachineState; readonly memory: Uint8Array }): Run {
    const log: string[] = [];
    const points: Point[] = [];
    const program = this.#program(form);
    let memory: WebAssembly.Memory | undefined;
    let flagDescriptor = -1;
    let calls = 0;
    let polls = 0;
    let interrupted = false;
    let failing = false;
    let requested = false;
    const note: HostFunction = (value) => {
      interrupted = stops.blocking === true && !interrupted;
      requested = interrupted;
      if (interrupted) return RESTART;
      log.push(`${value}`);
      return undefined;
    };
    const bytes = () => new Uint8Array((memory as WebAssembly.Memory).buffer);
    const host: MachineHost = {
      functions: { env: { log: note } },
      attachMemory: (_, attached) => {
        memory = attached;
        if (form === "flag") flagDescriptor = raiseFlag(attached, program);
        if (from !== undefined) bytes().set(from.memory);
      },
      growMemory: () => true,
      failurePending: () => failing,
      points: {
        isDue: () => {
          const due = requested || (stops.inPolls !== undefined && ++polls % stops.inPolls === 0);
          failing = due && points.length + 1 === stops.failInPoint;
          return due;
        },
        isDueAtCall: () => stops.everyCall !== undefined && ++calls % stops.everyCall === 0,
        persist: (state, frames) => {
          expect(frames).toBeGreaterThan(0);
          requested = false;
          points.push({ state, memory: bytes().slice(), logged: log.length });
          failing = points.length === stops.failBehindPoint;
        },
      },
      exitStatus: () => undefined,
    };
    const machine = new Machine(program, host);
    if (from !== undefined) machine.restore(from.state);
    const outcome = from === undefined ? machine.start("run") : machine.resume({ callback: true });
    if (form === "flag") closeSync(flagDescriptor);
    return { outcome, log, points, memory: bytes() };
  }

  #program(form: Form): Program {
    const options = { cacheDirectory: undefined, exact: form === "exact", flags: form === "flag" };
    const program = this.#programs.get(form) ?? Program.load(this.#bytes, options);
    this.#programs.set(form, program);
    return program;
  }
}

/** It stays up, so that every poll asks. */
function raiseFlag(memory: WebAssembly.Memory, { flag }: Program): number {
  if (flag === undefined) throw new Error("the program counts");
  const descriptor = mapSharedWord(memory, flag.distance);
  if (descriptor === undefined) throw new Error("the engine has reserved no guard region");
  writeSync(descriptor, Uint8Array.of(1, 0, 0, 0), 0, 4, 0);
  return descriptor;
}

const RETURNED = { kind: "returned", results: [] };
const MOST_RESUMED = 40;
/** A flag that stays up is seen at every safepoint, which are many. */
const POLLS_BETWEEN = 97;
const FORMS: readonly Form[] = ["fast", "flag", "exact"];

/** Every state that was handed over gives the rest of the log; of very many, some. */
function resumeAll(guest: Guest, { points }: Run, expected: readonly string[]): void {
  const step = Math.ceil(points.length / MOST_RESUMED);
  for (let index = 0; index < points.length; index += step) {
    const point = points[index] as Point;
    const rest = guest.run({}, FORMS[index % FORMS.length] as Form, point);
    expect(rest.outcome).toEqual(RETURNED);
    expect(rest.log, `from point ${index}`).toEqual(expected.slice(point.logged));
  }
}

describe.each([
  ["calls", CALLS],
  ["exceptions", EXCEPTIONS],
  ["tables", TABLES],
  ["a start function", STARTS],
])("a program of %s", (_, text) => {
  const guest = new Guest(text);
  const plain = guest.run({}, "fast");
  expect(plain.outcome).toEqual(RETURNED);
  expect(plain.log.length).toBeGreaterThan(5);

  test.each(FORMS)(
    "a point at every poll, %s: the log of the plain run, and every state gives the rest of it",
    (form) => {
      const run = guest.run({ inPolls: form === "flag" ? POLLS_BETWEEN : 1 }, form);
      expect(run.outcome).toEqual(RETURNED);
      expect(run.log).toEqual(plain.log);
      expect(run.points.length).toBeGreaterThan(5);
      resumeAll(guest, run, plain.log);
    },
  );

  test.each([1, 3])("a point at every host call number %i, in front of it", (everyCall) => {
    const run = guest.run({ everyCall }, "fast");
    expect(run.log).toEqual(plain.log);
    expect(run.points.map(({ logged }) => logged)).toEqual(
      plain.log.map((_line, index) => index).filter((index) => (index + 1) % everyCall === 0),
    );
    resumeAll(guest, run, plain.log);
  });

  test("a point while a call blocks: the call is made again, once", () => {
    const run = guest.run({ blocking: true }, "fast");
    expect(run.log).toEqual(plain.log);
    expect(run.points.map(({ logged }) => logged)).toEqual(plain.log.map((_line, index) => index));
    resumeAll(guest, run, plain.log);
  });

  test.each([
    ["during a point's unwinding", { failInPoint: 3 }, 2],
    ["while a point is made", { failBehindPoint: 2 }, 2],
  ])("a failure %s: the run ends there, suspended", (_when, failure, points) => {
    const { outcome, ...run } = guest.run({ inPolls: 1, ...failure }, "fast");
    expect(run.points).toHaveLength(points);
    if (outcome.kind !== "suspended") throw new Error(`the run ${outcome.kind}`);
    const rest = guest.run({}, "fast", { state: outcome.state, memory: run.memory });
    expect(rest.outcome).toEqual(RETURNED);
    expect([...run.log, ...rest.log]).toEqual(plain.log);
  });
});
