/** What points.ts measures: each function makes one round of one question and adds its samples. */
import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Images } from "../../runtime/index.js";
import type { Program } from "../../tests/corpus/program.js";
import { buildSqliteWith } from "../../tests/corpus/programs/third-party.js";
import { programs as corpus } from "../../tests/corpus/programs.js";
import { root } from "../report.js";
import { nodeStart } from "../save-and-resume/events.js";
import { dumpAndRestore } from "./criu.js";
import { guestModule, type How, runGuest, runUntil, within } from "./running.js";

const PAGE_BYTE_LENGTH = 4096;
const MEBIBYTE = 2 ** 20;
/** Engines compile continuations at the first points; a program that runs for long has few of these. */
const FIRST_PAUSES = 10;

export interface Sizes {
  /** Names of programs whose run time is compared. */
  readonly programs: readonly string[];
  readonly workload: "test" | "benchmark";
  /** Rounds of the program that writes its dirty pages again and again. */
  readonly storeRounds: number;
  readonly dirtyPages: number;
  readonly pauses: number;
  readonly writes: number;
  readonly inserts: number;
  readonly heapMebibytes: number;
  /** Forks and recoveries, and copies of the memory, in one round. */
  readonly events: number;
  readonly epochs: number;
  /** Where the images are. */
  readonly directory: string;
}

/** Values in the order in which they were taken, by name; units are in the names' users (findings.ts). */
export class Samples {
  readonly all = new Map<string, number[]>();

  add(name: string, ...values: readonly number[]): void {
    this.all.set(name, [...(this.all.get(name) ?? []), ...values]);
  }

  of(name: string): readonly number[] {
    return this.all.get(name) ?? [];
  }
}

export interface Question {
  readonly name: string;
  /** Throws `Unavailable` where it cannot be answered. */
  round(sizes: Sizes, samples: Samples): Promise<void>;
}

export const PERIODS = [null, 100, 10] as const;

export function runTimeName(program: string, period: number | null): string {
  return `run time of ${program}, ${period === null ? "no points" : `every ${period} ms`}`;
}

/** The one of `values` with which round `round` begins comes first, so that none is always the one behind another. */
function turned<Value>(values: readonly Value[], round: number): readonly Value[] {
  const first = round % values.length;
  return [...values.slice(first), ...values.slice(0, first)];
}

export const STORES = "stores";

function storesProgram({ dirtyPages, storeRounds }: Sizes): Program {
  const args = ["stores", String(dirtyPages), String(storeRounds)];
  const about = "writes the same pages again and again, and computes";
  return { name: STORES, about, kind: "kernel", build: guestModule, test: { args }, benchmark: { args } };
}

function runTime(name: string): Question {
  return {
    name: `run time of ${name}`,
    async round(sizes, samples) {
      const program = name === STORES ? storesProgram(sizes) : corpus.find((each) => each.name === name);
      if (program === undefined) throw new Error(`--programs ${name}: the corpus has no such program`);
      const module = program.build();
      const workload = program[sizes.workload] ?? program.test;
      const done = samples.of(runTimeName(name, null)).length;
      for (const period of turned(PERIODS, done)) {
        const { milliseconds } = await within(sizes.directory, (scratch) =>
          runGuest(scratch, module, workload, { period }),
        );
        samples.add(runTimeName(name, period), milliseconds);
      }
    },
  };
}

const pauses: Question = {
  name: "pauses",
  async round({ directory, dirtyPages, pauses: count }, samples) {
    const args = ["pauses", String(dirtyPages), String(count + FIRST_PAUSES)];
    const { stdout } = await within(directory, (scratch) =>
      runGuest(scratch, guestModule(), { args }, { period: 20, log: true }),
    );
    const milliseconds = stdout
      .trim()
      .split("\n")
      .map((line) => Number(line) / 1e6);
    samples.add("first pauses", ...milliseconds.slice(0, FIRST_PAUSES));
    samples.add("pauses", ...milliseconds.slice(FIRST_PAUSES));
  },
};

/** Its program measures itself, in nanoseconds, on the first word of its output. */
function logged(name: string, build: () => string, args: (sizes: Sizes) => readonly string[]): Question {
  return {
    name,
    async round(sizes, samples) {
      const module = build();
      const done = samples.of(`${name}, no log`).length;
      for (const log of turned([false, true], done)) {
        const { stdout } = await within(sizes.directory, (scratch) =>
          runGuest(scratch, module, { args: args(sizes), files: {} }, { log }),
        );
        samples.add(`${name}, ${log ? "log" : "no log"}`, Number.parseInt(stdout, 10) / 1e6);
      }
    },
  };
}

/** What the files of an image take on the disk that hold memory and states. */
function stateBytes(image: string): number {
  return readdirSync(image)
    .filter((name) => name.startsWith("pages-") || name.startsWith("state-"))
    .reduce((sum, name) => sum + 512 * statSync(join(image, name)).blocks, 0);
}

function space(shape: "row" | "scattered"): Question {
  const name = `space, ${shape}`;
  return {
    name,
    async round({ directory, dirtyPages, epochs }, samples) {
      // The first point writes the whole heap: what it takes is subtracted, from a run that makes no other.
      const taken = async (count: number) => {
        const args = ["points", String(dirtyPages), String(count), shape];
        const how: How = { keep: epochs + 1 };
        return await within(directory, (scratch) => {
          const { image, pagesWritten } = runGuest(scratch, guestModule(), { args }, how);
          return { bytes: stateBytes(image), pages: pagesWritten.slice(1).reduce((sum, pages) => sum + pages, 0) };
        });
      };
      const [first, all] = [await taken(1), await taken(epochs + 1)];
      samples.add(name, (all.bytes - first.bytes) / (all.pages * PAGE_BYTE_LENGTH));
    },
  };
}

/** A memory of that size to a file and back, by one program that does nothing else. */
const copies: Question = {
  name: "plain copies",
  async round({ directory, heapMebibytes, events }, samples) {
    const memory = Buffer.alloc(heapMebibytes * MEBIBYTE, 1);
    await within(directory, (scratch) => {
      const path = join(scratch, "memory");
      for (let event = 0; event < events; event++) {
        const startedAt = performance.now();
        const file = openSync(path, "w");
        for (let at = 0; at < memory.length; at += MEBIBYTE) writeSync(file, memory, at, MEBIBYTE);
        samples.add("copy to a file", performance.now() - startedAt);
        fsyncSync(file);
        samples.add("copy to a file, flushed", performance.now() - startedAt);
        closeSync(file);
        const readAt = performance.now();
        readFileSync(path);
        samples.add("copy back", performance.now() - readAt);
        rmSync(path);
      }
    });
  },
};

const forksAndRecoveries: Question = {
  name: "forks and recoveries",
  async round({ directory, heapMebibytes, events }, samples) {
    await within(directory, async (scratch) => {
      const image = join(scratch, "image");
      const start = ["run", "--quiet", "--log", "--image", image, guestModule(), "heap", String(heapMebibytes)];
      await runUntil(start, "r");
      const at = (await Images.history(image)).at(-1)?.epoch ?? 0; // and loads what forks
      for (let event = 0; event < events; event++) {
        const target = join(scratch, `fork-${event}`);
        const startedAt = performance.now();
        await Images.fork(image, target, { at });
        samples.add("fork", performance.now() - startedAt);
        rmSync(target, { recursive: true });
      }
      // Only now: what a copy leaves for the disk to write would be in the flushes of a fork.
      for (let event = 0; event < events; event++) {
        const copy = join(scratch, "copy");
        const copiedAt = performance.now();
        spawnSync("cp", ["--recursive", "--reflink=never", "--sparse=never", image, copy]);
        samples.add("cp of the image", performance.now() - copiedAt);
        rmSync(copy, { recursive: true });
      }
      for (let event = 0; event < events; event++) {
        samples.add("start of Node", await nodeStart());
        const { first } = await runUntil(["resume", "--quiet", image], "x");
        samples.add("recovery", first);
      }
      const { first, then } = await runUntil(["resume", "--quiet", image], "s");
      samples.add("reading the whole heap after a recovery", then - first);
    });
  },
};

const criu: Question = {
  name: "CRIU",
  async round({ directory, heapMebibytes }, samples) {
    const [dump, restore] = await within(directory, (scratch) => dumpAndRestore(scratch, heapMebibytes));
    samples.add("CRIU dump", dump);
    samples.add("CRIU restore", restore);
  },
};

export function questionsFor({ programs }: Sizes): readonly Question[] {
  const sqliteInserts = () => buildSqliteWith("sqlite-inserts", join(root, "benchmarks", "rivals", "sqlite-inserts.c"));
  return [
    ...programs.map(runTime),
    pauses,
    logged("writes", guestModule, ({ writes }) => ["writes", String(writes), "/data/file"]),
    logged("SQLite", sqliteInserts, ({ inserts }) => ["/data/pairs.db", "delete", String(inserts)]),
    space("row"),
    space("scattered"),
    forksAndRecoveries,
    copies,
    criu,
  ];
}
