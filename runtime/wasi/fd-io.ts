import { Fdflags, Rights } from "./abi.js";
import { type Descriptor, Transport } from "./descriptors.js";
import { Errno, fromLinux, LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import { checkIovecs, gather } from "./iovecs.js";
import { receive, send } from "./message.js";
import { SCRATCH } from "./scratch.js";
import { failurePending, POLLIN, POLLOUT, readyNow, waitFor } from "./wait.js";

/** A pipe that poll calls writable takes this much without blocking. */
const PIPE_BUF = 4096;

/**
 * fd_read: u32 byte count to [out, out + 4). BADF: not open, or not for reading. AGAIN: non-blocking and nothing there.
 * RESTART: interrupted before a byte was taken. Interrupted calls: docs/rationale.md#interrupted-calls.
 */
export function fdRead(host: WasiHost, fd: number, iovecs: number, count: number, out: number): number {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || (descriptor.rights & Rights.FD_READ) === 0) return Errno.BADF;
  const { memory, libc } = host;
  iovecs >>>= 0;
  count >>>= 0;
  out >>>= 0;
  if (!memory.has(out, 4)) return Errno.FAULT;
  if (count === 1 && descriptor.transport === Transport.FILE) {
    if (!memory.has(iovecs, 8)) return Errno.FAULT;
    const pointer = memory.u32(iovecs);
    const byteLength = memory.u32(iovecs + 4);
    if (!memory.has(pointer, byteLength)) return Errno.FAULT;
    const { position } = descriptor;
    const at = memory.address + pointer;
    const moved =
      position < 0 ? libc.read(descriptor.host, at, byteLength) : libc.pread(descriptor.host, at, byteLength, position);
    if (moved === -1) return host.lastError();
    if (position >= 0) descriptor.position = position + moved;
    memory.setU32(out, moved);
    return Errno.SUCCESS;
  }
  const error = checkIovecs(host, iovecs, count);
  if (error !== Errno.SUCCESS) return error;
  return readSome(host, descriptor, iovecs, count, out);
}

/** Reads once, after waiting if the descriptor can block. */
function readSome(host: WasiHost, descriptor: Descriptor, iovecs: number, count: number, out: number): number {
  const { libc, memory } = host;
  if (descriptor.transport === Transport.NONE) return readNothing(host, descriptor, out);
  const { count: hostCount, byteLength } = gather(host, iovecs, count, 0);
  if (byteLength === 0) {
    memory.setU32(out, 0);
    return Errno.SUCCESS;
  }
  const blocking = (descriptor.fdflags & Fdflags.NONBLOCK) === 0;
  let pollFirst = descriptor.transport === Transport.POLLED || descriptor.pollFirst;
  for (;;) {
    if (pollFirst) {
      if (!blocking && readyNow(host, descriptor.host, POLLIN) === 0) return Errno.AGAIN;
      if (blocking && waitFor(host, descriptor.host, POLLIN) === RESTART) return RESTART;
    }
    const moved = readBatch(host, descriptor, hostCount);
    if (moved >= 0) {
      if (descriptor.position >= 0) descriptor.position += moved;
      descriptor.pollFirst = false;
      memory.setU32(out, moved);
      return Errno.SUCCESS;
    }
    const errno = libc.errno();
    if (errno === LINUX.EINTR) {
      if (failurePending(host)) return RESTART;
    } else if (errno !== LINUX.EAGAIN) return fromLinux(errno);
    else if (!blocking) return Errno.AGAIN;
    else pollFirst = true;
  }
}

/** Reads into the gathered iovecs; bytes, or -1 with errno. */
function readBatch(host: WasiHost, { transport, host: from, position }: Descriptor, iovecCount: number): number {
  if (transport === Transport.SOCKET) return receive(host, from, iovecCount, 0);
  const iovecs = host.scratch.address + SCRATCH.iovecs;
  return position < 0
    ? host.libc.readv(from, iovecs, iovecCount)
    : host.libc.preadv(from, iovecs, iovecCount, position);
}

/** Directories, listening sockets, and descriptors that did not survive a failure. */
function readNothing(host: WasiHost, descriptor: Descriptor, out: number): Errno {
  if (descriptor.kind !== "reset") return noTransport(descriptor);
  if (!descriptor.told) {
    descriptor.told = true;
    return Errno.CONNRESET;
  }
  host.memory.setU32(out, 0); // as after a reset by the peer: end of file from then on
  return Errno.SUCCESS;
}

function writeNothing(descriptor: Descriptor): Errno {
  if (descriptor.kind !== "reset") return noTransport(descriptor);
  if (descriptor.told) return Errno.PIPE;
  descriptor.told = true;
  return Errno.CONNRESET;
}

/** Of a descriptor through which nothing moves. */
export function noTransport(descriptor: Descriptor): Errno {
  if (descriptor.kind === "lost") return Errno.STALE;
  return descriptor.kind === "listener" ? Errno.NOTCONN : Errno.BADF;
}

/**
 * fd_write: u32 byte count to [out, out + 4). A blocking pipe, terminal or socket takes everything before the call returns,
 * as write(2) has it; what a failure left unwritten is written when the call is made again.
 */
export function fdWrite(host: WasiHost, fd: number, iovecs: number, count: number, out: number): number {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined || (descriptor.rights & Rights.FD_WRITE) === 0) return Errno.BADF;
  const { memory, libc } = host;
  iovecs >>>= 0;
  count >>>= 0;
  out >>>= 0;
  if (!memory.has(out, 4)) return Errno.FAULT;
  if (count === 1) {
    if (!memory.has(iovecs, 8)) return Errno.FAULT;
    const pointer = memory.u32(iovecs);
    const byteLength = memory.u32(iovecs + 4);
    if (!memory.has(pointer, byteLength)) return Errno.FAULT;
    const direct = descriptor.transport === Transport.FILE || descriptor.transport === Transport.STREAM;
    // A call that was interrupted halfway goes on below, also if the resumed process has a file in the pipe's place.
    if (direct && host.interrupted.isEmpty) {
      const { position } = descriptor;
      const at = memory.address + pointer;
      const moved =
        position < 0
          ? libc.write(descriptor.host, at, byteLength)
          : libc.pwrite(descriptor.host, at, byteLength, position);
      if (position >= 0 && moved > 0) descriptor.position = position + moved;
      if (moved === byteLength || (moved >= 0 && descriptor.transport === Transport.FILE)) {
        memory.setU32(out, moved);
        return Errno.SUCCESS;
      }
      if (moved === -1 && descriptor.transport === Transport.FILE) return host.lastError();
      return writeAll(host, descriptor, fd, iovecs, count, out, Math.max(moved, 0));
    }
  }
  const error = checkIovecs(host, iovecs, count);
  if (error !== Errno.SUCCESS) return error;
  const already = host.interrupted.take("fd_write", fd, iovecs, count)?.bytesMoved ?? 0;
  return writeAll(host, descriptor, fd, iovecs, count, out, already);
}

/** Writes what follows the first `moved` bytes of the guest's buffers, waiting as often as it takes. */
function writeAll(
  host: WasiHost,
  descriptor: Descriptor,
  fd: number,
  iovecs: number,
  count: number,
  out: number,
  moved: number,
): number {
  const { libc } = host;
  const { transport } = descriptor;
  if (transport === Transport.NONE) return writeNothing(descriptor);
  const blocking = (descriptor.fdflags & Fdflags.NONBLOCK) === 0;
  let pollFirst = transport === Transport.POLLED;
  for (;;) {
    const batch = gather(host, iovecs, count, moved);
    if (batch.byteLength === 0) return finishWrite(host, out, moved);
    if (pollFirst) {
      if (!blocking && readyNow(host, descriptor.host, POLLOUT) === 0) {
        return moved > 0 ? finishWrite(host, out, moved) : Errno.AGAIN;
      }
      if (blocking && waitFor(host, descriptor.host, POLLOUT) === RESTART) {
        if (moved > 0) {
          host.interrupted.add({ name: "fd_write", key: [fd, iovecs, count], startedAt: 0n, bytesMoved: moved });
        }
        return RESTART;
      }
    }
    const written = writeBatch(host, descriptor, batch.count);
    if (written === -1) {
      const errno = libc.errno();
      if (errno === LINUX.EINTR) continue;
      if (errno === LINUX.EAGAIN && blocking) {
        pollFirst = true;
        continue;
      }
      return moved > 0 ? finishWrite(host, out, moved) : fromLinux(errno); // the next call meets the error again
    }
    if (descriptor.position >= 0) descriptor.position += written;
    moved += written;
    const whole = written === batch.byteLength;
    if (whole && batch.last) return finishWrite(host, out, moved);
    // A regular file that takes less than all is full or at a limit: the next call says so.
    if (!whole && (transport === Transport.FILE || !blocking)) return finishWrite(host, out, moved);
    pollFirst = !whole || transport === Transport.POLLED;
  }
}

/**
 * What a call that a failure interrupted returns instead of being made again: INTR, or success with the byte count of
 * what it had written, as write(2) has it. The call is no longer remembered.
 */
export function interruptedResult(host: WasiHost, name: string, args: readonly (number | bigint)[]): Errno {
  const [a = 0, b = 0, c = 0] = args.map((arg) => Number(arg) >>> 0);
  const sending = name === "sock_send";
  const call = host.interrupted.take(sending ? "fd_write" : name, a, b, c);
  const out = Number(args[sending ? 4 : 3]) >>> 0;
  if (call === undefined || call.bytesMoved === 0 || !host.memory.has(out, 4)) return Errno.INTR;
  return finishWrite(host, out, call.bytesMoved);
}

function finishWrite(host: WasiHost, out: number, moved: number): Errno {
  host.memory.setU32(out, moved);
  return Errno.SUCCESS;
}

/** Writes the gathered iovecs, or a part of them; bytes, or -1 with errno. */
function writeBatch(host: WasiHost, descriptor: Descriptor, iovecCount: number): number {
  const { libc, scratch } = host;
  switch (descriptor.transport) {
    case Transport.SOCKET:
      return send(host, descriptor.host, iovecCount, 0);
    case Transport.POLLED: // one buffer, no longer than what is sure to have room
      return libc.write(
        descriptor.host,
        scratch.number(SCRATCH.iovecs),
        Math.min(scratch.number(SCRATCH.iovecs + 8), PIPE_BUF),
      );
    default: {
      const iovecs = scratch.address + SCRATCH.iovecs;
      const { position } = descriptor;
      return position < 0
        ? libc.writev(descriptor.host, iovecs, iovecCount)
        : libc.pwritev(descriptor.host, iovecs, iovecCount, position);
    }
  }
}
