/**
 * How long from a power failure to the saved image, and from a resume to the guest's next output?
 *
 *     npm run bench:save-and-resume -- [--quick] [--events N] [--directories A,B] [--heaps MIB,...] [--depths N,...]
 *                                      [--output FILE]
 *
 * The guest (guests/heap-and-stack.c) has a heap and a stack of a given size and computes; the power is cut by SIGPWR at a
 * random moment. "clean": since its last save only stack changed. "touched": every page of the heap was written since.
 * An event is one such failure of `vermilion resume` with a stopwatch in it (tests/support/time-save.mjs), and one resume
 * without, each in a new process; all but the first of each case find compiled code that was kept. A resume ends with the first byte that the guest writes, read by
 * us at the other end of a pipe; from it the median start of Node is taken, up to the first byte that one line of
 * JavaScript writes, measured in between. File caches are warm: the time to read a heap from a cold disk is not in this.
 *
 * Heaps are measured at 1,000 activations, depths with 1 MiB. 4,096 MiB stands for all that a 32-bit memory holds.
 */
import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  describeSurroundings,
  fileSystemOf,
  formatTable,
  headline,
  median,
  percentile,
  root,
  writeResults,
} from "./report.js";
import { type Guest, nodeStart, resumeEvent, type SaveTimes, watchedEvent } from "./save-and-resume/events.js";

const USUAL_DEPTH = 1000;
const SMALLEST_HEAP = 1;
/** What may be written to a disk for one case: fewer events for big heaps that are dirty each time. */
const TOUCHED_MEBIBYTES_MAXIMUM = 32_768;
const EVENTS_MINIMUM = 5;
/** Of the case that the aims are for: the 99th percentile of fewer is the slowest. */
const EVENTS_OF_SMALLEST = 200;
const STEPS = ["noticing", "unwinding", "describing", "memory", "state", "flip", "total", "beyondFlush"] as const;

interface Case {
  readonly directory: string;
  readonly heapMebibytes: number;
  readonly depth: number;
  readonly touched: boolean;
}

interface Times {
  /** What the work itself takes: other programs on the machine can only add to it. */
  readonly least: number;
  readonly p50: number;
  readonly p99: number;
}

interface Result extends Omit<Case, "directory"> {
  readonly fileSystem: string;
  readonly events: number;
  readonly frames: number;
  /** Milliseconds. */
  readonly save: Readonly<Record<(typeof STEPS)[number], Times>>;
  /** From the start of `vermilion resume`, less Node's own. */
  readonly resume: Times;
  /** From beginning to open the image. */
  readonly resumeInProcess: Times;
  readonly nodeStart: Times;
}

function timesOf(values: readonly number[]): Times {
  const round = (value: number): number => Number(value.toFixed(3));
  return { least: round(percentile(values, 0)), p50: round(median(values)), p99: round(percentile(values, 0.99)) };
}

/** Why a case cannot be measured here, if so. */
function reasonToSkip({ directory, heapMebibytes }: Case): string | undefined {
  const { bavail, bsize } = statfsSync(directory);
  const free = (bavail * bsize) / 2 ** 20;
  if (free < heapMebibytes * 1.2 + 256) return `${directory} has ${Math.floor(free)} MiB free`;
  if (fileSystemOf(directory) !== "tmpfs") return undefined;
  const [, kibibytes] = /^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1")) ?? [];
  const available = Number(kibibytes) / 1024;
  if (available > heapMebibytes * 1.2 + 2048) return undefined;
  return `tmpfs is memory, of which ${Math.floor(available)} MiB are free`;
}

async function measure(each: Case, wanted: number): Promise<Result> {
  const { directory, heapMebibytes, depth, touched } = each;
  const affordable = touched ? Math.floor(TOUCHED_MEBIBYTES_MAXIMUM / heapMebibytes / 2) : wanted;
  const events = Math.min(wanted, Math.max(EVENTS_MINIMUM, affordable));
  const scratch = mkdtempSync(join(directory, "vermilion-save-"));
  try {
    const guest: Guest = {
      module: join(root, "benchmarks", "guests", "heap-and-stack.wasm"),
      args: [String(heapMebibytes), String(depth), touched ? "touched" : "clean"],
      touches: touched,
    };
    await watchedEvent(scratch, guest, true); // brings the whole heap to the disk: not an event
    await resumeEvent(scratch, guest); // fills its cache
    const [saves, inProcess, resumes, starts]: [SaveTimes[], number[], number[], number[]] = [[], [], [], []];
    for (let event = 0; event < events; event++) {
      starts.push(await nodeStart());
      resumes.push(await resumeEvent(scratch, guest));
      const { save, resume } = await watchedEvent(scratch, guest, false);
      saves.push(save);
      inProcess.push(resume);
    }
    const node = median(starts);
    return {
      ...{ fileSystem: fileSystemOf(directory), heapMebibytes, depth, touched, events },
      frames: median(saves.map(({ frames }) => frames)),
      save: Object.fromEntries(STEPS.map((step) => [step, timesOf(saves.map((save) => save[step]))])) as Result["save"],
      resume: timesOf(resumes.map((time) => time - node)),
      resumeInProcess: timesOf(inProcess),
      nodeStart: timesOf(starts),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function casesOf(directories: readonly string[], heaps: readonly number[], depths: readonly number[]): Case[] {
  return directories.flatMap((directory) => [
    ...heaps.flatMap((heapMebibytes) =>
      [false, true].map((touched) => ({ directory, heapMebibytes, depth: USUAL_DEPTH, touched })),
    ),
    ...depths
      .filter((depth) => depth !== USUAL_DEPTH)
      .map((depth) => ({ directory, heapMebibytes: SMALLEST_HEAP, depth, touched: false })),
  ]);
}

function label({ heapMebibytes, depth, touched }: Omit<Case, "directory">): string {
  return `${heapMebibytes} MiB ${touched ? "touched" : "clean"}, ${depth} deep`;
}

function row(result: Result): string[] {
  const cell = ({ least, p50, p99 }: Times): string => [least, p50, p99].map((value) => value.toFixed(1)).join("/");
  const { fileSystem, events, save, resume, resumeInProcess } = result;
  const times = [...STEPS.map((step) => save[step]), resume, resumeInProcess].map(cell);
  return [`${fileSystem}: ${label(result)}`, String(events), ...times];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      events: { type: "string" },
      directories: { type: "string", default: `${tmpdir()},/dev/shm` },
      heaps: { type: "string" },
      depths: { type: "string", default: "10,1000,10000" },
      output: { type: "string" },
    },
  });
  const numbers = (text: string): number[] => text.split(",").map(Number);
  const events = Number(values.events ?? (values.quick ? 5 : 30));
  const heaps = numbers(values.heaps ?? (values.quick ? "1,64" : "1,64,1024,4096"));
  const surroundings = describeSurroundings();
  console.log(`${headline(surroundings)}, ${events} events${values.quick ? ", quick" : ""}`);
  const results: Result[] = [];
  const skipped: Record<string, string> = {};
  for (const each of casesOf(values.directories.split(","), heaps, numbers(values.depths))) {
    const name = `${fileSystemOf(each.directory)}: ${label(each)}`;
    const reason = reasonToSkip(each);
    if (reason === undefined) {
      const isSmallest = each.heapMebibytes === SMALLEST_HEAP && each.depth === USUAL_DEPTH;
      const more = isSmallest && !values.quick && values.events === undefined;
      results.push(await measure(each, more ? EVENTS_OF_SMALLEST : events));
      console.log(`${name}: measured`);
    } else {
      skipped[name] = reason;
      console.log(`${name}: skipped: ${reason}`);
    }
  }
  const head = ["least/p50/p99, ms", "events", ...STEPS, "resume-node", "resume in process"];
  console.log(`\n${formatTable([head, ...results.map(row)])}`);
  if (values.quick && values.output === undefined) return; // nothing to keep
  const path = writeResults("saveAndResume", surroundings, { quick: values.quick, results, skipped }, values.output);
  console.log(`written to ${path}`);
}

await main();
