/**
 * Persistence points of a running guest, against the pages that changed in between, the heap's size and the depth of the stack:
 * the longest gap between two readings of its clock from one durable point to the next, and the run time of a program that
 * changes pages all the time. And the distribution of more than ten thousand such pauses.
 */
import { guestModule, runGuest, within } from "../points/running.js";
import { type Axes, isOver, MILLISECONDS, type Question, type Sizes, upTo } from "./series.js";

/** Continuations are compiled at the first points. */
const FIRST_PAUSES = 10;
const PERIOD_MILLISECONDS = 20;
const BUSY_PERIOD_MILLISECONDS = 5;

interface Shape {
  readonly mebibytes: number;
  readonly depth: number;
  readonly pages: number;
}

/** Milliseconds. */
async function pausesOf({ mebibytes, depth, pages }: Shape, count: number, period: number, { directory }: Sizes) {
  const args = ["pauses", mebibytes, depth, pages, count + FIRST_PAUSES].map(String);
  const { stdout } = await within(directory, (scratch) =>
    runGuest(scratch, guestModule("scaling"), { args }, { period, log: true }),
  );
  const lines = stdout.trim().split("\n");
  return lines.slice(FIRST_PAUSES).map((line) => Number(line) / 1e6);
}

const SMALL: Shape = { mebibytes: 4, depth: 10, pages: 10 };

function against(name: string, x: string, expected: Axes["expected"], shapes: (quick: boolean) => Map<number, Shape>) {
  const question: Question = {
    name,
    async round(sizes, sink) {
      for (const [value, shape] of shapes(sizes.quick)) {
        if (isOver(sizes)) return;
        const pauses = await pausesOf(shape, sizes.quick ? 5 : 40, PERIOD_MILLISECONDS, sizes);
        sink.add({ name: `Pause of a point, ${name}`, x, y: MILLISECONDS, expected }, value, ...pauses);
      }
    },
  };
  return question;
}

export const pausesByHeap = against("memory at a point", "MiB of memory", "constant", (quick) => {
  const sizes = upTo(quick ? 16 : 1024, 1, 4, 16, 64, 256, 1024);
  return new Map(sizes.map((mebibytes) => [mebibytes, { ...SMALL, mebibytes }]));
});

export const pausesByDepth = against("depth at a point", "activations", "linear", (quick) => {
  const depths = upTo(quick ? 100 : 10_000, 10, 100, 1000, 10_000);
  return new Map(depths.map((depth) => [depth, { ...SMALL, depth }]));
});

export const pausesByPages = against("changed pages", "pages changed between two points", "linear", (quick) => {
  const counts = upTo(quick ? 100 : 100_000, 1, 10, 100, 1000, 10_000, 100_000);
  return new Map(counts.map((pages) => [pages, { ...SMALL, mebibytes: 512, pages }]));
});

/** A program that writes its pages, and computes for nine times as long. */
export const runTimes: Question = {
  name: "run time",
  async round({ quick, directory, deadline }, sink) {
    for (const pages of upTo(quick ? 100 : 10_000, 10, 100, 1000, 10_000)) {
      const args = ["stores", String(pages), String(Math.max(20, Math.round((quick ? 2e4 : 2e6) / pages)))];
      const times: number[] = [];
      for (const period of [null, 100]) {
        if (performance.now() > deadline) return;
        const { milliseconds } = await within(directory, (scratch) =>
          runGuest(scratch, guestModule(), { args }, { period }),
        );
        times.push(milliseconds);
      }
      const [without = Number.NaN, withPoints = Number.NaN] = times;
      const axes = { x: "pages that are written all the time", y: "ratio to no points", expected: "constant" } as const;
      sink.add({ name: "Run time with a point every 100 ms", ...axes }, pages, withPoints / without);
    }
  },
};

const PAUSES = 10_000;

const DISTRIBUTIONS: readonly { readonly what: string; readonly shape: Shape }[] = [
  { what: "10 changed pages", shape: SMALL },
  { what: "1,000 changed pages of 64 MiB", shape: { mebibytes: 64, depth: 10, pages: 1000 } },
  { what: "10 changed pages, 1,000 activations", shape: { ...SMALL, depth: 1000 } },
];

/** Points as fast as they can follow each other, but for a few milliseconds. */
export const manyPauses: readonly Question[] = DISTRIBUTIONS.map(({ what, shape }) => ({
  name: `many pauses: ${what.replaceAll(",", "")}`,
  once: true,
  async round(sizes, sink) {
    if (isOver(sizes)) return;
    const pauses = await pausesOf(shape, sizes.quick ? 20 : PAUSES, BUSY_PERIOD_MILLISECONDS, sizes);
    sink.event(`Pause of a point, ${what}`, ...pauses);
  },
}));
