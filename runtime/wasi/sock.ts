import { FDFLAGS_ALL, Fdflags, Filetype, Riflags, Rights, ROFLAGS_DATA_TRUNCATED, Sdflags } from "./abi.js";
import { Descriptor, Transport } from "./descriptors.js";
import { Errno, fromLinux, LINUX } from "./errno.js";
import { fdRead, fdWrite } from "./fd-io.js";
import { RESTART, type WasiHost } from "./host.js";
import { checkIovecs, gather } from "./iovecs.js";
import { receive, receivedFlags } from "./message.js";
import { failurePending, POLLIN, waitFor } from "./wait.js";

const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const MSG_PEEK = 2;
const MSG_TRUNC = 0x20;

const RIGHTS_CONNECTION =
  Rights.FD_READ |
  Rights.FD_WRITE |
  Rights.FD_FDSTAT_SET_FLAGS |
  Rights.FD_FILESTAT_GET |
  Rights.POLL_FD_READWRITE |
  Rights.SOCK_SHUTDOWN;

/** A socket that the guest may use as one. The host's stdio may be sockets too, but not for the guest to shut down. */
function socketOf(host: WasiHost, fd: number): Descriptor | Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  const { kind } = descriptor;
  return kind === "connection" || kind === "listener" || kind === "reset" ? descriptor : Errno.NOTSOCK;
}

/** The descriptor of a connection, accepted or (host -1) cut by a failure. */
export function connectionDescriptor(host: number, fdflags: number): Descriptor {
  return new Descriptor({
    kind: host < 0 ? "reset" : "connection",
    host,
    owned: true,
    transport: host < 0 ? Transport.NONE : Transport.SOCKET,
    filetype: Filetype.SOCKET_STREAM,
    rights: RIGHTS_CONNECTION,
    inheriting: RIGHTS_CONNECTION,
    fdflags,
    readable: true,
    writable: true,
    index: -1,
    path: "<connection>",
  });
}

/** sock_accept: the connection's descriptor, u32, to [out, out + 4). Waits, unless the listener is NONBLOCK. */
export function sockAccept(host: WasiHost, fd: number, fdflags: number, out: number): number {
  const listener = socketOf(host, fd);
  if (typeof listener === "number") return listener;
  if (listener.kind !== "listener") return Errno.INVAL;
  if ((listener.rights & Rights.SOCK_ACCEPT) === 0) return Errno.NOTCAPABLE;
  if ((fdflags & ~FDFLAGS_ALL) !== 0) return Errno.INVAL;
  out >>>= 0;
  if (!host.memory.has(out, 4)) return Errno.FAULT;
  if (host.table.isFull) return Errno.MFILE;
  for (;;) {
    const accepted = host.libc.accept4(listener.host, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      host.memory.setU32(out, host.table.add(connectionDescriptor(accepted, fdflags & Fdflags.NONBLOCK)));
      return Errno.SUCCESS;
    }
    const errno = host.libc.errno();
    if (errno === LINUX.EINTR || errno === LINUX.ECONNABORTED) continue;
    if (errno !== LINUX.EAGAIN) return fromLinux(errno);
    if ((listener.fdflags & Fdflags.NONBLOCK) !== 0) return Errno.AGAIN;
    if (waitFor(host, listener.host, POLLIN) === RESTART) return RESTART;
  }
}

/** sock_recv: byte count, u32, to [outLength, + 4), roflags, u16, to [outFlags, + 2). WAITALL is a hint here. */
export function sockRecv(
  host: WasiHost,
  fd: number,
  iovecs: number,
  count: number,
  riflags: number,
  outLength: number,
  outFlags: number,
): number {
  const socket = socketOf(host, fd);
  if (typeof socket === "number") return socket;
  if ((riflags & ~(Riflags.PEEK | Riflags.WAITALL)) !== 0) return Errno.INVAL;
  outFlags >>>= 0;
  outLength >>>= 0;
  const { memory } = host;
  if (!memory.has(outFlags, 2)) return Errno.FAULT;
  if (socket.kind !== "connection" || riflags === 0) {
    const result = fdRead(host, fd, iovecs, count, outLength);
    if (result === Errno.SUCCESS) memory.setU16(outFlags, 0);
    return result;
  }
  if (!memory.has(outLength, 4)) return Errno.FAULT;
  iovecs >>>= 0;
  count >>>= 0;
  const error = checkIovecs(host, iovecs, count);
  if (error !== Errno.SUCCESS) return error;
  return receiveAll(host, socket, { iovecs, count, riflags, outLength, outFlags });
}

/** PEEK and WAITALL. Bytes already taken by a WAITALL that a failure interrupts are returned: the connection is gone. */
function receiveAll(
  host: WasiHost,
  socket: Descriptor,
  call: { iovecs: number; count: number; riflags: number; outLength: number; outFlags: number },
): number {
  const { libc, memory } = host;
  const peek = (call.riflags & Riflags.PEEK) !== 0;
  const all = (call.riflags & Riflags.WAITALL) !== 0 && !peek;
  const blocking = (socket.fdflags & Fdflags.NONBLOCK) === 0;
  let moved = 0;
  let flags = 0;
  for (;;) {
    const batch = gather(host, call.iovecs, call.count, moved);
    if (batch.byteLength === 0) break;
    const { byteLength } = batch;
    const got = receive(host, socket.host, batch.count, peek ? MSG_PEEK : 0);
    if (got >= 0) {
      moved += got;
      flags = receivedFlags(host);
      if (got === 0 || !all || (got === byteLength && batch.last)) break;
      continue;
    }
    const errno = libc.errno();
    if (errno === LINUX.EINTR && !failurePending(host)) continue;
    if (errno !== LINUX.EAGAIN && errno !== LINUX.EINTR) {
      if (moved > 0) break;
      return fromLinux(errno);
    }
    if (!blocking) {
      if (moved > 0) break;
      return Errno.AGAIN;
    }
    if (waitFor(host, socket.host, POLLIN) === RESTART) {
      if (moved > 0) break;
      return RESTART;
    }
  }
  memory.setU32(call.outLength, moved);
  memory.setU16(call.outFlags, (flags & MSG_TRUNC) !== 0 ? ROFLAGS_DATA_TRUNCATED : 0);
  return Errno.SUCCESS;
}

/** sock_send: byte count, u32, to [out, out + 4). siflags must be 0. */
export function sockSend(
  host: WasiHost,
  fd: number,
  iovecs: number,
  count: number,
  siflags: number,
  out: number,
): number {
  const socket = socketOf(host, fd);
  if (typeof socket === "number") return socket;
  if (siflags !== 0) return Errno.INVAL;
  return fdWrite(host, fd, iovecs, count, out);
}

/** sock_shutdown: of receiving, sending or both. */
export function sockShutdown(host: WasiHost, fd: number, how: number): Errno {
  const socket = socketOf(host, fd);
  if (typeof socket === "number") return socket;
  if (how === 0 || (how & ~(Sdflags.RD | Sdflags.WR)) !== 0) return Errno.INVAL;
  if (socket.kind !== "connection") return Errno.NOTCONN;
  if ((socket.rights & Rights.SOCK_SHUTDOWN) === 0) return Errno.NOTCAPABLE;
  return host.check(host.libc.shutdown(socket.host, how - 1)); // SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2
}
