import { afterEach, describe, expect, test, vi } from "vitest";
import { Machine } from "../../../runtime/process/machine.js";
import type { MachineHost } from "../../../runtime/process/machine-host.js";
import { type Replacement, ReplacementSchedule } from "../../../runtime/process/on-stack-replacement.js";
import { Program } from "../../../runtime/process/program.js";
import { compileOptimized } from "../../support/compile-optimized.js";
import { assemble, plainLog } from "./harness.js";

/** Calls through a table inside nested loops, a br_table out of them, operands below the calls, and recursion. */
const CALLS = `(module
  (import "env" "log_i32" (func $log (param i32)))
  (type $t (func (param i32) (result i32)))
  (table funcref (elem $double $fib $sum))
  (global $g (mut i32) (i32.const 7))
  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $fib (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2)) (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1))) (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func $sum (param $n i32) (result i32) (local $s i64)
    (loop $l
      (local.set $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $n))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (i32.gt_s (local.get $n) (i32.const 0))))
    (i32.wrap_i64 (local.get $s)))
  (func (export "run") (local $i i32) (local $total i32) (local $f f64)
    (block $done (loop $outer
      (block $c (block $b (block $a
        (br_table $a $b $c $c (i32.rem_u (local.get $i) (i32.const 4))))
        (local.set $total (i32.add (local.get $total)
          (i32.xor (local.get $i) (call_indirect (type $t) (i32.const 13) (i32.const 1)))))
        (br $c))
        (local.set $total (i32.add (local.get $total)
          (call_indirect (type $t) (i32.const 14) (i32.rem_u (local.get $i) (i32.const 3)))))
        (local.set $f (f64.add (local.get $f) (f64.sqrt (f64.convert_i32_u (local.get $i))))))
      (global.set $g (i32.add (global.get $g) (local.get $total)))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 50))) (then (call $log (global.get $g))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $done (i32.eq (local.get $i) (i32.const 300)))
      (br $outer)))
    (call $log (local.get $total))
    (call $log (i32.trunc_f64_u (local.get $f)))))`;

/** A guest's own exceptions around loops and calls; none of its handlers may see a stop. */
const EXCEPTIONS = `(module
  (import "env" "log_i32" (func $log (param i32)))
  (tag $e (param i32))
  (func $work (param $n i32) (result i32) (local $i i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 400))))
    (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 3))) (then (throw $e (local.get $s))))
    (local.get $s))
  (func (export "run") (local $i i32) (local $caught i32) (local $all i32)
    (loop $again
      (try
        (do (local.set $all (i32.add (local.get $all) (call $work (local.get $i)))))
        (catch $e (local.set $caught (i32.xor (local.get $caught))))
        (catch_all (call $log (i32.const -1))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 300))))
    (call $log (local.get $caught))
    (call $log (local.get $all))))`;

/** A loop that is too large to be optimised for the sake of the one in it, and turns all the same; each with parameters or operands. */
const LARGE = `(module
  (import "env" "log_i32" (func $log (param i32)))
  (func $work (param $n i32) (result i32) (i32.mul (local.get $n) (i32.const 2654435761)))
  (func (export "run") (local $i i32) (local $j i32) (local $all i32)
    (i32.const 3)
    (loop $large (param i32) (result i32)
      (local.set $all)
      ${Array.from({ length: 5000 }, (_, k) => `(local.set $all (i32.xor (local.get $all) (i32.const ${k * 7919})))`).join(" ")}
      (i32.rotl (local.get $all) (i32.const 7))
      (local.set $j (i32.const 0))
      (loop $small
        (local.set $all (i32.add (i32.rotl (local.get $all) (i32.const 1)) (call $work (local.get $j))))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br_if $small (i32.lt_u (local.get $j) (i32.const 30000))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $large (i32.lt_u (local.get $i) (i32.const 200))))
    (call $log)
    (call $log (local.get $all))))`;

const MOST_STOPS = 60;

/** Stops at the first polls that find code to replace. */
class Always implements Replacement {
  compiled = 0;
  modules = 0;
  readonly compile = (bytes: Uint8Array) => {
    this.modules++;
    return compileOptimized(bytes);
  };
  begin(): void {}
  isDue(): boolean {
    return this.compiled < MOST_STOPS;
  }
  affords(): boolean {
    return true;
  }
  done(): void {
    this.compiled++;
  }
}

function run(text: string, replacement: Replacement, exact: boolean): string[] {
  const log: string[] = [];
  const host: MachineHost = {
    functions: { env: { log_i32: (value) => void log.push(`${value}`) } },
    attachMemory: () => {},
    growMemory: () => true,
    failurePending: () => false,
    exitStatus: () => undefined,
  };
  const program = Program.load(assemble(text), { cacheDirectory: undefined, exact });
  const outcome = new Machine(program, host, replacement).start("run");
  expect(outcome).toEqual({ kind: "returned", results: [] });
  return log;
}

describe.each([
  ["calls", CALLS],
  ["exceptions", EXCEPTIONS],
  ["loops, one too large", LARGE],
])("a program of %s", (_, text) => {
  test("goes on in optimised code as if nothing had been; each of its two loops is compiled once at most", () => {
    const replacement = new Always();
    expect(run(text, replacement, false)).toEqual(plainLog(assemble(text)));
    expect(replacement.compiled).toBeGreaterThan(0);
    expect(replacement.modules).toBeGreaterThan(0);
    expect(replacement.modules).toBeLessThanOrEqual(2);
    if (text === LARGE) expect(replacement.modules).toBe(2); // the outer one when it was seen to turn
  });

  test("is never stopped where safepoints are counted", () => {
    const replacement = new Always();
    expect(run(text, replacement, true)).toEqual(plainLog(assemble(text)));
    expect(replacement.compiled).toBe(0);
  });
});

describe("the schedule", () => {
  afterEach(() => vi.useRealTimers());

  test("doubles the time between stops, and waits until compiling is worth it", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const schedule = new ReplacementSchedule(compileOptimized);
    schedule.begin();
    expect(schedule.isDue()).toBe(false);
    vi.advanceTimersByTime(50);
    expect(schedule.isDue()).toBe(true);
    expect(schedule.affords(100_000_000)).toBe(false); // takes longer than the guest has run
    expect(schedule.isDue()).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect(schedule.isDue()).toBe(false);

    schedule.begin();
    vi.advanceTimersByTime(50);
    expect(schedule.affords(100)).toBe(true);
    schedule.done(100, 1);
    vi.advanceTimersByTime(49);
    expect(schedule.isDue()).toBe(false);
    vi.advanceTimersByTime(2);
    expect(schedule.isDue()).toBe(true);
  });
});
