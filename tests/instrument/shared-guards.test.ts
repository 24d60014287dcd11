/** Which calls share a guard, by how many handlers a function gets. */
import { expect, test } from "vitest";
import { buildCallGraph } from "../../runtime/instrument/call-graph.js";
import { FunctionAnalysis } from "../../runtime/instrument/function-analysis.js";
import { instrument } from "../../runtime/instrument/instrument.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { Op } from "../../runtime/wasm/opcodes.js";
import { assemble } from "../process/machine/harness.js";

const RUN = 3;

const knowsExnref = Number.parseInt(process.versions.v8, 10) >= 13;

/** Instructions of a kind in the function that is written in `text`; and the engine takes the module. */
function countIn(text: string, wanted: number, exnref: boolean): number {
  const guest = decodeModule(
    assemble(`(module (import "env" "log" (func $log (param i32))) (tag $e)
      (func $f (result i32) (call $log (i32.const 0)) (i32.const 1))
      (func $throws (throw $e))
      ${text})`),
  );
  const form = { mode: "flag", tracking: false, exnref } as const;
  const bytes = instrument(guest, buildCallGraph(guest), form, new Uint8Array(0));
  if (knowsExnref || !exnref) expect(WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)).toBe(true);
  const instrumented = decodeModule(bytes);
  const analysis = new FunctionAnalysis(instrumented, buildCallGraph(instrumented));
  analysis.analyze(RUN);
  return analysis.opcodes.subarray(0, analysis.instructionCount).filter((opcode) => opcode === wanted).length;
}

const L = "(call $log (i32.const 1))";

test.each([
  ["two calls with nothing to keep: one", `(func ${L} ${L})`, 1],
  ["a single call: one", `(func ${L})`, 1],
  [
    "what is kept changes between: two",
    `(func (local $a i32) ${L} ${L} (local.set $a (call $f)) ${L} ${L} (drop (local.get $a)))`,
    2,
  ],
  [
    "in nested blocks and arms: one before and one behind the last use of a value",
    `(func (param i32) (block ${L} (if (local.get 0) (then ${L} ${L}) (else ${L})) ${L}))`,
    2,
  ],
  [
    "a loop between: what stands before, in it and behind",
    `(func ${L} ${L} (loop ${L} ${L} (br_if 0 (call $f))) ${L} ${L})`,
    3,
  ],
  [
    "a handler of the guest's between: likewise, and its own",
    `(func ${L} ${L} (try (do ${L} ${L}) (catch $e ${L} ${L})) ${L} ${L})`,
    4,
  ],
  ["a call whose value ends a block: by itself", `(func (result i32) ${L} ${L} (call $f))`, 2],
  ["calls that cannot unwind: none", "(func (call $throws) (call $throws))", 0],
])("%s", (_, text, handlers) => {
  expect(countIn(text, Op.catchAll, false)).toBe(handlers);
});

test.each([
  [
    "the same frame, with a loop between and a value at the end: one",
    `(func (result i32) ${L} (loop ${L} (br_if 0 (call $f))) (call $f))`,
    1,
  ],
  [
    "what is kept changes, and changes back: two",
    `(func (local $a i32) ${L} (local.set $a (call $f)) ${L} (drop (local.get $a)) ${L})`,
    2,
  ],
  ["an operand below: its own", `(func (drop (i32.add (call $f) (call $f))) ${L})`, 2],
  ["no calls: none", "(func (loop (br_if 0 (i32.const 0))))", 0],
  [
    "in a handler of the guest's and behind it: one, and what lets our unwinding pass that",
    `(func (block $b (try_table (catch_all $b) ${L} ${L})) ${L} ${L})`,
    2,
  ],
])("behind the body: %s", (_, text, handlers) => {
  expect(countIn(text, Op.throwRef, true)).toBe(handlers);
});

test("a module with handlers of the older kind gets no others", () => {
  const text = `(func (try (do ${L}) (catch $e ${L})))`;
  expect(countIn(text, Op.tryTable, true)).toBe(0);
  expect(countIn(text, Op.catchAll, true)).toBe(2);
});
