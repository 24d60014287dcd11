/** What samples say, beside what was aimed at. */
import { median, percentile } from "../report.js";
import { PERIODS, runTimeName, type Samples, type Sizes } from "./measurements.js";

export interface Finding {
  readonly what: string;
  readonly unit: "ratio" | "ms";
  /** Ratios are those of medians. */
  readonly value: number;
  readonly samples: number;
  /** The largest value that was aimed at; null: for comparison. */
  readonly aim: number | null;
}

const AIMS: ReadonlyMap<number, number> = new Map([
  [100, 1.05],
  [10, 1.2],
]);

export function findingsOf(samples: Samples, { programs, dirtyPages, heapMebibytes }: Sizes): Finding[] {
  const found: Finding[] = [];
  const add = (what: string, unit: Finding["unit"], value: number, count: number, aim: number | null = null): void => {
    if (Number.isFinite(value)) found.push({ what, unit, value: Number(value.toFixed(3)), samples: count, aim });
  };
  const ratio = (what: string, above: string, below: string, aim: number | null): void => {
    const [a, b] = [samples.of(above), samples.of(below)];
    add(what, "ratio", median(a) / median(b), Math.min(a.length, b.length), aim);
  };
  const middle = (what: string, name: string, aim: number | null = null, less = 0): void => {
    const values = samples.of(name);
    add(what, "ms", median(values) - less, values.length, aim);
  };
  for (const program of programs) {
    for (const period of PERIODS) {
      if (period === null) continue;
      const what = `run time with a point every ${period} ms / without: ${program}`;
      ratio(what, runTimeName(program, period), runTimeName(program, null), AIMS.get(period) ?? null);
    }
  }
  const pauses = samples.of("pauses");
  const pause = `pause at ${dirtyPages} changed pages`;
  add(`${pause}, median`, "ms", median(pauses), pauses.length, 1);
  add(`${pause}, 99th percentile`, "ms", percentile(pauses, 0.99), pauses.length, 3);
  const firstPauses = samples.of("first pauses");
  add(`${pause}, the first of a run, longest`, "ms", percentile(firstPauses, 1), firstPauses.length);
  ratio("writes of 64 bytes, with a log / without", "writes, log", "writes, no log", 1.05);
  ratio("SQLite, rollback journal, with a log / without", "SQLite, log", "SQLite, no log", 1.05);
  for (const [shape, how] of [
    ["row", "in a row"],
    ["scattered", "scattered"],
  ]) {
    const values = samples.of(`space, ${shape}`);
    add(`space of an epoch / its ${dirtyPages} changed pages, ${how}`, "ratio", median(values), values.length, 1.1);
  }
  const heap = `${heapMebibytes} MiB`;
  middle(`fork, ${heap}`, "fork", 10);
  middle(
    `recovery, ${heap}, less Node's start, to the first output`,
    "recovery",
    1000,
    median(samples.of("start of Node")),
  );
  middle(`reading all of ${heap} after a recovery`, "reading the whole heap after a recovery");
  middle(`plain copy: ${heap} to a file, in the page cache`, "copy to a file");
  middle(`plain copy: ${heap} to a file, flushed`, "copy to a file, flushed");
  middle(`plain copy: ${heap} back into memory`, "copy back");
  middle(`plain copy: cp of the image, ${heap}`, "cp of the image");
  middle(`CRIU: dump of Node, ${heap}`, "CRIU dump");
  middle(`CRIU: restore of Node, ${heap}`, "CRIU restore");
  return found;
}
