import { WASM_PAGE_BYTE_LENGTH } from "../../wasm/module.js";
import { damaged } from "./damage.js";

const REASONS = ["period", "calls", "request", "guest", "failure", "return", "trap"] as const;

/**
 * Why a persistence point was made: a period had passed, so many host calls were made, somebody asked for it (a command, a
 * signal, a program), the guest did; a power failure, the return of an instance's call, a trap.
 */
export type EpochReason = (typeof REASONS)[number];

/** Which epochs stay when there are new ones. The current one and pinned ones always do. */
export interface KeepPolicy {
  /** How many at least, the newest of the line that leads to the current one. */
  readonly epochs: number;
  /** And all that are not older than this; null: age does not matter. */
  readonly milliseconds: number | null;
}

export const KEEP_LAST: KeepPolicy = { epochs: 1, milliseconds: null };

/** What an epoch says about itself, for the history: plain JSON, the section "epoch" of its state file. */
export interface EpochRecord {
  /** The epoch that this one went on from; null: none, it began with the program. */
  readonly parent: number | null;
  /** Every epoch that ever was from this number on, up to this one, is on the line that led here. Null: not known, of early images. */
  readonly unbranchedSince: number | null;
  /** Wall clock, milliseconds since 1970. */
  readonly at: number;
  readonly why: EpochReason;
  /** Pages of 4 KiB that were written to the page store for it. */
  readonly pagesWritten: number;
  /** Host calls that the program has made since its beginning. */
  readonly hostCalls: number;
  /** Of each linear memory, in bytes. */
  readonly memoryByteLengths: readonly number[];
  /** Files in `open-files` that it needs. */
  readonly keptFiles: readonly string[];
  /** For the runs that go on from here and are not told otherwise. */
  readonly keep: KeepPolicy;
  /** Of a trap: what the engine says, and the functions that were running, innermost first. */
  readonly trap: TrapRecord | null;
}

export interface TrapRecord {
  readonly message: string;
  readonly frames: readonly TrapFrame[];
}

export interface TrapFrame {
  readonly functionIndex: number;
}

const MAX_MEMORY_BYTES = 2 ** 32;

/** An image may come from others: each field is checked. IMAGE_DAMAGED. */
export function parseEpochRecord(value: unknown, path: string): EpochRecord {
  const record = isObject(value) ? value : {};
  const {
    parent,
    unbranchedSince = null,
    at,
    why,
    pagesWritten,
    hostCalls,
    memoryByteLengths,
    keptFiles,
    keep,
    trap,
  } = record;
  const reason = REASONS.find((known) => known === why);
  if (
    !(parent === null || isCount(parent)) ||
    !(unbranchedSince === null || isCount(unbranchedSince)) ||
    !isCount(at) ||
    reason === undefined ||
    !isCount(pagesWritten) ||
    !isCount(hostCalls) ||
    !isListOf(memoryByteLengths, isMemoryByteLength) ||
    !isListOf(keptFiles, isKeptFile) ||
    !isKeepPolicy(keep) ||
    !(trap === null || isTrap(trap))
  ) {
    throw damaged(path, "what it says about its epoch is malformed");
  }
  return {
    parent,
    unbranchedSince,
    at,
    why: reason,
    pagesWritten,
    hostCalls,
    memoryByteLengths,
    keptFiles,
    keep,
    trap,
  };
}

/** As a name in `open-files`; never a path. */
export function isKeptFile(value: unknown): value is string {
  return typeof value === "string" && /^file-[0-9a-f]+-[0-9a-f]+$/.test(value);
}

type Fields = Readonly<Record<keyof EpochRecord | keyof KeepPolicy | keyof TrapRecord | keyof TrapFrame, unknown>>;

function isObject(value: unknown): value is Partial<Fields> {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isMemoryByteLength(value: unknown): value is number {
  return isCount(value) && value <= MAX_MEMORY_BYTES && value % WASM_PAGE_BYTE_LENGTH === 0;
}

function isListOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): value is readonly Item[] {
  return Array.isArray(value) && value.every(isItem);
}

function isKeepPolicy(value: unknown): value is KeepPolicy {
  if (!isObject(value) || !isCount(value.epochs) || value.epochs === 0) return false;
  return value.milliseconds === null || isCount(value.milliseconds);
}

function isTrap(value: unknown): value is TrapRecord {
  return isObject(value) && typeof value.message === "string" && isListOf(value.frames, isTrapFrame);
}

function isTrapFrame(value: unknown): value is TrapFrame {
  return isObject(value) && isCount(value.functionIndex);
}
