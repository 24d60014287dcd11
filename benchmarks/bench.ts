/**
 * Everything that is measured, in one run:
 *
 *     npm run bench -- [--quick] [--minutes M] [--runs N] [--only overhead,short,...] [--output FILE]
 *     npm run bench -- compare BEFORE AFTER      what became slower; exit status 1 if something did
 *     npm run bench -- report                    writes docs/benchmarks.md again from the files of results
 *
 * Sections: overhead (long runs), short, optimized (the engine's baseline tier off), engines (Asyncify, wasmtime), rivals, memcached,
 * saveAndResume, points, scaling. Each is a program of its own in this folder and says at its top what it does. --minutes is shared out among
 * them by weight: no section begins a new round after its time, so a short time means fewer rounds, and of none the programs
 * that come last are left out. Without it all rounds are run, which takes hours.
 *
 * Results go to benchmarks/results/<date>-node<version>.json, then docs/benchmarks.md and its plots are written. --quick: 15
 * programs and few rounds in under five minutes, to see that all works; its results stand in a file of their own and
 * change no page.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compare, describeChanges } from "./page/compare.js";
import { readResults } from "./page/results.js";
import { writePage } from "./page/write.js";
import { root } from "./report.js";

interface Section {
  readonly name: string;
  /** A built program of this folder. */
  readonly program: string;
  readonly options: readonly string[];
  readonly quickOptions: readonly string[];
  /** With --minutes, for what has no such option. */
  readonly hurriedOptions?: readonly string[];
  /** Share of --minutes; absent: it takes as long as it takes, and is short. */
  readonly weight?: number;
}

/** Where Asyncify can be made in reasonable time. */
const ENGINE_PROGRAMS =
  "fib,sieve,matmul,hash-map,coremark,calls-dispatch,sorts-merge,strings-words,b-tree,zlib,polyhedral-gemm,polyhedral-lu";

const SECTIONS: readonly Section[] = [
  {
    name: "overhead",
    program: "overhead",
    options: ["--variants", "plain,vermilion", "--workload", "long"],
    quickOptions: ["--quick", "--variants", "plain,vermilion", "--runs", "2"],
    weight: 46,
  },
  {
    name: "optimized",
    program: "overhead",
    options: ["--variants", "plain,vermilion", "--optimized"],
    quickOptions: ["--quick", "--variants", "plain,vermilion", "--runs", "2", "--optimized"],
    weight: 23,
  },
  {
    name: "rivals",
    program: "rivals",
    options: [],
    quickOptions: ["--quick", "--runs", "2"],
    weight: 15,
  },
  {
    name: "memcached",
    program: "memcached",
    options: [],
    quickOptions: ["--quick", "--depths", "1"],
    weight: 10,
  },
  {
    name: "short",
    program: "overhead",
    options: ["--variants", "plain,vermilion", "--workload", "short"],
    quickOptions: ["--quick", "--variants", "plain,vermilion", "--runs", "1"],
    weight: 7,
  },
  {
    name: "engines",
    program: "overhead",
    options: ["--variants", "plain,vermilion,asyncify,wasmtime", "--programs", ENGINE_PROGRAMS],
    quickOptions: ["--quick", "--variants", "plain,vermilion,wasmtime", "--programs", "fib,matmul", "--runs", "1"],
    weight: 7,
  },
  {
    name: "saveAndResume",
    program: "save-and-resume",
    options: [],
    hurriedOptions: ["--events", "10", "--directories", "/dev/shm", "--heaps", "1,1024", "--depths", "10,1000,10000"],
    quickOptions: ["--quick", "--events", "3", "--directories", "/dev/shm", "--heaps", "1,64", "--depths", "1000"],
  },
  {
    name: "points",
    program: "points",
    options: [],
    quickOptions: ["--quick"],
    weight: 10,
  },
  {
    name: "scaling",
    program: "scaling",
    options: [],
    quickOptions: ["--quick"],
    weight: 10,
  },
];

const QUICK_MINUTES = 4;

function resultsFile(quick: boolean): string {
  const name = `${new Date().toISOString().slice(0, 10)}-node${process.versions.node}${quick ? "-quick" : ""}.json`;
  return join(root, "benchmarks", "results", name);
}

/** One section after the other, for two at a time would measure each other. Returns those that failed. */
function runSections(sections: readonly Section[], given: RunOptions): string[] {
  const weights = sections.reduce((sum, { weight = 0 }) => sum + weight, 0);
  const failed: string[] = [];
  for (const { name, program, options, quickOptions, hurriedOptions = options, weight } of sections) {
    const minutes = given.minutes === undefined || weight === undefined ? [] : [(given.minutes * weight) / weights];
    const args = [
      ...(given.quick ? quickOptions : given.minutes === undefined ? options : hurriedOptions),
      ...(given.runs === undefined || weight === undefined ? [] : ["--runs", given.runs]),
      ...minutes.flatMap((value) => ["--minutes", value.toFixed(2)]),
      ...(program === "overhead" ? ["--key", name] : []),
      ...["--output", given.output],
    ];
    console.log(`\n== ${name}: ${program} ${args.join(" ")}`);
    const startedAt = performance.now();
    const { status } = spawnSync(process.execPath, [join(root, "dist", "benchmarks", `${program}.js`), ...args], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    console.log(`== ${name}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    if (status !== 0) failed.push(name);
  }
  return failed;
}

interface RunOptions {
  readonly quick: boolean;
  readonly minutes: number | undefined;
  readonly runs: string | undefined;
  readonly output: string;
}

async function measure(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      minutes: { type: "string" },
      runs: { type: "string" },
      only: { type: "string" },
      output: { type: "string" },
    },
  });
  const { quick, runs } = values;
  const names = values.only?.split(",");
  const unknown = names?.find((name) => !SECTIONS.some((section) => section.name === name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: there are ${SECTIONS.map(({ name }) => name).join(", ")}`);
  const given = values.minutes === undefined ? (quick ? QUICK_MINUTES : undefined) : Number(values.minutes);
  const output = values.output ?? resultsFile(quick);
  const sections = SECTIONS.filter(({ name }) => names?.includes(name) ?? true);
  const failed = runSections(sections, { quick, minutes: given, runs, output });
  if (!quick && values.output === undefined) await writePage();
  console.log(`\nresults: ${output}`);
  if (failed.length === 0) return;
  console.error(`failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "report") return writePage();
  if (command !== "compare") return measure(process.argv.slice(2));
  const [before, after] = rest;
  if (before === undefined || after === undefined) throw new Error("compare: name two files of results");
  const changes = compare(readResults(before), readResults(after));
  console.log(describeChanges(changes));
  if (changes.some(({ verdict }) => verdict === "slower")) process.exitCode = 1;
}

await main();
