/** Calls that share a guard, stopped in each of them: the name of the site is a local's value then. */
import { describe, expect, test } from "vitest";
import { interruptEverywhere } from "./harness.js";

const HEAD = `
  (import "env" "log_i32" (func $log (param i32)))
  (func $f (param i32) (result i32) (call $log (local.get 0)) (i32.add (local.get 0) (i32.const 1)))
  (type $unary (func (param i32) (result i32)))
  (table 1 funcref) (elem (i32.const 0) $f)`;

function survives(body: string): void {
  expect(interruptEverywhere(`(module ${HEAD} ${body})`)).toBeGreaterThan(0);
}

describe("calls with the same frame", () => {
  test("one after the other, direct and through a table, results used or dropped", () => {
    survives(`(func (export "run") (local $a i32)
      (local.set $a (i32.const 5))
      (call $log (local.get $a))
      (drop (call $f (local.get $a)))
      (i32.store (i32.const 0) (call_indirect (type $unary) (i32.const 7) (i32.const 0)))
      (call $log (i32.const 8))
      (call $log (i32.load (i32.const 0)))
      (call $log (local.get $a)))
      (memory 1)`);
  });

  test("the frame's values differ from call to call, by local and by arm", () => {
    survives(`(func $sum (param $x i32) (result i32) (local $a i32)
      (local.set $a (i32.const 1))
      (if (i32.and (local.get $x) (i32.const 1))
        (then
          (local.set $a (i32.add (local.get $a) (i32.const 10)))
          (call $log (i32.const 1))
          (local.set $x (i32.mul (local.get $x) (i32.const 3))))
        (else (call $log (i32.const 2)) (local.set $a (i32.const 20)) (call $log (i32.const 3))))
      (call $log (i32.const 4))
      (i32.add (local.get $a) (local.get $x)))
    (func (export "run")
      (call $log (call $sum (i32.const 4)))
      (call $log (call $sum (i32.const 7))))`);
  });

  test("branches out of the middle, to blocks around and to the function's end", () => {
    survives(`(func $leave (param $x i32) (result i32)
      (block $out
        (block $in
          (call $log (i32.const 1))
          (br_if $in (i32.eq (local.get $x) (i32.const 1)))
          (call $log (i32.const 2))
          (br_if $out (i32.eq (local.get $x) (i32.const 2)))
          (call $log (i32.const 3))
          (if (i32.eq (local.get $x) (i32.const 3)) (then (return (i32.const 33))))
          (call $log (i32.const 4))
          (br_table $in $out (local.get $x)))
        (call $log (i32.const 5))
        (call $log (local.get $x)))
      (i32.add (local.get $x) (i32.const 100)))
    (func (export "run")
      (call $log (call $leave (i32.const 0)))
      (call $log (call $leave (i32.const 1)))
      (call $log (call $leave (i32.const 2)))
      (call $log (call $leave (i32.const 3)))
      (call $log (call $leave (i32.const 4))))`);
  });

  test("an end that is not reached, in a block that yields a value and in a function that does", () => {
    survives(`(func $early (param $x i32) (result i32)
      (i32.add (local.get $x)
        (block $b (result i32)
          (if (local.get $x) (then
            (call $log (i32.const 1))
            (call $log (i32.const 2))
            (br $b (call $f (i32.const 3)))))
          (call $log (i32.const 4))
          (call $log (i32.const 5))
          (return (call $f (local.get $x))))))
    (func (export "run")
      (call $log (call $early (i32.const 0)))
      (call $log (call $early (i32.const 1))))`);
  });

  test("with operands below, and in a loop, whose polls stand outside", () => {
    survives(`(func (export "run") (local $i i32)
      (loop $l
        (call $log (i32.add (i32.const 1000) (i32.add (call $f (local.get $i)) (call $f (i32.const 40)))))
        (call $log (i32.const 1))
        (loop $inner (call $log (i32.const 2))
          (br_if $inner (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2))))
        (call $log (i32.const 3))
        (call $log (i32.const 4))
        (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5)))))`);
  });
});

describe("beside the guest's own handlers", () => {
  test("inside a try and its sections, which rethrow", () => {
    survives(`(tag $e (param i32))
    (func $risky (param i32) (call $log (local.get 0))
      (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $e (i32.const 77)))))
    (func $body (param $x i32)
      (try
        (do (call $risky (i32.const 1)) (call $risky (local.get $x)) (call $log (i32.const 9)) (call $log (i32.const 9)))
        (catch $e (drop) (call $log (i32.const 5)) (call $log (i32.const 6)) (rethrow 0)))
      (call $log (i32.const 7))
      (call $log (i32.const 8)))
    (func (export "run") (local $i i32)
      (call $log (i32.const 10))
      (call $log (i32.const 11))
      (try (do (call $body (i32.const 3)) (call $body (i32.const 2)))
        (catch_all (call $log (i32.const 12)) (call $log (i32.const 13))))
      (call $log (i32.const 14))
      (call $log (i32.const 15)))`);
  });

  test("a branch and a delegate out of it find their labels", () => {
    survives(`(tag $e)
    (func $throws (call $log (i32.const 1)) (throw $e))
    (func (export "run") (local $i i32)
      (block $done
        (try $outer
          (do
            (call $log (i32.const 2))
            (call $log (i32.const 3))
            (try (do (call $log (i32.const 4)) (call $log (i32.const 5)) (call $throws)) (delegate $outer)))
          (catch $e
            (call $log (i32.const 6))
            (call $log (i32.const 7))
            (br $done)))
        (call $log (i32.const 666)))
      (call $log (i32.const 8))
      (call $log (i32.const 9)))`);
  });
});

const knowsExnref = Number.parseInt(process.versions.v8, 10) >= 13;
describe.skipIf(!knowsExnref)("in a module with try_table (skipped where the engine does not run exnref)", () => {
  test("calls inside and outside of it", () => {
    survives(`(tag $e (param i32))
    (func $risky (param i32) (call $log (local.get 0))
      (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $e (i32.const 77)))))
    (func (export "run")
      (call $log (i32.const 3))
      (call $log (i32.const 4))
      (call $log (block $caught (result i32)
        (try_table (catch $e $caught) (call $risky (i32.const 1)) (call $risky (i32.const 2)) (call $risky (i32.const 0)))
        (i32.const 0)))
      (call $log (i32.const 5))
      (call $log (i32.const 6)))`);
  });
});
