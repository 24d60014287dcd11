import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";
import type { GuestMemory } from "./memory.js";

/** Strings in the form args_get and environ_get hand out: encoded once, each with its NUL. */
export interface StringList {
  readonly bytes: Uint8Array;
  /** Where each string begins. */
  readonly offsets: readonly number[];
}

export function stringList(strings: readonly string[]): StringList {
  const offsets: number[] = [];
  let byteLength = 0;
  const encoded = strings.map((text) => Buffer.from(`${text}\0`));
  for (const bytes of encoded) {
    offsets.push(byteLength);
    byteLength += bytes.length;
  }
  return { bytes: Buffer.concat(encoded), offsets };
}

/** args_get: pointers to [pointers, + 4 * count), strings to [buffer, ...). */
export function argsGet(host: WasiHost, pointers: number, buffer: number): Errno {
  return write(host.memory, host.options.args, pointers, buffer);
}

/** args_sizes_get: their number and their bytes with NULs, two u32. */
export function argsSizesGet(host: WasiHost, count: number, byteLength: number): Errno {
  return writeSizes(host.memory, host.options.args, count, byteLength);
}

/** environ_get: as args_get, each "NAME=VALUE". */
export function environGet(host: WasiHost, pointers: number, buffer: number): Errno {
  return write(host.memory, host.options.env, pointers, buffer);
}

/** environ_sizes_get. */
export function environSizesGet(host: WasiHost, count: number, byteLength: number): Errno {
  return writeSizes(host.memory, host.options.env, count, byteLength);
}

function write(memory: GuestMemory, list: StringList, pointers: number, buffer: number): Errno {
  pointers >>>= 0;
  buffer >>>= 0;
  if (!memory.has(pointers, list.offsets.length * 4) || !memory.has(buffer, list.bytes.length)) return Errno.FAULT;
  for (const [index, offset] of list.offsets.entries()) memory.setU32(pointers + index * 4, buffer + offset);
  memory.bytes.set(list.bytes, buffer);
  return Errno.SUCCESS;
}

function writeSizes(memory: GuestMemory, list: StringList, count: number, byteLength: number): Errno {
  count >>>= 0;
  byteLength >>>= 0;
  if (!memory.has(count, 4) || !memory.has(byteLength, 4)) return Errno.FAULT;
  memory.setU32(count, list.offsets.length);
  memory.setU32(byteLength, list.bytes.length);
  return Errno.SUCCESS;
}
