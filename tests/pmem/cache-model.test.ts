import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CacheModel, type PersistenceDomain } from "../../pmem/cache-model.js";
import { survivingState, survivingStates } from "../../pmem/surviving-states.js";

const BASE = 4096;

/** A program's memory, of which 256 bytes are persistent, over a cache. */
class Bench {
  readonly memory = new Uint8Array(8192);
  readonly model: CacheModel;

  constructor(domain: PersistenceDomain, byteLength = 256) {
    this.model = new CacheModel(domain);
    this.model.announce(BASE, this.memory.subarray(BASE, BASE + byteLength));
  }

  store(offset: number, ...bytes: number[]): void {
    this.memory.set(bytes, BASE + offset);
    this.model.store(BASE + offset, bytes.length, this.memory);
  }

  /** One byte, as the value of a store of eight. */
  word(offset: number, value: number): void {
    this.store(offset, ...new Array<number>(8).fill(value));
  }

  clwb(offset: number, byteLength: number): void {
    this.model.writeBack(BASE + offset, byteLength);
  }

  /** What each state holds at some offsets, as text, sorted. */
  outcomes(offsets: readonly number[], limit = 1000): string[] {
    const outcomes = new Set<string>();
    for (const { ranges } of survivingStates(this.model, limit, 1)) {
      outcomes.add(offsets.map((offset) => ranges[0]?.bytes[offset]).join(" "));
    }
    return [...outcomes].sort();
  }
}

describe("adr", () => {
  test("stores to different lines: any of them", () => {
    const bench = new Bench("adr");
    bench.word(0, 1);
    bench.word(64, 2);
    expect(bench.outcomes([0, 64])).toEqual(["0 0", "0 2", "1 0", "1 2"]);
  });

  test("stores to one line: in order", () => {
    const bench = new Bench("adr");
    bench.word(0, 1);
    bench.word(8, 2);
    bench.word(0, 3);
    expect(bench.outcomes([0, 8])).toEqual(["0 0", "1 0", "1 2", "3 2"]);
  });

  test("flushed and fenced: surely there", () => {
    const bench = new Bench("adr");
    bench.word(0, 1);
    bench.clwb(0, 8);
    bench.model.fence();
    bench.word(64, 2);
    expect(bench.outcomes([0, 64])).toEqual(["1 0", "1 2"]);
  });

  test("flushed without a fence, and fenced without a flush: perhaps there", () => {
    const flushed = new Bench("adr");
    flushed.word(0, 1);
    flushed.clwb(0, 8);
    expect(flushed.outcomes([0])).toEqual(["0", "1"]);
    const fenced = new Bench("adr");
    fenced.word(0, 1);
    fenced.model.fence();
    expect(fenced.outcomes([0])).toEqual(["0", "1"]);
  });

  test("stored behind the flush, before the fence: perhaps there, and only on top of what was flushed", () => {
    const bench = new Bench("adr");
    bench.word(0, 1);
    bench.clwb(0, 8);
    bench.word(0, 2);
    bench.model.fence();
    expect(bench.outcomes([0])).toEqual(["1", "2"]);
  });

  test("a flush of another range: no flush", () => {
    const bench = new Bench("adr");
    bench.word(64, 1);
    bench.clwb(0, 64);
    bench.model.fence();
    expect(bench.outcomes([64])).toEqual(["0", "1"]);
    bench.clwb(60, 8); // touches the line
    bench.model.fence();
    expect(bench.outcomes([64])).toEqual(["1"]);
  });

  test("a store of eight bytes: whole; of sixteen: each word by itself; across a word: torn there", () => {
    const whole = new Bench("adr");
    whole.word(0, 1);
    expect(whole.outcomes([0, 7])).toEqual(["0 0", "1 1"]);
    const double = new Bench("adr");
    double.store(0, ...new Array<number>(16).fill(1));
    expect(double.outcomes([0, 8])).toEqual(["0 0", "0 1", "1 0", "1 1"]);
    const crossing = new Bench("adr");
    crossing.store(6, 1, 1, 1, 1);
    expect(crossing.outcomes([6, 8])).toEqual(["0 0", "0 1", "1 0", "1 1"]);
  });

  test("outside of the ranges: nothing", () => {
    const bench = new Bench("adr");
    expect(bench.model.store(BASE - 8, 8, bench.memory)).toBe(false);
    expect(bench.model.store(BASE - 4, 8, bench.memory)).toBe(true);
    expect(bench.model.dirtyLines()).toHaveLength(1);
  });

  test("writes of the host: found, torn at words, and flushed like others", () => {
    const bench = new Bench("adr");
    bench.memory.fill(7, BASE + 4, BASE + 20);
    expect(bench.model.absorb(bench.memory)).toBe(true);
    expect(bench.model.absorb(bench.memory)).toBe(false);
    expect(bench.outcomes([4, 8, 16])).toHaveLength(8);
    bench.clwb(0, 32);
    bench.model.fence();
    expect(bench.outcomes([4, 8, 16])).toEqual(["7 7 7"]);
  });

  test("more states than asked for: no more than asked for, all and none among them, the same for a seed", () => {
    const bench = new Bench("adr", 4096);
    for (let line = 0; line < 40; line++) bench.word(line * 64, 1);
    const names = (seed: number): string[] => [...survivingStates(bench.model, 100, seed)].map(({ choice }) => choice);
    expect(names(1).length).toBeLessThanOrEqual(100);
    expect(names(1)).toEqual(names(1));
    expect(names(1)).not.toEqual(names(2));
    expect(names(1)).toEqual(expect.arrayContaining(["all", "none"]));
  });
});

describe("eadr", () => {
  test("program order: all stores but the last are there, and that one too or torn", () => {
    const bench = new Bench("eadr");
    bench.word(0, 1);
    bench.word(64, 2);
    expect(bench.outcomes([0, 64])).toEqual(["1 0", "1 2"]);
    bench.store(128, ...new Array<number>(16).fill(3));
    expect(bench.outcomes([0, 64, 128, 136])).toEqual(["1 2 0 0", "1 2 0 3", "1 2 3 0", "1 2 3 3"]);
  });
});

describe("none", () => {
  test("only what was persisted by a call is there", () => {
    const bench = new Bench("none");
    bench.word(0, 1);
    bench.clwb(0, 8);
    bench.model.fence();
    expect(bench.outcomes([0])).toEqual(["0"]);
    bench.word(64, 2);
    bench.model.persist(BASE + 4, 0);
    expect(bench.outcomes([0, 64])).toEqual(["0 0"]);
    bench.model.persist(BASE, 8);
    expect(bench.outcomes([0, 64])).toEqual(["1 0"]);
  });
});

test("ranges that overlap: bytes that are persistent already stay as they are", () => {
  const bench = new Bench("adr");
  bench.word(0, 1);
  bench.memory.fill(9, BASE + 256, BASE + 300);
  bench.model.announce(BASE - 64, bench.memory.subarray(BASE - 64, BASE + 300));
  expect(bench.model.ranges.map(({ address, medium }) => [address, medium.length])).toEqual([
    [BASE - 64, 64],
    [BASE, 256],
    [BASE + 256, 44],
  ]);
  expect(bench.outcomes([0])).toHaveLength(1); // of the first range
  expect([...survivingStates(bench.model, 10, 1)].map(({ ranges }) => ranges[1]?.bytes[0])).toEqual([1, 0]);
  expect(bench.model.ranges[2]?.medium[0]).toBe(9);
});

test("a state can be asked for again by its name; a name of another instant is refused", () => {
  const bench = new Bench("adr");
  bench.store(0, ...new Array<number>(24).fill(1));
  bench.word(64, 2);
  bench.word(72, 3);
  for (const { choice, digest } of survivingStates(bench.model, 1000, 1)) {
    expect(survivingState(bench.model, choice).digest, choice).toBe(digest);
  }
  for (const name of ["7.1", "1.3", "x", ""]) {
    expect(() => survivingState(bench.model, name)).toThrow(expect.objectContaining({ code: "BAD_ARGUMENT" }));
  }
});

type Step = { kind: "store"; at: number; value: number } | { kind: "flush"; at: number } | { kind: "fence" };

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant<"store">("store"), at: fc.nat(7), value: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ kind: fc.constant<"flush">("flush"), at: fc.nat(7) }),
    fc.record({ kind: fc.constant<"fence">("fence") }),
  ),
  { maxLength: 7 },
);

/** Straight from the rule: every way to take a prefix of each line's stores that holds what was flushed before a fence. */
function expectedStates(run: readonly Step[]): Set<string> {
  const lines = [0, 1].map(() => ({ stores: [] as { at: number; value: number }[], flushed: 0, sure: 0 }));
  for (const step of run) {
    if (step.kind === "store") lines[step.at >> 2]?.stores.push(step);
    for (const [index, line] of lines.entries()) {
      if (step.kind === "flush" && step.at >> 2 === index) line.flushed = line.stores.length;
      if (step.kind === "fence") line.sure = Math.max(line.sure, line.flushed);
    }
  }
  const states = new Set<string>();
  const [a, b] = lines;
  for (let i = a?.sure ?? 0; i <= (a?.stores.length ?? 0); i++) {
    for (let j = b?.sure ?? 0; j <= (b?.stores.length ?? 0); j++) {
      const words = new Array<number>(8).fill(0);
      for (const { at, value } of [...(a?.stores.slice(0, i) ?? []), ...(b?.stores.slice(0, j) ?? [])])
        words[at] = value;
      states.add(words.join(" "));
    }
  }
  return states;
}

test("small programs: exactly the states of the rule", () => {
  fc.assert(
    fc.property(steps, (run) => {
      const bench = new Bench("adr");
      const offset = (at: number): number => (at >> 2) * 64 + (at & 3) * 8;
      for (const step of run) {
        if (step.kind === "store") bench.word(offset(step.at), step.value);
        else if (step.kind === "flush") bench.clwb(offset(step.at), 8);
        else bench.model.fence();
      }
      const outcomes = bench.outcomes([0, 1, 2, 3, 4, 5, 6, 7].map(offset), 5000);
      expect(outcomes).toEqual([...expectedStates(run)].sort());
    }),
    { numRuns: 500 },
  );
});
