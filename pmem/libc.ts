import { invariant, VermilionError } from "./error.js";
import { type Koffi, loadKoffi } from "./koffi.js";

/** Values from the kernel's headers that x64 and arm64 share. */
export const PROT = { NONE: 0, READ: 1, WRITE: 2 } as const;
export const MAP = { SHARED: 0x01, PRIVATE: 0x02, FIXED: 0x10, ANONYMOUS: 0x20, NORESERVE: 0x4000 } as const;
const MADV_POPULATE_WRITE = 23;
const MADV_DONTNEED = 4;
export const LOCK = { SHARED: 1, EXCLUSIVE: 2, NON_BLOCKING: 4, UNLOCK: 8 } as const;
const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2 } as const;
const MFD_CLOEXEC = 1;
const O_CLOEXEC = 0o2000000;
const UFFD_USER_MODE_ONLY = 1;
const SYS_USERFAULTFD = { x64: 323, arm64: 282 } as const;
const SYS_SCHED_SETATTR = { x64: 314, arm64: 274 } as const;
const SYS_SCHED_GETATTR = { x64: 315, arm64: 275 } as const;
/** struct sched_attr of linux/sched/types.h. */
const SCHED_ATTR = {
  byteLength: 48,
  policy: 4, // u32
  runtime: 24, // u64, nanoseconds: of the usual policy the slice, zero on kernels before 6.12
} as const;
const SCHED_NORMAL = 0;
/** The kernel allows no less. */
const SHORTEST_SLICE_NS = 100_000n;
const EFD = { NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
export const EWOULDBLOCK = 11;
export const EINTR = 4;
export const ENODEV = 19;
const ENOSYS = 38;
const EOPNOTSUPP = 95;

/** The calls that Node has not. Each returns 0 or an errno, so that nobody has to ask for it separately. */
export interface Libc {
  /** mmap(2) at exactly `address` (MAP_FIXED is added): whatever was mapped there is replaced. */
  mapFixed(
    address: number,
    byteLength: number,
    protection: number,
    flags: number,
    descriptor: number,
    offset: number,
  ): number;
  /** Whether `descriptor` can be mapped shared and read-write at all; maps one page elsewhere and lets it go. */
  probeMapping(descriptor: number): number;
  flock(descriptor: number, operation: number): number;
  /** ioctl(2) with its argument at `address`: its result, or a negative errno. */
  control(descriptor: number, request: number, address: number): number;
  /** In another thread: pages are there for their first store. Where they are not to be had, nothing happens. */
  fill(address: number, byteLength: number): void;
  /** Pages of a shared mapping are not this process's any more, and stay the file's. Failing is harmless. */
  forget(address: number, byteLength: number): void;
  /** userfaultfd(2), close-on-exec, for faults of this program's own code: a descriptor, or a negative errno. */
  createFaultDescriptor(): number;
  isZero(address: number, byteLength: number): boolean;
  /** Gives the blocks of a part of a file back to the disk; it reads as zeros then. The file keeps its length. */
  punchHole(descriptor: number, position: number, byteLength: number): number;
  /** The file is at least so long, with room on the disk for all of it. Without fallocate it is only made long. */
  allocate(descriptor: number, byteLength: number): number;
  /** Of the kernel: 4096, or on arm64 also 16384 or 65536. */
  readonly pageByteLength: number;
  /** eventfd(2), close-on-exec and non-blocking: a descriptor, or a negative errno. */
  createEvent(): number;
  /** memfd_create(2), close-on-exec: the descriptor of an empty file without a name, or a negative errno. */
  createMemoryFile(): number;
  /**
   * When it has something to do, this thread gets a processor at once, and gives it back soon: its slices are as short as may be
   * (Linux 6.12). Older kernels let it wait, for some milliseconds, until others have used up their slices; nothing else happens.
   */
  runPromptly(thread: number): void;
  /**
   * Memory that is freed stays this program's, up to 64 MiB of each arena, instead of going back to the kernel page by page and
   * coming again: compilers allocate and free megabytes for each function. Of glibc; elsewhere nothing happens.
   */
  keepFreedMemory(): void;
  /** _exit(2): the whole program ends now, and waits for no thread of it. */
  exit(status: number): void;
  /** Of the first byte; also for empty arrays over a real backing store. */
  addressOf(bytes: Uint8Array): number;
}

/** Parameters of mallopt(3) and what they are set to, in bytes. What is larger than the second is mapped and unmapped by itself. */
const MALLOC = { trimThreshold: [-1, 64 * 2 ** 20], mmapThreshold: [-3, 4 * 2 ** 20] } as const;

/** Compared at once by isZero. */
const ZERO_BYTES = 65_536;

let bound: Libc | undefined;

/**
 * Loaded when first needed: reading images, help texts and usage errors must work, and start fast, without the FFI.
 * PLATFORM_UNSUPPORTED: not Linux on x64 or arm64. FFI_MISSING: koffi cannot be loaded.
 */
export function libc(): Libc {
  bound ??= bind();
  return bound;
}

function bind(): Libc {
  const { platform, arch } = process;
  if (platform !== "linux" || (arch !== "x64" && arch !== "arm64")) {
    throw new VermilionError(
      "PLATFORM_UNSUPPORTED",
      `Vermilion needs Linux on x64 or arm64; this is ${platform} on ${arch}`,
    );
  }
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch (cause) {
    throw new VermilionError(
      "FFI_MISSING",
      `cannot load koffi, the package through which Vermilion maps memory: install it again (npm install koffi) ` +
        `with optional packages allowed, they hold its binary for linux-${arch}`,
      { cause },
    );
  }
  const library = koffi.load(null);
  // Addresses and lengths stay below 2^53: user space ends at 2^47 (2^48 on arm64).
  const mmap: (a: number, l: number, p: number, f: number, d: number, o: number) => number = library.func(
    "intptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int descriptor, int64_t offset)",
  );
  const munmap: (a: number, l: number) => number = library.func("int munmap(uintptr_t address, size_t length)");
  const flock: (d: number, o: number) => number = library.func("int flock(int descriptor, int operation)");

  const eventfd: (initial: number, flags: number) => number = library.func(
    "int eventfd(unsigned int initial, int flags)",
  );

  const memfd: (name: string, flags: number) => number = library.func(
    "int memfd_create(const char *name, unsigned int flags)",
  );
  const ioctl: (d: number, r: number, a: number) => number = library.func(
    "int ioctl(int descriptor, unsigned long request, uintptr_t argument)",
  );
  const madvise = library.func("int madvise(uintptr_t address, size_t length, int advice)");
  // glibc has no function for it.
  const syscall: (n: number, f: number) => number = library.func("long syscall(long number, long flags)");
  const schedule: (n: number, t: number, a: number, l: number, f: number) => number = library.func(
    "long syscall(long number, long thread, uintptr_t attributes, long byteLength, long flags)",
  );
  const memcmp: (a: number, b: number, l: number) => number = library.func(
    "int memcmp(uintptr_t a, uintptr_t b, size_t length)",
  );
  const fallocate: (d: number, m: number, p: number, l: number) => number = library.func(
    "int fallocate(int descriptor, int mode, int64_t position, int64_t length)",
  );
  const ftruncate: (d: number, l: number) => number = library.func("int ftruncate(int descriptor, int64_t length)");
  const exit: (status: number) => void = library.func("void _exit(int status)");
  const getpagesize: () => number = library.func("int getpagesize()");
  const errnoOf = (result: number): number => (result === -1 ? koffi.errno() : 0);
  const orErrno = (result: number): number => (result === -1 ? -koffi.errno() : result);
  const zeros = new Uint8Array(ZERO_BYTES);
  const zeroAddress = Number(koffi.address(zeros));

  return {
    mapFixed: (address, byteLength, protection, flags, descriptor, offset) =>
      errnoOf(mmap(address, byteLength, protection, flags | MAP.FIXED, descriptor, offset)),
    probeMapping: (descriptor) => {
      const address = mmap(0, 4096, PROT.READ | PROT.WRITE, MAP.SHARED, descriptor, 0);
      if (address === -1) return koffi.errno();
      return errnoOf(munmap(address, 4096));
    },
    flock: (descriptor, operation) => errnoOf(flock(descriptor, operation)),
    control: (descriptor, request, address) => orErrno(ioctl(descriptor, request, address)),
    forget: (address, byteLength) => {
      madvise(address, byteLength, MADV_DONTNEED);
    },
    fill: (address, byteLength) => madvise.async(address, byteLength, MADV_POPULATE_WRITE, () => undefined),
    createFaultDescriptor: () => orErrno(syscall(SYS_USERFAULTFD[arch], O_CLOEXEC | UFFD_USER_MODE_ONLY)),
    isZero: (address, byteLength) => {
      invariant(zeros.byteLength === ZERO_BYTES, "the zeros are there as long as their address is used");
      for (let at = 0; at < byteLength; at += ZERO_BYTES) {
        if (memcmp(address + at, zeroAddress, Math.min(ZERO_BYTES, byteLength - at)) !== 0) return false;
      }
      return true;
    },
    punchHole: (descriptor, position, byteLength) =>
      errnoOf(fallocate(descriptor, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, position, byteLength)),
    allocate: (descriptor, byteLength) => {
      if (fallocate(descriptor, 0, 0, byteLength) === 0) return 0;
      const errno = koffi.errno();
      if (errno !== EOPNOTSUPP && errno !== ENOSYS) return errno;
      return errnoOf(ftruncate(descriptor, byteLength));
    },
    pageByteLength: getpagesize(),
    runPromptly: (thread) => {
      const attributes = new DataView(new ArrayBuffer(SCHED_ATTR.byteLength));
      const address = Number(koffi.address(new Uint8Array(attributes.buffer)));
      if (schedule(SYS_SCHED_GETATTR[arch], thread, address, SCHED_ATTR.byteLength, 0) === -1) return;
      if (attributes.getUint32(SCHED_ATTR.policy, true) !== SCHED_NORMAL) return; // somebody knows better
      if (attributes.getBigUint64(SCHED_ATTR.runtime, true) === 0n) return;
      attributes.setBigUint64(SCHED_ATTR.runtime, SHORTEST_SLICE_NS, true);
      schedule(SYS_SCHED_SETATTR[arch], thread, address, 0, 0);
    },
    keepFreedMemory: () => {
      let mallopt: (parameter: number, value: number) => number;
      try {
        mallopt = library.func("int mallopt(int parameter, int value)");
      } catch {
        return;
      }
      for (const [parameter, value] of Object.values(MALLOC)) mallopt(parameter, value);
    },
    createEvent: () => orErrno(eventfd(0, EFD.CLOEXEC | EFD.NONBLOCK)),
    createMemoryFile: () => orErrno(memfd("vermilion", MFD_CLOEXEC)),
    exit,
    addressOf: (bytes) => Number(koffi.address(bytes)),
  };
}
