/**
 * What grows as the work grows?
 *
 *     node dist/benchmarks/scaling.js [--quick] [--runs N] [--minutes M] [--images DIR] [--output FILE]
 *
 * Save and resume against the heap's size, the pages that are dirty, and the depth of the stack
 * (guests/heap-and-stack.c; the steps as in save-and-resume.ts), and the time to instrument against the module's size, over
 * the modules of the corpus that are built already. Medians; the page shows slopes of the logarithms.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commandLine } from "../tests/corpus/paths.js";
import { programs } from "../tests/corpus/programs.js";
import { runCommand, Unavailable } from "../tests/corpus/run-command.js";
import { describeSurroundings, formatTable, headline, median, root, writeResults } from "./report.js";
import { watchedEvent } from "./save-and-resume/events.js";

const guestModule = join(root, "benchmarks", "guests", "heap-and-stack.wasm");

interface Point {
  readonly x: number;
  readonly y: number[];
}

interface Series {
  readonly name: string;
  readonly x: string;
  readonly y: string;
  readonly points: Point[];
}

interface Shape {
  readonly mebibytes: number;
  readonly depth: number;
  readonly touches: boolean;
}

type Measure = (image: string, shape: Shape) => Promise<{ save: number; resume: number }>;

const measureEvent: Measure = async (images, { mebibytes, depth, touches }) => {
  const scratch = mkdtempSync(join(images, "vermilion-scaling-"));
  try {
    const args = [String(mebibytes), String(depth), touches ? "touched" : "clean"];
    const guest = { module: guestModule, args, touches };
    await watchedEvent(scratch, guest, true);
    const { save, resume } = await watchedEvent(scratch, guest, false);
    return { save: save.beyondFlush, resume };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};

/** Time to make ready what was never run before, less the same when it was: milliseconds. */
function instrumentingTime(module: string, images: string): number {
  const scratch = mkdtempSync(join(images, "vermilion-scaling-"));
  const start = (image: string): number => {
    const startedAt = performance.now();
    // A failure before the first instruction: the module is made ready, and nothing of it runs.
    const words = [process.execPath, commandLine, "run", "--quiet", "--fail-at", "1", "--image", join(scratch, image)];
    try {
      runCommand([...words, module], { env: { XDG_CACHE_HOME: scratch } });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error; // its status is that of a saved power failure
    }
    return performance.now() - startedAt;
  };
  try {
    const first = start("a");
    return Math.max(first - start("b"), 0.1);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** One module of each size: the first that is built within every factor of two. */
function modulesBySize(): Map<number, string> {
  const bySize = new Map<number, string>();
  for (const program of programs) {
    try {
      const module = program.build();
      const { size } = statSync(module);
      const magnitude = Math.floor(Math.log2(size));
      if (![...bySize.keys()].some((each) => Math.floor(Math.log2(each)) === magnitude)) bySize.set(size, module);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
    }
  }
  return new Map([...bySize].toSorted(([a], [b]) => a - b));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      minutes: { type: "string", default: "Infinity" },
      images: { type: "string", default: "/dev/shm" },
      output: { type: "string" },
    },
  });
  const { quick, images } = values;
  const runs = Number(values.runs ?? (quick ? 1 : 10));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${runs} runs`);
  const heaps = quick ? [1, 64] : [1, 4, 16, 64, 256, 1024];
  const depths = quick ? [10, 1000] : [10, 100, 1000, 10_000];
  const make = (name: string, x: string, y: string, all: readonly number[]): Series => ({
    ...{ name, x, y },
    points: all.map((value) => ({ x: value, y: [] })),
  });
  const milliseconds = "ms, without waiting for the disk";
  const shapes = [
    {
      what: "clean heap",
      x: "MiB of heap",
      all: heaps,
      shape: (mebibytes: number) => ({ mebibytes, depth: 10, touches: false }),
    },
    {
      what: "dirty heap",
      x: "MiB that are dirty",
      all: heaps,
      shape: (mebibytes: number) => ({ mebibytes, depth: 10, touches: true }),
    },
    {
      what: "stack depth",
      x: "activations",
      all: depths,
      shape: (depth: number) => ({ mebibytes: 1, depth, touches: false }),
    },
  ].map((each) => ({
    ...each,
    save: make(`Save, ${each.what}`, each.x, milliseconds, each.all),
    resume: make(`Resume, ${each.what}`, each.x, "ms, in the guest's thread", each.all),
  }));
  const modules = modulesBySize();
  const instrumenting = make("Instrumenting, module size", "bytes of the module", "ms", [...modules.keys()]);
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  for (let round = 0; round < runs && performance.now() < deadline; round++) {
    for (const { all, shape, save, resume } of shapes) {
      for (const [index, value] of all.entries()) {
        const times = await measureEvent(images, shape(value));
        save.points[index]?.y.push(times.save);
        resume.points[index]?.y.push(times.resume);
      }
    }
    for (const [index, module] of [...modules.values()].entries())
      instrumenting.points[index]?.y.push(instrumentingTime(module, images));
    console.log(`round ${round + 1} of ${runs}`);
  }
  const series = [...shapes.flatMap(({ save, resume }) => [save, resume]), instrumenting];
  for (const { name, x, points } of series)
    console.log(
      `\n${formatTable([[name, x, "median"], ...points.map((each) => ["", String(each.x), median(each.y).toFixed(2)])])}`,
    );
  if (quick && values.output === undefined) return; // nothing to keep
  const path = writeResults("scaling", surroundings, { quick, runs, series }, values.output);
  console.log(`written to ${path}`);
}

await main();
