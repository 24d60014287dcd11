/** A log that a process goes on from: mapped, read to its end, and checked for whether it can be followed. */
import { invariant, VermilionError } from "../../../pmem/error.js";
import { LogWindow, MappedLog } from "../../../pmem/mapped-log.js";
import { type PersistencePolicy, parsePolicy } from "../persistence-policy.js";
import { bootId, hasLog, logPath } from "./files.js";
import { Kind, LOG_HEADER_BYTE_LENGTH, type LogHeader } from "./format.js";
import { LogReader, type LogRecord } from "./reader.js";

/** How the run began that a log tells of. */
export interface Beginning {
  /** The program was told that the power had failed, if it wanted to be. */
  readonly callback: boolean;
  /** Interrupted calls returned EINTR instead of going on. */
  readonly eintr: boolean;
  /** Of an instance: the function that was called, and its arguments as texts. */
  readonly call?: { readonly name: string; readonly args: readonly string[] } | undefined;
  /** Absent in early logs, and in those that a persistence point begins: its state says it. */
  readonly policy?: PersistencePolicy | undefined;
  /** Of a clean start: the system interface at that time. */
  readonly wasi?: unknown;
}

interface OpenFile {
  readonly window: LogWindow;
  readonly log: MappedLog;
  readonly reader: LogReader;
  readonly number: number;
}

export class OpenedLog {
  readonly image: string;
  readonly header: LogHeader;
  readonly beginning: Beginning;
  /** Host calls that it tells of, in all of its files. */
  readonly callCount: number;
  /** The file that is being read, and those behind it. */
  readonly #files: OpenFile[];

  private constructor(image: string, files: OpenFile[], first: OpenFile) {
    this.image = image;
    this.#files = files;
    this.header = first.reader.header;
    const beginning = first.reader.next();
    if (beginning?.kind !== Kind.BEGIN) throw damaged(image, first.number, "it does not say how the run began");
    this.beginning = parseBeginning(beginning, image, first.number);
    for (let last: OpenFile | undefined = first; last?.reader.isContinued === true; ) {
      const number: number = last.number + 1;
      last = openNext(image, number);
      if (last !== undefined) files.push(last);
      else if (isOfThisBoot(first)) throw damaged(image, number, "the file is missing, or does not begin as it should");
    }
    this.callCount = files.reduce((sum, { reader }) => sum + reader.callCount, 0);
  }

  /** Undefined: it holds nothing whole, as after a power cut. IMAGE_DAMAGED: no kill and no power cut leaves it so. */
  static open(image: string, number: number): OpenedLog | undefined {
    const first = openOne(image, number);
    if (first === undefined) return undefined;
    const files = [first];
    try {
      return new OpenedLog(image, files, first);
    } catch (error) {
      for (const { log } of files) log.close();
      throw error;
    }
  }

  /** The file that is being read; the next records may be in the next one. */
  get current(): OpenFile {
    const current = this.#files[0];
    invariant(current !== undefined, "a file of the log is read");
    return current;
  }

  /**
   * The record that says so is the next: goes on in the next file. False: there is none, as after a power cut, and this is
   * the end.
   */
  goOn(): boolean {
    if (this.#files.length === 1) return false;
    this.#files.shift()?.log.close();
    return true;
  }

  close(): void {
    for (const { log } of this.#files) log.close();
  }
}

/** Of a file that is not the first; undefined: there is none, as after a power cut. */
function openNext(image: string, number: number): OpenFile | undefined {
  const next = hasLog(image, number) ? openOne(image, number) : undefined;
  if (next === undefined || next.reader.next()?.kind === Kind.BEGIN) return next;
  next.log.close();
  return undefined;
}

function openOne(image: string, number: number): OpenFile | undefined {
  const window = new LogWindow();
  const log = MappedLog.open(logPath(image, number), window);
  try {
    const bytes = Buffer.from(log.buffer, 0, log.byteLength);
    const reader = LogReader.over(bytes);
    if (reader === undefined && bytes.subarray(0, LOG_HEADER_BYTE_LENGTH).some((byte) => byte !== 0)) {
      throw damaged(image, number, "its header has a wrong checksum, or is that of another version");
    }
    if (reader !== undefined && reader.header.number !== number) throw damaged(image, number, "it has another number");
    if (reader !== undefined && isOfThisBoot({ reader }) && reader.findDamage()) {
      throw damaged(image, number, `its records have a wrong checksum behind the first ${reader.recordCount}`);
    }
    if (reader !== undefined && reader.recordCount > 0) return { window, log, reader, number };
  } catch (error) {
    log.close();
    throw error;
  }
  log.close();
  return undefined;
}

/** The page cache that it was written to is still there: it can only have been cut by the death of a process. */
function isOfThisBoot({ reader }: Pick<OpenFile, "reader">): boolean {
  return reader.header.boot === bootId();
}

function parseBeginning({ payload }: LogRecord, image: string, number: number): Beginning {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString());
  } catch {}
  if (typeof value !== "object" || value === null || !("callback" in value) || !("eintr" in value)) {
    throw damaged(image, number, "how the run began is malformed");
  }
  const { callback, eintr } = value;
  const call = "call" in value ? parseCall(value.call, image, number) : undefined;
  const policy = "policy" in value ? parsePolicy(value.policy) : undefined;
  if ("policy" in value && policy === undefined) throw damaged(image, number, "how the run was kept is malformed");
  const wasi = "wasi" in value ? value.wasi : undefined;
  return { callback: callback === true, eintr: eintr === true, call, policy, wasi };
}

function parseCall(value: unknown, image: string, number: number): Beginning["call"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "object" && "name" in value && "args" in value && typeof value.name === "string") {
    const { name, args } = value;
    if (Array.isArray(args) && args.every((arg) => typeof arg === "string")) return { name, args: args as string[] };
  }
  throw damaged(image, number, "the call that it begins with is malformed");
}

function damaged(image: string, number: number, what: string): VermilionError {
  const next = "go on from the last persistence point without it (--no-replay), or start again (--fresh)";
  return new VermilionError(
    "IMAGE_DAMAGED",
    `${logPath(image, number)}: the log of host calls is damaged: ${what}; ${next}`,
  );
}
