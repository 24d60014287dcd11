import { filetypeOfMode } from "./abi.js";
import type { Identity } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { SYSCALL } from "./libc.js";
import { SCRATCH } from "./scratch.js";

const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

/** struct statx, the same on every architecture; offsets from its start. */
const STATX = {
  links: 16, // u32
  mode: 28, // u16
  inode: 32, // u64
  byteLength: 40, // u64
  accessed: 64, // i64 seconds, u32 nanoseconds
  changed: 96,
  modified: 112,
  special: 128, // u32 major, u32 minor of a device file
  device: 136, // u32 major, u32 minor
} as const;

/** Fills the scratch statx for a path in the scratch memory. 0, or -1 with errno. */
export function statxAt(host: WasiHost, directory: number, path: number, flags: number): number {
  const { scratch } = host;
  return host.libc.syscall5(
    SYSCALL.statx,
    directory,
    scratch.address + path,
    flags,
    STATX_BASIC_STATS,
    scratch.address + SCRATCH.statx,
  );
}

export function statxOf(host: WasiHost, descriptor: number): number {
  return statxAt(host, descriptor, SCRATCH.empty, AT_EMPTY_PATH);
}

/** The fields of the scratch statx that the host itself looks at. */
export interface FileFacts {
  readonly mode: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: bigint;
  readonly byteLength: bigint;
  /** Nanoseconds since 1970. */
  readonly modified: bigint;
  /** major << 8 | minor, for device files. */
  readonly special: number;
}

export function modeInScratch(host: WasiHost): number {
  return host.scratch.view.getUint16(SCRATCH.statx + STATX.mode, true);
}

/** major * 256 + minor of a device file; minor numbers above 255 do not matter to us. */
export function specialInScratch(host: WasiHost): number {
  const at = SCRATCH.statx + STATX.special;
  return host.scratch.view.getUint32(at, true) * 256 + host.scratch.view.getUint32(at + 4, true);
}

export function byteLengthInScratch(host: WasiHost): bigint {
  return host.scratch.view.getBigUint64(SCRATCH.statx + STATX.byteLength, true);
}

export function factsInScratch(host: WasiHost): FileFacts {
  const { view } = host.scratch;
  const at = SCRATCH.statx;
  return {
    mode: view.getUint16(at + STATX.mode, true),
    device: device(view),
    inode: view.getBigUint64(at + STATX.inode, true),
    links: BigInt(view.getUint32(at + STATX.links, true)),
    byteLength: view.getBigUint64(at + STATX.byteLength, true),
    modified:
      view.getBigInt64(at + STATX.modified, true) * 1_000_000_000n +
      BigInt(view.getUint32(at + STATX.modified + 8, true)),
    special: specialInScratch(host),
  };
}

/** One number of two, as the kernel's huge_encode_dev makes it. */
function device(view: DataView): bigint {
  const major = view.getUint32(SCRATCH.statx + STATX.device, true);
  const minor = view.getUint32(SCRATCH.statx + STATX.device + 4, true);
  return (BigInt(major) << 32n) | BigInt(minor);
}

/** preview1: dev, ino, filetype, nlink u64, size, three times: 64 bytes. snapshot 0: nlink is a u32: 56 bytes. */
export const FILESTAT_BYTES = 64;
export const FILESTAT_BYTES_UNSTABLE = 56;

/** Writes the scratch statx as a filestat at `out`, which the caller has checked. */
export function writeFilestat(host: WasiHost, out: number, identity: Identity | undefined, unstable: boolean): void {
  const { memory, scratch } = host;
  const { view } = scratch;
  const at = SCRATCH.statx;
  memory.bytes.fill(0, out, out + (unstable ? FILESTAT_BYTES_UNSTABLE : FILESTAT_BYTES));
  if (identity === undefined) {
    memory.setU32(out, view.getUint32(at + STATX.device + 4, true));
    memory.setU32(out + 4, view.getUint32(at + STATX.device, true));
    copyU64(host, at + STATX.inode, out + 8);
  } else {
    memory.setU64(out, identity.device);
    memory.setU64(out + 8, identity.inode);
  }
  memory.setU8(out + 16, filetypeOfMode(view.getUint16(at + STATX.mode, true)));
  const links = identity === undefined ? view.getUint32(at + STATX.links, true) : Number(identity.links);
  memory.setU32(out + (unstable ? 20 : 24), links);
  const rest = out + (unstable ? 24 : 32);
  copyU64(host, at + STATX.byteLength, rest);
  copyTime(host, at + STATX.accessed, rest + 8);
  copyTime(host, at + STATX.modified, rest + 16);
  copyTime(host, at + STATX.changed, rest + 24);
}

function copyU64(host: WasiHost, from: number, to: number): void {
  const { view } = host.scratch;
  host.memory.setU32(to, view.getUint32(from, true));
  host.memory.setU32(to + 4, view.getUint32(from + 4, true));
}

function copyTime(host: WasiHost, from: number, to: number): void {
  const { view } = host.scratch;
  const seconds = view.getInt32(from + 4, true) * 0x100000000 + view.getUint32(from, true);
  host.memory.setTimestamp(to, seconds, view.getUint32(from + 8, true));
}
