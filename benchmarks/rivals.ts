/**
 * How much faster is a program that knows nothing of persistence than one that keeps its data by itself?
 *
 *     node dist/benchmarks/rivals.js [--quick] [--runs N] [--minutes M] [--operations N] [--images DIR] [--output FILE]
 *
 * Lists, hash maps and B-trees of 16-byte keys and 64-byte values, 95, 75, 25 and 5 % inserts, one thread: our guests have
 * no more. The same source (rivals/structures.c) is plain C, a libpmemobj program, and a guest of our two libraries; the ways are in
 * rivals/ways.ts. The programs measure themselves, so starting is in no figure, and must agree on what they found. Then the
 * same inserts into SQLite, each a transaction, on disk. Ways take turns within each round; what cannot be had is left out
 * with its reason. --minutes: no new round after that time.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Unavailable } from "../tests/corpus/run-command.js";
import { describeSurroundings, fileSystemOf, formatTable, headline, median, writeResults } from "./report.js";
import { type Command, databaseWays, type Places, structureWays, type Way } from "./rivals/ways.js";

const TMPFS = "/dev/shm";
const TIMEOUT_MILLISECONDS = 300_000;
const SHARES = ["95", "75", "25", "5"];

interface Experiment {
  readonly name: string;
  readonly args: readonly string[];
  readonly operations: number;
  readonly ways: readonly Way[];
  /** Nanoseconds an operation. */
  readonly times: Map<string, number[]>;
  digest: string | undefined;
}

/** One run: nanoseconds an operation. */
function measure(experiment: Experiment, { name }: Way, start: (places: Places) => Command, images: string): number {
  const places = {
    memory: mkdtempSync(join(TMPFS, "vermilion-rivals-")),
    disk: mkdtempSync(join(images, "vermilion-rivals-")),
  };
  try {
    const { words, env } = start(places);
    const [command = "", ...args] = [...words, ...experiment.args, String(experiment.operations)];
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, ...env },
      timeout: TIMEOUT_MILLISECONDS,
    });
    if (status !== 0) throw new Error(`${name}: status ${status}: ${error?.message ?? stderr}`);
    const [nanoseconds, digest] = stdout.trim().split(" ");
    experiment.digest ??= digest;
    if (digest !== experiment.digest) throw new Error(`${name}: ${experiment.name}: found something else`);
    return Number(nanoseconds) / experiment.operations;
  } finally {
    for (const directory of Object.values(places)) rmSync(directory, { recursive: true, force: true });
  }
}

/** Those that can be had, by name. */
function prepareAll(ways: readonly Way[], skipped: Record<string, string>) {
  const ready = new Map<string, (places: Places) => Command>();
  for (const way of ways) {
    try {
      ready.set(way.name, way.prepare());
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      skipped[way.name] = error.message;
      console.log(`${way.name}: skipped: ${error.message}`);
    }
  }
  return ready;
}

function experimentsOf(operations: number, quick: boolean): Experiment[] {
  const shares = quick ? ["75"] : SHARES;
  const rest = () => ({ times: new Map<string, number[]>(), digest: undefined });
  return [
    ...["list", "hash", "tree"].flatMap((structure) =>
      shares.map((share) => ({
        ...{ name: `${structure}, ${share} % inserts`, args: [structure, share], operations, ways: structureWays },
        ...rest(),
      })),
    ),
    { name: "SQLite", args: [], operations: Math.ceil(operations / 200), ways: databaseWays, ...rest() },
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
  const operations = Number(values.operations ?? (quick ? 100_000 : 400_000));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${operations} operations, ${runs} runs${quick ? ", quick" : ""}`);
  const skipped: Record<string, string> = {};
  const ready = prepareAll([...structureWays, ...databaseWays], skipped);
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
  const [database = [], inMemory = []] = [databaseWays, structureWays].map((ways) =>
    experiments.filter((each) => each.ways === ways),
  );
  console.log(`\n${table(inMemory, structureWays)}\n\n${table(database, databaseWays)}`);
  if (quick && values.output === undefined) return; // nothing to keep
  const about = Object.fromEntries([...structureWays, ...databaseWays].map((way) => [way.name, way.about]));
  const results = experiments.map(({ name, operations: count, times }) => ({
    ...{ name, operations: count, nanoseconds: Object.fromEntries(times) },
  }));
  const data = { quick, runs, fileSystem: fileSystemOf(images), about, experiments: results, skipped };
  console.log(`written to ${writeResults("rivals", surroundings, data, values.output)}`);
}

main();
