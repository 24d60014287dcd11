import { fstatSync, readSync, statfsSync } from "node:fs";
import { attempt, invariant, VermilionError } from "./error.js";
import { endOf, PAGE_BYTE_LENGTH, type PageRun, pageCountOf, remainingRuns } from "./page-map.js";
import {
  CHECKSUM_BYTE_LENGTH,
  CHECKSUM_PAGES,
  checksumPosition,
  checksumsOf,
  pageInSegment,
  SEGMENT_PAGES,
  segmentOf,
  withoutChecksumPages,
} from "./segments.js";
import type { PlacedPages } from "./write-plan.js";

/** A segment's file, as its owner lets us write it. */
export interface SegmentFile {
  readonly descriptor: number;
  /** False: it has other names, in other images, and is never written. */
  readonly writable: boolean;
  write(chunks: readonly Uint8Array[], position: number): void;
  /** What was written before is durable once this returns. */
  sync(): void;
  /** These bytes are not needed any more. */
  release(position: number, byteLength: number): void;
  close(): void;
}

/** Where the segments are. */
export interface SegmentFiles {
  /** Numbers of those that are there, ascending. */
  list(): number[];
  open(segment: number): SegmentFile;
  create(segment: number): SegmentFile;
  remove(segment: number): void;
}

/** Pages that lie in another place now as well. */
export interface MovedRun {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Pages that were written, whose checksums are still to be computed from the file and written. */
export interface UnsummedPages {
  readonly descriptor: number;
  /** In bytes. */
  readonly position: number;
  readonly pageCount: number;
  readonly checksumPosition: number;
}

/** At once, by copy(). */
const COPIED_PAGES = 1024;

/**
 * The segments of a page store: opened or made when they are needed, and open from then on. Knows which were written and not
 * flushed, and nothing of which pages are used.
 */
export class OpenSegments {
  readonly #path: string;
  readonly #files: SegmentFiles;
  readonly #numbers: Set<number>;
  readonly #open = new Map<number, SegmentFile>();
  readonly #unflushed = new Set<number>();

  constructor(path: string, files: SegmentFiles) {
    this.#path = path;
    this.#files = files;
    this.#numbers = new Set(files.list());
  }

  /** Of all that there are, ascending. */
  get numbers(): number[] {
    return [...this.#numbers].sort((a, b) => a - b);
  }

  /** Those that may be written, and the number that the next one would get. */
  writable(): { segments: number[]; nextSegment: number } {
    const all = this.numbers;
    return { segments: all.filter((segment) => this.isWritable(segment)), nextSegment: (all.at(-1) ?? -1) + 1 };
  }

  isWritable(segment: number): boolean {
    return this.#file(segment).writable;
  }

  create(segment: number): void {
    this.#file(segment);
  }

  remove(segment: number): void {
    this.#open.get(segment)?.close();
    this.#open.delete(segment);
    this.#numbers.delete(segment);
    this.#files.remove(segment);
  }

  placeOf(storePage: number): { readonly descriptor: number; readonly position: number } {
    const { descriptor } = this.#file(segmentOf(storePage));
    return { descriptor, position: pageInSegment(storePage) * PAGE_BYTE_LENGTH };
  }

  /** All pages that the files are long enough for. */
  everything(): PageRun[] {
    return this.numbers.map((segment) => ({
      page: segment * SEGMENT_PAGES,
      count: Math.ceil(this.#stat(segment).size / PAGE_BYTE_LENGTH),
    }));
  }

  /** With their checksums, unless these are for somebody else to write. */
  write({ page, chunks }: PlacedPages, later: UnsummedPages[] | undefined): void {
    const segment = segmentOf(page);
    const file = this.#file(segment);
    invariant(file.writable, `${this.#path}: segment ${segment} has other names and is not written`);
    const position = pageInSegment(page) * PAGE_BYTE_LENGTH;
    this.#unflushed.add(segment);
    file.write(chunks, position);
    const at = checksumPosition(page);
    if (later === undefined) file.write([checksumsOf(chunks)], at);
    else {
      const pageCount = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) / PAGE_BYTE_LENGTH;
      later.push({ descriptor: file.descriptor, position, pageCount, checksumPosition: at });
    }
  }

  /** With the checksums that they have. */
  copy({ from, to, count }: MovedRun): void {
    for (let at = 0; at < count; at += COPIED_PAGES) {
      this.#copyAtOnce({ from: from + at, to: to + at, count: Math.min(COPIED_PAGES, count - at) });
    }
  }

  #copyAtOnce({ from, to, count }: MovedRun): void {
    const target = this.#file(segmentOf(to));
    const bytes = this.#read(from, pageInSegment(from) * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH);
    const sums = this.#read(from, checksumPosition(from), count * CHECKSUM_BYTE_LENGTH);
    this.#unflushed.add(segmentOf(to));
    target.write([bytes], pageInSegment(to) * PAGE_BYTE_LENGTH);
    target.write([sums], checksumPosition(to));
  }

  /** Of the segment that a page lies in. */
  #read(page: number, position: number, byteLength: number): Uint8Array {
    const bytes = new Uint8Array(byteLength);
    const { descriptor } = this.#file(segmentOf(page));
    const count = attempt("read the page store", this.#path, () =>
      readSync(descriptor, bytes, 0, byteLength, position),
    );
    if (count === byteLength) return bytes;
    throw new VermilionError("IO_ERROR", `${this.#path}: a segment of its page store is shorter than its maps say`);
  }

  /** Of the segments that were written since. */
  flush(): void {
    for (const segment of this.#unflushed) this.#file(segment).sync();
    this.#unflushed.clear();
  }

  /** What flush() would do is for somebody else to do: the files to flush. */
  takeUnflushed(): number[] {
    const descriptors = [...this.#unflushed].map((segment) => this.#file(segment).descriptor);
    this.#unflushed.clear();
    return descriptors;
  }

  /** Gives pages back to the disk. */
  punch(segment: number, free: readonly PageRun[]): void {
    const end = segment * SEGMENT_PAGES + Math.ceil(this.#stat(segment).size / PAGE_BYTE_LENGTH);
    for (const run of free) {
      for (const { page, count } of withoutChecksumPages(run.page, Math.min(endOf(run), end))) {
        this.#file(segment).release(pageInSegment(page) * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH);
      }
    }
  }

  /** What the segments that may be written take on the disk beside the pages that are used and all checksums. */
  reusableBytes(used: readonly PageRun[]): number {
    return this.writable().segments.reduce((sum, segment) => {
      const all = [{ page: segment * SEGMENT_PAGES, count: SEGMENT_PAGES }];
      const usedHere = SEGMENT_PAGES - pageCountOf(remainingRuns(all, used));
      const neededHere = (usedHere + CHECKSUM_PAGES) * PAGE_BYTE_LENGTH;
      return sum + Math.max(0, this.#stat(segment).blocks * 512 - neededHere);
    }, 0);
  }

  /** Of their disk. Through a descriptor, because the image may have been renamed since. */
  freeDiskBytes(): number {
    const [segment] = this.#numbers;
    invariant(segment !== undefined, "memory grows once there is a segment");
    const { descriptor } = this.#file(segment);
    const disk = attempt("examine the disk", this.#path, () => statfsSync(`/proc/self/fd/${descriptor}`));
    return disk.bavail * disk.bsize;
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
  }

  #file(segment: number): SegmentFile {
    let file = this.#open.get(segment);
    if (file === undefined) {
      file = this.#numbers.has(segment) ? this.#files.open(segment) : this.#files.create(segment);
      this.#numbers.add(segment);
      this.#open.set(segment, file);
    }
    return file;
  }

  #stat(segment: number) {
    return attempt("examine the page store", this.#path, () => fstatSync(this.#file(segment).descriptor));
  }
}
