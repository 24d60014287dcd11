import { filetypeOfMode } from "./abi.js";
import type { Identity } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { writeTimestamp } from "./memory.js";
import { SCRATCH } from "./scratch.js";

/** struct stat of the kernel: offsets from its start. x64 and arm64 differ in a few. */
const STAT = {
  device: 0, // u64
  inode: 8, // u64
  links: process.arch === "arm64" ? 20 : 16, // u32; u64 on x64, whose upper half is 0
  mode: process.arch === "arm64" ? 16 : 24, // u32
  special: process.arch === "arm64" ? 32 : 40, // u64: the device number of a device file
  byteLength: 48, // u64
  accessed: 72, // i64 seconds, u64 nanoseconds
  modified: 88,
  changed: 104,
} as const;

/** Offset of st_mode, u32. */
export const STAT_MODE = STAT.mode;

/** Fills the scratch stat for a path in the scratch memory. 0, or -1 with errno. */
export function statAt({ libc, scratch }: WasiHost, directory: number, path: number, flags: number): number {
  return libc.fstatat(directory, scratch.address + path, scratch.address + SCRATCH.stat, flags);
}

export function statOf({ libc, scratch }: WasiHost, descriptor: number): number {
  return libc.fstat(descriptor, scratch.address + SCRATCH.stat);
}

/** The fields of the scratch stat that the host itself looks at. */
export interface FileFacts {
  readonly mode: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: bigint;
  readonly byteLength: bigint;
  /** Nanoseconds since 1970. */
  readonly modified: bigint;
}

export function modeInScratch(host: WasiHost): number {
  return host.scratch.view.getUint32(SCRATCH.stat + STAT.mode, true);
}

/** The major number of a device file. */
export function majorInScratch(host: WasiHost): number {
  return (host.scratch.view.getUint32(SCRATCH.stat + STAT.special, true) >>> 8) & 0xfff;
}

export function byteLengthInScratch(host: WasiHost): bigint {
  return host.scratch.view.getBigUint64(SCRATCH.stat + STAT.byteLength, true);
}

export function linksInScratch(host: WasiHost): number {
  return host.scratch.view.getUint32(SCRATCH.stat + STAT.links, true);
}

/** Digits, as saved states have them. */
export function deviceInScratch(host: WasiHost): string {
  return decimal(host.scratch.view, SCRATCH.stat + STAT.device);
}

export function inodeInScratch(host: WasiHost): string {
  return decimal(host.scratch.view, SCRATCH.stat + STAT.inode);
}

/** Tells most files apart without a bigint. */
export function inodeLowInScratch(host: WasiHost): number {
  return host.scratch.view.getUint32(SCRATCH.stat + STAT.inode, true);
}

/** A u64; those that a number holds are written several times as fast. */
function decimal(view: DataView, at: number): string {
  const high = view.getUint32(at + 4, true);
  if (high >= 0x200000) return view.getBigUint64(at, true).toString();
  return (high * 0x100000000 + view.getUint32(at, true)).toString();
}

/** Whether the scratch stat is that of this file. */
export function isInScratch({ scratch: { view } }: WasiHost, device: bigint, inode: bigint): boolean {
  const at = SCRATCH.stat;
  return view.getBigUint64(at + STAT.inode, true) === inode && view.getBigUint64(at + STAT.device, true) === device;
}

export function factsInScratch(host: WasiHost): FileFacts {
  const { view } = host.scratch;
  const at = SCRATCH.stat;
  return {
    mode: view.getUint32(at + STAT.mode, true),
    device: view.getBigUint64(at + STAT.device, true),
    inode: view.getBigUint64(at + STAT.inode, true),
    links: BigInt(view.getUint32(at + STAT.links, true)),
    byteLength: view.getBigUint64(at + STAT.byteLength, true),
    modified:
      view.getBigInt64(at + STAT.modified, true) * 1_000_000_000n + view.getBigInt64(at + STAT.modified + 8, true),
  };
}

/** preview1: dev, ino, filetype, nlink u64, size, three times: 64 bytes. snapshot 0: nlink is a u32: 56 bytes. */
export const FILESTAT_BYTES = 64;
export const FILESTAT_BYTES_UNSTABLE = 56;

/** Writes the scratch stat as a filestat at `out`, which the caller has checked. One piece: it is much of what a stat costs us. */
export function writeFilestat(host: WasiHost, out: number, identity: Identity | undefined, unstable: boolean): void {
  const { view: from } = host.scratch;
  const { view: to } = host.memory;
  const at = SCRATCH.stat;
  copyU64(from, at + STAT.device, to, out);
  copyU64(from, at + STAT.inode, to, out + 8);
  to.setUint32(out + 16, filetypeOfMode(from.getUint32(at + STAT.mode, true)), true); // a u8, and padding
  let next = out + 20;
  if (!unstable) {
    to.setUint32(next, 0, true); // padding
    to.setUint32(next + 8, 0, true); // the upper half of the link count
    next += 4;
  }
  to.setUint32(next, from.getUint32(at + STAT.links, true), true);
  if (identity !== undefined) {
    to.setBigUint64(out, identity.device, true);
    to.setBigUint64(out + 8, identity.inode, true);
    to.setUint32(next, Number(identity.links), true);
  }
  next += unstable ? 4 : 8;
  copyU64(from, at + STAT.byteLength, to, next);
  copyTime(from, at + STAT.accessed, to, next + 8);
  copyTime(from, at + STAT.modified, to, next + 16);
  copyTime(from, at + STAT.changed, to, next + 24);
}

function copyU64(from: DataView, at: number, to: DataView, out: number): void {
  to.setUint32(out, from.getUint32(at, true), true);
  to.setUint32(out + 4, from.getUint32(at + 4, true), true);
}

/** A timespec, as nanoseconds. */
function copyTime(from: DataView, at: number, to: DataView, out: number): void {
  const seconds = from.getInt32(at + 4, true) * 0x100000000 + from.getUint32(at, true);
  writeTimestamp(to, out, seconds, from.getUint32(at + 8, true));
}
