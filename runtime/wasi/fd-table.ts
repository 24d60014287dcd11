import { Rights } from "./abi.js";
import { Errno, fromLinux } from "./errno.js";
import type { WasiHost } from "./host.js";
import { Listing } from "./listing.js";

const PREOPENTYPE_DIR = 0;
/** No type that preview1 knows. Guests skip it; an error instead would end their search for preopened directories. */
const PREOPENTYPE_OTHER = 1;

/** fd_close. Also of a preopened directory or of stdio, whose host descriptor stays the host's. */
export function fdClose(host: WasiHost, fd: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  host.table.remove(fd);
  host.close(descriptor);
  return Errno.SUCCESS;
}

/** fd_renumber: `from` takes the place of `to`, which must be open, and is closed. */
export function fdRenumber(host: WasiHost, from: number, to: number): Errno {
  const { table } = host;
  const moved = table.get(from);
  const replaced = table.get(to);
  if (moved === undefined || replaced === undefined) return Errno.BADF;
  if (moved === replaced) return Errno.SUCCESS;
  table.remove(to);
  host.close(replaced);
  table.remove(from);
  table.set(to, moved);
  return Errno.SUCCESS;
}

/** fd_prestat_get: tag u8, name length u32, to [out, out + 8). BADF: not preopened, which ends the guest's search. */
export function fdPrestatGet(host: WasiHost, fd: number, out: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || (descriptor.kind !== "preopen" && descriptor.kind !== "listener")) return Errno.BADF;
  out >>>= 0;
  const { memory } = host;
  if (!memory.has(out, 8)) return Errno.FAULT;
  const isDirectory = descriptor.kind === "preopen";
  memory.setU32(out, isDirectory ? PREOPENTYPE_DIR : PREOPENTYPE_OTHER);
  memory.setU32(out + 4, isDirectory ? Buffer.byteLength(descriptor.path) : 0);
  return Errno.SUCCESS;
}

/** fd_prestat_dir_name: the name, without a NUL. NAMETOOLONG: the buffer is shorter. NOTDIR: not preopened. */
export function fdPrestatDirName(host: WasiHost, fd: number, buffer: number, bufferLength: number): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  if (descriptor.kind !== "preopen") return Errno.NOTDIR;
  const name = Buffer.from(descriptor.path);
  buffer >>>= 0;
  if (name.length > bufferLength >>> 0) return Errno.NAMETOOLONG;
  if (!host.memory.has(buffer, name.length)) return Errno.FAULT;
  host.memory.bytes.set(name, buffer);
  return Errno.SUCCESS;
}

/**
 * fd_readdir: entries from `cookie` on, the last one cut where the buffer ends; used bytes, u32, to [out, out + 4). Fewer
 * than the buffer holds: that was all.
 */
export function fdReaddir(
  host: WasiHost,
  fd: number,
  buffer: number,
  bufferLength: number,
  cookie: bigint,
  out: number,
): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  if (descriptor.kind === "lost") return Errno.STALE;
  if (!descriptor.isDirectory) return Errno.BADF;
  if ((descriptor.rights & Rights.FD_READDIR) === 0) return Errno.NOTCAPABLE;
  const { memory } = host;
  buffer >>>= 0;
  bufferLength >>>= 0;
  out >>>= 0;
  if (!memory.has(out, 4) || !memory.has(buffer, bufferLength)) return Errno.FAULT;
  if (cookie === 0n || descriptor.listing === undefined) {
    const listing = Listing.read(host, descriptor.host);
    if (typeof listing === "number") return fromLinux(listing);
    descriptor.listing = listing;
  }
  const { bytes, offsets } = descriptor.listing;
  const count = BigInt(offsets.length - 1);
  const start = offsets[Number(cookie < 0n || cookie > count ? count : cookie)]!;
  const used = Math.min(bytes.length - start, bufferLength);
  memory.bytes.set(bytes.subarray(start, start + used), buffer);
  memory.setU32(out, used);
  descriptor.listing.finished = used < bufferLength;
  return Errno.SUCCESS;
}
