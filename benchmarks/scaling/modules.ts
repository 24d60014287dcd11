/**
 * Time and memory to instrument, against the module's size: modules of the corpus, and for what is larger than all of them its
 * largest with its functions repeated. The time is that of a first start with a power failure before the first instruction,
 * less that of a second one.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached } from "../../tests/corpus/build-cache.js";
import { commandLine } from "../../tests/corpus/paths.js";
import { programs } from "../../tests/corpus/programs.js";
import { Unavailable } from "../../tests/corpus/run-command.js";
import { withRepeatedFunctions } from "./repeated-functions.js";
import { isOver, MILLISECONDS, type Question } from "./series.js";

const POWER_FAILURE_STATUS = 85;
const LARGEST_BYTES = 60_000_000;
const LOOK_MILLISECONDS = 10;

interface Start {
  readonly milliseconds: number;
  /** At its peak. */
  readonly residentMebibytes: number;
}

/** The peak so far of a live process: what the kernel says of itself. Undefined: it is gone. */
function peakMebibytes(pid: number): number | undefined {
  try {
    const [, kibibytes] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
  } catch {
    return undefined;
  }
}

function start(module: string, image: string, cache: string): Promise<Start> {
  const words = [commandLine, "run", "--quiet", "--fail-at", "1", "--image", image, module];
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(process.execPath, words, {
      ...{ env: { ...process.env, XDG_CACHE_HOME: cache }, stdio: ["ignore", "ignore", "inherit"] },
    });
    let residentMebibytes = Number.NaN;
    // It may have more in its last milliseconds, but by then the module is long made.
    const watch = setInterval(() => {
      residentMebibytes = peakMebibytes(child.pid ?? 0) ?? residentMebibytes;
    }, LOOK_MILLISECONDS);
    child.on("error", reject);
    child.on("close", (status) => {
      clearInterval(watch);
      const milliseconds = performance.now() - startedAt;
      if (status === POWER_FAILURE_STATUS) resolve({ milliseconds, residentMebibytes });
      else reject(new Error(`${module}: status ${status}`));
    });
  });
}

/** Of a module that was never run before, and of the same once more. */
async function starts(module: string, directory: string): Promise<[Start, Start]> {
  const scratch = mkdtempSync(join(directory, "vermilion-scaling-"));
  try {
    return [await start(module, join(scratch, "a"), scratch), await start(module, join(scratch, "b"), scratch)];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** One module of each size: the first that is built within every factor of two. */
function modulesBySize(quick: boolean): Map<number, string> {
  const bySize = new Map<number, string>();
  for (const program of programs) {
    try {
      const module = program.build();
      const { size } = statSync(module);
      const magnitude = Math.floor(Math.log2(size));
      if (quick && size > 2 ** 20) continue;
      if (![...bySize.keys()].some((each) => Math.floor(Math.log2(each)) === magnitude)) bySize.set(size, module);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
    }
  }
  return new Map([...bySize].toSorted(([a], [b]) => a - b));
}

/** The largest module, and what becomes of it when its functions are there twice, and as often as makes 60 MB. */
function larger(size: number, module: string): Map<number, string> {
  const wholes = [2 * size, LARGEST_BYTES].filter((wanted) => wanted > size && wanted <= LARGEST_BYTES);
  return new Map(
    wholes.map((wanted) => {
      const made = cached("modules", "repeated.wasm", { words: [String(wanted)], files: [module] }, (output) => {
        writeFileSync(output, withRepeatedFunctions(readFileSync(module), wanted));
      });
      return [statSync(made).size, made];
    }),
  );
}

export const modules: Question = {
  name: "modules",
  async round(sizes, sink) {
    const found = modulesBySize(sizes.quick);
    const [last] = [...found].slice(-1);
    const all = sizes.quick || last === undefined ? found : new Map([...found, ...larger(...last)]);
    for (const [size, module] of all) {
      if (isOver(sizes)) return;
      const [first, second] = await starts(module, sizes.directory);
      const x = "bytes of the module";
      const time = Math.max(first.milliseconds - second.milliseconds, 0.1);
      sink.add({ name: "Instrumenting", x, y: MILLISECONDS, expected: "linear" }, size, time);
      const memory = { x, y: "MiB resident, at the peak of the process", expected: "linear" } as const;
      sink.add({ name: "Memory of a first start", ...memory }, size, first.residentMebibytes);
      sink.add({ name: "Memory of a second start", ...memory }, size, second.residentMebibytes);
    }
  },
};
