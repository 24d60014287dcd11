import { constants } from "node:fs";
import {
  FDFLAGS_ALL,
  Fdflags,
  Filetype,
  filetypeOfMode,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAGS_ALL,
  Oflags,
  RIGHTS_ALL,
  RIGHTS_DIRECTORY,
  Rights,
} from "./abi.js";
import { Descriptor, Transport } from "./descriptors.js";
import { Errno, LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import { O_PATH } from "./linux-flags.js";
import { resolveError } from "./resolve.js";
import { inodeLowInScratch, majorInScratch, modeInScratch, statOf } from "./stat.js";
import { waitFor } from "./wait.js";

/** How long a guest waits between two looks for a reader of a named pipe: the kernel has no way to poll for one. */
const FIFO_LOOK_MILLISECONDS = 20;

const PATH_TEXT_MAXIMUM = 4096;

/** How the guest opens: its flags in WASI's terms and what follows for the host. */
export interface OpenMode {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly fdflags: number;
}

/**
 * Access and status flags of the host descriptor. O_NONBLOCK because opening a named pipe must not block the host, and
 * because blocking is done by polling; O_NOCTTY because a guest must not take our terminal.
 */
export function hostFlags({ readable, writable, fdflags }: OpenMode): number {
  let flags = constants.O_NOCTTY | constants.O_NONBLOCK;
  if (writable) flags |= readable ? constants.O_RDWR : constants.O_WRONLY;
  if ((fdflags & Fdflags.APPEND) !== 0) flags |= constants.O_APPEND;
  if ((fdflags & (Fdflags.SYNC | Fdflags.RSYNC)) !== 0) flags |= constants.O_SYNC;
  else if ((fdflags & Fdflags.DSYNC) !== 0) flags |= constants.O_DSYNC;
  return flags;
}

/**
 * path_open: the new descriptor, u32, to [out, out + 4).
 *
 * Rights: the guest gets those that its directory passes on. How the file is opened follows from FD_READ and FD_WRITE
 * among those asked for: for reading unless only FD_WRITE is asked for, as in wasmtime; for writing when it is asked for,
 * where wasmtime also lets those write that create or cut a file. docs/rationale.md#rights.
 */
export function pathOpen(
  host: WasiHost,
  fd: number,
  lookup: number,
  pointer: number,
  byteLength: number,
  oflags: number,
  rightsAsked: bigint,
  _inheritingAsked: bigint,
  fdflags: number,
  out: number,
): number {
  const { memory, table, libc } = host;
  const directory = table.get(fd);
  if (directory === undefined) return Errno.BADF;
  if (directory.kind === "lost") return Errno.STALE;
  if (!directory.isDirectory) return directory.kind === "file" ? Errno.NOTDIR : Errno.BADF;
  if ((oflags & ~OFLAGS_ALL) !== 0 || (fdflags & ~FDFLAGS_ALL) !== 0) return Errno.INVAL;
  if (lookup !== 0 && lookup !== LOOKUP_SYMLINK_FOLLOW) return Errno.INVAL;
  const creating = (oflags & Oflags.CREAT) !== 0;
  const truncating = (oflags & Oflags.TRUNC) !== 0;
  const onlyDirectory = (oflags & Oflags.DIRECTORY) !== 0;
  if (onlyDirectory && (oflags & (Oflags.CREAT | Oflags.EXCL | Oflags.TRUNC)) !== 0) return Errno.INVAL;
  const asked = Number(BigInt.asUintN(30, rightsAsked));
  const needed =
    Rights.PATH_OPEN | (creating ? Rights.PATH_CREATE_FILE : 0) | (truncating ? Rights.PATH_FILESTAT_SET_SIZE : 0);
  const passedOn = asked & (Rights.FD_READ | Rights.FD_WRITE);
  if ((directory.rights & needed) !== needed || (directory.inheriting & passedOn) !== passedOn) return Errno.NOTCAPABLE;
  const path = host.pathA;
  const error = path.take(memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  out >>>= 0;
  if (!memory.has(out, 4)) return Errno.FAULT;
  if (table.isFull) return Errno.MFILE;

  const askedToWrite = (asked & Rights.FD_WRITE) !== 0;
  const mode = {
    readable: !askedToWrite || (asked & Rights.FD_READ) !== 0,
    writable: askedToWrite || truncating, // the host's descriptor; the guest's rights say what it asked for
    fdflags,
  };
  let flags = hostFlags(mode);
  if (creating) flags |= constants.O_CREAT;
  if (truncating) flags |= constants.O_TRUNC;
  if ((oflags & Oflags.EXCL) !== 0) flags |= constants.O_EXCL;
  if (onlyDirectory) flags |= constants.O_DIRECTORY;
  if (lookup === 0) flags |= constants.O_NOFOLLOW;

  let opened = host.resolver.open(directory.host, path.address, flags, creating ? 0o666 : 0);
  while (opened === -LINUX.ENXIO && (fdflags & Fdflags.NONBLOCK) === 0 && isFifo(host, directory.host, flags)) {
    if (waitFor(host, -1, 0, FIFO_LOOK_MILLISECONDS) === RESTART) return RESTART;
    opened = host.resolver.open(directory.host, path.address, flags & ~constants.O_EXCL, creating ? 0o666 : 0);
  }
  if (opened < 0) return resolveError(opened);
  if (statOf(host, opened) === -1) {
    const statError = host.lastError();
    libc.close(opened);
    return statError;
  }
  const descriptor = describeOpened(host, opened, mode, joined(directory.path, path.text));
  descriptor.rights &= directory.inheriting & (askedToWrite ? RIGHTS_ALL : ~Rights.FD_WRITE);
  descriptor.inheriting &= directory.inheriting;
  memory.setU32(out, table.add(descriptor));
  return Errno.SUCCESS;
}

/** The path for people; the guest's root is "/", most often. A guest that opens ever deeper does not make it ever longer. */
function joined(directory: string, path: string): string {
  if (directory.length > PATH_TEXT_MAXIMUM) return `.../${path}`;
  return directory.endsWith("/") ? `${directory}${path}` : `${directory}/${path}`;
}

/** Opening a named pipe for writing fails with ENXIO while nobody reads it; so does opening a socket, for good. */
function isFifo(host: WasiHost, directory: number, flags: number): boolean {
  const place = host.resolver.open(directory, host.pathA.address, O_PATH | (flags & constants.O_NOFOLLOW), 0);
  if (place < 0) return false;
  const fifo = statOf(host, place) === 0 && (modeInScratch(host) & constants.S_IFMT) === constants.S_IFIFO;
  host.libc.close(place);
  return fifo;
}

/** The descriptor of a file or directory just opened, of which the scratch memory holds the stat. */
export function describeOpened(host: WasiHost, opened: number, mode: OpenMode, path: string): Descriptor {
  const fileMode = modeInScratch(host);
  const filetype = filetypeOfMode(fileMode);
  const isDirectory = filetype === Filetype.DIRECTORY;
  const transport = isDirectory ? Transport.NONE : transportOf(host, fileMode);
  let rights = isDirectory ? RIGHTS_DIRECTORY : RIGHTS_ALL;
  if (!isDirectory) {
    if (transport !== Transport.FILE) rights &= ~(Rights.FD_SEEK | Rights.FD_TELL);
    if (!mode.readable) rights &= ~Rights.FD_READ;
    if (!mode.writable) rights &= ~Rights.FD_WRITE;
  }
  const descriptor = new Descriptor({
    kind: isDirectory ? "directory" : "file",
    host: opened,
    owned: true,
    transport,
    filetype,
    rights,
    inheriting: isDirectory ? RIGHTS_ALL : rights,
    fdflags: isDirectory ? 0 : mode.fdflags,
    readable: mode.readable,
    writable: mode.writable,
    index: -1,
    path,
  });
  descriptor.inodeLow = inodeLowInScratch(host);
  descriptor.pollFirst = (fileMode & constants.S_IFMT) === constants.S_IFIFO && mode.readable && !mode.writable;
  return descriptor;
}

const MEMORY_DEVICES = 1; // major number of /dev/null, /dev/zero, /dev/full, /dev/random: they never block

function transportOf(host: WasiHost, fileMode: number): number {
  switch (fileMode & constants.S_IFMT) {
    case constants.S_IFIFO:
      return Transport.STREAM;
    case constants.S_IFCHR:
      return majorInScratch(host) === MEMORY_DEVICES ? Transport.FILE : Transport.STREAM;
    default:
      return Transport.FILE;
  }
}
