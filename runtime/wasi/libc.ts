import type { LibraryHandle } from "koffi";
import { VermilionError } from "../../pmem/error.js";
import { type Koffi, loadKoffi } from "../../pmem/koffi.js";

/**
 * The system calls of the WASI host, through koffi. Each returns what the C function returns; after a -1, `errno()`
 * says why and must be asked before any other call. Addresses are numbers: user space ends below 2^48.
 *
 * Lengths of one transfer are cut by the kernel at 2^31 - 4096, so their results fit an int.
 */
export interface Libc {
  errno(): number;
  /** Of the first byte of a buffer whose memory does not move: Buffer.allocUnsafeSlow, WebAssembly.Memory. */
  addressOf(buffer: ArrayBufferView | ArrayBufferLike): number;

  read(fd: number, address: number, byteLength: number): number;
  write(fd: number, address: number, byteLength: number): number;
  readv(fd: number, iovecs: number, count: number): number;
  writev(fd: number, iovecs: number, count: number): number;
  pread(fd: number, address: number, byteLength: number, offset: bigint | number): number;
  pwrite(fd: number, address: number, byteLength: number, offset: bigint | number): number;
  preadv(fd: number, iovecs: number, count: number, offset: bigint | number): number;
  pwritev(fd: number, iovecs: number, count: number, offset: bigint | number): number;
  /** A bigint only above 2^53. */
  lseek(fd: number, offset: bigint | number, whence: number): number | bigint;
  close(fd: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, address: number): number;
  isatty(fd: number): number;
  ftruncate(fd: number, byteLength: bigint | number): number;
  fallocate(fd: number, mode: number, offset: bigint, byteLength: bigint): number;
  /** Returns the error number itself. */
  posix_fadvise(fd: number, offset: bigint, byteLength: bigint, advice: number): number;
  fsync(fd: number): number;
  fdatasync(fd: number): number;
  futimens(fd: number, timespecs: number): number;
  utimensat(fd: number, path: number, timespecs: number, flags: number): number;
  openat(fd: number, path: number, flags: number, mode: number): number;
  mkdirat(fd: number, path: number, mode: number): number;
  unlinkat(fd: number, path: number, flags: number): number;
  renameat(fromFd: number, from: number, toFd: number, to: number): number;
  linkat(fromFd: number, from: number, toFd: number, to: number, flags: number): number;
  symlinkat(target: number, fd: number, path: number): number;
  readlinkat(fd: number, path: number, address: number, byteLength: number): number;
  copy_file_range(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    byteLength: number,
    flags: number,
  ): number;
  clock_gettime(id: number, timespec: number): number;
  clock_getres(id: number, timespec: number): number;
  getrlimit(resource: number, rlimit: number): number;
  getrandom(address: number, byteLength: number, flags: number): number;
  poll(pollfds: number, count: number, milliseconds: number): number;
  /** timespec 0: no limit. */
  ppoll(pollfds: number, count: number, timespec: number, signals: number): number;
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: number, byteLength: number): number;
  bind(fd: number, address: number, byteLength: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: number, byteLength: number): number;
  getsockname(fd: number, address: number, byteLength: number): number;
  accept4(fd: number, address: number, byteLength: number, flags: number): number;
  shutdown(fd: number, how: number): number;
  recvmsg(fd: number, message: number, flags: number): number;
  sendmsg(fd: number, message: number, flags: number): number;
  fstat(fd: number, stat: number): number;
  fstatat(fd: number, path: number, stat: number, flags: number): number;
  openat2(fd: number, path: number, how: number, byteLength: number): number;
  getdents64(fd: number, address: number, byteLength: number): number;
}

/** Calls that not every libc has by name: their number on x64 and on arm64, and their parameters. */
const BY_NUMBER: Readonly<
  Record<string, { readonly x64: number; readonly arm64: number; readonly parameters: string }>
> = {
  fstat: { x64: 5, arm64: 80, parameters: "int, uintptr_t" },
  fstatat: { x64: 262, arm64: 79, parameters: "int, uintptr_t, uintptr_t, int" },
  openat2: { x64: 437, arm64: 437, parameters: "int, uintptr_t, uintptr_t, size_t" },
  getdents64: { x64: 217, arm64: 61, parameters: "int, uintptr_t, size_t" },
};

const PROTOTYPES: Readonly<Record<Exclude<keyof Libc, "errno" | "addressOf">, string>> = {
  read: "int read(int, uintptr_t, size_t)",
  write: "int write(int, uintptr_t, size_t)",
  readv: "int readv(int, uintptr_t, int)",
  writev: "int writev(int, uintptr_t, int)",
  pread: "int pread(int, uintptr_t, size_t, int64_t)",
  pwrite: "int pwrite(int, uintptr_t, size_t, int64_t)",
  preadv: "int preadv(int, uintptr_t, int, int64_t)",
  pwritev: "int pwritev(int, uintptr_t, int, int64_t)",
  lseek: "int64_t lseek(int, int64_t, int)",
  close: "int close(int)",
  fcntl: "int fcntl(int, int, intptr_t)",
  ioctl: "int ioctl(int, size_t, uintptr_t)",
  isatty: "int isatty(int)",
  ftruncate: "int ftruncate(int, int64_t)",
  fallocate: "int fallocate(int, int, int64_t, int64_t)",
  posix_fadvise: "int posix_fadvise(int, int64_t, int64_t, int)",
  fsync: "int fsync(int)",
  fdatasync: "int fdatasync(int)",
  futimens: "int futimens(int, uintptr_t)",
  utimensat: "int utimensat(int, uintptr_t, uintptr_t, int)",
  openat: "int openat(int, uintptr_t, int, int)",
  mkdirat: "int mkdirat(int, uintptr_t, uint32_t)",
  unlinkat: "int unlinkat(int, uintptr_t, int)",
  renameat: "int renameat(int, uintptr_t, int, uintptr_t)",
  linkat: "int linkat(int, uintptr_t, int, uintptr_t, int)",
  symlinkat: "int symlinkat(uintptr_t, int, uintptr_t)",
  readlinkat: "int readlinkat(int, uintptr_t, uintptr_t, size_t)",
  copy_file_range: "int copy_file_range(int, uintptr_t, int, uintptr_t, size_t, uint32_t)",
  clock_gettime: "int clock_gettime(int, uintptr_t)",
  clock_getres: "int clock_getres(int, uintptr_t)",
  getrlimit: "int getrlimit(int, uintptr_t)",
  getrandom: "int getrandom(uintptr_t, size_t, uint32_t)",
  poll: "int poll(uintptr_t, size_t, int)",
  ppoll: "int ppoll(uintptr_t, size_t, uintptr_t, uintptr_t)",
  socket: "int socket(int, int, int)",
  setsockopt: "int setsockopt(int, int, int, uintptr_t, uint32_t)",
  bind: "int bind(int, uintptr_t, uint32_t)",
  listen: "int listen(int, int)",
  connect: "int connect(int, uintptr_t, uint32_t)",
  getsockname: "int getsockname(int, uintptr_t, uintptr_t)",
  accept4: "int accept4(int, uintptr_t, uintptr_t, int)",
  shutdown: "int shutdown(int, int)",
  recvmsg: "int recvmsg(int, uintptr_t, int)",
  sendmsg: "int sendmsg(int, uintptr_t, int)",
  fstat: "int fstat(int, uintptr_t)",
  fstatat: "int fstatat(int, uintptr_t, uintptr_t, int)",
  openat2: "int openat2(int, uintptr_t, uintptr_t, size_t)",
  getdents64: "int getdents64(int, uintptr_t, size_t)",
};

let bound: Libc | undefined;

/** Loaded when first needed. FFI_MISSING: koffi cannot be loaded. */
export function libc(): Libc {
  bound ??= bind();
  return bound;
}

function byName(library: LibraryHandle, name: string, prototype: string): unknown {
  try {
    return library.func(prototype);
  } catch (error) {
    if (BY_NUMBER[name] === undefined) throw error;
    return undefined;
  }
}

/** Without rest parameters: they would be a fifth of a short call. */
function byNumber(library: LibraryHandle, name: string): unknown {
  const { x64, arm64, parameters } = BY_NUMBER[name]!;
  const number = process.arch === "arm64" ? arm64 : x64;
  const call: (...args: number[]) => number = library.func(`int syscall(int, ${parameters})`);
  switch (parameters.split(",").length) {
    case 2:
      return (a: number, b: number) => call(number, a, b);
    case 3:
      return (a: number, b: number, c: number) => call(number, a, b, c);
    default:
      return (a: number, b: number, c: number, d: number) => call(number, a, b, c, d);
  }
}

function bind(): Libc {
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch (cause) {
    throw new VermilionError(
      "FFI_MISSING",
      "cannot load koffi, the package through which Vermilion makes system calls: install it again " +
        "(npm install koffi) with optional packages allowed, they hold its binary for this machine",
      { cause },
    );
  }
  const library = koffi.load(null);
  const functions: Record<string, unknown> = {};
  for (const [name, prototype] of Object.entries(PROTOTYPES)) {
    // By name, glibc's fstat asks for the status of an empty path, which takes the kernel longer.
    functions[name] = (name === "fstat" ? undefined : byName(library, name, prototype)) ?? byNumber(library, name);
  }
  functions["errno"] = () => koffi.errno();
  functions["addressOf"] = (buffer: ArrayBufferView | ArrayBufferLike) =>
    Number(koffi.address(ArrayBuffer.isView(buffer) ? buffer : new Uint8Array(buffer))); // it knows no SharedArrayBuffer
  return functions as unknown as Libc; // PROTOTYPES is checked to name every member
}
