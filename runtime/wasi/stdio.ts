import { constants } from "node:fs";
import { Fdflags, Filetype, filetypeOfMode, Rights } from "./abi.js";
import { Descriptor, Transport } from "./descriptors.js";
import type { WasiHost } from "./host.js";
import { AT_FDCWD, O_CLOEXEC } from "./linux-flags.js";
import { majorInScratch, modeInScratch, statOf } from "./stat.js";

const F_GETFL = 3;
const MEMORY_DEVICES = 1;
const O_ACCMODE = 3;

const RIGHTS_STDIO = Rights.FD_FDSTAT_SET_FLAGS | Rights.FD_FILESTAT_GET | Rights.POLL_FD_READWRITE | Rights.FD_SYNC;
/** A stream of these does not pass for a terminal in wasi-libc's isatty. */
const RIGHTS_SEEKABLE =
  Rights.FD_SEEK | Rights.FD_TELL | Rights.FD_ADVISE | Rights.FD_DATASYNC | Rights.FD_FILESTAT_SET_SIZE;

/**
 * The guest's descriptor 0, 1 or 2 over one of the host's.
 *
 * Pipes and terminals are opened again through /proc, non-blocking: a description of our own, so that a blocked guest can
 * be interrupted and the parent's descriptors stay as they are. Where that fails, they are polled first. Regular files are
 * shared with the parent, offset and all, as a shell's redirections are.
 */
export function stdioDescriptor(host: WasiHost, stream: 0 | 1 | 2): Descriptor {
  const { libc, scratch } = host;
  const forReading = stream === 0;
  let descriptor = host.options.stdio[stream];
  let owned = false;
  if (descriptor < 0 || statOf(host, descriptor) === -1) {
    descriptor = libc.openat(AT_FDCWD, scratch.setString(0, "/dev/null"), constants.O_RDWR | O_CLOEXEC, 0);
    owned = true;
    statOf(host, descriptor);
  }
  const mode = modeInScratch(host);
  const type = mode & constants.S_IFMT;
  const major = majorInScratch(host);
  const isTerminal = type === constants.S_IFCHR && libc.isatty(descriptor) === 1;
  let transport: number = Transport.FILE;
  if (type === constants.S_IFSOCK) transport = Transport.SOCKET;
  else if (type === constants.S_IFIFO || (type === constants.S_IFCHR && major !== MEMORY_DEVICES)) {
    const again = openAgain(host, descriptor);
    transport = again >= 0 ? Transport.STREAM : Transport.POLLED;
    if (again >= 0) {
      if (owned) libc.close(descriptor);
      descriptor = again;
      owned = true;
    }
  }
  const seekable = transport === Transport.FILE;
  const rights = RIGHTS_STDIO | (forReading ? Rights.FD_READ : Rights.FD_WRITE) | (seekable ? RIGHTS_SEEKABLE : 0);
  const flags = libc.fcntl(descriptor, F_GETFL, 0);
  return new Descriptor({
    kind: "stdio",
    host: descriptor,
    owned,
    transport,
    // As wasmtime: only what a guest can make use of has a type; pipes and sockets have none.
    filetype: isTerminal || seekable ? filetypeOfMode(mode) : Filetype.UNKNOWN,
    rights,
    inheriting: rights,
    fdflags: (flags & constants.O_APPEND) !== 0 && type === constants.S_IFREG ? Fdflags.APPEND : 0,
    readable: forReading,
    writable: !forReading,
    index: stream,
    path: ["<stdin>", "<stdout>", "<stderr>"][stream]!,
  });
}

/** A new open file description of the same pipe or terminal; negative: not possible. */
function openAgain(host: WasiHost, descriptor: number): number {
  const flags = host.libc.fcntl(descriptor, F_GETFL, 0);
  if (flags === -1) return -1;
  const access = flags & O_ACCMODE;
  const name = host.scratch.setString(0, `/proc/self/fd/${descriptor}`);
  return host.libc.openat(AT_FDCWD, name, access | constants.O_NONBLOCK | constants.O_NOCTTY | O_CLOEXEC, 0);
}
