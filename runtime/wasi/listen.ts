import { lstatSync, unlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { attempt, errnoError, VermilionError } from "../../pmem/error.js";
import { Filetype, Rights } from "./abi.js";
import { Descriptor, Transport } from "./descriptors.js";
import { LINUX } from "./errno.js";
import type { Libc } from "./libc.js";
import { type HostBuffer, SCRATCH } from "./scratch.js";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const BACKLOG = 4096;
const UNIX_PATH_MAXIMUM = 107;

const RIGHTS_LISTENER =
  Rights.SOCK_ACCEPT | Rights.FD_READ | Rights.FD_FDSTAT_SET_FLAGS | Rights.FD_FILESTAT_GET | Rights.POLL_FD_READWRITE;

/** Loaded by guests that listen: it is a part of Node that takes a millisecond of a start. */
function net(): typeof import("node:net") {
  return createRequire(import.meta.url)("node:net");
}

interface ListenAddress {
  readonly family: number;
  /** The bytes of the struct sockaddr. */
  readonly bytes: Buffer;
  /** For unix sockets. */
  readonly path: string | undefined;
}

/**
 * Opens a listening socket. `port` takes the place of port 0 in `address`: the port that the system chose before a failure.
 * Not `listening`: it has the address, but nobody can connect to it.
 * LISTEN_ADDRESS: the address is not of a form we know, or cannot be listened on.
 */
export function openListener(
  libc: Libc,
  scratch: HostBuffer,
  address: string,
  port: number | undefined,
  index: number,
  listening = true,
): Descriptor {
  const { family, bytes, path } = parseAddress(address);
  if (path === undefined && port !== undefined && bytes.readUInt16BE(2) === 0) bytes.writeUInt16BE(port, 2);
  const socket = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket === -1) throw errnoError("open a socket", address, libc.errno());
  const error = bindAndListen(libc, scratch, socket, bytes, path, listening);
  if (error !== 0) {
    libc.close(socket);
    throw new VermilionError("LISTEN_ADDRESS", `cannot listen on ${address}: choose an address that is free`, {
      cause: errnoError("listen", address, error),
    });
  }
  return new Descriptor({
    kind: "listener",
    host: socket,
    owned: true,
    transport: Transport.NONE,
    filetype: Filetype.SOCKET_STREAM,
    rights: RIGHTS_LISTENER,
    inheriting: RIGHTS_LISTENER,
    fdflags: 0,
    readable: false,
    writable: false,
    index,
    path: address,
  });
}

/** 0, or a Linux error number. */
function bindAndListen(
  libc: Libc,
  scratch: HostBuffer,
  socket: number,
  bytes: Buffer,
  path: string | undefined,
  listening: boolean,
): number {
  scratch.view.setInt32(SCRATCH.small, 1, true);
  libc.setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, scratch.address + SCRATCH.small, 4);
  const address = scratch.address + SCRATCH.small;
  bytes.copy(scratch.bytes, SCRATCH.small);
  if (libc.bind(socket, address, bytes.length) === -1) {
    const errno = libc.errno();
    // The socket file of a process that is gone stays behind; one that nobody answers is replaced.
    const isLeft = errno === LINUX.EADDRINUSE && path !== undefined && isSocket(path);
    if (!isLeft || isAnswered(libc, scratch, bytes)) return errno;
    attempt("remove the socket that nobody answers", path, () => unlinkSync(path));
    bytes.copy(scratch.bytes, SCRATCH.small);
    if (libc.bind(socket, address, bytes.length) === -1) return libc.errno();
  }
  return listening && libc.listen(socket, BACKLOG) === -1 ? libc.errno() : 0;
}

/** Anything else that has the name is somebody's file. */
function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function isAnswered(libc: Libc, scratch: HostBuffer, bytes: Buffer): boolean {
  const socket = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  bytes.copy(scratch.bytes, SCRATCH.small);
  const refused =
    libc.connect(socket, scratch.address + SCRATCH.small, bytes.length) === -1 && libc.errno() === LINUX.ECONNREFUSED;
  libc.close(socket);
  return !refused;
}

/** The port that a TCP listener has; 0: none, a unix socket. */
export function listenerPort(libc: Libc, scratch: HostBuffer, socket: number): number {
  scratch.view.setUint32(SCRATCH.message, 128, true);
  const result = libc.getsockname(socket, scratch.address + SCRATCH.small, scratch.address + SCRATCH.message);
  const family = scratch.view.getUint16(SCRATCH.small, true);
  return result === 0 && family !== AF_UNIX ? scratch.view.getUint16(SCRATCH.small + 2) : 0;
}

function parseAddress(address: string): ListenAddress {
  if (address.startsWith("unix:")) return unixAddress(address);
  const colon = address.lastIndexOf(":");
  const port = Number(address.slice(colon + 1));
  let name = address.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, "$1");
  if (name === "localhost") name = "127.0.0.1";
  const { isIP, isIPv4 } = net();
  if (
    isIP(name) === 0 ||
    name.includes("%") ||
    address.slice(colon + 1) === "" ||
    !Number.isInteger(port) ||
    port < 0 ||
    port > 65535
  ) {
    throw new VermilionError(
      "LISTEN_ADDRESS",
      `cannot listen on ${address}: give an IP address and a port (127.0.0.1:8080, [::1]:8080) or unix:/path`,
    );
  }
  if (isIPv4(name)) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    Buffer.from(name.split(".").map(Number)).copy(bytes, 4);
    return { family: AF_INET, bytes, path: undefined };
  }
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  ipv6Bytes(name).copy(bytes, 8);
  return { family: AF_INET6, bytes, path: undefined };
}

function unixAddress(address: string): ListenAddress {
  const path = address.slice("unix:".length);
  const name = Buffer.from(path);
  if (name.length === 0 || name.length > UNIX_PATH_MAXIMUM || name.includes(0)) {
    throw new VermilionError(
      "LISTEN_ADDRESS",
      `cannot listen on ${address}: the path of a socket has 1 to ${UNIX_PATH_MAXIMUM} bytes`,
    );
  }
  const bytes = Buffer.alloc(2 + name.length + 1);
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, 2);
  return { family: AF_UNIX, bytes, path };
}

/** `name` is a valid IPv6 address without a zone. */
function ipv6Bytes(name: string): Buffer {
  let text = name;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(name);
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    text = `${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const [before = "", after] = text.split("::");
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}
