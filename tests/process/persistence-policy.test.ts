import { describe, expect, test } from "vitest";
import {
  NO_POLICY,
  nextPolicy,
  type PersistencePolicy,
  type PolicyWishes,
  parsePolicy,
} from "../../runtime/process/persistence-policy.js";

const SILENT: PolicyWishes = { persistEvery: undefined, log: undefined };
const USUAL = { uncertain: "repeat", durability: "process", recoveryTarget: 1000, required: false };

/** One run after the other, each told something. */
function told(...runs: Partial<PolicyWishes>[]): PersistencePolicy {
  return runs.reduce<PersistencePolicy>((before, wishes) => nextPolicy({ ...SILENT, ...wishes }, before), NO_POLICY);
}

describe("what a run is told, and those behind it are not", () => {
  const points = { persistEvery: { milliseconds: 100 } };

  test("nothing at first: nothing", () => {
    expect(told({}, {})).toEqual({ points: {}, log: undefined });
  });

  test("points imply a log, and both stay", () => {
    expect(told(points, {}, {})).toEqual({ points: { milliseconds: 100 }, log: USUAL });
  });

  test("points without a log stay without one, also with another period", () => {
    expect(told({ ...points, log: false }, {}, { persistEvery: { milliseconds: 5 } })).toEqual({
      points: { milliseconds: 5 },
      log: undefined,
    });
  });

  test("a time replaces a number of calls; waiting stays until told", () => {
    const { points: both } = told({ persistEvery: { hostCalls: 3, synchronous: true } }, points);
    expect(both).toEqual({ milliseconds: 100, hostCalls: undefined, synchronous: true });
    expect(told(points, { persistEvery: { synchronous: true } }).points).toMatchObject({
      milliseconds: 100,
      synchronous: true,
    });
  });

  test("null ends points, and the log that came with them, but not one that was asked for", () => {
    expect(told(points, { persistEvery: null })).toEqual({ points: {}, log: undefined });
    expect(told({ ...points, log: true }, { persistEvery: null }).log).toEqual({ ...USUAL, required: true });
  });

  test("each setting of the log stays by itself", () => {
    const log = told(
      { log: { uncertain: "skip", recoveryTargetMilliseconds: null } },
      { log: { durability: "system" } },
    );
    expect(log.log).toEqual({ uncertain: "skip", durability: "system", recoveryTarget: undefined, required: true });
    expect(told({ log: true }, { log: false }, {}).log).toBeUndefined();
  });
});

describe("what a program in JavaScript may say", () => {
  test("infinity: kept as a time that never comes, in a form that JSON has", () => {
    const policy = told({
      persistEvery: { milliseconds: Number.POSITIVE_INFINITY },
      log: { recoveryTargetMilliseconds: Number.POSITIVE_INFINITY },
    });
    expect(policy).toMatchObject({
      points: { milliseconds: Number.MAX_VALUE },
      log: { recoveryTarget: Number.MAX_VALUE },
    });
    expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  });

  test("a target of nothing: kept", () => {
    const policy = told({ log: { recoveryTargetMilliseconds: 0 } });
    expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  });

  test.each<unknown>([
    { log: { recoveryTargetMilliseconds: Number.NaN } },
    { log: { recoveryTargetMilliseconds: -1 } },
    { log: { durability: "disk" } },
    { log: { uncertain: "perhaps" } },
    { persistEvery: { milliseconds: "100" } },
    { persistEvery: { milliseconds: 100, synchronous: 1 } },
  ])("%j: USAGE, since no image could keep it", (wishes) => {
    expect(() => told(wishes as PolicyWishes)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});

describe("as an image has it", () => {
  test("comes back from JSON", () => {
    for (const policy of [
      NO_POLICY,
      told({ persistEvery: { milliseconds: 0.5, hostCalls: 7, synchronous: false } }),
      told({ log: { uncertain: "skip", durability: "system", recoveryTargetMilliseconds: null } }),
    ]) {
      expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
    }
  });

  test.each([
    null,
    1,
    {},
    { points: 1 },
    { points: { milliseconds: 0 } },
    { points: { milliseconds: null } },
    { points: { milliseconds: "100" } },
    { points: { hostCalls: 1.5 } },
    { points: { synchronous: 1 } },
    { points: {}, log: null },
    { points: {}, log: { ...USUAL, uncertain: "perhaps" } },
    { points: {}, log: { ...USUAL, durability: undefined } },
    { points: {}, log: { ...USUAL, recoveryTarget: -1 } },
    { points: {}, log: { ...USUAL, required: 1 } },
  ])("%j is none", (value) => {
    expect(parsePolicy(value)).toBeUndefined();
  });
});
