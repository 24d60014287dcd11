/**
 * The durable half of a persistence point whose bytes are written: plain data, carried out by another thread while the
 * guest runs.
 *
 * Why the main thread, by asynchronous calls: it is idle, has the same descriptors, and the calls run on Node's threads; a
 * worker of our own for it would take 10 MB and 20 ms of every start.
 */
import { close, fdatasync, fsync, read, unlink, write } from "node:fs";
import { promisify } from "node:util";
import { errorName, systemError, VermilionError } from "../../../pmem/error.js";
import type { UnsummedPages } from "../../../pmem/open-segments.js";
import { PAGE_BYTE_LENGTH } from "../../../pmem/page-map.js";
import { checksumsOf } from "../../../pmem/segments.js";
import { type ExpiredEpoch, removeUnpinned } from "./pins.js";

export interface Commit {
  /** Of the image, for messages. */
  readonly path: string;
  /** To be computed from the files and written. */
  readonly checksums: readonly UnsummedPages[];
  /** Then these are flushed, and the directory; */
  readonly flush: readonly number[];
  readonly directory: number;
  /** then the slot is written and flushed: the persistence point. */
  readonly header: { readonly descriptor: number; readonly bytes: Uint8Array; readonly position: number };
  /** Then the state files of epochs go that the policy does not keep, unless somebody has pinned them meanwhile; */
  readonly expired: readonly ExpiredEpoch[];
  /** and files that only epochs before needed. */
  readonly remove: readonly string[];
  /** However it ends. */
  readonly close: readonly number[];
}

/** Whoever has commits made while the guest runs. */
export interface Committer {
  start(commit: Commit): void;
  /** Returns when what was started is done. @throws what it failed with. */
  wait(): void;
}

/** What a commit does to the disk; tests play one. */
export interface CommitCalls {
  read(descriptor: number, position: number, byteLength: number): Promise<Uint8Array>;
  write(descriptor: number, bytes: Uint8Array, position: number): Promise<void>;
  flush(descriptor: number): Promise<void>;
  flushDirectory(descriptor: number): Promise<void>;
  removeUnpinned(directory: number, path: string, expired: readonly ExpiredEpoch[]): void;
  remove(path: string): Promise<void>;
  close(descriptor: number): Promise<void>;
}

/** Pages that are read at once to compute their checksums: between two pieces the main thread hears its signals. */
const PIECE_PAGES = 256;

/** @throws VermilionError: the epoch before stays, if the header could be written no more. */
export async function carryOut(commit: Commit, calls: CommitCalls = systemCalls): Promise<void> {
  try {
    for (const pages of commit.checksums) await writeChecksums(pages, calls);
    await Promise.all([
      ...commit.flush.map((descriptor) => calls.flush(descriptor)),
      calls.flushDirectory(commit.directory),
    ]);
    const { descriptor, bytes, position } = commit.header;
    await calls.write(descriptor, bytes, position);
    await calls.flush(descriptor);
    if (commit.expired.length > 0) calls.removeUnpinned(commit.directory, commit.path, commit.expired);
    for (const path of commit.remove) await calls.remove(path);
  } catch (error) {
    throw error instanceof VermilionError ? error : systemError("save a persistence point", commit.path, error);
  } finally {
    await Promise.all(commit.close.map((descriptor) => calls.close(descriptor)));
  }
}

async function writeChecksums(pages: UnsummedPages, calls: CommitCalls): Promise<void> {
  const { descriptor, position, pageCount, checksumPosition } = pages;
  const sums: Uint8Array[] = [];
  for (let page = 0; page < pageCount; page += PIECE_PAGES) {
    const byteLength = Math.min(PIECE_PAGES, pageCount - page) * PAGE_BYTE_LENGTH;
    sums.push(checksumsOf([await calls.read(descriptor, position + page * PAGE_BYTE_LENGTH, byteLength)]));
  }
  await calls.write(descriptor, Buffer.concat(sums), checksumPosition);
}

const asynchronous = {
  read: promisify(read),
  write: promisify(write),
  fdatasync: promisify(fdatasync),
  fsync: promisify(fsync),
  unlink: promisify(unlink),
  close: promisify(close),
};

const systemCalls: CommitCalls = {
  async read(descriptor, position, byteLength) {
    const bytes = Buffer.allocUnsafe(byteLength);
    for (let filled = 0; filled < byteLength; ) {
      const rest = byteLength - filled;
      const { bytesRead } = await asynchronous.read(descriptor, bytes, filled, rest, position + filled);
      if (bytesRead === 0) throw new Error("the page store became shorter");
      filled += bytesRead;
    }
    return bytes;
  },
  async write(descriptor, bytes, position) {
    for (let written = 0; written < bytes.byteLength; ) {
      const rest = bytes.byteLength - written;
      written += (await asynchronous.write(descriptor, bytes, written, rest, position + written)).bytesWritten;
    }
  },
  async flush(descriptor) {
    await asynchronous.fdatasync(descriptor).catch((error: unknown) => {
      if (errorName(error) !== "EINVAL") throw error; // a file of the guest's that is on no disk, as those of /proc
    });
  },
  flushDirectory: (descriptor) => asynchronous.fsync(descriptor),
  removeUnpinned,
  async remove(path) {
    await asynchronous.unlink(path).catch((error: unknown) => {
      if (errorName(error) !== "ENOENT") throw error;
    });
  },
  close: (descriptor) => asynchronous.close(descriptor),
};
