import { constants } from "node:fs";
import { LOOKUP_SYMLINK_FOLLOW, Rights } from "./abi.js";
import type { Descriptor } from "./descriptors.js";
import { Errno } from "./errno.js";
import { type TimesArgument, takeTimes } from "./file-times.js";
import type { WasiHost } from "./host.js";
import { O_PATH } from "./linux-flags.js";
import { closeParent, openParent, type PathArgument, resolveError } from "./resolve.js";
import { SCRATCH } from "./scratch.js";
import { FILESTAT_BYTES, FILESTAT_BYTES_UNSTABLE, modeInScratch, statAt, statOf, writeFilestat } from "./stat.js";

const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;

/** The directory that a path starts from. */
function directoryOf(host: WasiHost, fd: number, right: number): Descriptor | Errno {
  const descriptor = host.table.get(fd);
  if (descriptor === undefined) return Errno.BADF;
  if (descriptor.kind === "lost") return Errno.STALE;
  if (!descriptor.isDirectory) return Errno.BADF; // path_open alone says NOTDIR, as in wasmtime
  return (descriptor.rights & right) === right ? descriptor : Errno.NOTCAPABLE;
}

/** Runs one call on the last component, next to a descriptor of the directory that holds it. */
function inParent(
  host: WasiHost,
  directory: Descriptor,
  path: PathArgument,
  call: (parent: number, name: number) => number,
): Errno {
  const parent = openParent(host, directory.host, path);
  if (parent < 0) return resolveError(parent);
  const error = host.check(call(parent, path.nameAddress));
  closeParent(host, directory.host, parent);
  return error;
}

/** path_create_directory. */
export function pathCreateDirectory(host: WasiHost, fd: number, pointer: number, byteLength: number): Errno {
  const directory = directoryOf(host, fd, Rights.PATH_CREATE_DIRECTORY);
  if (typeof directory === "number") return directory;
  const error = host.pathA.take(host.memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  return inParent(host, directory, host.pathA, (parent, name) => host.libc.mkdirat(parent, name, 0o777));
}

/** path_remove_directory. NOTEMPTY, NOTDIR, BUSY as rmdir(2) has them. */
export function pathRemoveDirectory(host: WasiHost, fd: number, pointer: number, byteLength: number): Errno {
  return remove(host, fd, pointer, byteLength, Rights.PATH_REMOVE_DIRECTORY, AT_REMOVEDIR);
}

/** path_unlink_file. ISDIR: a directory. */
export function pathUnlinkFile(host: WasiHost, fd: number, pointer: number, byteLength: number): Errno {
  return remove(host, fd, pointer, byteLength, Rights.PATH_UNLINK_FILE, 0);
}

function remove(host: WasiHost, fd: number, pointer: number, byteLength: number, right: number, flags: number): Errno {
  const directory = directoryOf(host, fd, right);
  if (typeof directory === "number") return directory;
  const error = host.pathA.take(host.memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  return inParent(host, directory, host.pathA, (parent, name) => host.libc.unlinkat(parent, name, flags));
}

/**
 * path_filestat_get: a filestat to [out, out + 64). One system call for a plain name that is no symlink to be followed;
 * a component on its own cannot lead outside (R1).
 */
export function pathFilestatGet(
  host: WasiHost,
  fd: number,
  lookup: number,
  pointer: number,
  byteLength: number,
  out: number,
  unstable = false,
): Errno {
  const directory = directoryOf(host, fd, Rights.PATH_FILESTAT_GET);
  if (typeof directory === "number") return directory;
  if (lookup !== 0 && lookup !== LOOKUP_SYMLINK_FOLLOW) return Errno.INVAL;
  const path = host.pathA;
  const error = path.take(host.memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  out >>>= 0;
  if (!host.memory.has(out, unstable ? FILESTAT_BYTES_UNSTABLE : FILESTAT_BYTES)) return Errno.FAULT;
  if (path.isName) {
    if (statAt(host, directory.host, path.nameOffset, AT_SYMLINK_NOFOLLOW) === -1) return host.lastError();
    if (lookup === 0 || (modeInScratch(host) & constants.S_IFMT) !== constants.S_IFLNK) {
      writeFilestat(host, out, undefined, unstable);
      return Errno.SUCCESS;
    }
  }
  return onResolved(host, directory, path, lookup, (descriptor) => {
    const result = statOf(host, descriptor);
    if (result === 0) writeFilestat(host, out, undefined, unstable);
    return result;
  });
}

/** Opens the path as a place (O_PATH) and runs one call on that descriptor. */
function onResolved(
  host: WasiHost,
  directory: Descriptor,
  path: PathArgument,
  lookup: number,
  call: (descriptor: number) => number,
): Errno {
  const flags = O_PATH | (lookup === LOOKUP_SYMLINK_FOLLOW ? 0 : constants.O_NOFOLLOW);
  const descriptor = host.resolver.open(directory.host, path.address, flags, 0);
  if (descriptor < 0) return resolveError(descriptor);
  const error = host.check(call(descriptor));
  host.libc.close(descriptor);
  return error;
}

/** path_filestat_set_times. INVAL: a time both given and "now", or a flag that does not exist. */
export function pathFilestatSetTimes(
  host: WasiHost,
  fd: number,
  lookup: number,
  pointer: number,
  byteLength: number,
  accessed: bigint,
  modified: bigint,
  flags: number,
): Errno {
  const times: TimesArgument = { accessed, modified, flags };
  const invalid = takeTimes(host, times);
  if (invalid !== Errno.SUCCESS) return invalid;
  const directory = directoryOf(host, fd, Rights.PATH_FILESTAT_SET_TIMES);
  if (typeof directory === "number") return directory;
  if (lookup !== 0 && lookup !== LOOKUP_SYMLINK_FOLLOW) return Errno.INVAL;
  const path = host.pathA;
  const error = path.take(host.memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  const { libc, scratch } = host;
  return onResolved(host, directory, path, lookup, (descriptor) => {
    takeTimes(host, times); // resolving used the scratch memory
    const done = libc.utimensat(
      descriptor,
      scratch.address + SCRATCH.empty,
      scratch.address + SCRATCH.times,
      AT_EMPTY_PATH,
    );
    if (done === 0) return done;
    // Before Linux 5.8 a place can be named only through /proc.
    const name = scratch.setString(SCRATCH.small, `/proc/self/fd/${descriptor}`);
    return libc.utimensat(-1, name, scratch.address + SCRATCH.times, 0);
  });
}

/** path_link. INVAL: asked to follow a symlink, which wasmtime does not do either. PERM: a directory. */
export function pathLink(
  host: WasiHost,
  fromFd: number,
  lookup: number,
  fromPointer: number,
  fromLength: number,
  toFd: number,
  toPointer: number,
  toLength: number,
): Errno {
  const from = directoryOf(host, fromFd, Rights.PATH_LINK_SOURCE);
  if (typeof from === "number") return from;
  const to = directoryOf(host, toFd, Rights.PATH_LINK_TARGET);
  if (typeof to === "number") return to;
  const error =
    host.pathA.take(host.memory, fromPointer >>> 0, fromLength >>> 0) ||
    host.pathB.take(host.memory, toPointer >>> 0, toLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  if (lookup !== 0) return Errno.INVAL;
  if (host.pathA.isDots || host.pathA.trailingSlash) {
    // Such a name is a directory or an error; linkat(2) would follow it.
    return onResolved(host, from, host.pathA, 0, () => 0) || Errno.PERM;
  }
  return between(host, from, to, host.libc.linkat);
}

/** path_rename. */
export function pathRename(
  host: WasiHost,
  fromFd: number,
  fromPointer: number,
  fromLength: number,
  toFd: number,
  toPointer: number,
  toLength: number,
): Errno {
  const from = directoryOf(host, fromFd, Rights.PATH_RENAME_SOURCE);
  if (typeof from === "number") return from;
  const to = directoryOf(host, toFd, Rights.PATH_RENAME_TARGET);
  if (typeof to === "number") return to;
  const error =
    host.pathA.take(host.memory, fromPointer >>> 0, fromLength >>> 0) ||
    host.pathB.take(host.memory, toPointer >>> 0, toLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  return between(host, from, to, host.libc.renameat);
}

/** Runs linkat or renameat from the place of path A to the place of path B; neither follows a last component. */
function between(
  host: WasiHost,
  from: Descriptor,
  to: Descriptor,
  call: (fromFd: number, from: number, toFd: number, to: number, flags: number) => number,
): Errno {
  const source = openParent(host, from.host, host.pathA);
  if (source < 0) return resolveError(source);
  const target = openParent(host, to.host, host.pathB);
  if (target < 0) {
    closeParent(host, from.host, source);
    return resolveError(target);
  }
  const error = host.check(call(source, host.pathA.nameAddress, target, host.pathB.nameAddress, 0));
  closeParent(host, from.host, source);
  closeParent(host, to.host, target);
  return error;
}

/** path_symlink. PERM: an absolute target, which could never be followed. */
export function pathSymlink(
  host: WasiHost,
  targetPointer: number,
  targetLength: number,
  fd: number,
  pointer: number,
  byteLength: number,
): Errno {
  const directory = directoryOf(host, fd, Rights.PATH_SYMLINK);
  if (typeof directory === "number") return directory;
  const error =
    host.pathB.takeTarget(host.memory, targetPointer >>> 0, targetLength >>> 0) ||
    host.pathA.take(host.memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  if (host.pathB.isAbsolute) return Errno.PERM;
  return inParent(host, directory, host.pathA, (parent, name) => host.libc.symlinkat(host.pathB.address, parent, name));
}

/** path_readlink: the target, cut at `bufferLength` bytes; its length, u32, to [out, out + 4). INVAL: no symlink. */
export function pathReadlink(
  host: WasiHost,
  fd: number,
  pointer: number,
  byteLength: number,
  buffer: number,
  bufferLength: number,
  out: number,
): Errno {
  const directory = directoryOf(host, fd, Rights.PATH_READLINK);
  if (typeof directory === "number") return directory;
  const path = host.pathA;
  const { memory, libc, scratch } = host;
  const error = path.take(memory, pointer >>> 0, byteLength >>> 0);
  if (error !== Errno.SUCCESS) return error;
  buffer >>>= 0;
  bufferLength >>>= 0;
  out >>>= 0;
  if (!memory.has(out, 4) || !memory.has(buffer, bufferLength)) return Errno.FAULT;
  if (path.isDots || path.trailingSlash) return onResolved(host, directory, path, 0, () => 0) || Errno.INVAL;
  return inParent(host, directory, path, (parent, name) => {
    // The kernel refuses a buffer of no bytes; WASI says 0 of them are used.
    const used =
      bufferLength === 0
        ? Math.min(libc.readlinkat(parent, name, scratch.address + SCRATCH.small, 1), 0)
        : libc.readlinkat(parent, name, memory.address + buffer, bufferLength);
    if (used >= 0) memory.setU32(out, used);
    return used;
  });
}
