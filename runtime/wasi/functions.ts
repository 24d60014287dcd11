import { argsGet, argsSizesGet, environGet, environSizesGet } from "./args.js";
import { clockResGet, clockTimeGet } from "./clock.js";
import { Errno } from "./errno.js";
import { fdRead, fdWrite } from "./fd-io.js";
import { fdPread, fdPwrite } from "./fd-positioned.js";
import {
  fdAdvise,
  fdAllocate,
  fdDatasync,
  fdFdstatGet,
  fdFdstatSetFlags,
  fdFdstatSetRights,
  fdFilestatGet,
  fdFilestatSetSize,
  fdFilestatSetTimes,
  fdSync,
} from "./fd-status.js";
import { fdClose, fdPrestatDirName, fdPrestatGet, fdReaddir, fdRenumber } from "./fd-table.js";
import type { WasiHost } from "./host.js";
import {
  pathCreateDirectory,
  pathFilestatGet,
  pathFilestatSetTimes,
  pathLink,
  pathReadlink,
  pathRemoveDirectory,
  pathRename,
  pathSymlink,
  pathUnlinkFile,
} from "./path.js";
import { pathOpen } from "./path-open.js";
import { pollOneoff } from "./poll.js";
import { fdSeek, fdTell } from "./position.js";
import { procExit, procRaise, schedYield } from "./proc.js";
import { randomGet } from "./random.js";
import { sockAccept, sockRecv, sockSend, sockShutdown } from "./sock.js";

/** A host function as the guest imports it. The parameters are of the types in WASI_SIGNATURES. */
export type WasiFunction = (...args: (number | bigint)[]) => number | undefined;

/**
 * The types of all calls, "i" for i32 and "I" for i64; the result is an i32, but for proc_exit, which has none. Whoever
 * links a guest compares: a function imported with other types would be called with other values.
 */
export const WASI_SIGNATURES = {
  args_get: "ii",
  args_sizes_get: "ii",
  environ_get: "ii",
  environ_sizes_get: "ii",
  clock_res_get: "ii",
  clock_time_get: "iIi",
  fd_advise: "iIIi",
  fd_allocate: "iII",
  fd_close: "i",
  fd_datasync: "i",
  fd_fdstat_get: "ii",
  fd_fdstat_set_flags: "ii",
  fd_fdstat_set_rights: "iII",
  fd_filestat_get: "ii",
  fd_filestat_set_size: "iI",
  fd_filestat_set_times: "iIIi",
  fd_pread: "iiiIi",
  fd_prestat_get: "ii",
  fd_prestat_dir_name: "iii",
  fd_pwrite: "iiiIi",
  fd_read: "iiii",
  fd_readdir: "iiiIi",
  fd_renumber: "ii",
  fd_seek: "iIii",
  fd_sync: "i",
  fd_tell: "ii",
  fd_write: "iiii",
  path_create_directory: "iii",
  path_filestat_get: "iiiii",
  path_filestat_set_times: "iiiiIIi",
  path_link: "iiiiiii",
  path_open: "iiiiiIIii",
  path_readlink: "iiiiii",
  path_remove_directory: "iii",
  path_rename: "iiiiii",
  path_symlink: "iiiii",
  path_unlink_file: "iii",
  poll_oneoff: "iiii",
  proc_exit: "i",
  proc_raise: "i",
  random_get: "ii",
  sched_yield: "",
  sock_accept: "iii",
  sock_recv: "iiiiii",
  sock_send: "iiiii",
  sock_shutdown: "ii",
} as const;

/** Calls that take a number in place of a bigint that is not below 0: whoever links a guest need not make one for each. */
export const WASI_TAKING_NUMBERS: ReadonlySet<string> = new Set(["clock_time_get", "fd_pread", "fd_pwrite", "fd_seek"]);

type Name = keyof typeof WASI_SIGNATURES;

type Parameters<Signature extends string> = Signature extends `${infer First}${infer Rest}`
  ? [First extends "I" ? bigint : number, ...Parameters<Rest>]
  : [];

type Table = { readonly [N in Name]: (...args: Parameters<(typeof WASI_SIGNATURES)[N]>) => number };

/** wasi_snapshot_preview1. Closures over the host, and nothing between them and the work. */
export function preview1Functions(host: WasiHost): Readonly<Record<string, WasiFunction>> {
  return untyped(table(host));
}

/** snapshot 0 numbers the seek origins otherwise: current, end, start. */
const UNSTABLE_WHENCE = [1, 2, 0];

/** wasi_unstable: the same calls, four of them with other layouts or numbers. */
export function unstableFunctions(host: WasiHost): Readonly<Record<string, WasiFunction>> {
  return untyped({
    ...table(host),
    fd_filestat_get: (fd, out) => fdFilestatGet(host, fd, out, true),
    fd_seek: (fd, offset, whence, out) => fdSeek(host, fd, offset, UNSTABLE_WHENCE[whence] ?? -1, out),
    path_filestat_get: (fd, lookup, pointer, byteLength, out) =>
      pathFilestatGet(host, fd, lookup, pointer, byteLength, out, true),
    poll_oneoff: (subscriptions, events, count, out) => pollOneoff(host, subscriptions, events, count, out, true),
    // Only preview1 has it.
    sock_accept: () => Errno.NOTSUP,
  });
}

/** The linker has compared the types (WASI_SIGNATURES), so the guest's values are of them. */
function untyped(functions: Table): Readonly<Record<string, WasiFunction>> {
  return functions as unknown as Readonly<Record<string, WasiFunction>>;
}

function table(host: WasiHost): Table {
  return {
    args_get: (pointers, buffer) => argsGet(host, pointers, buffer),
    args_sizes_get: (count, byteLength) => argsSizesGet(host, count, byteLength),
    environ_get: (pointers, buffer) => environGet(host, pointers, buffer),
    environ_sizes_get: (count, byteLength) => environSizesGet(host, count, byteLength),
    clock_res_get: (id, out) => clockResGet(host, id, out),
    clock_time_get: (id, precision, out) => clockTimeGet(host, id, precision, out),
    fd_advise: (fd, offset, byteLength, advice) => fdAdvise(host, fd, offset, byteLength, advice),
    fd_allocate: (fd, offset, byteLength) => fdAllocate(host, fd, offset, byteLength),
    fd_close: (fd) => fdClose(host, fd),
    fd_datasync: (fd) => fdDatasync(host, fd),
    fd_fdstat_get: (fd, out) => fdFdstatGet(host, fd, out),
    fd_fdstat_set_flags: (fd, flags) => fdFdstatSetFlags(host, fd, flags),
    fd_fdstat_set_rights: (fd, rights, inheriting) => fdFdstatSetRights(host, fd, rights, inheriting),
    fd_filestat_get: (fd, out) => fdFilestatGet(host, fd, out),
    fd_filestat_set_size: (fd, byteLength) => fdFilestatSetSize(host, fd, byteLength),
    fd_filestat_set_times: (fd, accessed, modified, flags) => fdFilestatSetTimes(host, fd, accessed, modified, flags),
    fd_pread: (fd, iovecs, count, offset, out) => fdPread(host, fd, iovecs, count, offset, out),
    fd_prestat_get: (fd, out) => fdPrestatGet(host, fd, out),
    fd_prestat_dir_name: (fd, buffer, byteLength) => fdPrestatDirName(host, fd, buffer, byteLength),
    fd_pwrite: (fd, iovecs, count, offset, out) => fdPwrite(host, fd, iovecs, count, offset, out),
    fd_read: (fd, iovecs, count, out) => fdRead(host, fd, iovecs, count, out),
    fd_readdir: (fd, buffer, byteLength, cookie, out) => fdReaddir(host, fd, buffer, byteLength, cookie, out),
    fd_renumber: (from, to) => fdRenumber(host, from, to),
    fd_seek: (fd, offset, whence, out) => fdSeek(host, fd, offset, whence, out),
    fd_sync: (fd) => fdSync(host, fd),
    fd_tell: (fd, out) => fdTell(host, fd, out),
    fd_write: (fd, iovecs, count, out) => fdWrite(host, fd, iovecs, count, out),
    path_create_directory: (fd, pointer, byteLength) => pathCreateDirectory(host, fd, pointer, byteLength),
    path_filestat_get: (fd, lookup, pointer, byteLength, out) =>
      pathFilestatGet(host, fd, lookup, pointer, byteLength, out),
    path_filestat_set_times: (fd, lookup, pointer, byteLength, accessed, modified, flags) =>
      pathFilestatSetTimes(host, fd, lookup, pointer, byteLength, accessed, modified, flags),
    path_link: (fromFd, lookup, from, fromLength, toFd, to, toLength) =>
      pathLink(host, fromFd, lookup, from, fromLength, toFd, to, toLength),
    path_open: (fd, lookup, pointer, byteLength, oflags, rights, inheriting, fdflags, out) =>
      pathOpen(host, fd, lookup, pointer, byteLength, oflags, rights, inheriting, fdflags, out),
    path_readlink: (fd, pointer, byteLength, buffer, bufferLength, out) =>
      pathReadlink(host, fd, pointer, byteLength, buffer, bufferLength, out),
    path_remove_directory: (fd, pointer, byteLength) => pathRemoveDirectory(host, fd, pointer, byteLength),
    path_rename: (fromFd, from, fromLength, toFd, to, toLength) =>
      pathRename(host, fromFd, from, fromLength, toFd, to, toLength),
    path_symlink: (target, targetLength, fd, pointer, byteLength) =>
      pathSymlink(host, target, targetLength, fd, pointer, byteLength),
    path_unlink_file: (fd, pointer, byteLength) => pathUnlinkFile(host, fd, pointer, byteLength),
    poll_oneoff: (subscriptions, events, count, out) => pollOneoff(host, subscriptions, events, count, out),
    proc_exit: (status) => procExit(status),
    proc_raise: (signal) => procRaise(signal),
    random_get: (buffer, byteLength) => randomGet(host, buffer, byteLength),
    sched_yield: () => schedYield(),
    sock_accept: (fd, flags, out) => sockAccept(host, fd, flags, out),
    sock_recv: (fd, iovecs, count, flags, outLength, outFlags) =>
      sockRecv(host, fd, iovecs, count, flags, outLength, outFlags),
    sock_send: (fd, iovecs, count, flags, out) => sockSend(host, fd, iovecs, count, flags, out),
    sock_shutdown: (fd, how) => sockShutdown(host, fd, how),
  };
}
