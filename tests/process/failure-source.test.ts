import { describe, expect, test } from "vitest";
import { plannedSafepoint } from "../../runtime/process/failure-source.js";

describe("plannedSafepoint", () => {
  test("no rate: the safepoint that was asked for, or none", () => {
    expect(plannedSafepoint({}, 0)).toBeUndefined();
    expect(plannedSafepoint({ atSafepoint: 12 }, 5)).toBe(12);
  });

  test("a rate of 1: the first; a rate and a safepoint: whichever comes first", () => {
    expect(plannedSafepoint({ rate: { probability: 1, seed: 3 } }, 0)).toBe(1);
    expect(plannedSafepoint({ rate: { probability: 1e-9, seed: 3 }, atSafepoint: 7 }, 0)).toBe(7);
  });

  test("seed and epoch choose, and nothing else does", () => {
    const draw = (seed: number, epoch: number) => plannedSafepoint({ rate: { probability: 1e-6, seed } }, epoch);
    expect(draw(1, 0)).toBe(draw(1, 0));
    const draws = [draw(1, 0), draw(1, 1), draw(2, 0), draw(2 ** 40 + 1, 0)];
    expect(new Set(draws).size).toBe(draws.length);
  });

  test("over many seeds and epochs: geometrically distributed", () => {
    const probability = 0.01;
    const draws: number[] = [];
    for (let seed = 0; seed < 100; seed++) {
      for (let epoch = 0; epoch < 100; epoch++)
        draws.push(plannedSafepoint({ rate: { probability, seed } }, epoch) ?? 0);
    }
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(1);
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    expect(mean).toBeGreaterThan(95);
    expect(mean).toBeLessThan(105);
    const first = draws.filter((draw) => draw <= 69).length / draws.length; // half of them: ln 2 / 0.01
    expect(first).toBeGreaterThan(0.47);
    expect(first).toBeLessThan(0.53);
  });
});
