import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { Errno, fromLinux, LINUX } from "./errno.js";
import type { WasiHost } from "./host.js";
import type { Libc } from "./libc.js";
import { AT_FDCWD, O_CLOEXEC, O_PATH } from "./linux-flags.js";
import type { GuestMemory } from "./memory.js";
import { type HostBuffer, SCRATCH } from "./scratch.js";
import { walkBeneath } from "./walk.js";

/**
 * Paths, and the wall around the guest's directories.
 *
 * R1  No path of the guest reaches the kernel but through openat2(RESOLVE_BENEATH), through the walk that stands in for
 *     it, or as a single component next to a directory descriptor, in a call that follows no symlink in that component.
 * R2  So no symlink, "..", absolute path, /proc link or racing rename leads outside the directory a call starts from.
 * R3  A path is copied out of the guest's memory before it is looked at.
 */
const RESOLVE_BENEATH = 0x08;
const RESOLVE_NO_MAGICLINKS = 0x02;
const OPEN_HOW_BYTES = 24;
const PATH_MAXIMUM = 4096; // with its NUL

/** The kernel says EAGAIN when something was renamed during a lookup with ".."; after this often, the walk decides. */
const ATTEMPTS = 128;

const SLASH = 0x2f;
const PERIOD = 0x2e;

/** A path argument in the scratch memory, NUL-terminated. */
export class PathArgument {
  readonly #scratch: HostBuffer;
  readonly #start: number;
  byteLength = 0;
  /** Where the last component begins, from the start of the path; trailing slashes belong to it. */
  nameStart = 0;
  trailingSlash = false;
  /** The last component is "." or "..". */
  isDots = false;

  constructor(scratch: HostBuffer, start: number) {
    this.#scratch = scratch;
    this.#start = start;
  }

  get address(): number {
    return this.#scratch.address + this.#start;
  }

  get nameAddress(): number {
    return this.address + this.nameStart;
  }

  /** Offset of the last component in the scratch memory. */
  get nameOffset(): number {
    return this.#start + this.nameStart;
  }

  /** The whole path, for people and for the saved state. */
  get text(): string {
    return this.#scratch.bytes.toString("utf8", this.#start, this.#start + this.byteLength);
  }

  /**
   * Copies a path out of the guest's memory. NOENT: empty. PERM: absolute. NAMETOOLONG: over 4095 bytes. INVAL: holds a
   * NUL. ILSEQ: not UTF-8.
   */
  take(memory: GuestMemory, pointer: number, byteLength: number): Errno {
    const error = this.takeTarget(memory, pointer, byteLength);
    if (error !== Errno.SUCCESS) return error;
    if (byteLength === 0) return Errno.NOENT;
    const { bytes } = this.#scratch;
    const start = this.#start;
    if (bytes[start] === SLASH) return Errno.PERM;
    let end = start + byteLength;
    while (bytes[end - 1] === SLASH) end--;
    this.trailingSlash = end !== start + byteLength;
    let name = end;
    while (name > start && bytes[name - 1] !== SLASH) name--;
    this.nameStart = name - start;
    const dots = end - name;
    this.isDots = dots <= 2 && bytes[name] === PERIOD && (dots === 1 || bytes[name + 1] === PERIOD);
    return Errno.SUCCESS;
  }

  /** Likewise for a symlink's target, which is text and not resolved: absolute ones are for the caller to judge. */
  takeTarget(memory: GuestMemory, pointer: number, byteLength: number): Errno {
    if (!memory.has(pointer, byteLength)) return Errno.FAULT;
    if (byteLength >= PATH_MAXIMUM) return Errno.NAMETOOLONG;
    const from = memory.bytes;
    const to = this.#scratch.bytes;
    const start = this.#start;
    let seen = 0;
    for (let index = 0; index < byteLength; index++) {
      const byte = from[pointer + index]!;
      if (byte === 0) return Errno.INVAL;
      seen |= byte;
      to[start + index] = byte;
    }
    to[start + byteLength] = 0;
    this.byteLength = byteLength;
    if (seen >= 0x80 && !isUtf8(to.subarray(start, start + byteLength))) return Errno.ILSEQ;
    return Errno.SUCCESS;
  }

  /** It is one component, which names something in the directory that it starts from. */
  get isName(): boolean {
    return this.nameStart === 0 && !this.isDots && !this.trailingSlash;
  }

  get isAbsolute(): boolean {
    return this.#scratch.bytes[this.#start] === SLASH;
  }

  /** Ends the path before its last component; what follows stays readable at `nameAddress`. */
  cutBeforeName(): void {
    this.#scratch.bytes[this.#start + this.nameStart - 1] = 0;
  }

  /** Undoes `cutBeforeName`. */
  joinName(): void {
    this.#scratch.bytes[this.#start + this.nameStart - 1] = SLASH;
  }
}

/** Opens paths beneath a directory: by the kernel, or, where it cannot, by the walk. */
export class Resolver {
  readonly #libc: Libc;
  readonly #scratch: HostBuffer;
  readonly #byKernel: boolean;

  /** `kernel`: use openat2 if this kernel, and any filter around us, has it. */
  constructor(libc: Libc, scratch: HostBuffer, kernel: boolean) {
    this.#libc = libc;
    this.#scratch = scratch;
    this.#byKernel = kernel && this.#probe();
  }

  get name(): "openat2" | "walk" {
    return this.#byKernel ? "openat2" : "walk";
  }

  #probe(): boolean {
    const dot = this.#scratch.setString(SCRATCH.small, ".");
    const descriptor = this.#openat2(AT_FDCWD, dot, O_PATH | constants.O_DIRECTORY, 0);
    if (descriptor >= 0) this.#libc.close(descriptor);
    return descriptor >= 0;
  }

  /**
   * Opens the path at `address` beneath `directory`, following symlinks that stay beneath it; O_NOFOLLOW in `flags` is for
   * the last component. A host descriptor, or minus a Linux error number; EXDEV: the path leads outside.
   */
  open(directory: number, address: number, flags: number, mode: number): number {
    if (this.#byKernel) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const descriptor = this.#openat2(directory, address, flags, mode);
        if (descriptor !== -LINUX.EAGAIN && descriptor !== -LINUX.EINTR) return descriptor;
      }
    }
    return walkBeneath(this.#libc, this.#scratch, directory, address, flags | O_CLOEXEC, mode);
  }

  #openat2(directory: number, address: number, flags: number, mode: number): number {
    const { view } = this.#scratch;
    view.setUint32(SCRATCH.how, (flags | O_CLOEXEC) >>> 0, true);
    view.setUint32(SCRATCH.how + 4, 0, true);
    view.setUint32(SCRATCH.how + 8, mode, true);
    view.setUint32(SCRATCH.how + 12, 0, true);
    view.setUint32(SCRATCH.how + 16, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, true);
    view.setUint32(SCRATCH.how + 20, 0, true);
    const how = this.#scratch.address + SCRATCH.how;
    const descriptor = this.#libc.openat2(directory, address, how, OPEN_HOW_BYTES);
    return descriptor >= 0 ? descriptor : -this.#libc.errno();
  }
}

/** The WASI error of a negative result of `Resolver.open`: a path that leads outside is not permitted, as in wasmtime. */
export function resolveError(result: number): Errno {
  return result === -LINUX.EXDEV ? Errno.PERM : fromLinux(-result);
}

/**
 * The directory that holds the path's last component: `directory` itself, or a new descriptor that the caller closes with
 * `closeParent`. Negative: minus a Linux error number.
 */
export function openParent(host: WasiHost, directory: number, path: PathArgument): number {
  if (path.isDots) {
    // A last ".." may lead outside; whether it does is the kernel's to say, before the call names it.
    const itself = host.resolver.open(directory, path.address, O_PATH, 0);
    if (itself < 0) return itself;
    host.libc.close(itself);
  }
  if (path.nameStart === 0) return directory;
  path.cutBeforeName();
  const parent = host.resolver.open(directory, path.address, O_PATH | constants.O_DIRECTORY, 0);
  path.joinName();
  return parent;
}

export function closeParent(host: WasiHost, directory: number, parent: number): void {
  if (parent !== directory && parent >= 0) host.libc.close(parent);
}
