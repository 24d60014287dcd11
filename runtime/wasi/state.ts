import { VermilionError } from "../../pmem/error.js";
import { FDFLAGS_ALL, RIGHTS_ALL } from "./abi.js";
import type { ClockReadings } from "./clock.js";
import { INTERRUPTED_MAXIMUM, type InterruptedCall } from "./interrupted.js";

/**
 * The saved state of the system interface: plain data that JSON carries, 64-bit numbers as decimal strings.
 * It may come from anybody. Everything here is checked before it is used, and nothing in it names a place outside the
 * directories that are granted again: docs/image-format.md#system-interface.
 */
export const WASI_STATE_VERSION = 1;

/** Beneath the nth preopen of that guest name, or in the directory of kept files. */
export type Place = { readonly guest: string; readonly nth: number; readonly path: string } | { readonly kept: string };

interface Common {
  readonly number: number;
  readonly rights: number;
  readonly inheriting: number;
  readonly fdflags: number;
}

/** Of a regular file when it was saved; a difference means that somebody changed it. */
export interface SavedFacts {
  readonly inode: string;
  /** Absent, both: the guest has written to it since, and a log of its calls tells no more. */
  readonly byteLength?: string | undefined;
  /** Nanoseconds since 1970. */
  readonly modified?: string | undefined;
}

export interface SavedIdentity {
  readonly device: string;
  readonly inode: string;
  readonly links: string;
}

export type SavedDescriptor = Common &
  (
    | {
        readonly kind: "stdio";
        readonly stream: 0 | 1 | 2;
        /** For a regular file: where the next byte is read or written. */
        readonly offset?: string | undefined;
        readonly inode?: string | undefined;
      }
    | {
        readonly kind: "preopen";
        readonly guest: string;
        readonly nth: number;
        readonly listing?: string | undefined;
      }
    /** Without a place: removed while open. `listing` is base64. */
    | { readonly kind: "directory"; readonly place?: Place | undefined; readonly listing?: string | undefined }
    | {
        readonly kind: "file";
        readonly place: Place;
        readonly readable: boolean;
        readonly writable: boolean;
        readonly offset?: string | undefined;
        readonly facts?: SavedFacts | undefined;
        readonly identity?: SavedIdentity | undefined;
      }
    /** `port` is the one the system chose, when the address says 0. */
    | { readonly kind: "listener"; readonly address: string; readonly port: number }
    | { readonly kind: "reset"; readonly told: boolean }
    | { readonly kind: "lost"; readonly path: string }
  );

export interface SavedState {
  readonly version: number;
  readonly clocks: { readonly [Name in keyof ClockReadings]: string };
  readonly interrupted: readonly {
    readonly name: string;
    readonly key: readonly number[];
    readonly startedAt: string;
    readonly bytesMoved: number;
  }[];
  readonly descriptors: readonly SavedDescriptor[];
}

const NUMBERS_MAXIMUM = 1 << 20;

/** IMAGE_DAMAGED: the state is not of the form above. */
export function parseState(value: unknown): SavedState {
  const state = object(value, "the state");
  if (state["version"] !== WASI_STATE_VERSION) damaged(`its version is ${JSON.stringify(state["version"])}`);
  const clocks = object(state["clocks"], "clocks");
  return {
    version: WASI_STATE_VERSION,
    clocks: {
      monotonic: u63(clocks["monotonic"], "the monotonic clock"),
      processCpu: u63(clocks["processCpu"], "the process clock"),
      threadCpu: u63(clocks["threadCpu"], "the thread clock"),
    },
    interrupted: array(state["interrupted"], "interrupted calls", INTERRUPTED_MAXIMUM).map((entry) => {
      const call = object(entry, "an interrupted call");
      return {
        name: text(call["name"], "the name of a call"),
        key: array(call["key"], "the key of a call", 3).map((part) => integer(part, "a key", -(2 ** 31), 2 ** 32)),
        startedAt: u63(call["startedAt"], "the start of a call"),
        bytesMoved: integer(call["bytesMoved"], "a byte count", 0, 2 ** 32),
      };
    }),
    descriptors: parseDescriptors(state["descriptors"]),
  };
}

/** IMAGE_DAMAGED. */
export function parseDescriptors(value: unknown): SavedDescriptor[] {
  const numbers = new Set<number>();
  return array(value, "descriptors", NUMBERS_MAXIMUM).map((entry) => {
    const descriptor = parseDescriptor(object(entry, "a descriptor"));
    if (numbers.has(descriptor.number)) damaged(`descriptor ${descriptor.number} is there twice`);
    numbers.add(descriptor.number);
    return descriptor;
  });
}

export function parseInterrupted(calls: SavedState["interrupted"]): InterruptedCall[] {
  return calls.map((call) => ({ ...call, startedAt: BigInt(call.startedAt) }));
}

type Fields = Readonly<Record<string, unknown>>;

function parseDescriptor(fields: Fields): SavedDescriptor {
  const common = {
    number: integer(fields["number"], "a descriptor's number", 0, NUMBERS_MAXIMUM),
    rights: integer(fields["rights"], "rights", 0, RIGHTS_ALL),
    inheriting: integer(fields["inheriting"], "rights", 0, RIGHTS_ALL),
    fdflags: integer(fields["fdflags"], "flags", 0, FDFLAGS_ALL),
  };
  const { kind } = fields;
  switch (kind) {
    case "stdio": {
      const stream = integer(fields["stream"], "a stream", 0, 2) as 0 | 1 | 2;
      const offset = optional(fields["offset"], (offset) => u63(offset, "an offset"));
      return { ...common, kind, stream, offset, inode: optional(fields["inode"], (inode) => u64(inode, "an inode")) };
    }
    case "preopen":
      return { ...common, kind, ...parseNth(fields), listing: optional(fields["listing"], base64) };
    case "directory":
      return {
        ...common,
        kind,
        place: optional(fields["place"], parsePlace),
        listing: optional(fields["listing"], base64),
      };
    case "file":
      return {
        ...common,
        kind,
        place: parsePlace(fields["place"]),
        readable: boolean(fields["readable"], "readable"),
        writable: boolean(fields["writable"], "writable"),
        offset: optional(fields["offset"], (offset) => u63(offset, "an offset")),
        facts: optional(fields["facts"], parseFacts),
        identity: optional(fields["identity"], parseIdentity),
      };
    case "listener":
      return {
        ...common,
        kind,
        address: text(fields["address"], "an address"),
        port: integer(fields["port"], "a port", 0, 65535),
      };
    case "reset":
      return { ...common, kind, told: boolean(fields["told"], "told") };
    case "lost":
      return { ...common, kind, path: text(fields["path"], "a path") };
    default:
      return damaged(`a descriptor is of the kind ${JSON.stringify(kind)}`);
  }
}

function parseNth(fields: Fields): { guest: string; nth: number } {
  return {
    guest: text(fields["guest"], "a directory's name"),
    nth: integer(fields["nth"], "a directory's number", 0, NUMBERS_MAXIMUM),
  };
}

/** Names that `keep` makes; nothing that could name another place. */
const KEPT_NAME = /^file-[0-9a-f]+-[0-9a-f]+$/;

/** IMAGE_DAMAGED. */
export function parsePlace(value: unknown): Place {
  const fields = object(value, "a place");
  if (fields["kept"] !== undefined) {
    const kept = text(fields["kept"], "a kept file");
    if (!KEPT_NAME.test(kept)) damaged("a kept file has a name that we do not give");
    return { kept };
  }
  const path = text(fields["path"], "a path");
  if (path.includes("\0") || Buffer.byteLength(path) > 4095) damaged("a path is not one");
  return { ...parseNth(fields), path };
}

function parseFacts(value: unknown): SavedFacts {
  const facts = object(value, "a file's facts");
  return {
    inode: u64(facts["inode"], "an inode"),
    byteLength: optional(facts["byteLength"], (length) => u64(length, "a length")),
    modified: optional(facts["modified"], (time) => integerText(time, "a time")),
  };
}

function parseIdentity(value: unknown): SavedIdentity {
  const identity = object(value, "an identity");
  return {
    device: u64(identity["device"], "a device"),
    inode: u64(identity["inode"], "an inode"),
    links: u64(identity["links"], "a link count"),
  };
}

function damaged(what: string): never {
  throw new VermilionError(
    "IMAGE_DAMAGED",
    `the saved state of files and clocks cannot be used: ${what}; resume from another epoch, or start over`,
  );
}

function object(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) damaged(`${what} is not an object`);
  return value as Fields;
}

function array(value: unknown, what: string, maximum: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > maximum) damaged(`${what}: not a list of at most ${maximum}`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") damaged(`${what} is not text`);
  return value;
}

function boolean(value: unknown, what: string): boolean {
  if (typeof value !== "boolean") damaged(`${what} is neither true nor false`);
  return value;
}

function integer(value: unknown, what: string, minimum: number, maximum: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < minimum || value > maximum) {
    damaged(`${what} is not a whole number from ${minimum} to ${maximum}`);
  }
  return value;
}

function integerText(value: unknown, what: string): string {
  if (typeof value !== "string" || !/^-?[0-9]{1,20}$/.test(value)) damaged(`${what} is not a number`);
  return value;
}

function u64(value: unknown, what: string): string {
  const digits = integerText(value, what);
  if (BigInt.asUintN(64, BigInt(digits)) !== BigInt(digits)) damaged(`${what} is not a number of 64 bits`);
  return digits;
}

function u63(value: unknown, what: string): string {
  const digits = integerText(value, what);
  if (BigInt.asUintN(63, BigInt(digits)) !== BigInt(digits)) damaged(`${what} is not a number of 63 bits`);
  return digits;
}

function base64(value: unknown): string {
  const encoded = text(value, "a listing");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) damaged("a listing is not base64");
  return encoded;
}

function optional<T>(value: unknown, parse: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : parse(value);
}
