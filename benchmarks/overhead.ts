/**
 * What does it cost to be able to stop anywhere?
 *
 *     npm run bench:overhead -- [--quick] [--runs N] [--minutes M] [--programs a,b] [--variants plain,vermilion,...]
 *                               [--workload long|short] [--optimized] [--images DIR] [--time wall|cpu]
 *                               [--key NAME] [--output FILE]
 *
 * The same module on the same system interface: plain, instrumented in an image (Vermilion), with Asyncify, the rival
 * (overhead/asyncify.ts), and on another engine, wasmtime. One process a run; the time is taken inside it, around the
 * guest's _start, so neither starting nor compiling is in it; the optimising compiler's work is, for all of them. Of
 * wasmtime it is the process's time, with the module compiled before, so its start is in it. All variants must print the same.
 *
 * Runs are interleaved, variants within programs and programs within rounds, so that a slow minute of the machine hits all.
 * --minutes: no new round after that time; what was measured counts.
 *
 * --workload short: the runs of about 0.1 to 0.3 s that tests make; code of the engine's first tier is much of them.
 * --optimized: the engine's baseline tier is off for all, so that no gain from tiering hides a cost of the code.
 *
 * The image is on the disk of --images (default: the temporary directory), as a user's is; `--variants plain,mapped,...`
 * tells what of the cost is the mapped memory and what the code. --time cpu compares the processor time of the guest's
 * thread, for machines that have other work; the results hold both. --quick: 3 short runs of one program of each kind, to
 * see that it works.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Program, Workload } from "../tests/corpus/program.js";
import { programs as corpus } from "../tests/corpus/programs.js";
import { Unavailable } from "../tests/corpus/run-command.js";
import { moduleFor, runOnce, type Times, VARIANTS, type Variant } from "./overhead/variants.js";
import {
  describeSurroundings,
  fileSystemOf,
  formatTable,
  geometricMean,
  headline,
  median,
  root,
  writeResults,
} from "./report.js";

const QUICK = new Set(
  "fib sieve matmul hash-map coremark polyhedral-gemm polyhedral-seidel-2d calls-dispatch sorts-merge strings-words b-tree simd-kernels zlib lua-n-body sqlite".split(
    " ",
  ),
);

const nBody: Program = {
  name: "n-body",
  about: "floating point in locals and memory",
  kind: "kernel",
  build: () => join(root, "guest-examples", "n-body", "n-body.wasm"),
  test: { args: ["1000000"] },
  benchmark: { args: ["40000000"] },
};

interface Measurement {
  readonly program: Program;
  readonly workload: Workload;
  readonly modules: ReadonlyMap<Variant, string>;
  readonly times: ReadonlyMap<Variant, Times[]>;
  /** Variants that cannot be had, and why. */
  readonly missing: ReadonlyMap<Variant, string>;
  /** Of the first output, which all others are held against. */
  digest: string | undefined;
}

interface Options {
  readonly quick: boolean;
  readonly runs: number;
  readonly minutes: number;
  readonly images: string;
  readonly variants: readonly Variant[];
  readonly workload: "long" | "short";
  readonly optimized: boolean;
  readonly time: keyof Times;
  readonly programs: readonly string[] | undefined;
  readonly key: string;
  readonly output: string | undefined;
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      minutes: { type: "string", default: "Infinity" },
      programs: { type: "string" },
      variants: { type: "string", default: "plain,vermilion,asyncify" },
      workload: { type: "string" },
      optimized: { type: "boolean", default: false },
      images: { type: "string", default: tmpdir() },
      time: { type: "string", default: "wall" },
      key: { type: "string", default: "overhead" },
      output: { type: "string" },
    },
  });
  const { quick, images, output, key, optimized } = values;
  const variants = values.variants.split(",").map((name) => {
    const variant = VARIANTS.find((each) => each === name);
    if (variant === undefined) throw new Error(`--variants ${name}: there are ${VARIANTS.join(", ")}`);
    return variant;
  });
  return {
    ...{ quick, images, output, variants, key, optimized },
    workload: (values.workload ?? (quick ? "short" : "long")) === "short" ? "short" : "long",
    time: values.time === "cpu" ? "cpu" : "wall",
    runs: Number(values.runs ?? (quick ? 3 : 10)),
    minutes: Number(values.minutes),
    programs: values.programs?.split(","),
  };
}

function isChosen({ name, benchmark }: Program, { programs, quick }: Options): boolean {
  if (programs !== undefined) return programs.some((each) => each === name || name.startsWith(`${each}-`));
  return quick ? QUICK.has(name) : benchmark !== undefined;
}

/** The modules of a program; a reason to leave it out is thrown as `Unavailable`. */
function prepare(program: Program, { quick, variants, optimized, workload }: Options): Measurement {
  program.build();
  const missing = new Map<Variant, string>();
  const modules = new Map<Variant, string>();
  for (const variant of variants) {
    try {
      modules.set(variant, moduleFor(variant, program, quick, optimized));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (variant === "plain") throw error; // there is nothing to compare with
      missing.set(variant, error.message);
    }
  }
  const times = new Map(variants.map((variant): [Variant, Times[]] => [variant, []]));
  const chosen = workload === "short" ? program.test : (program.benchmark ?? program.test);
  return { program, workload: chosen, modules, times, missing, digest: undefined };
}

function measure(measurement: Measurement, options: Options): void {
  const { program, workload, modules, times } = measurement;
  for (const [variant, module] of modules) {
    const run = runOnce(program, workload, variant, module, options);
    measurement.digest ??= run.digest;
    if (run.digest !== measurement.digest) throw new Error(`${program.name}: ${variant} prints something else`);
    times.get(variant)?.push(run.times);
  }
}

/** Milliseconds. */
function middle({ times }: Measurement, variant: Variant, time: keyof Times): number {
  return median((times.get(variant) ?? []).map((each) => each[time] ?? Number.NaN));
}

function ratio(measurement: Measurement, variant: Variant, time: keyof Times): number {
  return middle(measurement, variant, time) / middle(measurement, "plain", time);
}

function row(measurement: Measurement, { variants, time }: Options): string[] {
  const cells = variants.flatMap((variant) => {
    if (measurement.missing.has(variant)) return ["cannot", ""];
    const seconds = `${(middle(measurement, variant, time) / 1000).toFixed(2)} s`;
    return variant === "plain" ? [seconds] : [seconds, ratio(measurement, variant, time).toFixed(3)];
  });
  return [measurement.program.name, ...cells];
}

/** Of the ratios to plain, over the programs that a variant can run at all. */
function means(all: readonly Measurement[], { variants, time }: Options) {
  return Object.fromEntries(
    variants
      .filter((variant) => variant !== "plain")
      .map((variant) => {
        const able = all.filter(({ missing }) => !missing.has(variant));
        return [variant, Number(geometricMean(able.map((each) => ratio(each, variant, time))).toFixed(4))] as const;
      })
      .filter(([, mean]) => !Number.isNaN(mean)),
  );
}

function main(): void {
  const options = parseOptions();
  const { quick, runs, minutes, images, variants, time, workload, optimized } = options;
  const surroundings = describeSurroundings();
  const fileSystem = fileSystemOf(images);
  console.log(`${headline(surroundings)}, images on ${fileSystem}, ${runs} runs${quick ? ", quick" : ""}`);
  const skipped: Record<string, string> = {};
  const prepared: Measurement[] = [];
  for (const program of [...corpus, nBody].filter((each) => isChosen(each, options))) {
    try {
      prepared.push(prepare(program, options));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      skipped[program.name] = error.message;
      console.log(`${program.name}: skipped: ${error.message}`);
    }
  }
  const failed = new Map<Measurement, string>();
  const deadline = performance.now() + minutes * 60_000;
  for (let round = 0; round < runs; round++) {
    for (const each of prepared) {
      if (performance.now() > deadline) break;
      if (failed.has(each)) continue;
      try {
        measure(each, options);
      } catch (error) {
        failed.set(each, String(error)); // the others' hours are not lost for it
        console.error(String(error));
        continue;
      }
      console.log(`round ${round + 1}: ${row(each, options).join("  ")}`);
    }
  }
  const done = prepared.filter((each) => each.times.get("plain")?.length !== 0 && !failed.has(each));
  for (const each of prepared.filter((one) => !done.includes(one)))
    skipped[each.program.name] = failed.get(each) ?? "no time was left for it";
  if (failed.size > 0) process.exitCode = 1;
  const head = variants.flatMap((variant) => (variant === "plain" ? [variant] : [variant, "ratio"]));
  console.log(`\n${formatTable([[`median, ${time}`, ...head], ...done.map((each) => row(each, options))])}`);
  const ofKind = (kind: Program["kind"]) => done.filter(({ program }) => program.kind === kind);
  const groups = { all: done, kernels: ofKind("kernel"), interpreters: ofKind("interpreter") };
  for (const [group, members] of Object.entries(groups)) {
    const texts = Object.entries(means(members, options)).map(([variant, value]) => `${variant} ${value.toFixed(3)}`);
    console.log(`geometric mean, ${group}: ${texts.join(", ")}`);
  }
  for (const { program, missing } of done) {
    for (const [variant, reason] of missing)
      console.log(`${program.name}: no ${variant}: ${reason.split("\n").at(-1)}`);
  }
  if (quick && options.output === undefined) return; // nothing to keep
  const results = done.map((each) => ({
    ...{ name: each.program.name, about: each.program.about, kind: each.program.kind, args: each.workload.args },
    milliseconds: Object.fromEntries(each.times),
    missing: Object.fromEntries(each.missing),
  }));
  const geometricMeans = Object.fromEntries(
    Object.entries(groups).map(([group, members]) => [group, means(members, options)]),
  );
  const data = { quick, runs, time, workload, optimized, fileSystem, geometricMeans, programs: results, skipped };
  console.log(`written to ${writeResults(options.key, surroundings, data, options.output)}`);
}

main();
