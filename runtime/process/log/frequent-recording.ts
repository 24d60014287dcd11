/**
 * The calls that programs make by the million, recording, in closures of their own: a write of 64 bytes takes less than a
 * microsecond. Why they are written out: ../frequent-calls.ts.
 *
 * Each does what the recorder does for any call (R1, R2) in the case that is frequent, and leaves the others to the
 * recorder's own way, `general`.
 */
import { type GuestMemory, Landing } from "../../wasi/index.js";
import type { CallRecords } from "./call-records.js";
import { checkOf, checkOf3, checkOf4, checkOf5, kindOf, type SystemCall } from "./calls.js";
import type { Landings } from "./landings.js";

export interface RecordingParts {
  readonly records: CallRecords;
  readonly landings: Landings;
  readonly memory: GuestMemory;
}

type MakeRecording = (call: SystemCall, parts: RecordingParts, general: SystemCall) => SystemCall;

/** By name. */
export const FREQUENT_RECORDING: Readonly<Record<string, MakeRecording>> = {
  clock_time_get: readingClock,
  fd_pread: readingAt,
  fd_pwrite: writingAt,
  fd_read: reading,
  fd_seek: seeking,
  fd_write: writing,
};

/** A write to a file at its position, the most frequent call of all. */
function writing(call: SystemCall, { records, landings, memory }: RecordingParts, general: SystemCall): SystemCall {
  const kind = kindOf("fd_write");
  return (fd, iovecs, count, out) => {
    const landing = landings.of(fd as number);
    if (landing !== Landing.AT_POSITION && landing !== Landing.AT_STDIO_POSITION) {
      return general(fd!, iovecs!, count!, out!);
    }
    const { writer } = records;
    if (landing === Landing.AT_STDIO_POSITION) writer.mark(kind);
    const result = call(fd!, iovecs!, count!, out!);
    if (result !== 0)
      return records.ended(kind, checkOf4(fd as number, iovecs as number, count as number, out as number), result);
    memory.has((out as number) >>> 0, 4);
    const moved = memory.u32((out as number) >>> 0);
    writer.word(kind, checkOf4(fd as number, iovecs as number, count as number, out as number), moved);
    return 0;
  };
}

/** A write to a file, elsewhere. */
function writingAt(call: SystemCall, { records, landings, memory }: RecordingParts, general: SystemCall): SystemCall {
  const kind = kindOf("fd_pwrite");
  return (fd, iovecs, count, offset, out) => {
    const landing = landings.of(fd as number);
    if ((landing !== Landing.AT_POSITION && landing !== Landing.AT_STDIO_POSITION) || typeof offset !== "number") {
      return general(fd!, iovecs!, count!, offset!, out!);
    }
    const { writer } = records;
    writer.mark(kind);
    const result = call(fd!, iovecs!, count!, offset, out!);
    const check = checkOf5(fd as number, iovecs as number, count as number, offset, out as number);
    if (result !== 0) return records.ended(kind, check, result);
    memory.has((out as number) >>> 0, 4);
    writer.word(kind, check, memory.u32((out as number) >>> 0));
    return 0;
  };
}

/** A read into one buffer. */
function reading(call: SystemCall, { records, landings, memory }: RecordingParts, general: SystemCall): SystemCall {
  const kind = kindOf("fd_read");
  return (fd, iovecs, count, out) => {
    const list = (iovecs as number) >>> 0;
    const isShared = landings.of(fd as number) === Landing.AT_SHARED_POSITION;
    if (count !== 1 || isShared || !memory.has(list, 8)) return general(fd!, iovecs!, count!, out!);
    const pointer = memory.u32(list); // what is read may overwrite it
    records.writer.mark(kind);
    const result = call(fd!, iovecs!, count!, out!);
    const check = checkOf4(fd as number, iovecs as number, count, out as number);
    return result === 0
      ? records.read(kind, check, (out as number) >>> 0, pointer)
      : records.ended(kind, check, result);
  };
}

/** The same elsewhere in the file. */
function readingAt(call: SystemCall, { records, memory }: RecordingParts, general: SystemCall): SystemCall {
  const kind = kindOf("fd_pread");
  return (fd, iovecs, count, offset, out) => {
    const list = (iovecs as number) >>> 0;
    if (count !== 1 || typeof offset !== "number" || !memory.has(list, 8)) {
      return general(fd!, iovecs!, count!, offset!, out!);
    }
    const pointer = memory.u32(list);
    records.writer.mark(kind);
    const result = call(fd!, iovecs!, count, offset, out!);
    const check = checkOf5(fd as number, iovecs as number, count, offset, out as number);
    return result === 0
      ? records.read(kind, check, (out as number) >>> 0, pointer)
      : records.ended(kind, check, result);
  };
}

function seeking(call: SystemCall, { records }: RecordingParts): SystemCall {
  const kind = kindOf("fd_seek");
  return (fd, offset, whence, out) => {
    records.writer.mark(kind);
    const result = call(fd!, offset!, whence!, out!);
    const check =
      typeof offset === "number"
        ? checkOf4(fd as number, offset, whence as number, out as number)
        : checkOf([fd!, offset!, whence!, out!]);
    return result === 0 ? records.u64(kind, check, (out as number) >>> 0) : records.ended(kind, check, result);
  };
}

function readingClock(call: SystemCall, { records }: RecordingParts): SystemCall {
  const kind = kindOf("clock_time_get");
  return (id, precision, out) => {
    const result = call(id!, precision!, out!);
    const check =
      typeof precision === "number"
        ? checkOf3(id as number, precision, out as number)
        : checkOf([id!, precision!, out!]);
    return result === 0 ? records.u64(kind, check, (out as number) >>> 0) : records.ended(kind, check, result);
  };
}
