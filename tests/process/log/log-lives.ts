/** The life of a log that goes on in its next file, told step by step, and what may be found of it when the power was cut. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect, vi } from "vitest";
import { MappedLog } from "../../../pmem/mapped-log.js";
import { logPath, removeLogs } from "../../../runtime/process/log/files.js";
import { OpenedLog } from "../../../runtime/process/log/opened-log.js";
import { GuestProgram, type World } from "./guest-program.js";
import { machine } from "./simulated-machine.js";

const BOOTS = ["01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"] as const;

/** All that these logs hold is in front of it. */
const BYTE_LENGTH = 16_384;

/** What may be relied on. */
export interface Expected {
  /** The log that the header names. */
  readonly from: 0 | 1;
  /** Host calls since then whose records were flushed. */
  readonly least: number;
}

/** What the disk below a log is told, and what somebody relies on from there on. */
export type LogEvent =
  | { readonly kind: "files"; readonly files: ReadonlyMap<string, Buffer> }
  | { readonly kind: "flush"; readonly name: string }
  | { readonly kind: "flush names" }
  | ({ readonly kind: "promise" } & Expected);

type Durability = "process" | "system";
type Mistake = "no flushes" | "no flushes of names";

export interface Life {
  readonly events: readonly LogEvent[];
  /** Made in each of the two files. */
  readonly calls: readonly [number, number];
}

/**
 * A guest that makes calls, goes on in log-1, and makes more; every eighth is an output, in front of which `system` flushes.
 * A mistake is one that the tests must notice.
 */
export function live(world: World, durability: Durability, mistake?: Mistake): Life {
  [machine.boot] = BOOTS;
  const events: LogEvent[] = [];
  const look = (): void => {
    const names = readdirSync(world.image).filter((name) => name.startsWith("log-"));
    const content = (name: string) => readFileSync(join(world.image, name)).subarray(0, BYTE_LENGTH);
    events.push({ kind: "files", files: new Map(names.map((name) => [name, content(name)])) });
  };
  const flush = MappedLog.prototype.flush;
  vi.spyOn(MappedLog.prototype, "flush").mockImplementation(function (this: MappedLog) {
    look();
    flush.call(this);
    if (mistake !== "no flushes") events.push({ kind: "flush", name: basename(this.path) });
  });
  const syncNames = (): void => {
    look();
    if (mistake !== "no flushes of names") events.push({ kind: "flush names" });
  };
  machine.syncNames = syncNames;
  const guest = GuestProgram.begin(world, durability);
  const isFlushed = durability === "system";
  let from: 0 | 1 = 0;
  let made = 0;
  const promise = (least: number): void => {
    events.push({ kind: "promise", from, least });
  };
  const make40 = (): void => {
    for (let i = 1; i <= 40; i++) {
      if (i % 8 === 0) guest.write(2, "somebody sees it");
      else guest.random();
      look();
      if (i % 8 === 0 && isFlushed) promise(made);
      made++;
    }
  };
  make40();
  const first = made;
  guest.system.recording.next(1);
  if (isFlushed) promise(first);
  look();
  syncNames(); // the commit flushes the directory before it writes the header
  [from, made] = [1, 0];
  promise(0);
  make40();
  removeLogs(world.image, 1);
  look();
  guest.system.close();
  return { events, calls: [first, made] };
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

function callsAmong(found: readonly string[]): number {
  return found.filter((text) => Number(text.split(" ")[0]) <= 46).length;
}

/** What a power cut leaves must be the beginning of what was recorded, and hold what was promised. */
export class LogReader {
  readonly #image: string;
  readonly #expected: readonly (readonly string[])[];

  /** The life is over: reads all of it, and from then on what is left after another start of the machine. */
  constructor(image: string, { events, calls }: Life) {
    this.#image = image;
    this.#expected = ([0, 1] as const).map((from) => {
      const last = events.findLast((event) => event.kind === "files" && event.files.has(`log-${from}`));
      if (last?.kind === "files") this.#lay(last.files);
      return records(image, from) ?? [];
    });
    expect(this.#expected.map(callsAmong)).toEqual([calls[0] + calls[1], calls[1]]);
    [, machine.boot] = BOOTS;
  }

  /** Undefined: it is as it must be. */
  wrongWith(files: ReadonlyMap<string, Uint8Array>, { from, least }: Expected, promised: boolean): string | undefined {
    this.#lay(files);
    const found = records(this.#image, from);
    if (found === undefined) return promised ? "there is no log" : undefined;
    const expected = this.#expected[from]?.slice(0, found.length);
    if (!isDeepStrictEqual(found, expected)) return "not the beginning of what was recorded";
    const calls = callsAmong(found);
    return calls < least ? `${calls} calls of ${least}` : undefined;
  }

  #lay(files: ReadonlyMap<string, Uint8Array>): void {
    for (const name of ["log-0", "log-1"]) rmSync(join(this.#image, name), { force: true });
    for (const [name, bytes] of files) writeFileSync(join(this.#image, name), bytes);
  }
}

/** Whether there must be a log. */
export function isPromised(durability: Durability, { from, least }: Expected): boolean {
  return durability === "system" && (from === 1 || least > 0);
}
