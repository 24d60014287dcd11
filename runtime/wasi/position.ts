/**
 * Where a file's next read or write goes.
 *
 * The kernel keeps a position for each open file. Once the guest has sought in a file that only it holds, we keep the position
 * in its place: a seek then costs no system call, and reads and writes name their offset (docs/rationale.md#host-calls).
 *
 * L1  `Descriptor.position` is the guest's position if it is not -1; the kernel's then means nothing. Otherwise the kernel's is.
 * L2  Ours are only regular files that the guest has opened, not in append mode: the position of stdio belongs to others as
 *     well, and an append moves it to wherever the file ends. The first seek is the kernel's, so that a file which looks
 *     regular and cannot seek says so.
 * L3  Whatever hands a host descriptor on, to be read or written without an offset, gives the position back first.
 */
import { Fdflags, Filetype, Rights } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import { Errno } from "./errno.js";
import type { WasiHost } from "./host.js";

const SEEK = { SET: 0, CUR: 1, END: 2 } as const;

/** Seeks beyond it are the kernel's to allow: file systems differ in how long their files may be, but none stops before. */
const OWN_MAXIMUM = 0x7fffffff;

/** Of a descriptor that seeks; -1 with errno. A bigint only above 2^53. */
export function positionOf(host: WasiHost, descriptor: Descriptor): number | bigint {
  return descriptor.position >= 0 ? descriptor.position : host.libc.lseek(descriptor.host, 0, SEEK.CUR);
}

/** From here on the kernel's position is the descriptor's. */
export function givePositionBack(host: WasiHost, descriptor: Descriptor): void {
  if (descriptor.position < 0) return;
  host.libc.lseek(descriptor.host, descriptor.position, SEEK.SET);
  descriptor.position = -1;
}

/** fd_seek: the new offset, u64, to [out, out + 8). BADF: a directory. SPIPE: a pipe, terminal or socket. */
export function fdSeek(host: WasiHost, fd: number, offset: number | bigint, whence: number, out: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  out >>>= 0;
  if (!host.memory.has(out, 8)) return Errno.FAULT;
  if (whence < 0 || whence > 2) return Errno.INVAL;
  if (descriptor.isDirectory) return Errno.BADF;
  if (descriptor.kind === "lost") return Errno.STALE;
  if (descriptor.transport !== Transport.FILE) return Errno.SPIPE;
  const needed =
    whence === SEEK.CUR && (offset === 0 || offset === 0n) ? Rights.FD_SEEK | Rights.FD_TELL : Rights.FD_SEEK;
  if ((descriptor.rights & needed) === 0) return Errno.NOTCAPABLE;
  return seek(host, descriptor, offset, whence, out);
}

/** fd_tell: the offset, u64, to [out, out + 8). */
export function fdTell(host: WasiHost, fd: number, out: number): Errno {
  return fdSeek(host, fd, 0, SEEK.CUR, out);
}

/** Of a descriptor that seeks, into a place that is inside the memory. */
function seek(host: WasiHost, descriptor: Descriptor, offset: number | bigint, whence: number, out: number): Errno {
  const near = Number(offset); // numbers pass faster than bigints, and hold almost every offset
  const { position } = descriptor;
  if (position >= 0 && whence !== SEEK.END) {
    const wanted = whence === SEEK.CUR ? position + near : near;
    if (wanted >= 0 && wanted <= OWN_MAXIMUM) {
      descriptor.position = wanted;
      host.memory.setU64FromNumber(out, wanted);
      return Errno.SUCCESS;
    }
    if (whence === SEEK.CUR) givePositionBack(host, descriptor);
  }
  const reached = host.libc.lseek(descriptor.host, Number.isSafeInteger(near) ? near : offset, whence);
  if (reached === -1) return host.lastError();
  if (typeof reached === "bigint") {
    descriptor.position = -1;
    host.memory.setU64(out, reached);
  } else {
    descriptor.position = isOurs(descriptor) ? reached : -1;
    host.memory.setU64FromNumber(out, reached);
  }
  return Errno.SUCCESS;
}

/** L2. */
function isOurs({ kind, filetype, fdflags }: Descriptor): boolean {
  return kind === "file" && filetype === Filetype.REGULAR_FILE && (fdflags & Fdflags.APPEND) === 0;
}
