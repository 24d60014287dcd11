import { describe, expect, test } from "vitest";
import { interruptEverywhere } from "./harness.js";

const LOG = `
  (import "env" "log_i32" (func $log (param i32)))
  (import "env" "log_i64" (func $log64 (param i64)))
  (import "env" "log_f64" (func $logd (param f64)))`;

/** Without expected lines the bare engine's are taken. */
function survives(body: string, expected?: readonly (string | number | bigint)[]): void {
  const resumes = interruptEverywhere(`(module ${LOG} ${body})`, expected?.map(String));
  expect(resumes).toBeGreaterThan(0);
}

describe("control flow", () => {
  test("loops with a result: the rest of the turn, then the loop", () => {
    survives(
      `(func (export "run") (local $i i32)
        (call $log (loop $l (result i32)
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (call $log (local.get $i))
          (br_if $l (i32.lt_s (local.get $i) (i32.const 5)))
          (i32.mul (local.get $i) (i32.const 100)))))`,
      [1, 2, 3, 4, 5, 500],
    );
  });

  test("br_table out of nested loops", () => {
    survives(
      `(func $pick (param $x i32) (result i32) (local $i i32) (local $j i32)
        (block $exit
          (loop $a
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (local.set $j (i32.const 0))
            (block $next
              (loop $b
                (local.set $j (i32.add (local.get $j) (i32.const 1)))
                (call $log (i32.add (i32.mul (local.get $i) (i32.const 10)) (local.get $j)))
                (block $stay
                  (br_table $b $next $stay $exit
                    (select (i32.const 2) (i32.rem_u (i32.add (local.get $j) (local.get $x)) (i32.const 4))
                      (i32.gt_s (local.get $j) (i32.const 4)))))
                (br_if $b (i32.lt_s (local.get $j) (i32.const 3)))))
            (br_if $a (i32.lt_s (local.get $i) (i32.const 3)))))
        (i32.add (local.get $i) (i32.mul (local.get $j) (i32.const 1000))))
      (func (export "run")
        (call $log (call $pick (i32.const 1)))
        (call $log (call $pick (i32.const 2))))`,
    );
  });

  test("a select of references, whose type takes a byte of the code", () => {
    survives(
      `(table 2 funcref) (func $g) (elem (i32.const 0) $g)
      (func $two (param i32 i32) (result i32) (call $log (local.get 0)) (local.get 1))
      (func (export "run") (local $f funcref)
        (call $log (call $two
          (ref.is_null (select (result funcref) (local.get $f) (table.get (i32.const 0)) (i32.const 1)))
          (i32.const 6))))`,
      [1, 6],
    );
  });

  test("operands below a call are in the frame", () => {
    survives(
      `(func $f (param i32) (result i32) (call $log (local.get 0)) (i32.mul (local.get 0) (i32.const 2)))
      (func (export "run")
        (call $log (i32.add (i32.const 1000)
          (i32.sub (call $f (i32.const 7)) (i32.mul (call $f (i32.const 3)) (call $f (i32.const 5)))))))`,
      [7, 3, 5, 1000 + 14 - 60],
    );
  });

  test("multi-value blocks with parameters, and loops with parameters", () => {
    survives(
      `(func $pair (param i32) (result i32 i64)
        (call $log (local.get 0)) (local.get 0) (i64.extend_i32_s (i32.mul (local.get 0) (i32.const 3))))
      (func (export "run") (local $n i32) (local $d f64)
        (f64.const 0.5)
        (i32.const 4)
        (loop $l (param f64 i32) (result f64 i32)
          (local.set $n)
          (local.set $d)
          (call $log (local.get $n))
          (call $pair (local.get $n))
          (call $log64)
          (drop)
          (f64.mul (local.get $d) (f64.const 3))
          (i32.sub (local.get $n) (i32.const 1))
          (br_if $l (i32.gt_s (local.get $n) (i32.const 1))))
        (block (param f64 i32) (result i32 f64)
          (local.set $n) (local.set $d) (call $log (i32.const 77)) (local.get $n) (local.get $d))
        (call $logd)
        (call $log))`,
      [4, 4, 12, 3, 3, 9, 2, 2, 6, 1, 1, 3, 77, 40.5, 0],
    );
  });

  test("if and else with parameters and results, nested", () => {
    survives(
      `(func $f (param $x i32) (result i32)
        (i32.const 5)
        (if (param i32) (result i32) (i32.and (local.get $x) (i32.const 1))
          (then (call $log (local.get $x)) (i32.add (local.get $x)))
          (else (drop) (if (result i32) (i32.and (local.get $x) (i32.const 2))
            (then (call $log (i32.const -1)) (i32.const 9))
            (else (i32.const 8) (call $log (i32.const -2)))))))
      (func (export "run") (local $i i32)
        (loop $l
          (call $log (call $f (local.get $i)))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5)))))`,
      [-2, 8, 1, 6, -1, 9, 3, 8, -2, 8],
    );
  });

  test("recursion, also through a table", () => {
    survives(
      `(type $t (func (param i32) (result i32)))
      (table funcref (elem $fib $double))
      (func $double (param i32) (result i32) (call $log (local.get 0)) (i32.mul (local.get 0) (i32.const 2)))
      (func $fib (param $n i32) (result i32)
        (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
          (then (call_indirect (type $t) (local.get $n) (i32.const 1)))
          (else (i32.add (call_indirect (type $t) (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))
            (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
      (func (export "run") (call $log (call $fib (i32.const 5))))`,
      [1, 0, 1, 1, 0, 1, 0, 1, 10],
    );
  });

  test("tail calls leave no frame behind", () => {
    survives(
      `(func $loop (param $n i32) (param $sum i64) (result i64)
        (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
        (call $log (local.get $n))
        (return_call $loop (i32.sub (local.get $n) (i32.const 1))
          (i64.add (local.get $sum) (i64.extend_i32_s (local.get $n)))))
      (func (export "run") (call $log64 (call $loop (i32.const 6) (i64.const 100))))`,
      [6, 5, 4, 3, 2, 1, 121],
    );
  });
});

describe("exceptions of the guest", () => {
  test("try inside loop inside try, with a payload", () => {
    survives(
      `(tag $e (param i32 i64)) (tag $other (param f64))
      (func $risky (param i32) (call $log (local.get 0))
        (if (i32.and (local.get 0) (i32.const 1))
          (then (throw $e (local.get 0) (i64.const 9000000000))))
        (if (i32.eq (local.get 0) (i32.const 4)) (then (throw $other (f64.const 2.5)))))
      (func (export "run") (local $i i32)
        (try
          (do (loop $l
            (try
              (do (call $risky (local.get $i)) (call $log (i32.const 100)))
              (catch $e (call $log64) (call $log)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_s (local.get $i) (i32.const 6)))))
          (catch $other (call $logd))))`,
      [0, 100, 1, 9000000000n, 1, 2, 100, 3, 9000000000n, 3, 4, 2.5],
    );
  });

  test("catch_all never sees the unwinding", () => {
    survives(
      `(tag $e)
      (func $work (param i32) (call $log (local.get 0)) (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $e))))
      (func (export "run") (local $i i32)
        (loop $l
          (try (do (call $work (local.get $i)))
            (catch_all (call $log (i32.const 666)) (call $work (i32.const 50))))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4)))))`,
      [0, 1, 2, 666, 50, 3],
    );
  });

  test("a handler that calls, then rethrows what it caught", () => {
    survives(
      `(tag $e (param i32)) (tag $f (param i64 f64))
      (func $cleanup (param i32) (call $log (local.get 0)) (call $log (i32.const 11)))
      (func $inner (param $which i32)
        (try
          (do (call $log (i32.const 1))
            (if (local.get $which)
              (then (throw $e (i32.const 42)))
              (else (throw $f (i64.const 77) (f64.const 0.25)))))
          (catch_all (call $cleanup (i32.const 5)) (rethrow 0))))
      (func $middle (param $which i32)
        (try (do (call $inner (local.get $which)))
          (catch $e (call $log (i32.const 3)) (drop) (call $cleanup (i32.const 6)) (rethrow 0))))
      (func (export "run")
        (try (do (call $middle (i32.const 1))) (catch $e (call $log)))
        (try (do (call $middle (i32.const 0))) (catch $f (call $logd) (call $log64))))`,
      [1, 5, 11, 3, 6, 11, 42, 1, 5, 11, 0.25, 77],
    );
  });

  test("delegate", () => {
    survives(
      `(tag $e (param i32))
      (func $thrower (call $log (i32.const 1)) (throw $e (i32.const 8)))
      (func (export "run")
        (try $outer
          (do (try (do (try (do (call $thrower)) (delegate $outer))) (catch $e (call $log (i32.const -1)) (call $log))))
          (catch $e (call $log))))`,
      [1, 8],
    );
  });
});

describe("state beside memory", () => {
  test("globals of every type, NaN payloads and v128 included", () => {
    survives(
      `(global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2)) (global $c (mut f32) (f32.const nan:0x200001))
      (global $d (mut f64) (f64.const -0)) (global $v (mut v128) (v128.const i32x4 1 2 3 4))
      (global $f (mut funcref) (ref.null func)) (global $x (mut externref) (ref.null extern))
      (table 1 funcref)
      (func $target (result i32) (i32.const 99)) (elem declare func $target)
      (func (export "run")
        (global.set $f (ref.func $target))
        (global.set $v (i32x4.add (global.get $v) (i32x4.splat (i32.const 10))))
        (global.set $b (i64.const -7))
        (call $log (global.get $a))
        (call $log64 (global.get $b))
        (call $log (i32.reinterpret_f32 (global.get $c)))
        (call $logd (global.get $d))
        (call $log (i32x4.extract_lane 3 (global.get $v)))
        (call $log (ref.is_null (global.get $x)))
        (table.set (i32.const 0) (global.get $f))
        (call $log (call_indirect (result i32) (i32.const 0))))`,
      [1, -7, 0x7fa00001, "-0", 14, 1, 99],
    );
  });

  test("locals of every type, hundreds of them", () => {
    const count = 300;
    const types = ["i32", "i64", "f32", "f64"] as const;
    const locals = Array.from({ length: count }, (_, i) => types[i % 4]);
    const sets = locals.map((type, i) => `(local.set ${i} (${type}.const ${i * 3}))`).join(" ");
    const adds = locals.map((type, i) =>
      type === "f64"
        ? `(local.get ${i})`
        : type === "f32"
          ? `(f64.promote_f32 (local.get ${i}))`
          : `(f64.convert_${type}_s (local.get ${i}))`,
    );
    const sum = adds.reduce((total, add) => `(f64.add ${total} ${add})`);
    survives(
      `(func (export "run") (local ${locals.join(" ")}) (local $v v128)
        ${sets}
        (local.set $v (v128.const i64x2 5 6))
        (call $log (i32.const 1))
        (call $logd ${sum})
        (call $log64 (i64x2.extract_lane 1 (local.get $v))))`,
      [1, (3 * count * (count - 1)) / 2, 6],
    );
  });

  test("function references as operands and locals", () => {
    survives(
      `(type $t (func (result i32)))
      (table $t 2 funcref)
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (call $log (i32.const 20)) (i32.const 2))
      (elem declare func $one $two)
      (func $pick (param $x i32) (result funcref) (call $log (local.get $x))
        (if (result funcref) (local.get $x) (then (ref.func $two)) (else (ref.func $one))))
      (func (export "run") (local $f funcref)
        (local.set $f (call $pick (i32.const 1)))
        (table.set $t (i32.const 1) (call $pick (i32.const 0)))
        (table.set $t (i32.const 0) (local.get $f))
        (call $log (call_indirect $t (type $t) (i32.const 0)))
        (call $log (call_indirect $t (type $t) (i32.const 1))))`,
      [1, 0, 20, 2, 1],
    );
  });

  test("tables that code changes: set, grow, fill, copy, init, and dropped element segments", () => {
    survives(
      `(type $t (func (result i32)))
      (table $a 2 10 funcref) (table $b 3 funcref)
      (elem $s func $one $two) (elem $gone func $two)
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      (func (export "run")
        (table.init $a $s (i32.const 0) (i32.const 0) (i32.const 2))
        (call $log (table.grow $a (ref.func $two) (i32.const 3)))
        (elem.drop $gone)
        (call $log (table.size $a))
        (table.fill $b (i32.const 0) (ref.func $one) (i32.const 3))
        (call $log (call_indirect $a (type $t) (i32.const 4)))
        (table.copy $b $a (i32.const 1) (i32.const 3) (i32.const 1))
        (call $log (call_indirect $b (type $t) (i32.const 1)))
        (call $log (call_indirect $b (type $t) (i32.const 2)))
        (table.init $a $s (i32.const 1) (i32.const 0) (i32.const 1))
        (call $log (call_indirect $a (type $t) (i32.const 1)))
        (table.init $a $gone (i32.const 0) (i32.const 0) (i32.const 1)))`,
      [2, 5, 2, 2, 1, 1, "trap"],
    );
  });

  test("passive and dropped data segments, active ones only once, memory growth", () => {
    survives(
      `(memory 1 4) (data (i32.const 8) "\\2a\\00\\00\\00") (data $p "\\07\\08\\09\\0a")
      (func (export "run")
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (call $log (i32.load (i32.const 8)))
        (call $log (memory.grow (i32.const 2)))
        (memory.init $p (i32.const 131072) (i32.const 0) (i32.const 4))
        (call $log (i32.load8_u (i32.const 131073)))
        (memory.init $p (i32.const 0) (i32.const 2) (i32.const 2))
        (data.drop $p)
        (call $log (memory.size))
        (call $log (i32.load8_u (i32.const 0)))
        (call $log (memory.grow (i32.const 9)))
        (memory.init $p (i32.const 0) (i32.const 0) (i32.const 1)))`,
      [43, 1, 8, 3, 9, -1, "trap"],
    );
  });

  test("a reactor is initialized once, behind its start function, and may be interrupted there", () => {
    survives(
      `(global $g (mut i32) (i32.const 0)) (start $first)
      (func $more (param i32) (call $log (local.get 0)) (global.set $g (i32.add (global.get $g) (local.get 0))))
      (func $first (call $more (i32.const 1)))
      (func (export "_initialize") (call $more (i32.const 10)) (call $more (i32.const 20)))
      (func (export "run") (call $log (global.get $g)))`,
      [1, 10, 20, 31],
    );
  });

  test("the start function runs once, and may be interrupted", () => {
    survives(
      `(global $g (mut i32) (i32.const 0)) (start $init)
      (func $init (local $i i32)
        (loop $l (call $log (i32.const 500)) (global.set $g (i32.add (global.get $g) (i32.const 1)))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3)))))
      (func (export "run") (call $log (global.get $g)))`,
      [500, 500, 500, 3],
    );
  });

  test("the callback runs on each resume, before the program goes on", () => {
    const text = `(module ${LOG}
      (global $calls (mut i32) (i32.const 0))
      (func (export "vermilion_on_power_restored") (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
      (func (export "run") (local $i i32)
        (loop $l (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
        (call $log (i32.gt_s (global.get $calls) (i32.const 0)))))`;
    expect(() => interruptEverywhere(text, ["0"])).toThrow(/stopped at safepoint 1: expected\n0\ngot\n1/);
  });

  test("a linker's wrapper around the callback, which runs destructors, is passed by", () => {
    survives(
      `(func $vermilion_on_power_restored)
      (func $wrapper (export "vermilion_on_power_restored") (call $vermilion_on_power_restored) (call $log (i32.const 666)))
      (func (export "run") (call $log (i32.const 1)) (call $log (i32.const 2)))`,
      [1, 2],
    );
  });

  test("so is one around signal()", () => {
    survives(
      `(table 2 funcref) (elem (i32.const 1) $handler)
      (global $handles (mut i32) (i32.const 0)) (global $handled (mut i32) (i32.const 0))
      (func $handler (param i32) (global.set $handled (local.get 0)))
      (func $signal (param i32 i32) (result i32) (global.get $handles) (global.set $handles (local.get 1)))
      (func $wrapper (export "signal") (param i32 i32) (result i32)
        (call $log (i32.const 666)) (call $signal (local.get 0) (local.get 1)))
      (func (export "run")
        (drop (call $signal (i32.const 30) (i32.const 1)))
        (call $log (i32.and (global.get $handled) (i32.const 1)))
        (call $log (global.get $handles)))`,
      [0, 1],
    );
  });
});
