import { getSystemErrorName } from "node:util";

/**
 * What the disk, the system or the caller did wrong: the one error class of all layers.
 *
 * `code` is for programs and never changes its meaning; `message` is for people, names the file and the next step.
 * Codes of pmem: PLATFORM_UNSUPPORTED, FFI_MISSING, DISK_FULL, READ_ONLY, PERMISSION_DENIED, NOT_FOUND, ALREADY_EXISTS,
 * SYMLINK_REFUSED, NOT_A_FILE, TOO_MANY_OPEN_FILES, OUT_OF_MEMORY, MMAP_UNSUPPORTED, IO_ERROR, REGION_LENGTH,
 * NAME_TOO_LONG, REGION_RESERVATION, REGION_POISONED. Codes of images start with IMAGE_: docs/image-format.md#errors.
 */
export class VermilionError extends Error {
  override readonly name = "VermilionError";
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A condition that only our own mistake can break. On in release; nobody catches what it throws. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}

interface Advice {
  readonly code: string;
  readonly text: string;
}

const DISK_FULL: Advice = { code: "DISK_FULL", text: "the disk has no room left; free some space or use another disk" };
const DENIED: Advice = { code: "PERMISSION_DENIED", text: "permission denied; check the owner and mode" };
const TOO_MANY: Advice = { code: "TOO_MANY_OPEN_FILES", text: "too many open files; raise the limit (ulimit -n)" };

const ADVICE: Readonly<Record<string, Advice>> = {
  ENOSPC: DISK_FULL,
  EDQUOT: { code: "DISK_FULL", text: "the disk quota is used up; free some space or use another disk" },
  EFBIG: { code: "DISK_FULL", text: "the file system or a limit (ulimit -f) allows no file of this length" },
  EROFS: { code: "READ_ONLY", text: "the file system is read-only; use another one or remount it for writing" },
  EACCES: DENIED,
  EPERM: DENIED,
  EMFILE: TOO_MANY,
  ENFILE: TOO_MANY,
  ENOENT: { code: "NOT_FOUND", text: "no such file or directory; check the path" },
  ENOTDIR: { code: "NOT_FOUND", text: "a part of the path is not a directory; check the path" },
  EEXIST: { code: "ALREADY_EXISTS", text: "it exists already; remove it or choose another path" },
  ELOOP: { code: "SYMLINK_REFUSED", text: "it is a symbolic link where only a plain file is accepted" },
  EISDIR: { code: "NOT_A_FILE", text: "it is a directory where only a plain file is accepted" },
  ENXIO: { code: "NOT_A_FILE", text: "it is a pipe or a device where only a plain file is accepted" },
  ENODEV: {
    code: "MMAP_UNSUPPORTED",
    text: "this file system cannot map files into memory; put the image on a local one (ext4, xfs, btrfs, tmpfs)",
  },
  ENAMETOOLONG: { code: "NAME_TOO_LONG", text: "the name is too long for this file system; choose a shorter one" },
  ENOMEM: { code: "OUT_OF_MEMORY", text: "the system has no memory or address space left" },
};

/** `operation` says what failed ("create", "flush"), `cause` carries the error name in its `code`, as those of node:fs do. */
export function systemError(operation: string, path: string, cause: unknown): VermilionError {
  const name = errorName(cause);
  const advice = ADVICE[name];
  if (advice !== undefined) {
    return new VermilionError(advice.code, `${path}: cannot ${operation}: ${advice.text} (${name})`, { cause });
  }
  return new VermilionError("IO_ERROR", `${path}: cannot ${operation}: ${name}; check the disk and the kernel log`, {
    cause,
  });
}

/** The error of a libc call that reported `errno`. */
export function errnoError(operation: string, path: string, errno: number): VermilionError {
  const name = getSystemErrorName(-errno);
  return systemError(operation, path, Object.assign(new Error(`${operation}: ${name}`), { code: name, errno: -errno }));
}

/** "ENOSPC" and its like; "unknown error" for what no system call reported. */
export function errorName(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return "unknown error";
}

/** Runs a call of node:fs; what the system refuses becomes a VermilionError. Our own mistakes (TypeError...) pass. */
export function attempt<Result>(operation: string, path: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    if (!(cause instanceof Error && "errno" in cause)) throw cause;
    throw systemError(operation, path, cause);
  }
}
