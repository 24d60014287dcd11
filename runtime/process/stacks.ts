/**
 * Saved activations: the stacks of a process, and the frames in each.
 *
 * A process may have several stacks: the callback that tells of a power failure runs on top of the program it
 * interrupted. `tasks` lists them bottom first; each is one call by the host (the start function, the
 * initializer of a reactor, the entry, the callback) with the frames that were saved of it, or none when it has not begun.
 *
 * The bytes come from an image and are untrusted: every place is looked up in the module, every length and every
 * result type along the chain is checked before a frame is used.
 */
import { VermilionError } from "../../pmem/error.js";
import type { ContinuationBuilder } from "../instrument/continuation.js";
import type { Place } from "../instrument/places.js";
import type { ValueType } from "../wasm/value-types.js";

export type TaskKind = "start" | "initialize" | "entry" | "callback";

export interface Task {
  readonly kind: TaskKind;
  /** Records of the frame stack; undefined: not begun. */
  readonly frames: Uint8Array | undefined;
}

/** A call of an exported function by the host. */
export interface EntryCall {
  readonly exportName: string;
  readonly args: readonly (number | bigint)[];
}

export interface Stacks {
  readonly entry: EntryCall;
  /** Bottom first. */
  readonly tasks: readonly Task[];
}

/** One saved activation, as `frames` lists them: outermost first. */
export interface Frame {
  readonly place: Place;
  readonly name: number;
  /** Offset of the name in the stack's bytes. */
  readonly nameOffset: number;
  /** Offset of the values. */
  readonly valuesOffset: number;
}

/** Bytes behind a frame's values: their length, and the place. */
export const RECORD_TRAILER = 8;
const KINDS: readonly TaskKind[] = ["start", "initialize", "entry", "callback"];

interface Header {
  readonly exportName: string;
  readonly args: readonly (readonly ["number" | "bigint", string])[];
  readonly tasks: readonly { readonly kind: TaskKind; readonly byteLength: number }[];
}

const NOT_BEGUN = -1;
/** Of the header, before it. */
const LENGTH_BYTES = 4;

export function encodeStacks({ entry, tasks }: Stacks): Uint8Array {
  const header: Header = {
    exportName: entry.exportName,
    args: entry.args.map((arg) => [typeof arg === "bigint" ? "bigint" : "number", String(arg)]),
    tasks: tasks.map(({ kind, frames }) => ({ kind, byteLength: frames?.length ?? NOT_BEGUN })),
  };
  const text = Buffer.from(JSON.stringify(header));
  const framesByteLength = tasks.reduce((sum, { frames }) => sum + (frames?.length ?? 0), 0);
  const bytes = new Uint8Array(LENGTH_BYTES + text.length + framesByteLength);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, LENGTH_BYTES);
  let offset = LENGTH_BYTES + text.length;
  for (const { frames } of tasks) {
    if (frames === undefined) continue;
    bytes.set(frames, offset);
    offset += frames.length;
  }
  return bytes;
}

/** Of one task. */
export function countFrames(frames: Uint8Array | undefined): number {
  if (frames === undefined) return 0;
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  let count = 0;
  for (let end = frames.length; end >= RECORD_TRAILER; count++)
    end -= RECORD_TRAILER + view.getUint32(end - RECORD_TRAILER, true);
  return count;
}

function damaged(reason: string): never {
  throw new VermilionError("IMAGE_DAMAGED", `the saved stacks do not fit the program: ${reason}; nothing was resumed`);
}

export function decodeStacks(bytes: Uint8Array): Stacks {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < LENGTH_BYTES) damaged("too short");
  const textLength = buffer.readUInt32LE(0);
  if (LENGTH_BYTES + textLength > buffer.length) damaged("the header is longer than the section");
  let header: Header;
  try {
    header = JSON.parse(buffer.toString("utf8", LENGTH_BYTES, LENGTH_BYTES + textLength)) as Header;
  } catch {
    damaged("the header is no JSON");
  }
  if (typeof header?.exportName !== "string" || !Array.isArray(header.args) || !Array.isArray(header.tasks)) {
    damaged("the header lacks a field");
  }
  let offset = LENGTH_BYTES + textLength;
  const tasks = header.tasks.map(({ kind, byteLength }): Task => {
    if (!KINDS.includes(kind) || !Number.isSafeInteger(byteLength) || byteLength < NOT_BEGUN) damaged("a task is odd");
    if (byteLength === NOT_BEGUN) return { kind, frames: undefined };
    if (offset + byteLength > buffer.length) damaged("frames are missing");
    const frames = buffer.subarray(offset, offset + byteLength);
    offset += byteLength;
    return { kind, frames };
  });
  if (offset !== buffer.length) damaged("bytes are left over");
  const args = header.args.map(([type, text]) => {
    if (typeof text !== "string" || !/^(-?[0-9.e+-]+|NaN|-?Infinity)$/.test(text)) damaged("an argument is odd");
    return type === "bigint" ? BigInt(text) : Number(text);
  });
  return { entry: { exportName: header.exportName, args }, tasks };
}

function sameTypes(a: readonly ValueType[], b: readonly ValueType[]): boolean {
  return a.length === b.length && a.every((type, i) => type === b[i]);
}

/**
 * The frames of one stack, outermost first, each checked against the module.
 *
 * @throws VermilionError IMAGE_DAMAGED when a record, a place or a type along the chain does not fit.
 */
export function readFrames(bytes: Uint8Array, continuations: ContinuationBuilder): Frame[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Frame[] = [];
  let end = bytes.byteLength;
  let expected: readonly ValueType[] | undefined;
  while (end > 0) {
    if (end < RECORD_TRAILER) damaged("a record is cut off");
    const name = view.getUint32(end - 4, true);
    const byteLength = view.getUint32(end - RECORD_TRAILER, true);
    const valuesOffset = end - RECORD_TRAILER - byteLength;
    const place = continuations.place(name);
    if (place === undefined) damaged(`no place ${name} in the module`);
    if (valuesOffset < 0 || byteLength !== place.byteLength) damaged(`a frame of place ${name} has a wrong length`);
    if (frames.length > 0) {
      if (expected === undefined) damaged(`a frame lies inside place ${name}, which calls nothing`);
      if (!sameTypes(expected, place.results)) damaged(`the call around place ${name} expects other results`);
    }
    expected = place.calleeResults;
    frames.push({ place, name, nameOffset: end - 4, valuesOffset });
    end = valuesOffset;
  }
  if (frames.length === 0) damaged("a stack that has begun has no frames");
  if (expected !== undefined) damaged("the innermost frame waits for a call that was not saved");
  return frames;
}
