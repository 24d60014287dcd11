import { closeSync, constants, fsyncSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { attempt, errnoError } from "../../pmem/error.js";
import type { Descriptor } from "./descriptors.js";
import { LINUX } from "./errno.js";
import type { WasiHost } from "./host.js";
import { AT_FDCWD, O_CLOEXEC } from "./linux-flags.js";
import { HostBuffer, SCRATCH } from "./scratch.js";
import type { FileFacts } from "./stat.js";

const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const AT_SYMLINK_FOLLOW = 0x400;
const COPY_BYTES = 1 << 20;

/**
 * Keeps the content of open files that have no name beneath a preopen any more (unlinked, most often): a copy in the
 * directory of kept files, sparse as the original, sharing its blocks where the file system can.
 *
 * A copy or the file itself under its only name, never one with a name elsewhere: a restored process opens what lies in
 * that directory, and a directory from somebody else could hold a hard link to a file of ours. `restore` insists on a link
 * count of 1.
 */
export class FileKeeper {
  readonly #host: WasiHost;
  /** Files kept in this save, by inode: two descriptors of one file stay two descriptors of one file. */
  readonly #kept = new Map<string, string>();

  constructor(host: WasiHost) {
    this.#host = host;
  }

  /** The kept file's name; undefined: there is nowhere to keep it. DISK_FULL and its like when copying fails. */
  keep(descriptor: Descriptor, facts: FileFacts): string | undefined {
    const directory = this.#host.options.keptFilesDirectory;
    if (directory === undefined) return undefined;
    if (descriptor.kept !== undefined) return descriptor.kept; // it is that file since the last resume
    const key = `${facts.device}:${facts.inode}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const name = keptName(facts.inode);
    attempt("keep the content of an open file", join(directory, name), () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#copy(descriptor, facts, join(directory, name));
    });
    this.#kept.set(key, name);
    return name;
  }

  /**
   * A name in the directory of kept files for a file that is about to lose its last one: the same file, no copy. Undefined:
   * not possible, as on another file system.
   */
  link(descriptor: Descriptor, inode: string): string | undefined {
    const { libc, scratch, options } = this.#host;
    const directory = options.keptFilesDirectory;
    if (directory === undefined) return undefined;
    const name = keptName(BigInt(inode));
    const from = scratch.setString(SCRATCH.small, `/proc/self/fd/${descriptor.host}`);
    const to = scratch.setString(SCRATCH.link, join(directory, name));
    return libc.linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) === -1 ? undefined : name;
  }

  /** Takes back what `link` has given: the file goes on under the name that it has. */
  unlink(name: string): void {
    const { libc, scratch, options } = this.#host;
    if (options.keptFilesDirectory === undefined) return;
    libc.unlinkat(AT_FDCWD, scratch.setString(SCRATCH.link, join(options.keptFilesDirectory, name)), 0);
  }

  /** After this, the names are durable. */
  flush(): void {
    const directory = this.#host.options.keptFilesDirectory;
    if (this.#kept.size === 0 || directory === undefined) return;
    attempt("flush", directory, () => {
      const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  #copy(descriptor: Descriptor, facts: FileFacts, path: string): void {
    const { libc, scratch } = this.#host;
    // A description of our own: for reading, whatever the guest's is for, and with an offset of its own.
    const name = scratch.setString(SCRATCH.small, `/proc/self/fd/${descriptor.host}`);
    const from = libc.openat(AT_FDCWD, name, constants.O_RDONLY | O_CLOEXEC, 0);
    if (from === -1) throw errnoError("read to keep its content", descriptor.path, libc.errno());
    try {
      const to = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
      try {
        const errno = this.#copyExtents(from, to, Number(facts.byteLength));
        if (errno !== 0) throw errnoError("keep the content of an open file", path, errno);
        fsyncSync(to);
      } finally {
        closeSync(to);
      }
    } finally {
      libc.close(from);
    }
  }

  /** Copies what is not a hole. 0, or a Linux error number. */
  #copyExtents(from: number, to: number, byteLength: number): number {
    const { libc } = this.#host;
    if (libc.ftruncate(to, byteLength) === -1) return libc.errno();
    for (let at = 0; at < byteLength; ) {
      const data = libc.lseek(from, at, SEEK_DATA);
      if (data === -1) {
        const errno = libc.errno();
        if (errno === LINUX.ENXIO) return 0; // only holes follow
        return errno;
      }
      const hole = Number(libc.lseek(from, data, SEEK_HOLE));
      const end = hole === -1 ? byteLength : Math.min(hole, byteLength);
      const errno = this.#copyRange(from, to, Number(data), end);
      if (errno !== 0) return errno;
      at = end;
    }
    return 0;
  }

  #copyRange(from: number, to: number, start: number, end: number): number {
    const { libc } = this.#host;
    libc.lseek(from, start, SEEK_SET);
    libc.lseek(to, start, SEEK_SET);
    let buffer: HostBuffer | undefined;
    for (let at = start; at < end; ) {
      let moved: number;
      if (buffer === undefined) {
        moved = libc.copy_file_range(from, 0, to, 0, end - at, 0);
        const errno = moved === -1 ? libc.errno() : 0;
        if (errno === LINUX.EXDEV || errno === LINUX.EINVAL || errno === LINUX.EOPNOTSUPP || errno === LINUX.ENOSYS) {
          buffer = new HostBuffer(libc, COPY_BYTES); // another file system, or one that cannot
          continue;
        }
        if (errno !== 0) return errno;
      } else {
        moved = libc.read(from, buffer.address, Math.min(end - at, COPY_BYTES));
        for (let written = 0; written < moved; ) {
          const part = libc.write(to, buffer.address + written, moved - written);
          if (part === -1) return libc.errno();
          written += part;
        }
        if (moved === -1) return libc.errno();
      }
      if (moved === 0) return 0; // shorter than it was a moment ago: nobody else should write it, but may
      at += moved;
    }
    return 0;
  }
}

function keptName(inode: bigint): string {
  return `file-${inode.toString(16)}-${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}`;
}
