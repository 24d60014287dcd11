import { constants } from "node:fs";
import { FDFLAGS_ALL, Fdflags, Rights } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import { Errno } from "./errno.js";
import { type TimesArgument, takeTimes } from "./file-times.js";
import type { WasiHost } from "./host.js";
import { givePositionBack } from "./position.js";
import { SCRATCH } from "./scratch.js";
import { FILESTAT_BYTES, FILESTAT_BYTES_UNSTABLE, statOf, writeFilestat } from "./stat.js";

const FDSTAT_BYTES = 24; // filetype u8, flags u16 at 2, rights u64 at 8, inheriting u64 at 16
const F_GETFL = 3;
const F_SETFL = 4;

/** fd_fdstat_get: an fdstat to [out, out + 24). No system call: it is all known here. */
export function fdFdstatGet(host: WasiHost, fd: number, out: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  const { memory } = host;
  out >>>= 0;
  if (!memory.has(out, FDSTAT_BYTES)) return Errno.FAULT;
  memory.bytes.fill(0, out, out + FDSTAT_BYTES);
  memory.setU8(out, descriptor.filetype);
  memory.setU16(out + 2, descriptor.fdflags);
  memory.setU32(out + 8, descriptor.rights);
  memory.setU32(out + 16, descriptor.inheriting);
  return Errno.SUCCESS;
}

/**
 * fd_fdstat_set_flags: APPEND and NONBLOCK can change. INVAL: the sync flags, which Linux sets only when a file is opened.
 * NONBLOCK is ours alone: the host descriptor does not block in any case, or is shared and must not change.
 */
export function fdFdstatSetFlags(host: WasiHost, fd: number, flags: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || descriptor.isDirectory) return Errno.BADF;
  if ((descriptor.rights & Rights.FD_FDSTAT_SET_FLAGS) === 0) return Errno.NOTCAPABLE;
  const fixed = Fdflags.DSYNC | Fdflags.RSYNC | Fdflags.SYNC;
  if ((flags & ~FDFLAGS_ALL) !== 0 || (flags & fixed & ~descriptor.fdflags) !== 0) return Errno.INVAL;
  const appending = (flags & Fdflags.APPEND) !== 0;
  if (descriptor.kind === "file" && appending !== ((descriptor.fdflags & Fdflags.APPEND) !== 0)) {
    givePositionBack(host, descriptor);
    const now = host.libc.fcntl(descriptor.host, F_GETFL, 0);
    const wanted = appending ? now | constants.O_APPEND : now & ~constants.O_APPEND;
    if (now === -1 || host.libc.fcntl(descriptor.host, F_SETFL, wanted) === -1) return host.lastError();
  }
  descriptor.fdflags = flags | (descriptor.fdflags & fixed);
  return Errno.SUCCESS;
}

/** fd_fdstat_set_rights: rights can be given up, never regained. NOTCAPABLE: asks for more than there is. */
export function fdFdstatSetRights(host: WasiHost, fd: number, rights: bigint, inheriting: bigint): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  const wanted = BigInt.asUintN(64, rights);
  const passedOn = BigInt.asUintN(64, inheriting);
  if ((wanted & ~BigInt(descriptor.rights)) !== 0n || (passedOn & ~BigInt(descriptor.inheriting)) !== 0n) {
    return Errno.NOTCAPABLE;
  }
  descriptor.rights = Number(wanted);
  descriptor.inheriting = Number(passedOn);
  return Errno.SUCCESS;
}

/** fd_filestat_get: a filestat to [out, out + 64). */
export function fdFilestatGet(host: WasiHost, fd: number, out: number, unstable = false): Errno {
  const descriptor = withHost(host, fd, Rights.FD_FILESTAT_GET);
  if (typeof descriptor === "number") return descriptor;
  out >>>= 0;
  if (!host.memory.has(out, unstable ? FILESTAT_BYTES_UNSTABLE : FILESTAT_BYTES)) return Errno.FAULT;
  if (statOf(host, descriptor.host) === -1) return host.lastError();
  writeFilestat(host, out, descriptor.identity, unstable);
  host.memory.setU8(out + 16, descriptor.filetype); // pipes and the like have no type in WASI
  return Errno.SUCCESS;
}

/** fd_filestat_set_size. BADF: a directory. INVAL: not open for writing, as ftruncate(2) has it. */
export function fdFilestatSetSize(host: WasiHost, fd: number, byteLength: bigint): Errno {
  const descriptor = withFile(host, fd, Rights.FD_FILESTAT_SET_SIZE);
  if (typeof descriptor === "number") return descriptor;
  return host.check(host.libc.ftruncate(descriptor.host, byteLength));
}

/** fd_filestat_set_times. INVAL: a time both given and "now". */
export function fdFilestatSetTimes(
  host: WasiHost,
  fd: number,
  accessed: bigint,
  modified: bigint,
  flags: number,
): Errno {
  const times: TimesArgument = { accessed, modified, flags };
  const invalid = takeTimes(host, times);
  if (invalid !== Errno.SUCCESS) return invalid;
  const descriptor = withHost(host, fd, Rights.FD_FILESTAT_SET_TIMES);
  if (typeof descriptor === "number") return descriptor;
  return host.check(host.libc.futimens(descriptor.host, host.scratch.address + SCRATCH.times));
}

/** WASI's advice, in its order, in Linux's numbers: normal, sequential, random, will need, don't need, no reuse. */
const ADVICE = [0, 2, 1, 3, 4, 5];

/** fd_advise. INVAL: no such advice, or a range that passes 2^63. */
export function fdAdvise(host: WasiHost, fd: number, offset: bigint, byteLength: bigint, advice: number): Errno {
  const descriptor = withFile(host, fd, Rights.FD_ADVISE);
  if (typeof descriptor === "number") return descriptor;
  const linux = ADVICE[advice];
  if (linux === undefined || offset < 0n || byteLength < 0n) return Errno.INVAL;
  const errno = host.libc.posix_fadvise(descriptor.host, offset, byteLength, linux);
  return errno === 0 ? Errno.SUCCESS : Errno.INVAL;
}

/** fd_allocate: the file is at least offset + byteLength long afterwards. NOTSUP: the file system cannot. */
export function fdAllocate(host: WasiHost, fd: number, offset: bigint, byteLength: bigint): Errno {
  const descriptor = withFile(host, fd, Rights.FD_ALLOCATE);
  if (typeof descriptor === "number") return descriptor;
  if (!descriptor.writable) return Errno.BADF;
  if (offset < 0n || byteLength <= 0n) return Errno.INVAL;
  return host.check(host.libc.fallocate(descriptor.host, 0, offset, byteLength));
}

/** fd_sync, also of a directory. */
export function fdSync(host: WasiHost, fd: number): Errno {
  const descriptor = withHost(host, fd, Rights.FD_SYNC);
  if (typeof descriptor === "number") return descriptor;
  return host.check(host.libc.fsync(descriptor.host));
}

/** fd_datasync, also of a directory. */
export function fdDatasync(host: WasiHost, fd: number): Errno {
  const descriptor = withHost(host, fd, Rights.FD_DATASYNC);
  if (typeof descriptor === "number") return descriptor;
  return host.check(host.libc.fdatasync(descriptor.host));
}

/** A descriptor with something behind it. */
function withHost(host: WasiHost, fd: number, right: number): Descriptor | Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  if ((descriptor.rights & right) === 0) return Errno.NOTCAPABLE;
  if (descriptor.kind === "lost") return Errno.STALE;
  return descriptor.host < 0 ? Errno.BADF : descriptor;
}

/** A descriptor of a file: what has an offset and a length. */
function withFile(host: WasiHost, fd: number, right: number): Descriptor | Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || descriptor.isDirectory) return Errno.BADF;
  if (descriptor.kind === "lost") return Errno.STALE;
  if (descriptor.transport !== Transport.FILE) return Errno.SPIPE;
  return (descriptor.rights & right) === 0 ? Errno.NOTCAPABLE : descriptor;
}
