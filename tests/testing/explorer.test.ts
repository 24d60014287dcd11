import { describe, expect, test } from "vitest";
import type { MachineState } from "../../runtime/process/image/state-file.js";
import type { Reference, WalkOrder, WalkReport } from "../../runtime/testing/explorer.js";
import { WHOLE } from "../../runtime/testing/strata.js";
import { formatTrace, parseTrace } from "../../runtime/testing/trace.js";
import { countingGuest, type ExplorerOptions, explorerOf } from "./guest.js";

const ORDER: WalkOrder = {
  ...{ seed: 1, safepoints: undefined, calls: undefined, furtherFailures: 0, toEndEvery: 1000, mostFindings: 3 },
  keepsEnds: false,
};

function walkAll(text: string, part: Partial<WalkOrder> = {}, options: ExplorerOptions = {}) {
  const explorer = explorerOf(text, options);
  const reference = explorer.refer();
  explorer.reference = reference;
  const { safepoints } = reference;
  const order = {
    ...ORDER,
    safepoints: { from: 1, to: safepoints, count: safepoints, seed: 1, share: WHOLE },
    ...part,
  };
  return { explorer, reference, report: explorer.walk(order) };
}

function expectSurvival({ report, reference }: { report: WalkReport; reference: Reference }): void {
  expect(report.findings).toEqual([]);
  expect(report.whole).toBe(true);
  expect(report.counts.points).toBeGreaterThan(0);
  expect(reference.observation.stdout.length).toBeGreaterThan(20);
}

describe("a program that is not told of failures survives each, as the runtime promises", () => {
  test("at every safepoint: no run differs, so none is needed to its end but the last ones", () => {
    const walked = walkAll(countingGuest());
    expectSurvival(walked);
    expect(walked.report.counts.points).toBe(walked.reference.safepoints);
    expect(walked.report.counts.converged).toBeGreaterThanOrEqual(walked.reference.safepoints - 2);
    expect([...walked.reference.observation.files]).toEqual([["/f", expect.stringMatching(/^6 bytes/)]]);
  });

  test("at every host call: before it, while it waits, after it", () => {
    const { calls } = walkAll(countingGuest()).reference;
    const walked = walkAll(countingGuest(), {
      safepoints: undefined,
      calls: { from: 1, to: calls, every: 1, share: WHOLE },
    });
    expectSurvival(walked);
    const sleeps = 6;
    expect(walked.report.counts.points).toBe(2 * calls + sleeps);
  });

  test("each run to its end, in a new machine", () => {
    const walked = walkAll(countingGuest(), { toEndEvery: 1 });
    expectSurvival(walked);
    expect(walked.report.counts.converged).toBe(0);
  });

  test.each([1, 3])("chains of failures, %i more", (furtherFailures) => {
    const walked = walkAll(countingGuest(), { furtherFailures });
    expectSurvival(walked);
    const { points, failures, converged } = walked.report.counts;
    expect(failures).toBeGreaterThan(points);
    expect(converged).toBeGreaterThan(points / 4); // the longer the chain, the more of them meet the end
  });
});

test("a memory that grows between a failure and where it is looked at, and is written to beyond its old end", () => {
  const growing = `(module (memory (export "memory") 1)
    (func (export "_start") (local $n i32) (local $i i32)
      (loop $grow
        (i32.store (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)) (local.get $n))
        (local.set $i (i32.const 0))
        (loop $wait (br_if $wait (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))
        (br_if $grow (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 8))))))`;
  const { report } = walkAll(growing, { furtherFailures: 3 });
  expect(report.findings).toEqual([]);
  expect(report.whole).toBe(true);
});

/** A bit of the innermost frame's first value is flipped; frames begin behind a header and its length. */
function dropLocal(state: MachineState): MachineState {
  const stacks = new Uint8Array(state.stacks);
  const begin = 4 + new DataView(stacks.buffer).getUint32(0, true);
  stacks[begin] = (stacks[begin] as number) ^ 1;
  return { ...state, stacks };
}

function dropGlobals(state: MachineState): MachineState {
  return { ...state, globals: new Uint8Array(state.globals.length) };
}

describe("a runtime with a planted mistake is found out", () => {
  test.each([
    ["a local that is saved wrong", dropLocal],
    ["globals that are not saved", dropGlobals],
  ])("%s", (_, corrupt) => {
    const { explorer, report } = walkAll(countingGuest(), {}, { corrupt });
    expect(report.findings.length).toBeGreaterThan(0);
    for (const { trace, differences } of report.findings) {
      expect(differences.length).toBeGreaterThan(0);
      const repetition = explorer.repeat(parseTrace(formatTrace(trace)));
      expect(repetition?.differences).toEqual(differences);
      expect(repetition?.where).toHaveLength(1);
    }
  });
});

describe("a program that does not survive", () => {
  /** Its handler spoils what it interrupts, once the sum is not 0. */
  const CARELESS = countingGuest(`(func (export "vermilion_on_power_restored") (global.set $sum (i32.const 0)))`);

  test("its handler loses the sum: found, with the place, and again by its trace", () => {
    const { explorer, report } = walkAll(CARELESS);
    const [finding] = report.findings;
    expect(finding?.differences.map(({ aspect }) => aspect)).toContain("stdout");
    const repetition = explorer.repeat(finding?.trace ?? []);
    expect(repetition?.differences).toEqual(finding?.differences);
    expect(repetition?.where[0]?.at(-1)?.stack).toBe("entry");
  });

  test("only what is to be compared counts", () => {
    expect(walkAll(CARELESS, {}, { aspects: ["exit", "files"] }).report.findings).toEqual([]);
  });

  test("it traps, or never ends", () => {
    const traps = walkAll(countingGuest(`(func (export "vermilion_on_power_restored") unreachable)`));
    expect(traps.report.findings[0]?.differences[0]).toMatchObject({ aspect: "exit" });
    const hangs = walkAll(countingGuest(`(func (export "vermilion_on_power_restored") (loop $l (br $l)))`));
    expect(hangs.report.findings[0]?.differences[0]).toMatchObject({ aspect: "exit" });
  });

  test("its own checker says so, though it ends as ever", () => {
    const checker = `(global $failures (mut i32) (i32.const 0))
      (func (export "vermilion_on_power_restored") (global.set $failures (i32.add (global.get $failures) (i32.const 1))))
      (func (export "check") (result i32) (i32.gt_u (global.get $failures) (i32.const 1)))`;
    const options = { exportName: "check" };
    expect(walkAll(countingGuest(checker), {}, options).report.findings).toEqual([]);
    const { report } = walkAll(countingGuest(checker), { furtherFailures: 1 }, options);
    expect(report.findings[0]?.differences).toEqual([{ aspect: "checker", message: expect.any(String) }]);
    expect(report.findings[0]?.trace).toHaveLength(2);
  });
});

test("points are counted as in a run without stops", () => {
  const { explorer, reference } = walkAll(countingGuest());
  const [from, to] = [reference.safepoints, reference.safepoints + 1];
  expect(explorer.repeat([{ kind: "safepoint", ordinal: from }])?.differences).toEqual([]);
  expect(explorer.repeat([{ kind: "safepoint", ordinal: to }])).toBeUndefined();
  expect(explorer.repeat([{ kind: "call-after", ordinal: reference.calls }])?.where[0]?.[0]?.name).toBe("random_get");
});
