/**
 * The end of a replay: what became of the one call that the log may lack, and how the guest goes on.
 *
 * N1  An effect on files that must not be repeated is looked for, and made only if it is not there.
 * N2  A write at a known place is made again: the same bytes to the same place.
 * N3  What was sent to a pipe, a terminal or a socket leaves no trace; the user has chosen what to do.
 */
import { VermilionError } from "../../../pmem/error.js";
import { Errno, type GuestMemory, Landing, type Observer } from "../../wasi/index.js";
import type { Uncertain } from "../persistence-policy.js";
import { type Arguments, buffersOf, checkOf, nameOfKind, type Ranges, type SystemCall, shapeOf } from "./calls.js";
import { DONE, type Intent, withoutExclusive } from "./intents.js";
import type { Recorder } from "./recorder.js";
import type { OpenEnd } from "./replayer.js";

export interface ArrivalParts {
  readonly path: string;
  readonly observer: Observer;
  readonly memory: GuestMemory;
  readonly recorder: Recorder;
  readonly uncertain: Uncertain;
  readonly notice: (message: string) => void;
}

/** Makes the first call behind a replay. */
export class Arrival {
  readonly #end: OpenEnd;
  readonly #parts: ArrivalParts;
  /** The intent at the end of the log has come true; undefined: there is none, or it has not. */
  readonly #happened: Intent | undefined;

  constructor(end: OpenEnd, happened: Intent | undefined, parts: ArrivalParts) {
    this.#end = end;
    this.#parts = parts;
    this.#happened = happened;
  }

  /** `live` makes the call, `recording` the same and appends it to the log. */
  make(name: string, unstable: boolean, args: Arguments, live: SystemCall, recording: SystemCall): number | undefined {
    const { intent, append, begun } = this.#end;
    const { recorder } = this.#parts;
    this.#check(name, args);
    if (intent !== undefined && this.#happened !== undefined) {
      const call: SystemCall = name === "path_open" ? (...own) => live(...withoutExclusive(own)) : () => DONE;
      return recorder.makeAs(name, unstable, args, call, this.#happened);
    }
    if (append !== undefined) {
      return recorder.makeAs(name, unstable, args, (...own) => this.#append(name, append.end, own, live), undefined);
    }
    if (begun === undefined || intent !== undefined) return recording(...args);
    const landing = TRANSFERS.has(name) ? this.#parts.observer.landingOf(Number(args[0]) >>> 0) : Landing.NOWHERE;
    const writes = name !== "fd_read" && name !== "sock_recv";
    if (landing === Landing.IN_STREAM) {
      this.#tell(name, writes);
      if (!writes || this.#parts.uncertain === "repeat") return recording(...args);
      return recorder.makeAs(name, unstable, args, (...own) => this.#asWritten(own, this.#lengthOf(own)), undefined);
    }
    if (name === "fd_write" && (landing === Landing.AT_STDIO_POSITION || landing === Landing.AT_SHARED_POSITION)) {
      return recorder.makeAs(name, unstable, args, (...own) => this.#write(own, live), undefined);
    }
    return recording(...args);
  }

  /** The call that was under way is the one that comes now. LOG_DIVERGED. */
  #check(name: string, args: Arguments): void {
    const { intent, append, begun } = this.#end;
    const check = intent?.check ?? append?.check;
    const expected = intent?.intent.name ?? (begun === undefined ? undefined : nameOfKind(begun));
    if ((expected === undefined || expected === name) && (check === undefined || check === checkOf(args))) return;
    throw new VermilionError(
      "LOG_DIVERGED",
      `${this.#parts.path}: at the end of the log the program makes ${name}, and not the ${expected ?? "call"} that was ` +
        "under way; nothing was changed: go on from the last persistence point instead (--no-replay), or start again (--fresh)",
    );
  }

  #tell(name: string, writes: boolean): void {
    const { uncertain, notice } = this.#parts;
    if (!writes)
      notice(
        `a call of ${name} was under way when the process was killed: what it had taken is lost; it is made again`,
      );
    else if (uncertain === "repeat") {
      notice(
        `a call of ${name} was under way when the process was killed: it is made again, and its output may come twice`,
      );
    } else
      notice(
        `a call of ${name} was under way when the process was killed: it counts as made, and its output may be missing`,
      );
  }

  /** N1: at `end`, if anywhere, are the bytes of the append, or the first of them. */
  #append(name: string, end: number, args: Arguments, live: SystemCall): number | undefined {
    const { observer } = this.#parts;
    const fd = Number(args[0]) >>> 0;
    const bytes = this.#bytesOf(args);
    const there = observer.contentOf(fd, end, bytes.length);
    if (bytes.length > 0 && there.equals(bytes)) {
      if (name === "fd_write") observer.seek(fd, end + bytes.length);
      return this.#asWritten(args, bytes.length);
    }
    const same = commonLength(there, bytes);
    // A write that was cut short by the kill: the file ends with its first bytes.
    if (same > 0 && same === there.length) return this.#writeFrom(same, args, live);
    return live(...args);
  }

  /** N2. A position that others have moved since is theirs: what has been written then is not written again. */
  #write(args: Arguments, live: SystemCall): number | undefined {
    const { observer } = this.#parts;
    const fd = Number(args[0]) >>> 0;
    const bytes = this.#bytesOf(args);
    const wanted = observer.restoredPositionOf(fd);
    const now = observer.positionOf(fd);
    if (wanted === undefined || now <= wanted) return live(...args);
    if (now <= wanted + bytes.length) {
      observer.seek(fd, wanted);
      return live(...args);
    }
    if (observer.contentOf(fd, wanted, bytes.length).equals(bytes)) return this.#asWritten(args, bytes.length);
    return live(...args);
  }

  /** Writes what comes behind the first `skip` bytes, by a call with one buffer less. */
  #writeFrom(skip: number, args: Arguments, live: SystemCall): number | undefined {
    const { memory } = this.#parts;
    const list = Number(args[1]) >>> 0;
    const saved = memory.bytes.slice(list, list + Number(args[2]) * 8);
    let left = skip;
    for (let at = list; left > 0; at += 8) {
      const length = memory.u32(at + 4);
      const part = Math.min(left, length);
      memory.setU32(at, memory.u32(at) + part);
      memory.setU32(at + 4, length - part);
      left -= part;
    }
    const result = live(...args);
    memory.bytes.set(saved, list);
    const out = Number(args[args.length - 1]) >>> 0;
    if (result === Errno.SUCCESS) memory.setU32(out, memory.u32(out) + skip);
    return result;
  }

  /** The result of a write that has happened. */
  #asWritten(args: Arguments, byteLength: number): number {
    const { memory } = this.#parts;
    const out = Number(args[args.length - 1]) >>> 0;
    if (!memory.has(out, 4)) return Errno.FAULT;
    memory.setU32(out, byteLength);
    return Errno.SUCCESS;
  }

  #lengthOf(args: Arguments): number {
    return this.#bytesOf(args).length;
  }

  #bytesOf(args: Arguments): Buffer {
    const { memory } = this.#parts;
    const ranges: Ranges = buffersOf(shapeOf("fd_read", false), args, memory);
    const parts: Uint8Array[] = [];
    for (let index = 0; index < ranges.length; index += 2) {
      const pointer = ranges[index] ?? 0;
      const byteLength = ranges[index + 1] ?? 0;
      if (memory.has(pointer, byteLength)) parts.push(memory.bytes.slice(pointer, pointer + byteLength));
    }
    return Buffer.concat(parts);
  }
}

function commonLength(a: Buffer, b: Buffer): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

const TRANSFERS = new Set(["fd_read", "fd_write", "fd_pwrite", "sock_recv", "sock_send"]);
