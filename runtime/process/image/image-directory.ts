import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { attempt, errorName, type VermilionError } from "../../../pmem/error.js";
import type { Region } from "../../../pmem/region.js";
import { damaged, imageError } from "./damage.js";
import { DiskFile, type ImageStorage, type StorageFile } from "./storage.js";

/** What fstat(2) says, as far as images ask; Node's own type would come into the public ones. */
export interface FileStatus {
  /** Bytes. */
  readonly size: number;
  /** Of 512 bytes, on the disk. */
  readonly blocks: number;
  readonly nlink: number;
  readonly ino: number;
}

export const OPEN_FILES_NAME = "open-files";

const { O_RDONLY, O_RDWR, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Node refuses to read 2 GiB at once. */
const MAX_READ_BYTES = 2 ** 30;

/**
 * An open image directory. Files are reached through its descriptor, as openat(2) would, so that an image renamed
 * while it is in use can still be saved; links and anything that is no plain file are refused (IMAGE_UNSAFE).
 */
export class ImageDirectory implements ImageStorage {
  readonly path: string;
  readonly #descriptor: number;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  /** IMAGE_MISSING, IMAGE_FOREIGN (no directory), PERMISSION_DENIED. */
  static open(path: string): ImageDirectory {
    try {
      return new ImageDirectory(path, openSync(path, O_RDONLY | O_DIRECTORY));
    } catch (cause) {
      const name = errorName(cause);
      if (name === "ENOENT") {
        throw imageError("IMAGE_MISSING", path, "there is no such image", "check the path, or run the program", cause);
      }
      if (name === "ENOTDIR") {
        throw imageError("IMAGE_FOREIGN", path, "an image is a directory, and this is none", "check the path", cause);
      }
      return attempt("open the image", path, () => {
        throw cause;
      });
    }
  }

  /** Where it is now, if it was renamed since it was opened and not removed. */
  get newPath(): string | undefined {
    if (this.#isAt(this.path)) return undefined;
    const path = readlinkSync(`/proc/self/fd/${this.#descriptor}`);
    return this.#isAt(path) ? path : undefined;
  }

  #isAt(path: string): boolean {
    const { dev, ino } = fstatSync(this.#descriptor);
    try {
      const found = statSync(path);
      return found.dev === dev && found.ino === ino;
    } catch {
      return false;
    }
  }

  pathOf(name: string): string {
    return `${this.path}/${name}`;
  }

  /** A second name for a file of the same disk. False: not possible, and nothing has changed. */
  link(from: string, name: string): boolean {
    try {
      linkSync(from, this.#at(name));
      return true;
    } catch {
      return false;
    }
  }

  /** Of the directory itself, for its flush. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** Where a file is, even if the image has been renamed. */
  currentPathOf(name: string): string {
    return this.#at(name);
  }

  names(): string[] {
    return attempt("list the image", this.path, () => readdirSync(this.#at("")));
  }

  /** Undefined if there is no such file. The descriptor is the caller's. */
  openFile(name: string, flags: number, mode = 0o600): { descriptor: number; stat: FileStatus } | undefined {
    let descriptor: number;
    try {
      // O_NONBLOCK: a pipe put in a file's place must not block us.
      descriptor = openSync(this.#at(name), flags | O_NOFOLLOW | O_NONBLOCK, mode);
    } catch (cause) {
      const code = errorName(cause);
      if (code === "ENOENT") return undefined;
      if (code === "ELOOP" || code === "EISDIR" || code === "ENXIO") throw unsafe(this.pathOf(name), cause);
      return attempt("open", this.pathOf(name), () => {
        throw cause;
      });
    }
    const stat = fstatSync(descriptor);
    // What is written must not be a hard link to somebody's file elsewhere, which an image from others could bring.
    const mayWrite = (flags & O_RDWR) === 0 || stat.nlink <= 1;
    if (stat.isFile() && mayWrite) return { descriptor, stat };
    closeSync(descriptor);
    throw unsafe(this.pathOf(name));
  }

  /** At most `byteLength` bytes from `position` on; fewer at the file's end. Undefined if there is no such file. */
  readPart(name: string, position: number, byteLength: number): Uint8Array<ArrayBuffer> | undefined {
    const file = this.openFile(name, O_RDONLY);
    if (file === undefined) return undefined;
    try {
      const rest = Math.max(0, Math.min(byteLength, file.stat.size - position));
      return this.#readFully(name, file.descriptor, position, rest);
    } finally {
      closeSync(file.descriptor);
    }
  }

  /** The whole file, at most `limit` bytes. Undefined if there is none; IMAGE_DAMAGED if it is longer. */
  read(name: string, limit: number): Uint8Array<ArrayBuffer> | undefined {
    const file = this.openFile(name, O_RDONLY);
    if (file === undefined) return undefined;
    try {
      const { descriptor, stat } = file;
      if (stat.size > limit) throw damaged(this.pathOf(name), `it has ${stat.size} bytes, more than ${limit}`);
      return this.#readFully(name, descriptor, 0, stat.size);
    } finally {
      closeSync(file.descriptor);
    }
  }

  #readFully(name: string, descriptor: number, from: number, byteLength: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(new ArrayBuffer(byteLength));
    let filled = 0;
    while (filled < byteLength) {
      const position = filled;
      const count = attempt("read", this.pathOf(name), () =>
        readSync(descriptor, bytes, position, Math.min(byteLength - position, MAX_READ_BYTES), from + position),
      );
      if (count === 0) throw damaged(this.pathOf(name), "it became shorter while it was read");
      filled += count;
    }
    return bytes;
  }

  /** Undefined if there is no such file. */
  statOf(name: string): FileStatus | undefined {
    const file = this.openFile(name, O_RDONLY);
    if (file !== undefined) closeSync(file.descriptor);
    return file?.stat;
  }

  /**
   * The directory for the content of nameless files that the guest has open. It is there from the beginning, so that a
   * save need not make its name durable. IMAGE_UNSAFE: something else has its name, a link to elsewhere for example.
   */
  makeOpenFiles(): void {
    const path = this.#at(OPEN_FILES_NAME);
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (cause) {
      if (errorName(cause) !== "EEXIST") {
        attempt("create", this.pathOf(OPEN_FILES_NAME), () => {
          throw cause;
        });
      }
      if (!lstatSync(path).isDirectory()) throw unsafe(this.pathOf(OPEN_FILES_NAME));
    }
  }

  /** Names in `open-files` are durable once this returns. */
  syncOpenFiles(): void {
    attempt("flush the directory", this.pathOf(OPEN_FILES_NAME), () => {
      const descriptor = openSync(this.#at(OPEN_FILES_NAME), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  /** Follows no link, neither in its place nor in it. */
  removeOpenFiles(): void {
    attempt("remove", this.pathOf(OPEN_FILES_NAME), () => {
      rmSync(this.#at(OPEN_FILES_NAME), { recursive: true, force: true });
    });
  }

  create(name: string): StorageFile {
    const file = this.#storageFile(name, O_RDWR | O_CREAT);
    attempt("empty", this.pathOf(name), () => ftruncateSync(file.descriptor, 0)); // not O_TRUNC: it is looked at first
    return file;
  }

  open(name: string): StorageFile {
    return this.#storageFile(name, O_RDWR);
  }

  openShared(name: string): StorageFile {
    return this.#storageFile(name, O_RDONLY);
  }

  rename(from: string, to: string): void {
    attempt("rename", this.pathOf(from), () => renameSync(this.#at(from), this.#at(to)));
  }

  remove(name: string): void {
    try {
      unlinkSync(this.#at(name));
    } catch (cause) {
      if (errorName(cause) === "ENOENT") return;
      attempt("remove", this.pathOf(name), () => {
        throw cause;
      });
    }
  }

  syncDirectory(): void {
    attempt("flush the directory", this.path, () => fsyncSync(this.#descriptor));
  }

  flushRegion(_name: string, region: Region): void {
    region.flush();
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #storageFile(name: string, flags: number): StorageFile {
    const file = this.openFile(name, flags);
    if (file === undefined) throw damaged(this.pathOf(name), "the file is missing");
    return new DiskFile(this.pathOf(name), file.descriptor);
  }

  #at(name: string): string {
    return `/proc/self/fd/${this.#descriptor}/${name}`;
  }
}

function unsafe(path: string, cause?: unknown): VermilionError {
  return imageError(
    "IMAGE_UNSAFE",
    path,
    "an image holds plain files only, and this is a link, a directory, a pipe, a device, or a file with a second name",
    "do not use this image unless you know where it comes from",
    cause,
  );
}
