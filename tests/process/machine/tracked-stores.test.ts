import { expect, test } from "vitest";
import { Machine } from "../../../runtime/process/machine.js";
import { Program } from "../../../runtime/process/program.js";
import { assemble } from "./harness.js";

interface TrackedRun {
  /** "address+byteLength" of each store, in order. */
  readonly stores: readonly string[];
  /** Memory, and what it would be if only the stores that were told had happened. */
  readonly memory: Uint8Array;
  readonly told: Uint8Array;
  readonly kind: string;
}

/** Runs `run` of a module; stopped at every `step`th safepoint, if there is a step. */
function runTracked(body: string, step?: number): TrackedRun {
  const bytes = assemble(`(module (import "env" "nothing" (func $nothing)) ${body})`);
  const program = Program.load(bytes, { cacheDirectory: undefined, exact: true, tracking: true });
  const stores: string[] = [];
  let live = new Uint8Array();
  let saved: Uint8Array | undefined;
  let told: Uint8Array | undefined;
  const newMachine = (): Machine =>
    new Machine(program, {
      functions: { env: { nothing: () => undefined } },
      attachMemory: (index, memory) => {
        if (index !== 0) return;
        live = new Uint8Array(memory.buffer);
        if (saved !== undefined) live.set(saved);
      },
      growMemory: () => true,
      failurePending: () => false,
      stored: (address, byteLength) => {
        stores.push(`${address}+${byteLength}`);
        told ??= new Uint8Array(live.length);
        told.set(live.subarray(address, address + byteLength), address);
      },
      exitStatus: () => undefined,
    });
  const injection = step === undefined ? {} : { atSafepoint: step };
  let machine = newMachine();
  let outcome = machine.start("run", [], injection);
  while (outcome.kind === "suspended") {
    saved = live.slice();
    machine = newMachine();
    machine.restore(outcome.state);
    outcome = machine.resume({ callback: false, injection });
  }
  return { stores, memory: live, told: told ?? new Uint8Array(live.length), kind: outcome.kind };
}

test.each([
  ["i32.store", "(i32.store offset=8 (i32.const 100) (i32.const -1))", "108+4"],
  ["i64.store", "(i64.store (i32.const 100) (i64.const -1))", "100+8"],
  ["f32.store", "(f32.store (i32.const 100) (f32.const 1.5))", "100+4"],
  ["f64.store", "(f64.store offset=4 (i32.const 100) (f64.const 1.5))", "104+8"],
  ["i32.store8", "(i32.store8 (i32.const 100) (i32.const -1))", "100+1"],
  ["i32.store16", "(i32.store16 (i32.const 100) (i32.const -1))", "100+2"],
  ["i64.store8", "(i64.store8 (i32.const 100) (i64.const -1))", "100+1"],
  ["i64.store16", "(i64.store16 (i32.const 100) (i64.const -1))", "100+2"],
  ["i64.store32", "(i64.store32 (i32.const 100) (i64.const -1))", "100+4"],
  ["v128.store", "(v128.store (i32.const 96) (v128.const i32x4 1 2 3 4))", "96+16"],
  ["v128.store16_lane", "(v128.store16_lane 3 (i32.const 96) (v128.const i32x4 -1 -1 -1 -1))", "96+2"],
  ["v128.store64_lane", "(v128.store64_lane offset=8 1 (i32.const 96) (v128.const i32x4 1 2 3 4))", "104+8"],
  ["i32.atomic.store", "(i32.atomic.store (i32.const 100) (i32.const 7))", "100+4"],
  ["i64.atomic.store16", "(i64.atomic.store16 (i32.const 100) (i64.const 7))", "100+2"],
  ["i32.atomic.rmw.add", "(drop (i32.atomic.rmw.add (i32.const 100) (i32.const 7)))", "100+4"],
  ["i64.atomic.rmw8.xchg_u", "(drop (i64.atomic.rmw8.xchg_u (i32.const 100) (i64.const 7)))", "100+1"],
  ["i64.atomic.rmw.cmpxchg", "(drop (i64.atomic.rmw.cmpxchg (i32.const 96) (i64.const 0) (i64.const 9)))", "96+8"],
  ["memory.fill", "(memory.fill (i32.const 100) (i32.const 255) (i32.const 300))", "100+300"],
  ["memory.init", "(memory.init $hello (i32.const 100) (i32.const 1) (i32.const 3))", "100+3"],
])("%s: told with its address and length", (_, store, told) => {
  const body = `(memory (export "memory") 1) (data $hello "hello") (func (export "run") ${store})`;
  const run = runTracked(body);
  expect(run.stores).toEqual([told]);
  expect(Buffer.compare(run.told, run.memory)).toBe(0);
  expect(run.memory.some((byte) => byte !== 0)).toBe(true);
});

test("memory.copy: told by where it goes, also when ranges overlap", () => {
  const run = runTracked(`(memory (export "memory") 1) (func (export "run")
    (i64.store (i32.const 100) (i64.const 0x1122334455667788))
    (memory.copy (i32.const 104) (i32.const 100) (i32.const 8)))`);
  expect(run.stores).toEqual(["100+8", "104+8"]);
  expect(Buffer.compare(run.told, run.memory)).toBe(0);
});

test("a store that traps: not told", () => {
  const run = runTracked(`(memory (export "memory") 1) (func (export "run")
    (i32.store (i32.const 100) (i32.const 1))
    (i32.store offset=4 (i32.const 65532) (i32.const 1)))`);
  expect(run.kind).toBe("trapped");
  expect(run.stores).toEqual(["100+4"]);
});

test("functions without safepoints, and continuations: tracked alike", () => {
  const body = `(memory (export "memory") 1)
    (func $leaf (param $at i32) (param $value i64) (result i32)
      (i64.store offset=512 (local.get $at) (local.get $value))
      (i32.atomic.rmw.add (local.get $at) (i32.const 3)))
    (func (export "run") (local $i i32) (local $sum i32)
      (loop $next
        (call $nothing)
        (local.set $sum (i32.add (local.get $sum)
          (call $leaf (i32.mul (local.get $i) (i32.const 8)) (i64.extend_i32_u (local.get $i)))))
        (i32.store (i32.const 4096) (local.get $sum))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20)))))`;
  const whole = runTracked(body);
  expect(whole.stores).toHaveLength(60);
  expect(Buffer.compare(whole.told, whole.memory)).toBe(0);
  for (const step of [2, 3, 5]) {
    const chain = runTracked(body, step);
    expect(chain.stores).toEqual(whole.stores);
    expect(Buffer.compare(chain.told, whole.memory)).toBe(0);
  }
});
