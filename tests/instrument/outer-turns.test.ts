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

/** The sizes of the functions of a continuation module for the innermost call, or, if they are `apart`, for the turns around it. */
function sizesOf(apart: boolean): number[] {
  const builder = new ContinuationBuilder(guest, graph, { tracking: false });
  const name = Array.from({ length: to }, (_, offset) => offset).findLast((offset) => isInnermost(builder, offset));
  const headers = builder.place(name as number)?.loops.map(({ header }) => header) ?? [];
  expect(headers).toHaveLength(DEPTH);
  const turns = apart ? headers : [];
  const { bytes } = builder.build({ turns, places: [name as number], apart: new Set(turns) }, "flag");
  expect(WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)).toBe(true);
  const { bodies } = decodeModule(bytes);
  return Array.from(
    { length: bodies.length / 2 },
    (_, at) => (bodies[2 * at + 1] as number) - (bodies[2 * at] as number),
  );
}

test("not apart: one function, with each loop whole", () => {
  const [only = 0, ...others] = sizesOf(false);
  expect(others).toEqual([]);
  expect(only).toBeGreaterThan((DEPTH / 2) * (to - from));
});

test("apart: a function for each, and none much larger than what it goes on with", () => {
  const [whole = 0] = sizesOf(false);
  const sizes = sizesOf(true);
  expect(sizes).toHaveLength(1 + DEPTH);
  expect(Math.max(...sizes)).toBeLessThan(whole / 4);
});

test.each([
  [0, true],
  [undefined, false],
])(
  "a continuation may not repeat more than %s bytes: the loops around are too large: %s",
  (largestRepeated, tooLarge) => {
    const builder = new ContinuationBuilder(guest, graph, { tracking: false, largestRepeated });
    const name = Array.from({ length: to }, (_, offset) => offset).findLast((offset) => isInnermost(builder, offset));
    const place = builder.place(name as number);
    expect(place && builder.isTooLarge(place)).toBe(tooLarge);
  },
);
