import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import type { PersistenceDomain } from "../../pmem/cache-model.js";
import { Program } from "../../runtime/process/program.js";
import { type RestartOptions, type RestartReport, searchRestarts } from "../../runtime/testing/restart-search.js";
import { Op } from "../../runtime/wasm/opcodes.js";
import { assemble } from "../process/machine/harness.js";

const OPTIONS: RestartOptions = {
  ...{ domain: "adr", folder: tmpdir(), seed: 1, depth: 2, statesPerPoint: 64, executions: 5000, milliseconds: 60_000 },
  safepointLimit: 100_000,
};

/** 4096: a pool of two lines; data at its start, a flag in the second line. */
const IMPORTS = `
  (import "vermilion" "pmem" (func $pmem (param i32 i32) (result i32)))
  (import "vermilion" "clwb" (func $clwb (param i32 i32)))
  (import "vermilion" "sfence" (func $sfence))
  (import "vermilion" "pmem_persist" (func $persist (param i32 i32)))
  (import "vermilion" "promise" (func $promise (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $flush (param i32) (call $clwb (local.get 0) (i32.const 8)) (call $sfence))`;

/** The flag says that the data is there; what was promised is there. */
const CHECK = `
  (func (export "vermilion_check") (param $promised i32) (result i32)
    (drop (call $pmem (i32.const 4096) (i32.const 128)))
    (if (i32.and (i32.load (i32.const 4160)) (i32.ne (i32.load (i32.const 4096)) (i32.const 7)))
      (then (return (i32.const 1))))
    (i32.gt_u (local.get $promised) (i32.load (i32.const 4160))))`;

function moduleOf(main: string, more = CHECK): Uint8Array {
  return assemble(`(module ${IMPORTS} ${more} (func $main (export "_start")
    (drop (call $pmem (i32.const 4096) (i32.const 128))) ${main}))`);
}

function explore(main: string, options: Partial<RestartOptions> = {}, more = CHECK): RestartReport {
  const program = Program.load(moduleOf(main, more), { cacheDirectory: undefined, exact: true, tracking: true });
  return searchRestarts({ program, args: ["main"], env: [], seed: 1 }, { ...OPTIONS, ...options });
}

const I32_STORE = 0x36;
const IN_MAIN = expect.objectContaining({ name: "main", offset: expect.any(Number) });
const DATA = "(i32.store (i32.const 4096) (i32.const 7))";
const FLAG = "(i32.store (i32.const 4160) (i32.const 1))";
const FLUSH_DATA = "(call $flush (i32.const 4096))";
const FLUSH_FLAG = "(call $flush (i32.const 4160))";
const PROMISE = "(call $promise (i32.const 1))";

describe("data, then a flag, then a promise", () => {
  test.each<[name: string, main: string, survived: Record<PersistenceDomain, boolean>]>([
    [
      "each flushed and fenced",
      DATA + FLUSH_DATA + FLAG + FLUSH_FLAG + PROMISE,
      { eadr: true, adr: true, none: false },
    ],
    [
      "persisted to the medium",
      `${DATA}(call $persist (i32.const 4096) (i32.const 4))${FLAG}(call $persist (i32.const 4160) (i32.const 4))${PROMISE}`,
      { eadr: true, adr: true, none: true },
    ],
    ["data not flushed", DATA + FLAG + FLUSH_FLAG + PROMISE, { eadr: true, adr: false, none: false }],
    ["flag not flushed", DATA + FLUSH_DATA + FLAG + PROMISE, { eadr: true, adr: false, none: false }],
    ["flushed before stored", FLUSH_DATA + DATA + FLAG + FLUSH_FLAG, { eadr: true, adr: false, none: true }],
    ["flag before data", FLAG + FLUSH_FLAG + DATA + FLUSH_DATA, { eadr: false, adr: false, none: true }],
    ["promised too early", DATA + FLUSH_DATA + PROMISE + FLAG + FLUSH_FLAG, { eadr: false, adr: false, none: false }],
  ])("%s", (_, main, survived) => {
    for (const domain of ["eadr", "adr", "none"] as const) {
      expect(explore(main, { domain }).finding === undefined, domain).toBe(survived[domain]);
      const parts = [0, 1, 2].map((index) => explore(main, { domain, part: { index, count: 3 } }));
      expect(
        parts.every(({ finding }) => finding === undefined),
        `${domain}, in parts`,
      ).toBe(survived[domain]);
    }
  });
});

test("a finding: names the failure, what was lost and by whom it was stored, and can be repeated alone", () => {
  const main = DATA + FLAG + FLUSH_FLAG;
  const { finding } = explore(main);
  expect(finding?.failures).toHaveLength(1);
  const [failure] = finding?.failures ?? [];
  expect(failure?.lost).toEqual([{ address: 4096, byteLength: 4, byHost: false, where: [IN_MAIN] }]);
  expect(failure?.where).toEqual([expect.objectContaining({ name: "flush" }), IN_MAIN]);
  // Places are those of the program as it was compiled, before it was instrumented.
  const bytes = moduleOf(main);
  expect(bytes[failure?.lost[0]?.where[0]?.offset ?? 0]).toBe(I32_STORE);
  for (const { offset } of failure?.where ?? []) expect(bytes[offset ?? 0]).toBe(Op.call);
  const only = [{ event: failure?.event ?? 0, choice: failure?.choice ?? "" }];
  const again = explore(main, { only });
  expect(again.finding).toEqual(finding);
  expect(again.executions).toBeLessThan(10);
  expect(
    explore(DATA + FLUSH_DATA + FLAG + FLUSH_FLAG, { only: [{ event: 2, choice: "all" }] }).finding,
  ).toBeUndefined();
});

test("a finding: loses no more than it must", () => {
  const beside = "(i32.store (i32.const 4104) (i32.const 3)) (i32.store (i32.const 4112) (i32.const 4))";
  // Of each point only all and nothing are looked at, so that what is found first has lost everything.
  const { finding } = explore(DATA + beside + FLAG + PROMISE, { statesPerPoint: 2 });
  expect(finding?.failures.map(({ lost }) => lost.map(({ address }) => address))).toEqual([[4160]]);
});

test("what was not looked at is counted", () => {
  const beside = "(i32.store (i32.const 4104) (i32.const 3)) (i32.store (i32.const 4112) (i32.const 4))";
  const main = beside + DATA + FLUSH_DATA + FLAG + FLUSH_FLAG;
  expect(explore(main)).toMatchObject({ finding: undefined, sampled: 0, keepsNothing: false });
  expect(explore(main, { statesPerPoint: 2 }).sampled).toBeGreaterThan(0);
});

test("a point or a state that the run does not have: refused", () => {
  for (const failure of [
    { event: 999, choice: "all" },
    { event: 2, choice: "17.1" },
  ]) {
    expect(() => explore(DATA + FLUSH_DATA, { only: [failure] })).toThrow(
      expect.objectContaining({ code: "BAD_ARGUMENT" }),
    );
  }
});

test("what the host writes is persistent memory like any other, and torn", () => {
  const fill = "(drop (call $random_get (i32.const 4096) (i32.const 16)))";
  const check = `(func (export "vermilion_check") (result i32)
    (drop (call $pmem (i32.const 4096) (i32.const 128)))
    (i32.ne (i64.eqz (i64.load (i32.const 4096))) (i64.eqz (i64.load (i32.const 4104)))))`;
  expect(explore(fill, {}, check).finding?.failures[0]?.lost).toEqual([
    { address: expect.any(Number), byteLength: 8, byHost: true, where: [IN_MAIN] },
  ]);
});

test("without a checker: the program itself must end well from every state", () => {
  const main = `
    (if (i32.load (i32.const 4160)) (then (if (i32.ne (i32.load (i32.const 4096)) (i32.const 7)) (then unreachable))))`;
  expect(explore(main + DATA + FLUSH_DATA + FLAG + FLUSH_FLAG, {}, "").finding).toBeUndefined();
  expect(explore(main + DATA + FLAG + FLUSH_FLAG, {}, "").finding?.result).toMatch(/^traps/);
});

test("a recovery that is itself cut short: only found by two failures in a row", () => {
  // Recovery takes the flag away before it has taken the data: a second failure leaves data without a flag, for ever.
  const recover = (order: string): string => `(func (export "vermilion_check") (result i32)
    (drop (call $pmem (i32.const 4096) (i32.const 128)))
    (if (i32.load (i32.const 4160)) (then ${order}))
    (i32.load (i32.const 4096)))`;
  const clearData = `(i32.store (i32.const 4096) (i32.const 0)) ${FLUSH_DATA}`;
  const clearFlag = `(i32.store (i32.const 4160) (i32.const 0)) ${FLUSH_FLAG}`;
  const main = `${FLAG}${FLUSH_FLAG}${DATA}${FLUSH_DATA}`;
  expect(explore(main, {}, recover(clearData + clearFlag)).finding).toBeUndefined();
  expect(explore(main, { depth: 1 }, recover(clearFlag + clearData)).finding).toBeUndefined();
  expect(explore(main, { depth: 2 }, recover(clearFlag + clearData)).finding?.failures).toHaveLength(2);
});

describe("the program goes on after a failure, besides its checker", () => {
  /** Counts in its pool, but from where it was at the first start; 4160 is the count that the checker sees. */
  const counting = (from: string): string => `
    (local.set $n ${from})
    (loop $next
      (i32.store (i32.const 4160) (local.tee $n (i32.add (local.get $n) (i32.const 1)))) ${FLUSH_FLAG}
      (call $promise (local.get $n))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 3))))`;
  const check = `(func (export "vermilion_check") (param $promised i32) (result i32)
    (drop (call $pmem (i32.const 4096) (i32.const 128)))
    (i32.gt_u (local.get $promised) (i32.load (i32.const 4160))))`;
  const FORGETFUL = `(drop (call $pmem (i32.const 4096) (i32.const 128))) ${counting("(i32.const 0)")}`;
  const MINDFUL = `(drop (call $pmem (i32.const 4096) (i32.const 128))) ${counting("(i32.load (i32.const 4160))")}`;
  const run = (main: string, options: Partial<RestartOptions> = {}): RestartReport => {
    const text = `(module ${IMPORTS} ${check} (func $main (export "_start") (local $n i32) ${main}))`;
    const program = Program.load(assemble(text), { cacheDirectory: undefined, exact: true, tracking: true });
    return searchRestarts({ program, args: ["main"], env: [], seed: 1 }, { ...OPTIONS, ...options });
  };

  test("what it breaks then: found by two failures, of which the second strikes it, and again by its name", () => {
    expect(run(MINDFUL)).toMatchObject({ finding: undefined, complete: true });
    expect(run(FORGETFUL, { depth: 1 }).finding).toBeUndefined();
    const { finding } = run(FORGETFUL);
    expect(finding?.failures.map(({ goesOn = false }) => goesOn)).toEqual([false, true]);
    expect(run(FORGETFUL, { only: finding?.failures ?? [] }).finding).toEqual(finding);
    expect(run(FORGETFUL, { checkOnly: true })).toMatchObject({ finding: undefined, complete: true });
  });

  test("it does not end as it should: found by one", () => {
    const refuses = `${MINDFUL} (if (i32.ge_u (i32.load (i32.const 4160)) (i32.const 3)) (then
      (if (i32.load (i32.const 4096)) (then unreachable)) ${DATA}${FLUSH_DATA}))`;
    const { finding } = run(refuses);
    expect(finding?.failures).toHaveLength(1);
    expect(finding?.result).toMatch(/begun again, traps/);
    expect(run(refuses, { only: finding?.failures ?? [] }).finding).toEqual(finding);
  });
});

test("a recovery that never ends: found", () => {
  const check = '(func (export "vermilion_check") (result i32) (loop $for_ever (br $for_ever)) (i32.const 0))';
  expect(explore(DATA, {}, check).finding?.result).toBe("does not end");
});

test("budgets end the search, and the report says so", () => {
  expect(explore(DATA + FLUSH_DATA, {}).complete).toBe(true);
  expect(explore(DATA + FLUSH_DATA, { executions: 2 })).toMatchObject({ complete: false });
  expect(explore(DATA + FLUSH_DATA, { milliseconds: 0 })).toMatchObject({ complete: false });
});

test.each([
  ["a program that fails by itself", "unreachable", CHECK, "REFERENCE_FAILED"],
  ["a checker of another type", "", '(func (export "vermilion_check") (param i64))', "CHECKER_INVALID"],
  ["a range beyond memory", "(drop (call $pmem (i32.const 65000) (i32.const 1000)))", CHECK, "BAD_RANGE"],
])("%s: refused", (_, main, check, code) => {
  expect(() => explore(main, {}, check)).toThrow(expect.objectContaining({ code }));
});

test("without tracking: by comparison, which knows no order within a line", () => {
  const run = (main: string, tracking: boolean): boolean => {
    const text = `(module ${IMPORTS} ${CHECK} (func (export "_start")
      (drop (call $pmem (i32.const 4096) (i32.const 128))) ${main}))`;
    const program = Program.load(assemble(text), { cacheDirectory: undefined, exact: true, tracking });
    return searchRestarts({ program, args: ["main"], env: [], seed: 1 }, OPTIONS).finding === undefined;
  };
  for (const tracking of [true, false]) {
    expect(run(DATA + FLUSH_DATA + FLAG + FLUSH_FLAG, tracking)).toBe(true);
    expect(run(DATA + FLAG + FLUSH_FLAG, tracking)).toBe(false);
  }
});

test("random bytes are the same in every run", () => {
  // As many stores as the random byte says.
  const count = "(i32.load8_u (i32.const 64))";
  const main = `(drop (call $random_get (i32.const 64) (i32.const 1)))
    (loop $again
      (i32.store (i32.const 4096) ${count}) ${FLUSH_DATA}
      (i32.store8 (i32.const 64) (i32.sub ${count} (i32.const 1)))
      (br_if $again (i32.gt_u ${count} (i32.const 1))))`;
  const check = '(func (export "vermilion_check") (result i32) (i32.const 0))';
  const { points, executions } = explore(main, { depth: 1 }, check);
  for (let again = 0; again < 3; again++)
    expect(explore(main, { depth: 1 }, check)).toMatchObject({ points, executions });
});
