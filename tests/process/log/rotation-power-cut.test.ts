/**
 * The power is cut at every step of a log's continuation in its next file. Stores into a log reach the disk sector by sector, in any
 * order, until a flush; names until the directory's. What is left can be followed from whichever log the header names: a part of
 * what was recorded, from its beginning, and never damage.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MappedLog } from "../../../pmem/mapped-log.js";
import { logPath, removeLogs } from "../../../runtime/process/log/files.js";
import { OpenedLog } from "../../../runtime/process/log/opened-log.js";
import { GuestProgram, World } from "./guest-program.js";

const machine = vi.hoisted(() => ({ boot: "", syncNames: (): void => {} }));
vi.mock("../../../runtime/process/log/files.js", async (original) => ({
  ...(await original<object>()),
  bootId: () => machine.boot,
  syncNames: () => machine.syncNames(),
}));
const BOOTS = ["01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"] as const;
afterEach(() => vi.restoreAllMocks());

interface LogFile {
  readonly durable: Buffer;
  readonly current: Buffer;
  /** Its name is durable; undefined: it is there, or not, whatever the power cut leaves. */
  readonly named: boolean;
}

/** What there is at an instant, and what must be left of it. */
interface Instant {
  readonly files: ReadonlyMap<string, LogFile>;
  /** The log that the header names. */
  readonly from: 0 | 1;
  /** Host calls since then whose records were flushed. */
  readonly least: number;
}

type Durability = "process" | "system";

/** A guest that makes calls, goes on in log-1, and makes more. */
function live(world: World, durability: Durability): { instants: Instant[]; calls: readonly [number, number] } {
  const instants: Instant[] = [];
  const durable = new Map<string, Buffer>();
  const named = new Set<string>();
  const content = (name: string) => readFileSync(join(world.image, name)).subarray(0, 65_536);
  const logs = () => readdirSync(world.image).filter((name) => name.startsWith("log-"));
  let from: 0 | 1 = 0;
  let least = 0;
  const take = (gone: ReadonlyMap<string, Buffer> = new Map()): void => {
    const all = new Map([...gone, ...logs().map((name) => [name, content(name)] as const)]);
    const files = [...all].map(([name, current]) => {
      const isNamed = named.has(name) && !gone.has(name);
      return [name, { current, durable: durable.get(name) ?? Buffer.alloc(0), named: isNamed }] as const;
    });
    instants.push({ files: new Map(files), from, least });
  };
  const flush = MappedLog.prototype.flush;
  vi.spyOn(MappedLog.prototype, "flush").mockImplementation(function (this: MappedLog) {
    take();
    flush.call(this);
    durable.set(basename(this.path), content(basename(this.path)));
    take();
  });
  const syncNames = (): void => {
    take();
    for (const name of logs()) named.add(name);
    take();
  };
  machine.syncNames = syncNames;
  const guest = GuestProgram.begin(world, durability);
  let calls = 0;
  const call = (make: () => void): void => {
    make();
    calls++;
    take();
  };
  for (let i = 0; i < 40; i++) call(() => guest.random());
  const first = calls;
  guest.system.continueLog(1);
  if (durability === "system") least = first;
  take();
  syncNames(); // the commit flushes the directory before it writes the header
  [from, least] = [1, 0];
  take();
  for (let i = 0; i < 40; i++) call(() => guest.random());
  const old = new Map([["log-0", content("log-0")]]);
  removeLogs(world.image, 1);
  take(old);
  guest.system.close();
  return { instants, calls: [first, calls - first] };
}

/** Everything that can be read, from a log on. */
function records(image: string, number: number): string[] | undefined {
  const log = existsSync(logPath(image, number)) ? OpenedLog.open(image, number) : undefined;
  if (log === undefined) return undefined;
  const found: string[] = [];
  for (;;) {
    const record = log.current.reader.next();
    if (record !== undefined) found.push(`${record.kind} ${record.result} ${record.payload.toString("hex")}`);
    else if (!log.goOn()) break;
  }
  log.close();
  return found;
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
    const world = new World(false);
    [machine.boot] = BOOTS;
    const { instants, calls } = live(world, durability);
    const expected = ([0, 1] as const).map((from) => {
      const files = instants.findLast(({ files: each }) => each.has(`log-${from}`))?.files;
      for (const [name, { current }] of files ?? []) writeFileSync(join(world.image, name), current);
      return records(world.image, from) ?? [];
    });
    const kinds = (list: readonly string[]) => list.filter((text) => Number(text.split(" ")[0]) <= 46).length;
    expect(expected.map(kinds)).toEqual([calls[0] + calls[1], calls[1]]);
    [, machine.boot] = BOOTS; // the machine was started again
    let whole = 0;
    for (const [index, { files, from, least }] of instants.entries()) {
      for (let round = 0; round < 6; round++) {
        let state = index * 31 + round;
        const keep = (): boolean => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return round === 1 || (round > 1 && state / 2 ** 32 < round / 6);
        };
        for (const name of ["log-0", "log-1"]) rmSync(join(world.image, name), { force: true });
        for (const [name, file] of files) {
          if (file.named || keep())
            writeFileSync(join(world.image, name), torn(file, keep, round % 2 === 0 ? 512 : 4096));
        }
        const found = records(world.image, from);
        const where = `instant ${index} of ${instants.length}, round ${round}, from log-${from}`;
        if (found === undefined) {
          const promised = durability === "system" && (from === 1 || least > 0);
          expect(promised, where).toBe(false);
          continue;
        }
        expect(found, where).toEqual(expected[from]?.slice(0, found.length));
        expect(kinds(found), where).toBeGreaterThanOrEqual(least);
        whole++;
      }
    }
    expect(whole).toBeGreaterThan(50);
    rmSync(world.folder, { recursive: true });
  });
});
