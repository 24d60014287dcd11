/**
 * The distribution of saves and resumes: one process whose power fails again and again, resumed each time in a new thread of this
 * program. A save is from powerFail() to the outcome, durable; a resume from run() to the guest's output.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Process } from "../../runtime/index.js";
import { within } from "../points/running.js";
import { root } from "../report.js";
import type { Question, Sink, Sizes } from "./series.js";

const module = join(root, "benchmarks", "guests", "heap-and-stack.wasm");
const EVENTS = 10_000;
/** Of one shape: the events may be fewer then. */
const MOST_MILLISECONDS = 100_000;
const LOOK_MILLISECONDS = 1;
const PATIENCE_MILLISECONDS = 60_000;

const SHAPES = [
  { mebibytes: 1, depth: 1000 },
  { mebibytes: 1, depth: 10_000 },
  { mebibytes: 4096, depth: 1000 },
] as const;

interface Event {
  readonly save: number;
  readonly resume: number;
}

async function event(guest: Process, output: number): Promise<Event> {
  const before = fstatSync(output).size;
  const startedAt = performance.now();
  const ended = guest.run();
  while (fstatSync(output).size === before) {
    if (performance.now() > startedAt + PATIENCE_MILLISECONDS) throw new Error("the guest does not go on");
    await sleep(LOOK_MILLISECONDS);
  }
  const resume = performance.now() - startedAt;
  await sleep(1 + Math.random() * 4);
  const failedAt = performance.now();
  guest.powerFail();
  const { kind } = await ended;
  if (kind !== "powerFailed") throw new Error(`the guest has ended: ${kind}`);
  return { save: performance.now() - failedAt, resume };
}

async function measure(shape: (typeof SHAPES)[number], sizes: Sizes, sink: Sink): Promise<void> {
  const { mebibytes, depth } = shape;
  await within(sizes.directory, async (scratch) => {
    const output = openSync(join(scratch, "output"), "w");
    const guest = await Process.create({
      ...{ module, args: [String(mebibytes), String(depth), "clean"], image: join(scratch, "image") },
      stdio: [-1, output, 2],
    });
    try {
      await event(guest, output); // the whole heap is written: no event like the others
      const events: Event[] = [];
      const until = Math.min(sizes.deadline, performance.now() + MOST_MILLISECONDS);
      while (events.length < (sizes.quick ? 5 : EVENTS) && performance.now() < until) {
        events.push(await event(guest, output));
      }
      const what = nameOf(shape);
      sink.event(`Save, ${what}`, ...events.map(({ save }) => save));
      sink.event(`Resume in a new thread, ${what}`, ...events.map(({ resume }) => resume));
    } finally {
      await guest.close();
      closeSync(output);
    }
  });
}

function nameOf({ mebibytes, depth }: (typeof SHAPES)[number]): string {
  return `${mebibytes} MiB, ${depth.toLocaleString("en")} activations`;
}

export const manySaves: readonly Question[] = SHAPES.map((shape) => ({
  name: `many saves: ${nameOf(shape).replaceAll(",", "")}`,
  once: true,
  async round(sizes, sink) {
    if (!sizes.quick || shape.mebibytes === 1) await measure(shape, sizes, sink);
  },
}));
