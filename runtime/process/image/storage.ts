import { closeSync, fdatasyncSync, writevSync } from "node:fs";
import { attempt, VermilionError } from "../../../pmem/error.js";
import { libc } from "../../../pmem/libc.js";
import type { Region } from "../../../pmem/region.js";

/**
 * Every durable write to an image goes through these two interfaces and nowhere else, so that tests can record the
 * writes, cut them at any point and play the disk's part.
 */
export interface ImageStorage {
  /** An empty file of that name, replacing what was there. */
  create(name: string): StorageFile;
  open(name: string): StorageFile;
  /** Only for reading; it may have other names. */
  openShared(name: string): StorageFile;
  rename(from: string, to: string): void;
  remove(name: string): void;
  /** Names that were created, renamed or removed before are durable once this returns. */
  syncDirectory(): void;
  flushRegion(name: string, region: Region): void;
}

export interface StorageFile {
  readonly descriptor: number;
  write(chunks: readonly Uint8Array[], position: number): void;
  /** What was written before is durable once this returns. */
  sync(): void;
  /** These bytes are not needed any more; from now on they are what they were, or zeros. */
  release(position: number, byteLength: number): void;
  close(): void;
}

/** A whole file; durable, but for its name. */
export function writeWhole(storage: ImageStorage, name: string, chunks: readonly Uint8Array[]): void {
  const file = storage.create(name);
  try {
    file.write(chunks, 0);
    file.sync();
  } finally {
    file.close();
  }
}

/** At once: see firstOf. */
const MAX_WRITE_BYTES = 2 ** 30;

/** An open file of a disk. */
export class DiskFile implements StorageFile {
  readonly #path: string;
  readonly descriptor: number;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.descriptor = descriptor;
  }

  write(chunks: readonly Uint8Array[], position: number): void {
    let rest = chunks;
    let offset = position;
    // One call, unless there is more than can be taken at once, or the disk fills.
    while (rest.length > 0) {
      const batch = firstOf(rest);
      const count = attempt("write", this.#path, () => writevSync(this.descriptor, batch, offset));
      if (count === 0) throw new VermilionError("IO_ERROR", `${this.#path}: cannot write: the disk takes no bytes`);
      offset += count;
      rest = behind(rest, count);
    }
  }

  sync(): void {
    attempt("flush", this.#path, () => fdatasyncSync(this.descriptor));
  }

  /** A disk that cannot take them back keeps them: nothing to tell. */
  release(position: number, byteLength: number): void {
    libc().punchHole(this.descriptor, position, byteLength);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** The kernel takes 1,024 pieces at once. Of 2 GiB or more, Node takes the number of bytes written for an error. */
function firstOf(chunks: readonly Uint8Array[]): Uint8Array[] {
  const batch: Uint8Array[] = [];
  let room = MAX_WRITE_BYTES;
  for (const chunk of chunks) {
    if (room === 0 || batch.length === 1024) break;
    batch.push(chunk.subarray(0, room));
    room -= Math.min(room, chunk.byteLength);
  }
  return batch;
}

/** What is left of `chunks` after their first `count` bytes. */
function behind(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip < chunk.byteLength) rest.push(skip === 0 ? chunk : chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.byteLength);
  }
  return rest;
}
