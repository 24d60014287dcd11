/**
 * Makes the guest's host calls and appends to the log what each has returned.
 *
 * R1  A record is appended after its call and before the guest goes on. So a killed process lacks the record of one call at
 *     most, the last that it made.
 * R2  Before a call whose effect must not be repeated, an intent is appended with what tells afterwards whether it happened
 *     (intents.ts). Before any other call its kind is marked: then, and only then, is it unknown whether it was made.
 * R3  The descriptors here are those that a replay of the log would have, but for their positions.
 *
 * The calls that programs make by the million have closures of their own: a write of 64 bytes takes less than a microsecond.
 */

import type { GuestMemory } from "../../wasi/index.js";
import { Landing, type Observer, RESTART, type SavedDescriptor } from "../../wasi/index.js";
import { keptFilesOf } from "../open-files.js";
import { type Traits, traitsOf } from "./call-traits.js";
import {
  buffersOf,
  type CallShape,
  checkOf,
  checkOf3,
  checkOf4,
  kindOf,
  type ProcessSizes,
  shapeOf,
  visitOutputs,
} from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";
import { Flag, Kind, LONG_PAYLOAD } from "./format.js";
import { type Intent, intentOf, noteNames } from "./intents.js";
import { type LogWriter, MOST_BYTES_PER_UNIT } from "./writer.js";

export type SystemCall = (...args: (number | bigint)[]) => number | undefined;
type SystemCalls = Readonly<Record<string, SystemCall>>;

const UNKNOWN = 255;
/** Descriptors from here on are asked about each time. */
const LANDINGS = 4096;

export interface RecorderParts {
  readonly model: DescriptorModel;
  readonly observer: Observer;
  readonly memory: GuestMemory;
  readonly sizes: ProcessSizes;
  /** The log is flushed before output leaves the machine. */
  readonly flushBeforeOutput: boolean;
}

export class Recorder {
  writer: LogWriter;
  readonly #model: DescriptorModel;
  readonly #observer: Observer;
  readonly #memory: GuestMemory;
  readonly #sizes: ProcessSizes;
  readonly #flushBeforeOutput: boolean;
  readonly #landings = new Uint8Array(LANDINGS).fill(UNKNOWN);
  /** Ranges of the call that is being noted. */
  readonly #ranges: number[] = [];
  #byteLength = 0;

  constructor(writer: LogWriter, parts: RecorderParts) {
    this.writer = writer;
    this.#model = parts.model;
    this.#observer = parts.observer;
    this.#memory = parts.memory;
    this.#sizes = parts.sizes;
    this.#flushBeforeOutput = parts.flushBeforeOutput;
  }

  /** The calls, recording; `unstable`: of wasi_unstable. */
  wrap(live: SystemCalls, unstable: boolean): SystemCalls {
    const wrapped: Record<string, SystemCall> = {};
    for (const [name, call] of Object.entries(live)) wrapped[name] = this.#general(name, call, unstable);
    const { fd_read, fd_seek, fd_write, clock_time_get } = live;
    if (fd_read !== undefined) wrapped["fd_read"] = this.#reading(fd_read, wrapped["fd_read"] as SystemCall);
    if (fd_seek !== undefined) wrapped["fd_seek"] = this.#seeking(fd_seek);
    if (fd_write !== undefined) wrapped["fd_write"] = this.#writing(fd_write, wrapped["fd_write"] as SystemCall);
    if (clock_time_get !== undefined) wrapped["clock_time_get"] = this.#readingClock(clock_time_get);
    return wrapped;
  }

  /** Names in the keep-alive directory that the open descriptors have. */
  keptFiles(): readonly string[] {
    return keptFilesOf(this.#model.descriptors);
  }

  /** memory.grow is no host call of the guest's, but what it returns depends on the host. */
  grow(memory: number, byteLength: number, allowed: boolean): void {
    const { writer } = this;
    writer.open(12);
    writer.u32(memory);
    writer.u64(BigInt(byteLength));
    writer.commit(Kind.GROW | (allowed ? 1 << 8 : 0), 0);
  }

  /** What a call that a failure had interrupted returned instead of going on. */
  interrupted(name: string, args: readonly (number | bigint)[], result: number): void {
    const { writer } = this;
    writer.open(4);
    if (result === 0) writer.u32(this.#outputOf(args, name === "sock_send" ? 4 : 3));
    writer.commit(Kind.INTERRUPTED | (result << 8), checkOf(args));
  }

  /** Descriptors are otherwise than the calls have left them. */
  descriptors(changed: readonly SavedDescriptor[]): void {
    this.#model.take(changed);
    this.writer.text(Kind.DESCRIPTORS, 0, JSON.stringify(changed));
  }

  /** A write to a file at its position, the most frequent call of all. */
  #writing(call: SystemCall, general: SystemCall): SystemCall {
    const kind = kindOf("fd_write");
    const memory = this.#memory;
    return (fd, iovecs, count, out) => {
      const landing = this.#landingOf(fd as number);
      if (landing !== Landing.AT_POSITION && landing !== Landing.AT_STDIO_POSITION) {
        return general(fd!, iovecs!, count!, out!);
      }
      const { writer } = this;
      if (landing === Landing.AT_STDIO_POSITION) writer.mark(kind);
      const result = call(fd!, iovecs!, count!, out!);
      if (result !== 0)
        return this.#ended(kind, checkOf4(fd as number, iovecs as number, count as number, out as number), result);
      memory.has((out as number) >>> 0, 4);
      const moved = memory.u32((out as number) >>> 0);
      writer.word(kind, checkOf4(fd as number, iovecs as number, count as number, out as number), moved);
      return 0;
    };
  }

  /** A read into one buffer. */
  #reading(call: SystemCall, general: SystemCall): SystemCall {
    const kind = kindOf("fd_read");
    const memory = this.#memory;
    /** Where the count is, and the bytes. */
    const ranges = [0, 4, 0, 0];
    return (fd, iovecs, count, out) => {
      const list = (iovecs as number) >>> 0;
      const isShared = this.#landingOf(fd as number) === Landing.AT_SHARED_POSITION;
      if (count !== 1 || isShared || !memory.has(list, 8)) return general(fd!, iovecs!, count!, out!);
      const { writer } = this;
      const pointer = memory.u32(list); // what is read may overwrite it
      writer.mark(kind);
      const result = call(fd!, iovecs!, count!, out!);
      const check = checkOf4(fd as number, iovecs as number, count, out as number);
      if (result !== 0) return this.#ended(kind, check, result);
      const at = (out as number) >>> 0;
      memory.has(at, 4);
      const moved = memory.u32(at);
      memory.has(pointer, moved);
      ranges[0] = at;
      ranges[2] = pointer;
      ranges[3] = moved;
      const same = moved + 4 >= LONG_PAYLOAD ? writer.recordOf(memory.bytes, ranges, moved + 4) : 0;
      if (same > 0) {
        writer.open(4);
        writer.u32(same);
        writer.commit(kind | Flag.SAME, check);
        return 0;
      }
      writer.open(moved + 4);
      writer.u32(moved);
      writer.bytes(memory.bytes, pointer, moved);
      writer.commit(kind, check);
      return 0;
    };
  }

  #seeking(call: SystemCall): SystemCall {
    const kind = kindOf("fd_seek");
    return (fd, offset, whence, out) => {
      this.writer.mark(kind);
      const result = call(fd!, offset!, whence!, out!);
      const check =
        typeof offset === "number"
          ? checkOf4(fd as number, offset, whence as number, out as number)
          : checkOf([fd!, offset!, whence!, out!]);
      return result === 0 ? this.#noteU64(kind, check, (out as number) >>> 0) : this.#ended(kind, check, result);
    };
  }

  #readingClock(call: SystemCall): SystemCall {
    const kind = kindOf("clock_time_get");
    return (id, precision, out) => {
      const result = call(id!, precision!, out!);
      const check =
        typeof precision === "number"
          ? checkOf3(id as number, precision, out as number)
          : checkOf([id!, precision!, out!]);
      return result === 0 ? this.#noteU64(kind, check, (out as number) >>> 0) : this.#ended(kind, check, result);
    };
  }

  /** The only output of a call. */
  #noteU64(kind: number, check: number, at: number): number {
    const memory = this.#memory;
    const { writer } = this;
    memory.has(at, 8);
    writer.open(8);
    writer.u32(memory.u32(at));
    writer.u32(memory.u32(at + 4));
    writer.commit(kind, check);
    return 0;
  }

  #general(name: string, call: SystemCall, unstable: boolean): SystemCall {
    const shape = shapeOf(name, unstable);
    const traits = traitsOf(name);
    const { transfers, outgoing, mayIntend } = traits;
    return (...args) => {
      const { writer } = this;
      const check = checkOf(args);
      const landing = transfers ? this.#landingOf(args[0] as number) : Landing.NOWHERE;
      if (outgoing && landing === Landing.IN_STREAM && this.#flushBeforeOutput) writer.flush();
      let intent: Intent | undefined;
      if (outgoing && landing === Landing.AT_END) {
        writer.open(8);
        writer.u64(this.#observer.endOf(Number(args[0]) >>> 0));
        writer.commit(Kind.APPEND_INTENT, check);
      } else if (mayIntend) {
        intent = intentOf(name, args, this.#observer, this.#model);
        if (intent !== undefined) writer.text(Kind.INTENT, check, JSON.stringify(intent));
      }
      return this.#make(traits, shape, args, call, check, landing, intent);
    };
  }

  /**
   * Makes a call whose intent, if it has one, is in the log: in place of the guest's, when it is known already what has
   * become of that.
   */
  makeAs(
    name: string,
    unstable: boolean,
    args: readonly (number | bigint)[],
    call: SystemCall,
    intent: Intent | undefined,
  ): number | undefined {
    const traits = traitsOf(name);
    const landing = traits.transfers ? this.#landingOf(Number(args[0])) : Landing.NOWHERE;
    return this.#make(traits, shapeOf(name, unstable), args, call, checkOf(args), landing, intent);
  }

  #make(
    { name, positioned, closes, moves, changes }: Traits,
    shape: CallShape,
    args: readonly (number | bigint)[],
    call: SystemCall,
    check: number,
    landing: number,
    intent: Intent | undefined,
  ): number | undefined {
    this.writer.mark(shape.kind);
    const buffers = buffersOf(shape, args, this.#memory);
    const result = call(...args);
    if (result !== 0) return this.#ended(shape.kind, check, result);
    if (intent?.kept !== undefined) this.#observer.kept(intent.kept.numbers, intent.kept.name);
    if (intent !== undefined) noteNames(intent, this.#model);
    if (intent?.after !== undefined) this.#model.take(intent.after);
    const shared = positioned && landing === Landing.AT_SHARED_POSITION;
    this.#note(shape, args, buffers, check, {
      flags: intent === undefined ? 0 : Flag.INTENDED,
      changed: changes ? this.#changed(name, args) : undefined,
      clock: name === "poll_oneoff",
      position: shared ? this.#observer.positionOf(Number(args[0]) >>> 0) : undefined,
    });
    if (closes) {
      this.#model.called({ name, args, result: 0, value: 0, position: undefined });
    }
    if (moves) this.#landings.fill(UNKNOWN);
    return 0;
  }

  #ended(kind: number, check: number, result: number | undefined): number | undefined {
    if (result === RESTART || result === undefined)
      this.writer.unmark(); // nothing has happened
    else {
      this.writer.open(0);
      this.writer.commit(kind | (result << 8), check);
    }
    return result;
  }

  #landingOf(fd: number): number {
    if (!(fd >= 0 && fd < LANDINGS)) return this.#observer.landingOf(fd >>> 0);
    let landing = this.#landings[fd]!;
    if (landing === UNKNOWN) {
      landing = this.#observer.landingOf(fd);
      this.#landings[fd] = landing;
    }
    return landing;
  }

  /** The descriptors that a successful call has made or altered. */
  #changed(name: string, args: readonly (number | bigint)[]): readonly SavedDescriptor[] | undefined {
    const saved = this.#saved(name, args);
    if (saved === undefined) return undefined;
    const changed = [saved];
    this.#model.take(changed);
    return changed;
  }

  #saved(name: string, args: readonly (number | bigint)[]): SavedDescriptor | undefined {
    const observer = this.#observer;
    if (name === "sock_accept") return observer.save(this.#outputOf(args, 2));
    if (name !== "path_open") return observer.save(Number(args[0]) >>> 0);
    const fd = this.#outputOf(args, 8);
    return observer.saveOpened(fd, Number(args[0]) >>> 0, Number(args[2]), Number(args[3]));
  }

  /** The u32 that a successful call has written where an argument says. */
  #outputOf(args: readonly (number | bigint)[], index: number): number {
    const at = Number(args[index]) >>> 0;
    this.#memory.has(at, 4);
    return this.#memory.u32(at);
  }

  #note(
    shape: CallShape,
    args: readonly (number | bigint)[],
    buffers: readonly number[],
    check: number,
    more: {
      readonly flags: number;
      readonly changed: readonly SavedDescriptor[] | undefined;
      readonly clock: boolean;
      readonly position: number | undefined;
    },
  ): void {
    const { writer } = this;
    const ranges = this.#ranges;
    ranges.length = 0;
    this.#byteLength = 0;
    const { fixed } = shape;
    if (fixed === undefined) {
      visitOutputs(shape, args, this.#memory, buffers, this.#sizes, (pointer, byteLength) => {
        ranges.push(pointer, byteLength);
        this.#byteLength += byteLength;
      });
    } else {
      // The same, without a closure.
      for (let index = 0; index < fixed.length; index++) {
        const { at, byteLength } = fixed[index]!;
        const pointer = Number(args[at]) >>> 0;
        if (!this.#memory.has(pointer, byteLength)) continue;
        ranges.push(pointer, byteLength);
        this.#byteLength += byteLength;
      }
    }
    const text = more.changed === undefined ? undefined : JSON.stringify(more.changed);
    let { flags } = more;
    const isLong = this.#byteLength >= LONG_PAYLOAD;
    const same = isLong ? writer.recordOf(this.#memory.bytes, ranges, this.#byteLength) : 0;
    writer.open((same > 0 ? 4 : this.#byteLength) + 24 + (text?.length ?? 0) * MOST_BYTES_PER_UNIT);
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
