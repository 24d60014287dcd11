/** fd_pread and fd_pwrite: reads and writes that name their offset, and leave the descriptor's position where it is. */
import { Rights } from "./abi.js";
import { Transport } from "./descriptors.js";
import { Errno } from "./errno.js";
import { noTransport } from "./fd-io.js";
import type { WasiHost } from "./host.js";
import { checkIovecs, gather } from "./iovecs.js";
import { SCRATCH } from "./scratch.js";

/** A signed 64-bit number. One that is small may come as a number, which passes faster. */
type Long = number | bigint;

/** fd_pread: like fd_read, at `offset`, a u64. SPIPE: not seekable. */
export function fdPread(host: WasiHost, fd: number, iovecs: number, count: number, offset: Long, out: number): Errno {
  return transferAt(host, fd, iovecs, count, offset, out, Rights.FD_READ);
}

/** fd_pwrite: like fd_write, at `offset`; in append mode Linux, and so wasmtime, writes at the end. */
export function fdPwrite(host: WasiHost, fd: number, iovecs: number, count: number, offset: Long, out: number): Errno {
  return transferAt(host, fd, iovecs, count, offset, out, Rights.FD_WRITE);
}

function transferAt(
  host: WasiHost,
  fd: number,
  iovecs: number,
  count: number,
  offset: Long,
  out: number,
  right: number,
): Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || (descriptor.rights & right) === 0) return Errno.BADF;
  if (descriptor.transport === Transport.NONE) return noTransport(descriptor);
  if (descriptor.transport !== Transport.FILE) return Errno.SPIPE;
  if (offset < 0) return Errno.INVAL; // above 2^63 as a u64
  const { memory, libc, scratch } = host;
  iovecs >>>= 0;
  count >>>= 0;
  out >>>= 0;
  if (!memory.has(out, 4)) return Errno.FAULT;
  const error = checkIovecs(host, iovecs, count);
  if (error !== Errno.SUCCESS) return error;
  let moved = 0;
  for (;;) {
    const batch = gather(host, iovecs, count, moved);
    if (batch.byteLength === 0) break;
    const address = scratch.address + SCRATCH.iovecs;
    const at = moved === 0 ? offset : BigInt(offset) + BigInt(moved);
    const part =
      right === Rights.FD_READ
        ? libc.preadv(descriptor.host, address, batch.count, at)
        : libc.pwritev(descriptor.host, address, batch.count, at);
    if (part === -1) {
      if (moved > 0) break;
      return host.lastError();
    }
    moved += part;
    if (batch.last || part < batch.byteLength) break;
  }
  memory.setU32(out, moved);
  return Errno.SUCCESS;
}
