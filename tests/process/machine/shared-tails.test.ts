/** Frames with a tail that is saved in one place: stopped everywhere, and what the tails are. */
import { describe, expect, test } from "vitest";
import { buildCallGraph } from "../../../runtime/instrument/call-graph.js";
import { frameLayout, frameLocals, localsOf } from "../../../runtime/instrument/frame-layout.js";
import { FunctionAnalysis } from "../../../runtime/instrument/function-analysis.js";
import { decodeModule } from "../../../runtime/wasm/decode.js";
import { assemble, interruptEverywhere } from "./harness.js";

const HEAD = `
  (import "env" "log_i32" (func $log (param i32)))
  (import "env" "log_i64" (func $log64 (param i64)))
  (import "env" "log_f64" (func $logd (param f64)))
  (func $f (param i32) (result i32) (call $log (local.get 0)) (i32.add (local.get 0) (i32.const 1)))
  (func $id (param i32) (result i32) (local.get 0))
  (type $unary (func (param i32) (result i32)))
  (table 2 funcref) (elem (i32.const 0) $f $id) (memory 1)`;

const WORDS = Array.from({ length: 10 }, (_, index) => `$w${index}`);

/** Ten words, and a value of each other type, all alive from the beginning of `body` to its end. */
function withManyValues(name: string, params: string, body: string): string {
  return `(func ${name} ${params}
    ${WORDS.map((word) => `(local ${word} i32)`).join(" ")}
    (local $l i64) (local $d f64) (local $v v128) (local $r funcref) (local $x externref)
    ${WORDS.map((word, index) => `(local.set ${word} (i32.const ${100 + index}))`).join(" ")}
    (local.set $l (i64.const 0x123456789abcdef)) (local.set $d (f64.const 0.1))
    (local.set $v (v128.const i32x4 1 -2 3 -4)) (local.set $r (ref.func $f))
    ${body}
    ${WORDS.map((word) => `(call $log (local.get ${word}))`).join(" ")}
    (call $log64 (local.get $l)) (call $logd (local.get $d)) (call $log (ref.is_null (local.get $x)))
    (call $log (i32x4.extract_lane 3 (local.get $v)))
    (table.set (i32.const 1) (local.get $r))
    (drop (call_indirect (type $unary) (i32.const 7) (i32.const 1))))`;
}

function analyze(text: string, functionIndex: number): FunctionAnalysis {
  const module = decodeModule(assemble(text));
  const analysis = new FunctionAnalysis(module, buildCallGraph(module));
  analysis.analyze(functionIndex);
  return analysis;
}

/** Behind the three imports and the functions of HEAD. */
const FIRST = 5;

function survives(functions: string): void {
  const text = `(module ${HEAD} ${functions})`;
  expect(analyze(text, FIRST).tails.length).toBeGreaterThan(0);
  expect(interruptEverywhere(text)).toBeGreaterThan(0);
}

const ARMS = `
  (block $out
    (block $c
      (block $b
        (block $a (br_table $a $b $c (local.get $which)))
        (local.set $w0 (call $f (i32.add (local.get $w1) (call $f (local.get $w2)))))
        (br $out))
      (call $log (i32.const -1))
      (local.set $w3 (i32.add (call $id (local.get $w3)) (call $f (i32.const 50))))
      (local.set $l (i64.mul (local.get $l) (i64.const 3)))
      (br $out))
    (local.set $d (f64.mul (local.get $d) (f64.const 1.5)))
    (local.set $v (i32x4.neg (local.get $v)))
    (call $log (call_indirect (type $unary) (i32.const 8) (i32.const 0))))`;

describe("frames with a tail", () => {
  test("calls in arms, with operands below them; values of every type", () => {
    survives(`
      ${withManyValues("$run", "(param $which i32)", ARMS)}
      (func (export "run") (call $run (i32.const 0)) (call $run (i32.const 1)) (call $run (i32.const 2)))`);
  });

  test("polls of loops and of an entry; a failure in a frame far out", () => {
    survives(`
      ${withManyValues(
        "$run",
        "(param $which i32)",
        `(loop $l
          ${ARMS}
          (loop $inner (br_if $inner (i32.lt_s (local.tee $w4 (i32.add (local.get $w4) (i32.const 9))) (i32.const 130))))
          (if (local.get $which) (then (call $run (i32.sub (local.get $which) (i32.const 1)))))
          (br_if $l (i32.lt_s (local.tee $w5 (i32.add (local.get $w5) (i32.const 1))) (i32.const 107))))`,
      )}
      (func (export "run") (call $run (i32.const 2)))`);
  });

  test("the guest's own exceptions go on to its handlers, not to the tail", () => {
    survives(`
      ${withManyValues(
        "$run",
        "(param $which i32)",
        `(call $risky (i32.const 1))
         (try (do ${ARMS} (call $risky (local.get $which)) (call $log (i32.const 9)))
           (catch $e (local.set $w6) (call $log (i32.const 6)) (drop (call $f (i32.const 60)))))
         (call $risky (i32.sub (local.get $which) (i32.const 1)))`,
      )}
      (tag $e (param i32))
      (func $risky (param i32) (call $log (local.get 0))
        (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $e (i32.const 77)))))
      (func (export "run") (local $i i32)
        (loop $l
          (try (do (call $run (local.get $i))) (catch_all (call $log (i32.const 12))))
          (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4)))))`);
  });
});

describe("a frame", () => {
  const text = `(module ${HEAD} ${withManyValues("$run", "(param $which i32)", ARMS)})`;

  test("holds what is alive at its site, each value once, whatever its tail", () => {
    const analysis = analyze(text, FIRST);
    const withTail = analysis.sites.filter(({ tail }) => tail !== undefined);
    expect(withTail.length).toBeGreaterThanOrEqual(4);
    for (const site of analysis.sites) {
      const locals = localsOf(frameLayout(analysis, site));
      expect(locals.toSorted((a, b) => a - b)).toEqual([...frameLocals(analysis, site)].sort((a, b) => a - b));
      const { tail } = site;
      if (tail !== undefined) expect(locals.slice(-tail.words.length)).toEqual(tail.words);
    }
  });

  test("of a function with few sites, or little to keep, has none", () => {
    const few = `(func (param $a i32) (call $log (i32.const 1)) (call $log (i32.const 2)) (call $log (local.get $a)))`;
    expect(analyze(`(module ${HEAD} ${few})`, FIRST).tails).toEqual([]);
    const little = `(func (param $a i32) ${"(call $log (i32.const 1))".repeat(9)} (call $log (local.get $a)))`;
    expect(analyze(`(module ${HEAD} ${little})`, FIRST).tails).toEqual([]);
  });
});
