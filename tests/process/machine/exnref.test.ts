import { describe, expect, test } from "vitest";
import { Program } from "../../../runtime/process/program.js";
import { assemble, interruptEverywhere } from "./harness.js";

const LOG = `
  (import "env" "log_i32" (func $log (param i32)))
  (import "env" "log_f64" (func $logd (param f64)))`;

/** Node 20 does not know exnref, Node 22 runs it wrongly. */
const known = Number.parseInt(process.versions.v8, 10) >= 13;
const reason = known ? "" : ` (skipped: Node ${process.versions.node} does not run exnref)`;

test.skipIf(known)("an engine without exnref, or with a wrong one: refused by name", () => {
  const bytes = assemble("(module (func (block $l (try_table (catch_all $l)))))");
  expect(() => Program.load(bytes, { cacheDirectory: undefined, exact: false })).toThrow(
    expect.objectContaining({ code: "MODULE_UNSUPPORTED" }),
  );
});

test("a table of exceptions, which JavaScript cannot read: refused by name", () => {
  const bytes = assemble("(module (table 1 exnref))");
  expect(() => Program.load(bytes, { cacheDirectory: undefined, exact: false })).toThrow(
    expect.objectContaining({ code: "MODULE_UNSUPPORTED", message: expect.stringContaining("exnref") }),
  );
});

describe.skipIf(!known)(`try_table and exnref${reason}`, () => {
  test("clauses with a payload inside a loop", () => {
    const resumes = interruptEverywhere(`(module ${LOG} (tag $e (param i32))
      (func $risky (param i32) (call $log (local.get 0))
        (if (i32.and (local.get 0) (i32.const 1)) (then (throw $e (i32.add (local.get 0) (i32.const 40))))))
      (func (export "run") (local $i i32)
        (loop $l
          (block $done
            (call $log (block $caught (result i32)
              (try_table (catch $e $caught) (call $risky (local.get $i)) (call $log (i32.const 7)))
              (br $done))))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))))`);
    expect(resumes).toBeGreaterThan(0);
  });

  test("catch_all never sees the unwinding; blocks with parameters", () => {
    const resumes = interruptEverywhere(`(module ${LOG} (tag $e)
      (func $work (param i32) (call $log (local.get 0)) (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $e))))
      (func (export "run") (local $i i32)
        (loop $l
          (block $done
            (block $caught
              (f64.const 1.5) (local.get $i)
              (try_table (param f64 i32) (result f64) (catch_all $caught) (call $work))
              (call $logd)
              (br $done))
            (call $log (i32.const 666))
            (call $work (i32.const 50)))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))))`);
    expect(resumes).toBeGreaterThan(0);
  });

  test("what a call throws meets the guest's handlers, from the innermost on, wherever the frame is saved", () => {
    const resumes = interruptEverywhere(`(module ${LOG} (tag $e (param i32)) (tag $other)
      (type $work (func (param i32) (result i32)))
      (table funcref (elem $work))
      (func $work (type $work) (call $log (local.get 0))
        (if (i32.eq (i32.rem_u (local.get 0) (i32.const 4)) (i32.const 1)) (then (throw $e (i32.add (local.get 0) (i32.const 40)))))
        (if (i32.eq (i32.rem_u (local.get 0) (i32.const 4)) (i32.const 2)) (then (throw $other)))
        (i32.mul (local.get 0) (i32.const 3)))
      (func $both (param i32) (result i32) (local $sum i32)
        (block $any
          (local.set $sum (block $caught (result i32)
            (try_table (result i32) (catch_all $any)
              (try_table (result i32) (catch $e $caught)
                (i32.add
                  (call $work (local.get 0))
                  (call_indirect (type $work) (i32.add (local.get 0) (i32.const 4)) (i32.const 0)))))))
          (return (i32.add (call $work (i32.const 100)) (local.get $sum))))
        (call $log (i32.const 666))
        (call $work (i32.const 200)))
      (func (export "run") (local $i i32) (local $all i32) (local $thrown exnref)
        (loop $l
          (block $passed
            (local.set $thrown (block $again (result exnref)
              (try_table (catch_all_ref $again)
                (local.set $all (i32.add (local.get $all) (call $both (local.get $i))))
                (drop (call $work (local.get $i))))
              (br $passed)))
            (block $end (try_table (catch_all $end) (throw_ref (local.get $thrown)))))
          (call $log (local.get $all))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 9))))))`);
    expect(resumes).toBeGreaterThan(0);
  });
});
