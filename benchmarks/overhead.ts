/**
 * What does it cost to be able to stop anywhere?
 *
 *     npm run bench:overhead -- [--quick] [--runs N] [--programs a,b] [--variants plain,vermilion,asyncify,mapped]
 *                               [--images DIR] [--time wall|cpu] [--output FILE]
 *
 * The same module on the same system interface: plain, instrumented in an image (Vermilion), and with Asyncify, the rival
 * (overhead/asyncify.ts). One process a run; the time is taken inside it, around the guest's _start, so neither starting
 * nor compiling is in it; the optimising compiler's work is, for all of them. Runs are interleaved, so that a slow minute
 * of the machine hits all variants. All variants must print the same.
 *
 * The image is on the disk of --images (default: the temporary directory), as a user's is; `--variants plain,mapped,...`
 * tells what of the cost is the mapped memory and what the code. --time cpu compares the processor time of the guest's
 * thread, for machines that have other work; the results hold both. --quick: 3 short runs, to see that it works; code
 * of the engine's first tier is much of them, so their ratios judge nothing.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Program, Workload } from "../tests/corpus/program.js";
import { programs as corpus } from "../tests/corpus/programs.js";
import { Unavailable } from "../tests/corpus/run-command.js";
import { asyncify } from "./overhead/asyncify.js";
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

const TIMEOUT_MILLISECONDS = 600_000;
/** Their modules are 10 to 30 MB: only when named. */
const HUGE = new Set(["python", "ruby"]);

const VARIANTS = ["plain", "mapped", "vermilion", "asyncify"] as const;
type Variant = (typeof VARIANTS)[number];

const nBody: Program = {
  name: "n-body",
  about: "floating point in locals and memory",
  kind: "kernel",
  build: () => join(root, "guest-examples", "n-body", "n-body.wasm"),
  test: { args: ["1000000"] },
  benchmark: { args: ["40000000"] },
};

/** Milliseconds of one run. */
interface Times {
  readonly wall: number;
  readonly cpu: number;
}

interface Measurement {
  readonly program: Program;
  readonly workload: Workload;
  readonly modules: ReadonlyMap<Variant, string>;
  readonly times: ReadonlyMap<Variant, Times[]>;
  /** Variants that cannot be had, and why. */
  readonly missing: Map<Variant, string>;
}

interface Options {
  readonly quick: boolean;
  readonly runs: number;
  readonly images: string;
  readonly variants: readonly Variant[];
  readonly time: keyof Times;
  readonly programs: readonly string[] | undefined;
  readonly output: string | undefined;
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      programs: { type: "string" },
      variants: { type: "string", default: "plain,vermilion,asyncify" },
      images: { type: "string", default: tmpdir() },
      time: { type: "string", default: "wall" },
      output: { type: "string" },
    },
  });
  const { quick, images, output } = values;
  const variants = values.variants.split(",").map((name) => {
    const variant = VARIANTS.find((each) => each === name);
    if (variant === undefined) throw new Error(`--variants ${name}: there are ${VARIANTS.join(", ")}`);
    return variant;
  });
  return {
    ...{ quick, images, output, variants },
    time: values.time === "cpu" ? "cpu" : "wall",
    runs: Number(values.runs ?? (quick ? 3 : 10)),
    programs: values.programs?.split(","),
  };
}

/** The modules of a program; a reason to leave it out is thrown as `Unavailable`. */
function prepare(program: Program, { quick, variants }: Options): Measurement {
  const plain = program.build();
  const missing = new Map<Variant, string>();
  const modules = new Map<Variant, string>();
  for (const variant of variants) {
    try {
      modules.set(variant, variant === "asyncify" ? asyncify(plain, quick) : plain);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      missing.set(variant, error.message);
    }
  }
  const times = new Map(variants.map((variant): [Variant, Times[]] => [variant, []]));
  const workload = quick ? program.test : (program.benchmark ?? program.test);
  return { program, workload, modules, times, missing };
}

/** One run in a process and directories of its own. Returns what it printed, as a hash. */
function run({ program, workload, modules, times }: Measurement, variant: Variant, images: string): string {
  const scratch = mkdtempSync(join(images, "vermilion-overhead-"));
  try {
    const directories = workload.libraries?.().map(({ host, guest }) => `${host}::${guest}`) ?? [];
    if (workload.files !== undefined) {
      const data = join(scratch, "data");
      mkdirSync(data);
      for (const [name, from] of Object.entries(workload.files)) copyFileSync(from, join(data, name));
      directories.push(`${data}::/data`);
    }
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        join(root, "tests", "support", "time-guest.mjs"),
        ...["--variant", variant, "--module", modules.get(variant) ?? "", "--name", program.name],
        ...["--scratch", scratch, ...directories.flatMap((text) => ["--dir", text]), ...workload.args],
      ],
      { input: workload.stdin ?? "", timeout: TIMEOUT_MILLISECONDS, maxBuffer: 2 ** 28 },
    );
    if (status !== 0) throw new Error(`${program.name}, ${variant}: status ${status}: ${stderr.toString()}`);
    const result = JSON.parse(readFileSync(join(scratch, "result.json"), "utf8")) as Times & {
      readonly status: number;
    };
    if (result.status !== (workload.exitCode ?? 0)) {
      throw new Error(`${program.name}, ${variant}: the guest's status is ${result.status}: ${stderr.toString()}`);
    }
    times.get(variant)?.push({ wall: result.wall, cpu: result.cpu });
    return createHash("sha256").update(stdout).digest("hex");
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A B C A B C ...; the first output is what all others are held against. */
function measure(measurement: Measurement, { runs, images }: Options): void {
  let expected: string | undefined;
  for (let count = 0; count < runs; count++) {
    for (const variant of measurement.modules.keys()) {
      const output = run(measurement, variant, images);
      expected ??= output;
      if (output !== expected) throw new Error(`${measurement.program.name}: ${variant} prints something else`);
    }
  }
}

/** Milliseconds. */
function middle({ times }: Measurement, variant: Variant, time: keyof Times): number {
  return median((times.get(variant) ?? []).map((each) => each[time]));
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
function means(all: readonly Measurement[], kind: Program["kind"], { variants, time }: Options) {
  const ofKind = all.filter(({ program }) => program.kind === kind);
  return Object.fromEntries(
    variants
      .filter((variant) => variant !== "plain")
      .map((variant) => {
        const able = ofKind.filter(({ missing }) => !missing.has(variant));
        return [variant, Number(geometricMean(able.map((each) => ratio(each, variant, time))).toFixed(4))] as const;
      })
      .filter(([, mean]) => !Number.isNaN(mean)),
  );
}

function main(): void {
  const options = parseOptions();
  const { quick, runs, images, variants, time } = options;
  const surroundings = describeSurroundings();
  const fileSystem = fileSystemOf(images);
  console.log(`${headline(surroundings)}, images on ${fileSystem}, ${runs} runs${quick ? ", quick" : ""}`);
  const skipped: Record<string, string> = {};
  const done: Measurement[] = [];
  for (const program of [...corpus, nBody]) {
    if (options.programs?.includes(program.name) === false) continue;
    if (options.programs === undefined && (program.benchmark === undefined || HUGE.has(program.name))) continue;
    try {
      const measurement = prepare(program, options);
      measure(measurement, options);
      done.push(measurement);
      console.log(row(measurement, options).join("  "));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      skipped[program.name] = error.message;
      console.log(`${program.name}: skipped: ${error.message}`);
    }
  }
  const head = variants.flatMap((variant) => (variant === "plain" ? [variant] : [variant, "ratio"]));
  console.log(`\n${formatTable([[`median, ${time}`, ...head], ...done.map((each) => row(each, options))])}`);
  const geometricMeans = {
    kernels: means(done, "kernel", options),
    interpreters: means(done, "interpreter", options),
  };
  for (const [group, values] of Object.entries(geometricMeans)) {
    const texts = Object.entries(values).map(([variant, value]) => `${variant} ${value.toFixed(3)}`);
    console.log(`geometric mean, ${group}: ${texts.join(", ")}`);
  }
  for (const { program, missing } of done) {
    for (const [variant, reason] of missing)
      console.log(`${program.name}: no ${variant}: ${reason.split("\n").at(-1)}`);
  }
  if (quick && options.output === undefined) return; // nothing to keep
  const results = done.map(({ program, workload, times, missing }) => ({
    ...{ name: program.name, kind: program.kind, args: workload.args },
    milliseconds: Object.fromEntries(times),
    missing: Object.fromEntries(missing),
  }));
  const data = { quick, runs, time, fileSystem, geometricMeans, programs: results, skipped };
  console.log(`written to ${writeResults("overhead", surroundings, data, options.output)}`);
}

main();
