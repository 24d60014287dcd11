import { describe, expect, test } from "vitest";
import { compare } from "../../benchmarks/page/compare.js";
import { plotOverhead, plotScaling } from "../../benchmarks/page/plots.js";
import {
  meanRatio,
  type Overhead,
  type OverheadProgram,
  type Results,
  type Rivals,
  ratioOf,
  slopeOf,
  summaryOf,
} from "../../benchmarks/page/results.js";
import { describeSurroundings } from "../../benchmarks/report.js";

const surroundings = describeSurroundings();

function program(name: string, plain: readonly number[], vermilion: readonly number[]): OverheadProgram {
  const times = (values: readonly number[]) => values.map((wall) => ({ wall, cpu: wall }));
  return { name, kind: "kernel", milliseconds: { plain: times(plain), vermilion: times(vermilion) }, missing: {} };
}

function overhead(...programs: readonly OverheadProgram[]): Overhead {
  return { ...surroundings, runs: 4, fileSystem: "ext4", programs, skipped: {} };
}

const rivals: Rivals = {
  ...surroundings,
  ...{ runs: 1, about: {}, skipped: {} },
  experiments: [
    { name: "list", operations: 1, nanoseconds: { libpmemobj: [900], vermilion: [100] } },
    { name: "hash", operations: 1, nanoseconds: { libpmemobj: [400], vermilion: [100] } },
    { name: "SQLite", operations: 1, nanoseconds: { "native, WAL": [1] } },
  ],
};

describe("ratioOf", () => {
  test("medians are divided, and quartiles taken of neighbouring runs", () => {
    const ratio = ratioOf(program("a", [100, 100, 100, 200], [110, 120, 110, 220]), "vermilion");
    expect(ratio).toEqual({ middle: 1.15, low: 1.1, high: 1.1, runs: 4 });
  });

  test("a variant that was not measured: none", () => {
    expect(ratioOf(program("a", [100], []), "vermilion")).toBeUndefined();
    expect(ratioOf(program("a", [100], [100]), "wasmtime")).toBeUndefined();
  });
});

test("a summary has the geometric mean, the worst program and the fewest runs", () => {
  const summary = summaryOf(overhead(program("a", [100], [50]), program("b", [100, 100], [200, 200])), "vermilion");
  expect(summary?.mean).toBeCloseTo(1);
  expect(summary).toMatchObject({ worst: { name: "b", ratio: 2 }, programs: 2, leastRuns: 1 });
});

test("a mean of ratios leaves out what only one of the two ran", () => {
  expect(meanRatio(rivals, "libpmemobj", "vermilion")).toBeCloseTo(6);
  expect(meanRatio(rivals, "libpmemobj", "vermilion", "hash")).toBeCloseTo(4);
  expect(meanRatio(rivals, "CRIU", "vermilion")).toBeUndefined();
});

test.each([
  ["linear", 1],
  ["constant", 0],
  ["quadratic", 2],
])("the slope of what is %s: %d", (_, power) => {
  expect(slopeOf([1, 10, 100].map((x) => ({ x, y: [3 * x ** power] })))).toBeCloseTo(power);
});

describe("compare", () => {
  const before = { overhead: overhead(program("a", [100, 100, 100], [100, 101, 99])) };
  const verdict = (...vermilion: number[]) =>
    compare(before, { overhead: overhead(program("a", [100, 100, 100], vermilion)) }).map((each) => each.verdict);

  test("clearly above: slower", () => expect(verdict(120, 121, 119)).toEqual(["slower"]));
  test("clearly below: faster", () => expect(verdict(80, 81, 79)).toEqual(["faster"]));
  test("above, but within its own spread: the same", () => expect(verdict(99, 110, 130)).toEqual(["same"]));
  test("two percent: the same", () => expect(verdict(102, 102, 102)).toEqual(["same"]));
  test("servers are compared by their processor time, as multiples of memcached's", () => {
    const results = (...times: readonly number[]): Results => {
      const measured = (values: readonly number[]) =>
        values.map((serverMicroseconds) => ({
          ...{
            serverMicroseconds,
            operations: 1,
            perSecond: 1,
            p50Microseconds: 1,
            p99Microseconds: 1,
            generatorBusy: 1,
          },
        }));
      const measurements = { memcached: measured([10, 20, 10]), vermilion: measured(times) };
      const rest = { runs: 3, operations: 1, connections: 8, fileSystem: "ext4", about: {}, skipped: {} };
      return { memcached: { ...surroundings, ...rest, experiments: [{ name: "95 % gets", measurements }] } };
    };
    const changes = compare(results(10, 20, 10), results(15, 30, 15));
    expect(changes).toMatchObject([{ what: "vermilion: 95 % gets", verdict: "slower" }]);
    expect(changes[0]?.change).toBeCloseTo(0.5);
  });
  test("a program that one file lacks is not compared", () =>
    expect(compare(before, { overhead: overhead(program("b", [100], [200])) })).toEqual([]));
});

test("plots are SVG and name what they show", async () => {
  const svg = await plotOverhead(overhead(program("hash-map", [100, 100], [90, 95])), ["vermilion"], "A title");
  expect(svg).toMatch(/^<svg.*hash-map.*<\/svg>\n$/s);
  const points = [1, 10].map((x) => ({ x, y: [x] }));
  const from = { question: "heap", commit: "c", startedAt: "2026-01-01" };
  const series = { name: "Save", x: "MiB", y: "ms", expected: "linear", ...from, points } as const;
  expect(await plotScaling("Heap", [series])).toContain("MiB");
});
