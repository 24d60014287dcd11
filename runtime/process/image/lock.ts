import { closeSync, constants, fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { attempt, errnoError, invariant, VermilionError } from "../../../pmem/error.js";
import { EINTR, EWOULDBLOCK, LOCK, libc } from "../../../pmem/libc.js";
import { imageError } from "./damage.js";
import type { ImageDirectory } from "./image-directory.js";

/**
 * The lock of an image: flock(2) on the file `lock`, which holds the pid of its holder as decimal text, and in a second
 * line the signals by which it can be asked for a persistence point.
 *
 * The kernel releases it when the holder dies, however it dies. The pid is for messages and signals only: whether the
 * image is held is what flock says. Node does not close what a Worker has open when it ends the Worker, so no thread is ended that
 * holds an image, unless its guest hangs in a function of the host's.
 */
export class ImageLock {
  /** Undefined: on a read-only disk there is no lock file, and need not be one. */
  readonly #descriptor: number | undefined;

  private constructor(descriptor: number | undefined) {
    this.#descriptor = descriptor;
  }

  /** To write. IMAGE_BUSY (names the holder's pid), READ_ONLY, PERMISSION_DENIED, and the errors of libc(). */
  static acquire(directory: ImageDirectory): ImageLock {
    return ImageLock.#acquire(directory, true);
  }

  /** Only to read, on a read-only disk too: nobody else runs or changes the image meanwhile. IMAGE_BUSY and so on. */
  static acquireToRead(directory: ImageDirectory): ImageLock {
    try {
      return ImageLock.#acquire(directory, true);
    } catch (error) {
      if (!(error instanceof VermilionError && error.code === "READ_ONLY")) throw error;
    }
    if (directory.statOf(LOCK_NAME) === undefined) return new ImageLock(undefined);
    return ImageLock.#acquire(directory, false);
  }

  static #acquire(directory: ImageDirectory, writes: boolean): ImageLock {
    const path = directory.pathOf(LOCK_NAME);
    for (let tries = 1; ; tries++) {
      const file = directory.openFile(LOCK_NAME, writes ? constants.O_RDWR | constants.O_CREAT : constants.O_RDONLY);
      if (file === undefined) throw removedMeanwhile(directory);
      const { descriptor } = file;
      try {
        if (flock(descriptor, LOCK.EXCLUSIVE, path)) {
          // Another process may have removed the image, and its lock file, between our open and our flock.
          if (directory.statOf(LOCK_NAME)?.ino !== fstatSync(descriptor).ino) throw removedMeanwhile(directory);
          if (writes) {
            attempt("write", path, () => {
              ftruncateSync(descriptor, 0);
              writeSync(descriptor, `${process.pid}\n`, 0);
            });
          }
          return new ImageLock(descriptor);
        }
        // Readers hold it for microseconds, to see whether someone else does: not worth an error.
        if (tries >= MAX_TRIES) throw busy(directory, readHolder(descriptor).pid);
      } catch (error) {
        closeSync(descriptor);
        throw error;
      }
      closeSync(descriptor);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MILLISECONDS);
    }
  }

  /** Who holds the image just now. */
  static holder(directory: ImageDirectory): Holder | undefined {
    const file = directory.openFile(LOCK_NAME, constants.O_RDONLY);
    if (file === undefined) return undefined;
    try {
      if (flock(file.descriptor, LOCK.SHARED, directory.pathOf(LOCK_NAME))) return undefined;
      return readHolder(file.descriptor);
    } finally {
      closeSync(file.descriptor);
    }
  }

  /** The holder takes these signals from now on, and makes a persistence point for each. */
  announce(signals: readonly string[]): void {
    invariant(this.#descriptor !== undefined, "whoever runs an image can write it");
    writeSync(this.#descriptor, `${process.pid}\n${signals.join(" ")}\n`, 0);
  }

  release(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }
}

export interface Holder {
  /** Undefined in the instant between its flock and its writing it down. */
  readonly pid: number | undefined;
  /** Signals that ask it for a persistence point. */
  readonly persistOn: readonly string[];
}

export const LOCK_NAME = "lock";
const MAX_TRIES = 10;
const RETRY_MILLISECONDS = 3;

/** False: someone else holds it. */
export function flock(descriptor: number, operation: number, path: string): boolean {
  for (;;) {
    const errno = libc().flock(descriptor, operation | LOCK.NON_BLOCKING);
    if (errno === 0) return true;
    if (errno === EWOULDBLOCK) return false;
    if (errno !== EINTR) throw errnoError("lock", path, errno);
  }
}

function readHolder(descriptor: number): Holder {
  const bytes = Buffer.alloc(256);
  const text = bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, 256, 0));
  const [, pid, signals] = /^([1-9][0-9]{0,9})\n(?:(SIG[A-Z0-9 ]+)\n)?/.exec(text) ?? [];
  return { pid: pid === undefined ? undefined : Number(pid), persistOn: signals?.split(" ") ?? [] };
}

function busy(directory: ImageDirectory, pid: number | undefined): VermilionError {
  const holder = pid === undefined ? "another process" : `process ${pid}`;
  return imageError("IMAGE_BUSY", directory.path, `${holder} holds this image`, "wait until it ends, or stop it");
}

function removedMeanwhile(directory: ImageDirectory): VermilionError {
  return imageError("IMAGE_MISSING", directory.path, "the image was removed meanwhile", "start the program again");
}
