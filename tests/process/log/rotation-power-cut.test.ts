/**
 * The power is cut at every step of a log's continuation in its next file. Stores into a log reach the disk sector by sector, in any
 * order, until a flush; names until the directory's. What is left can be followed from whichever log the header names: a part of
 * what was recorded, from its beginning, and never damage.
 */
import { rmSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { World } from "./guest-program.js";
import { type Expected, isPromised, type LogEvent, LogReader, live } from "./log-lives.js";

vi.mock("../../../runtime/process/log/files.js", async (original) =>
  (await import("./simulated-machine.js")).onSimulatedMachine(original),
);
afterEach(() => vi.restoreAllMocks());

interface LogFile {
  readonly durable: Buffer;
  readonly current: Buffer;
  /** Its name is durable; undefined: it is there, or not, whatever the power cut leaves. */
  readonly named: boolean;
}

interface Instant extends Expected {
  readonly files: ReadonlyMap<string, LogFile>;
}

/** What there is behind each event. */
function instantsOf(events: readonly LogEvent[]): Instant[] {
  const files = new Map<string, LogFile>();
  let expected: Expected = { from: 0, least: 0 };
  return events.map((event) => {
    if (event.kind === "files") {
      for (const [name, file] of files) if (!event.files.has(name)) files.set(name, { ...file, named: false });
      for (const [name, current] of event.files) {
        files.set(name, { durable: Buffer.alloc(0), named: false, ...files.get(name), current });
      }
    } else if (event.kind === "flush") {
      const file = files.get(event.name);
      if (file !== undefined) files.set(event.name, { ...file, durable: file.current });
    } else if (event.kind === "flush names") {
      for (const [name, file] of files) files.set(name, { ...file, named: true });
    } else expected = event;
    return { files: new Map(files), ...expected };
  });
}

/** Sector by sector what was flushed, or what was stored since. */
function torn({ durable, current }: LogFile, keep: () => boolean, sector: number): Buffer {
  const bytes = Buffer.alloc(current.length);
  durable.copy(bytes);
  for (let at = 0; at < current.length; at += sector) if (keep()) current.copy(bytes, at, at, at + sector);
  return bytes;
}

describe.each(["process", "system"] as const)("durability %s", (durability) => {
  test("cut at any step: what is left is read from its beginning", { timeout: 60_000 }, () => {
    const world = new World(false, true);
    const life = live(world, durability);
    const reader = new LogReader(world.image, life);
    const instants = instantsOf(life.events);
    let whole = 0;
    for (const [index, instant] of instants.entries()) {
      for (let round = 0; round < 6; round++) {
        let state = index * 31 + round;
        const keep = (): boolean => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return round === 1 || (round > 1 && state / 2 ** 32 < round / 6);
        };
        const left = new Map<string, Buffer>();
        for (const [name, file] of instant.files) {
          if (file.named || keep()) left.set(name, torn(file, keep, round % 2 === 0 ? 512 : 4096));
        }
        const where = `instant ${index} of ${instants.length}, round ${round}, from log-${instant.from}`;
        expect(reader.wrongWith(left, instant, isPromised(durability, instant)), where).toBeUndefined();
        if (left.has(`log-${instant.from}`)) whole++;
      }
    }
    expect(whole).toBeGreaterThan(50);
    rmSync(world.folder, { recursive: true });
  });
});
