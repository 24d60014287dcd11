/**
 * The records of the guest's calls: what the log says of a call that has been made.
 *
 * W1  The payload of a call that succeeded begins with what it has written into guest memory, in the order of calls.ts, or with
 *     the name of an earlier record that begins so. Behind it, each if its flag is set: clock, position, descriptors.
 *     Format: docs/image-format.md#log
 * W2  A call that was left, to be made again, has no record, and is marked no longer.
 */
import { descriptorsText, type GuestMemory, type Observer, RESTART, type SavedDescriptor } from "../../wasi/index.js";
import {
  type Arguments,
  type CallShape,
  type FixedOutput,
  type ProcessSizes,
  type Ranges,
  visitOutputs,
} from "./calls.js";
import { Flag, LONG_PAYLOAD } from "./format.js";
import { type LogWriter, MOST_BYTES_PER_UNIT } from "./writer.js";

/** What a record has besides the outputs of its call. */
export interface BesidesOutputs {
  readonly flags: number;
  readonly changed: readonly SavedDescriptor[] | undefined;
  readonly clock: boolean;
  readonly position: number | undefined;
}

export class CallRecords {
  /** Another one behind each persistence point. */
  writer: LogWriter;
  readonly #observer: Observer;
  readonly #memory: GuestMemory;
  readonly #sizes: ProcessSizes;
  /** Of a read: the count, and the bytes. */
  readonly #readRanges = [0, 4, 0, 0];

  constructor(writer: LogWriter, observer: Observer, memory: GuestMemory, sizes: ProcessSizes) {
    this.writer = writer;
    this.#observer = observer;
    this.#memory = memory;
    this.#sizes = sizes;
  }

  /** A call that has not succeeded; returns its result. */
  ended(kind: number, check: number, result: number | undefined): number | undefined {
    if (result === RESTART || result === undefined)
      this.writer.unmark(); // W2
    else {
      this.writer.open(0);
      this.writer.commit(kind | (result << 8), check);
    }
    return result;
  }

  /** A call that succeeded and whose only output are the 8 bytes at `at`; returns its result. */
  u64(kind: number, check: number, at: number): number {
    const memory = this.#memory;
    const { writer } = this;
    memory.has(at, 8);
    writer.open(8);
    writer.u32(memory.u32(at));
    writer.u32(memory.u32(at + 4));
    writer.commit(kind, check);
    return 0;
  }

  /** A read into one buffer that succeeded, its count at `at`; returns its result. */
  read(kind: number, check: number, at: number, pointer: number): number {
    const memory = this.#memory;
    const { writer } = this;
    const ranges = this.#readRanges;
    memory.has(at, 4);
    const moved = memory.u32(at);
    memory.has(pointer, moved);
    ranges[0] = at;
    ranges[2] = pointer;
    ranges[3] = moved;
    const same = moved + 4 >= LONG_PAYLOAD ? writer.recordOf(memory.bytes, ranges, moved + 4) : 0;
    if (same > 0) {
      writer.word(kind | Flag.SAME, check, same);
      return 0;
    }
    writer.open(moved + 4);
    writer.u32(moved);
    writer.bytes(memory.bytes, pointer, moved);
    writer.commit(kind, check);
    return 0;
  }

  /** A call that succeeded and whose outputs are as long as they ever are, words; returns its result. */
  words(kind: number, outputs: readonly FixedOutput[], args: Arguments, check: number): number {
    const memory = this.#memory;
    const { writer } = this;
    let byteLength = 0;
    for (let index = 0; index < outputs.length; index++) byteLength += outputs[index]!.byteLength;
    writer.open(byteLength);
    for (let index = 0; index < outputs.length; index++) {
      const output = outputs[index]!;
      const pointer = Number(args[output.at]) >>> 0;
      if (memory.has(pointer, output.byteLength)) writer.words(memory.view, pointer, output.byteLength);
    }
    writer.commit(kind, check);
    return 0;
  }

  /** A call that succeeded. */
  succeeded(shape: CallShape, args: Arguments, buffers: Ranges, check: number, more: BesidesOutputs): void {
    const { writer } = this;
    const ranges: number[] = []; // a new one: to empty an array is a call into the engine
    let outputs = 0;
    visitOutputs(shape, args, this.#memory, buffers, this.#sizes, (pointer, byteLength) => {
      ranges.push(pointer, byteLength);
      outputs += byteLength;
    });
    const text = more.changed === undefined ? undefined : descriptorsText(more.changed);
    let { flags } = more;
    const same = outputs >= LONG_PAYLOAD ? writer.recordOf(this.#memory.bytes, ranges, outputs) : 0;
    writer.open((same > 0 ? 4 : outputs) + 24 + (text?.length ?? 0) * MOST_BYTES_PER_UNIT);
    if (same > 0) {
      flags |= Flag.SAME;
      writer.u32(same);
    } else {
      for (let index = 0; index < ranges.length; index += 2) {
        writer.bytes(this.#memory.bytes, ranges[index]!, ranges[index + 1]!);
      }
    }
    if (more.clock) {
      flags |= Flag.CLOCK;
      writer.u64(this.#observer.monotonic());
    }
    if (more.position !== undefined) {
      flags |= Flag.POSITION;
      writer.f64(more.position);
    }
    if (text !== undefined) {
      flags |= Flag.CHANGED;
      writer.string(text);
    }
    writer.commit(shape.kind | flags, check);
  }
}
