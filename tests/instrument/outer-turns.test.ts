/** When the further turns of the loops around a site are functions of their own, and how large they are. */
import { expect, test } from "vitest";
import { buildCallGraph } from "../../runtime/instrument/call-graph.js";
import { ContinuationBuilder } from "../../runtime/instrument/continuation.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { assemble } from "../process/machine/harness.js";

const DEPTH = 12;

/** Loops in one another, each with so many calls in front of the next. */
function nested(depth: number): string {
  if (depth === 0) return "(call $log (i32.const 0))";
  return `(loop $l${depth} ${"(call $log (i32.const 1))".repeat(20)} ${nested(depth - 1)} (br_if $l${depth} (call $again)))`;
}

const guest = decodeModule(
  assemble(`(module (import "env" "log" (func $log (param i32))) (import "env" "again" (func $again (result i32)))
    (func (export "run") ${nested(DEPTH)}))`),
);
const graph = buildCallGraph(guest);
const [from, to] = [guest.bodies[0] as number, guest.bodies[1] as number];

/** The calls of `again` stand behind it, one a loop. */
function isInnermost(builder: ContinuationBuilder, offset: number): boolean {
  return builder.place(offset)?.calleeResults?.length === 0;
}

/** The sizes of the functions of a continuation module for the innermost call. */
function sizesWith(largestRepeated: number | undefined): number[] {
  const builder = new ContinuationBuilder(guest, graph, { tracking: false, largestRepeated });
  const name = Array.from({ length: to }, (_, offset) => offset).findLast((offset) => isInnermost(builder, offset));
  const { bytes } = builder.build([name as number], "flag");
  expect(WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)).toBe(true);
  expect(WebAssembly.Module.exports(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>))).toHaveLength(1);
  const { bodies } = decodeModule(bytes);
  return Array.from(
    { length: bodies.length / 2 },
    (_, at) => (bodies[2 * at + 1] as number) - (bodies[2 * at] as number),
  );
}

test("loops that are not large: one function, with each of them whole", () => {
  const [only = 0, ...others] = sizesWith(undefined);
  expect(others).toEqual([]);
  expect(only).toBeGreaterThan((DEPTH / 2) * (to - from));
});

test("large ones: a function for each, and none much larger than what it goes on with", () => {
  const whole = sizesWith(undefined)[0] as number;
  const sizes = sizesWith(0);
  expect(sizes).toHaveLength(1 + DEPTH);
  expect(Math.max(...sizes)).toBeLessThan(whole / 4);
});
