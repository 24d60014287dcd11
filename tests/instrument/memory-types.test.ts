import { expect, test } from "vitest";
import { buildCallGraph } from "../../runtime/instrument/call-graph.js";
import { instrument } from "../../runtime/instrument/instrument.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { assemble } from "../process/machine/harness.js";

const GROW = '(func (export "run") (drop (memory.grow (i32.const 1))))';
const ATOMIC = "(func (drop (i32.atomic.load (i32.const 0))))";
const WASI =
  '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (import "vermilion" "persist" (func (result i64)))';

/** As the instrumented module has it. */
function typeOf(text: string) {
  const module = decodeModule(assemble(text));
  const form = { mode: "fast", tracking: false } as const;
  return decodeModule(instrument(module, buildCallGraph(module), form, new Uint8Array())).memories[0];
}

test.each([
  ["one that grows", `(module ${WASI} (memory 2) ${GROW})`, { minimum: 2, maximum: 65_536 }],
  ["one that has a maximum", `(module (memory 0 9) ${GROW})`, { minimum: 0, maximum: 9 }],
])("%s: shared, with a maximum", (_what, text, limits) => {
  expect(typeOf(text)).toEqual({ ...limits, shared: true });
});

test.each([
  ["one that never grows", '(module (memory 2) (func (export "run")))', undefined],
  ["with atomic instructions", `(module (memory 2 9) ${GROW} ${ATOMIC})`, 9],
  ["with a function of the user's", `(module (import "env" "f" (func)) (memory 2) ${GROW})`, undefined],
])("%s: as it was", (_what, text, maximum) => {
  expect(typeOf(text)).toEqual({ minimum: 2, maximum, shared: false });
});
