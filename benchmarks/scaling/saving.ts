/** Save and resume, against the size of the heap, its dirty pages, the depth of the stack and the number of live objects. */
import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { guestModule } from "../points/running.js";
import { root } from "../report.js";
import { type Guest, watchedEvent } from "../save-and-resume/events.js";
import { isOver, type Question, type Sink, type Sizes, upTo } from "./series.js";

const heapAndStack = join(root, "benchmarks", "guests", "heap-and-stack.wasm");
const SAVES = "ms, without waiting for the disk";
const RESUMES = "ms, in the guest's thread";
/** A dirty heap of more is written more than once, and memory has to hold it with all that was there before. */
const SPARE_MEBIBYTES = 3072;
const EVENTS = 3;
/**
 * Of a dirty heap: what tmpfs gives to the first saves has to come from the machine that ours is a guest of (2 to 4 ms a MiB, measured);
 * those behind them get what was in use just before, as far as there is enough.
 */
const EVENTS_BEFORE_DIRTY = 2;

interface Case {
  readonly what: string;
  readonly x: string;
  readonly values: readonly number[];
  readonly saveGrows: boolean;
  readonly resumeGrows: boolean;
  guest(value: number): Guest;
  /** Mebibytes of image. */
  room(value: number): number;
}

function isRoomFor(mebibytes: number, directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  const [, kibibytes] = /^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1")) ?? [];
  return Math.min((bavail * bsize) / 2 ** 20, Number(kibibytes) / 1024) > mebibytes + SPARE_MEBIBYTES;
}

async function measure(each: Case, value: number, { directory }: Sizes, sink: Sink): Promise<void> {
  const scratch = mkdtempSync(join(directory, "vermilion-scaling-"));
  try {
    const guest = each.guest(value);
    await watchedEvent(scratch, guest, true);
    const before = guest.touches ? EVENTS_BEFORE_DIRTY : 0;
    for (let event = 0; event < before; event++) await watchedEvent(scratch, guest, false);
    for (let event = 0; event < EVENTS; event++) {
      const { save, resume } = await watchedEvent(scratch, guest, false);
      const axes = { x: each.x };
      const saves = { name: `Save, ${each.what}`, y: SAVES, expected: each.saveGrows ? "linear" : "constant" } as const;
      sink.add({ ...axes, ...saves }, value, save.beyondFlush);
      const resumes = { name: `Resume, ${each.what}`, y: RESUMES } as const;
      sink.add({ ...axes, ...resumes, expected: each.resumeGrows ? "linear" : "constant" }, value, resume);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function question(name: string, cases: (quick: boolean) => readonly Case[]): Question {
  return {
    name,
    async round(sizes, sink) {
      for (const each of cases(sizes.quick)) {
        for (const value of each.values) {
          if (isOver(sizes)) return;
          if (isRoomFor(each.room(value), sizes.directory)) await measure(each, value, sizes, sink);
          else console.log(`${each.what}, ${value} ${each.x}: no room`);
        }
      }
    },
  };
}

const heapSizes = (quick: boolean) => upTo(quick ? 16 : 4096, 1, 4, 16, 64, 256, 1024, 4096);

export const heaps = question("heap", (quick) => [
  {
    ...{ what: "clean heap", x: "MiB of heap", values: heapSizes(quick), saveGrows: false, resumeGrows: false },
    guest: (mebibytes) => ({ module: heapAndStack, args: [String(mebibytes), "10", "clean"], touches: false }),
    room: (mebibytes) => mebibytes,
  },
]);

export const dirtyHeaps = question("dirty memory", (quick) => [
  {
    ...{ what: "dirty heap", x: "MiB that are dirty", values: heapSizes(quick), saveGrows: true, resumeGrows: false },
    guest: (mebibytes) => ({ module: heapAndStack, args: [String(mebibytes), "10", "touched"], touches: true }),
    room: (mebibytes) => 3 * mebibytes, // the image with two epochs, and the guest's own pages
  },
]);

export const depths = question("depth", (quick) => [
  {
    ...{ what: "stack depth", x: "activations", saveGrows: true, resumeGrows: true },
    values: upTo(quick ? 1000 : 100_000, 10, 100, 1000, 10_000, 100_000),
    guest: (depth) => ({ module: heapAndStack, args: ["1", String(depth), "clean"], touches: false }),
    room: () => 16,
  },
]);

export const objects = question("objects", (quick) => [
  {
    ...{ what: "live objects", x: "objects", saveGrows: false, resumeGrows: false },
    values: upTo(quick ? 10_000 : 10_000_000, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
    guest: (count) => ({ module: guestModule("scaling"), args: ["objects", String(count)], touches: false }),
    room: (count) => (count * 64) / 2 ** 20,
  },
]);
