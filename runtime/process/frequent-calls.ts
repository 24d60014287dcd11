/**
 * Closures of their own for the calls that programs make by the million.
 *
 * The engine keeps what it learns about a function with its source text, so all closures that one expression makes share it: of a
 * call in it that goes to another function each time it learns nothing, and cannot put the callee in its place. Written out
 * for each name, the way from the guest's instruction to the system call becomes one piece of code.
 * docs/rationale.md#host-calls
 */
import type { HostFunction, HostResult } from "./machine-host.js";

/** What surrounds one import of the guest's. */
export interface Passage {
  /** Whether the call can be made at once, with nothing to ask about before it. Otherwise nothing is counted. */
  passes(): boolean;
  /** The call with all there is to ask about. */
  slowly: HostFunction;
  /** The call, which passes, has returned less than 0: it is left, or that is its result. */
  left(result: HostResult, args: readonly (number | bigint)[]): HostResult;
  /** Ends the run with an error. */
  leave(error: unknown): never;
}

type Make = (call: HostFunction, passage: Passage) => HostFunction;

/** By name; the parameters are those of WASI_SIGNATURES. */
export const FREQUENT_CALLS = {
  clock_time_get: (call, passage) => (id, precision, out) => {
    if (!passage.passes()) return passage.slowly(id!, precision!, out!);
    let result: HostResult;
    try {
      result = call(id!, precision!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [id!, precision!, out!]);
  },
  fd_fdstat_get: (call, passage) => (fd, out) => {
    if (!passage.passes()) return passage.slowly(fd!, out!);
    let result: HostResult;
    try {
      result = call(fd!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, out!]);
  },
  fd_filestat_get: (call, passage) => (fd, out) => {
    if (!passage.passes()) return passage.slowly(fd!, out!);
    let result: HostResult;
    try {
      result = call(fd!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, out!]);
  },
  fd_pread: (call, passage) => (fd, iovecs, count, offset, out) => {
    if (!passage.passes()) return passage.slowly(fd!, iovecs!, count!, offset!, out!);
    let result: HostResult;
    try {
      result = call(fd!, iovecs!, count!, offset!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, iovecs!, count!, offset!, out!]);
  },
  fd_pwrite: (call, passage) => (fd, iovecs, count, offset, out) => {
    if (!passage.passes()) return passage.slowly(fd!, iovecs!, count!, offset!, out!);
    let result: HostResult;
    try {
      result = call(fd!, iovecs!, count!, offset!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, iovecs!, count!, offset!, out!]);
  },
  fd_read: (call, passage) => (fd, iovecs, count, out) => {
    if (!passage.passes()) return passage.slowly(fd!, iovecs!, count!, out!);
    let result: HostResult;
    try {
      result = call(fd!, iovecs!, count!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, iovecs!, count!, out!]);
  },
  fd_seek: (call, passage) => (fd, offset, whence, out) => {
    if (!passage.passes()) return passage.slowly(fd!, offset!, whence!, out!);
    let result: HostResult;
    try {
      result = call(fd!, offset!, whence!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, offset!, whence!, out!]);
  },
  fd_write: (call, passage) => (fd, iovecs, count, out) => {
    if (!passage.passes()) return passage.slowly(fd!, iovecs!, count!, out!);
    let result: HostResult;
    try {
      result = call(fd!, iovecs!, count!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, iovecs!, count!, out!]);
  },
  path_filestat_get: (call, passage) => (fd, lookup, pointer, byteLength, out) => {
    if (!passage.passes()) return passage.slowly(fd!, lookup!, pointer!, byteLength!, out!);
    let result: HostResult;
    try {
      result = call(fd!, lookup!, pointer!, byteLength!, out!);
    } catch (error) {
      passage.leave(error);
    }
    return (result as number) >= 0 ? result : passage.left(result, [fd!, lookup!, pointer!, byteLength!, out!]);
  },
} satisfies Record<string, Make>;

export type FrequentCall = keyof typeof FREQUENT_CALLS;

export function isFrequentCall(name: string): name is FrequentCall {
  return Object.hasOwn(FREQUENT_CALLS, name);
}
