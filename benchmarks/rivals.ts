/**
 * How much faster is a program that knows nothing of persistence than one that keeps its data by itself?
 *
 *     node dist/benchmarks/rivals.js [--quick] [--runs N] [--minutes M] [--operations N] [--images DIR] [--output FILE]
 *
 * Lists, hash maps and B-trees of 16-byte keys and 64-byte values, 95, 75, 25 and 5 % inserts, one thread: our guests have
 * no more. The same source (rivals/structures.c) is plain C, a libpmemobj program, and a guest of our two libraries; the ways are in
 * rivals/ways.ts. The programs measure themselves, so starting is in no figure, and must agree on what they found. Then the
 * same inserts into SQLite, each a transaction, on disk. Ways take turns within each round, and slow ones do
 * fewer operations; what cannot be had is left out
 * with its reason. --minutes: no new round after that time.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepareAll } from "./available.js";
import { describeSurroundings, fileSystemOf, formatTable, headline, median, writeResults } from "./report.js";
import {
  type Command,
  diskDatabaseWays,
  memoryDatabaseWays,
  type Places,
  structureWays,
  type Way,
} from "./rivals/ways.js";

const TMPFS = "/dev/shm";
const TIMEOUT_MILLISECONDS = 300_000;
const ALL_WAYS = [...structureWays, ...diskDatabaseWays, ...memoryDatabaseWays];
const SHARES = ["95", "75", "25", "5"];

interface Experiment {
  readonly name: string;
  readonly args: readonly string[];
  readonly operations: number;
  readonly ways: readonly Way[];
  /** Nanoseconds an operation. */
  readonly times: Map<string, number[]>;
  /** What was found, by the number of operations: all ways must agree. */
  readonly digests: Map<number, string>;
}

/** One run: nanoseconds an operation. */
function measure(
  experiment: Experiment,
  { name, fewer = 1 }: Way,
  start: (places: Places) => Command,
  images: string,
): number {
  const places = {
    memory: mkdtempSync(join(TMPFS, "vermilion-rivals-")),
    disk: mkdtempSync(join(images, "vermilion-rivals-")),
  };
  try {
    const { words, env } = start(places);
    const operations = Math.ceil(experiment.operations / fewer);
    const [command = "", ...args] = [...words, ...experiment.args, String(operations)];
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, ...env },
      timeout: TIMEOUT_MILLISECONDS,
    });
    if (status !== 0) throw new Error(`${name}: status ${status}: ${error?.message ?? stderr}`);
    const [nanoseconds, digest] = stdout.trim().split(" ");
    const expected = experiment.digests.get(operations) ?? digest;
    if (digest === undefined || digest !== expected)
      throw new Error(`${name}: ${experiment.name}: found something else than the others`);
    experiment.digests.set(operations, digest);
    return Number(nanoseconds) / operations;
  } finally {
    for (const directory of Object.values(places)) rmSync(directory, { recursive: true, force: true });
  }
}

function experimentsOf(operations: number, quick: boolean): Experiment[] {
  const shares = quick ? ["75"] : SHARES;
  const rest = () => ({ times: new Map<string, number[]>(), digests: new Map<number, string>() });
  return [
    ...["list", "hash", "tree"].flatMap((structure) =>
      shares.map((share) => ({
        ...{ name: `${structure}, ${share} % inserts`, args: [structure, share], operations, ways: structureWays },
        ...rest(),
      })),
    ),
    { name: "SQLite, disk", args: [], operations: quick ? 50 : 400, ways: diskDatabaseWays, ...rest() },
    { name: "SQLite, memory", args: [], operations: operations / 5, ways: memoryDatabaseWays, ...rest() },
  ];
}

function table(experiments: readonly Experiment[], ways: readonly Way[]): string {
  const rows = experiments.map(({ name, times }) => [
    name,
    ...ways.map((way) => (times.has(way.name) ? median(times.get(way.name) ?? []).toFixed(0) : "-")),
  ]);
  return formatTable([["ns an operation", ...ways.map(({ name }) => name)], ...rows]);
}

function main(): void {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      minutes: { type: "string", default: "Infinity" },
      operations: { type: "string" },
      images: { type: "string", default: tmpdir() },
      output: { type: "string" },
    },
  });
  const { quick, images } = values;
  const runs = Number(values.runs ?? (quick ? 3 : 10));
  const operations = Number(values.operations ?? (quick ? 200_000 : 4_000_000));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${operations} operations, ${runs} runs${quick ? ", quick" : ""}`);
  const skipped: Record<string, string> = {};
  const ready = prepareAll(ALL_WAYS, skipped);
  const experiments = experimentsOf(operations, quick);
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  for (let round = 0; round < runs; round++) {
    for (const experiment of experiments) {
      if (performance.now() > deadline) break;
      for (const way of experiment.ways) {
        const start = ready.get(way.name);
        if (start === undefined) continue;
        const times = experiment.times.get(way.name) ?? [];
        times.push(measure(experiment, way, start, images));
        experiment.times.set(way.name, times);
      }
    }
    console.log(`round ${round + 1} of ${runs}`);
  }
  for (const ways of [structureWays, diskDatabaseWays, memoryDatabaseWays]) {
    const members = experiments.filter((each) => each.ways === ways);
    console.log(`\n${table(members, ways)}`);
  }
  if (quick && values.output === undefined) return; // nothing to keep
  const about = Object.fromEntries(ALL_WAYS.map((way) => [way.name, way.about]));
  const results = experiments.map(({ name, operations: count, times }) => ({
    ...{ name, operations: count, nanoseconds: Object.fromEntries(times) },
  }));
  const data = { quick, runs, fileSystem: fileSystemOf(images), about, experiments: results, skipped };
  console.log(`written to ${writeResults("rivals", surroundings, data, values.output)}`);
}

main();
