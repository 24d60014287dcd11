import { describe, expect, test } from "vitest";
import { findingsOf } from "../../benchmarks/points/findings.js";
import { runTimeName, Samples, type Sizes } from "../../benchmarks/points/measurements.js";

const sizes: Sizes = {
  ...{ programs: ["a"], workload: "test", storeRounds: 1, dirtyPages: 1000, pauses: 3, writes: 1, inserts: 1 },
  ...{ heapMebibytes: 1024, events: 1, epochs: 1, directory: "/tmp" },
};

function found(samples: Samples, words: string) {
  return findingsOf(samples, sizes).find(({ what }) => what.includes(words));
}

describe("findingsOf", () => {
  test("run times: medians with points over medians without, judged by the period", () => {
    const samples = new Samples();
    samples.add(runTimeName("a", null), 100, 90, 110);
    samples.add(runTimeName("a", 100), 104, 300, 90);
    samples.add(runTimeName("a", 10), 150);
    expect(found(samples, "every 100 ms")).toMatchObject({ value: 1.04, samples: 3, aim: 1.05 });
    expect(found(samples, "every 10 ms")).toMatchObject({ value: 1.5, samples: 1, aim: 1.2 });
  });

  test("pauses: the median, and the 99th percentile, which of few values is the worst", () => {
    const samples = new Samples();
    samples.add("pauses", 0.5, 0.7, 9);
    expect(found(samples, "1000 changed pages, median")).toMatchObject({ value: 0.7, aim: 1 });
    expect(found(samples, "99th")).toMatchObject({ value: 9, aim: 3 });
  });

  test("a recovery: less the median start of Node", () => {
    const samples = new Samples();
    samples.add("recovery", 300, 250, 400);
    samples.add("start of Node", 40, 50, 60);
    expect(found(samples, "recovery, 1024 MiB")).toMatchObject({ value: 250, aim: 1000 });
  });

  test("what was not measured is not found", () => expect(findingsOf(new Samples(), sizes)).toEqual([]));
});
