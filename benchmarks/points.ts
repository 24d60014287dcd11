/**
 * What do persistence points, the log, forks and recoveries cost?
 *
 *     npm run bench:points -- [--quick] [--runs N] [--minutes M] [--only NAMES] [--programs a,b] [--heap MIB]
 *                             [--directory DIR] [--output FILE]
 *
 * In one run, with all sides taking turns within a round:
 *
 * - Run time with a point every 100 ms and every 10 ms, with the log that goes with them, against none: programs of the
 *   corpus, and `stores`, which writes 1,000 pages in every round of some milliseconds. The time is that of `run()`.
 * - Pauses, as the guest sees them: the longest gap between two readings of its clock, from one durable point to the next, with
 *   1,000 pages changed meanwhile. Whatever else made the machine wait is in it. The first ten points of a run, in which
 *   continuations are compiled, are listed apart.
 * - The log: a million writes of 64 bytes to a file, and inserts into SQLite on a file, each a transaction with a rollback
 *   journal; with a log / without, in the guest's own time.
 * - Space: what 20 kept epochs take on the disk, over the pages that were changed for them, in a row and scattered.
 * - A fork and a recovery after SIGKILL with a heap of 1 GiB, every page of it in use; the recovery from the start of
 *   `vermilion resume` to the guest's next output, less Node's own start. File caches are warm.
 * - For comparison: copies of that memory to a file and back, `cp` of the image, and CRIU where it works.
 *
 * --minutes: no new round after that time. --only: questions whose names contain one of these. --quick: tiny sizes, to see that
 * it works. Figures are ratios of medians.
 */
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { Unavailable } from "../tests/corpus/run-command.js";
import { findingsOf } from "./points/findings.js";
import { type Question, questionsFor, Samples, type Sizes, STORES } from "./points/measurements.js";
import { describeSurroundings, fileSystemOf, formatTable, headline, writeResults } from "./report.js";

const PROGRAMS = [STORES, "fib", "hash-map", "b-tree", "zlib", "lua-n-body", "sqlite"];

const FULL: Omit<Sizes, "directory" | "programs"> = {
  ...{ workload: "benchmark", storeRounds: 2000, dirtyPages: 1000, pauses: 200, writes: 1_000_000, inserts: 2000 },
  ...{ heapMebibytes: 1024, events: 3, epochs: 20 },
};

const QUICK: Omit<Sizes, "directory" | "programs"> = {
  ...{ workload: "test", storeRounds: 100, dirtyPages: 1000, pauses: 10, writes: 20_000, inserts: 20 },
  ...{ heapMebibytes: 16, events: 2, epochs: 4 },
};

/** One round of a question; what cannot be answered here is not asked again. */
async function ask(question: Question, sizes: Sizes, samples: Samples, skipped: Map<string, string>): Promise<void> {
  try {
    await question.round(sizes, samples);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    skipped.set(question.name, error.message);
    console.log(`${question.name}: skipped: ${error.message}`);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      minutes: { type: "string", default: "Infinity" },
      only: { type: "string" },
      programs: { type: "string" },
      heap: { type: "string" },
      directory: { type: "string", default: tmpdir() },
      output: { type: "string" },
    },
  });
  const { quick, directory } = values;
  const usual = quick ? QUICK : FULL;
  const programs = values.programs?.split(",") ?? (quick ? [STORES, "hash-map"] : PROGRAMS);
  const sizes: Sizes = { ...usual, programs, directory, heapMebibytes: Number(values.heap ?? usual.heapMebibytes) };
  const runs = Number(values.runs ?? (quick ? 1 : 5));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${fileSystemOf(directory)}, ${runs} rounds${quick ? ", quick" : ""}`);
  const names = values.only?.split(",");
  const questions = questionsFor(sizes).filter(({ name }) => names?.some((part) => name.includes(part)) ?? true);
  const samples = new Samples();
  const skipped = new Map<string, string>();
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  for (let round = 0; round < runs && performance.now() < deadline; round++) {
    for (const question of questions) {
      if (!skipped.has(question.name)) await ask(question, sizes, samples, skipped);
    }
    console.log(`round ${round + 1} of ${runs}`);
  }
  const findings = findingsOf(samples, sizes);
  const rows = findings.map(({ what, unit, value, samples: count, aim }) => [
    ...[what, `${value.toFixed(unit === "ms" ? 2 : 3)}${unit === "ms" ? " ms" : ""}`, String(aim ?? ""), String(count)],
  ]);
  console.log(`\n${formatTable([["", "measured", "aim", "samples"], ...rows])}`);
  if (quick && values.output === undefined) return; // nothing to keep
  const results = {
    ...{ quick, runs, fileSystem: fileSystemOf(directory), sizes: { ...sizes, directory: undefined }, findings },
    ...{ samples: Object.fromEntries(samples.all), skipped: Object.fromEntries(skipped) },
  };
  console.log(`written to ${writeResults("points", surroundings, results, values.output)}`);
}

await main();
