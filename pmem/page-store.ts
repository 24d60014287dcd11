import { fstatSync, readSync, statfsSync } from "node:fs";
import { crc32 } from "node:zlib";
import { attempt, invariant, VermilionError } from "./error.js";
import { FreePages, usedPages } from "./free-pages.js";
import { libc } from "./libc.js";
import {
  compaction,
  type Extent,
  endOf,
  joinedRuns,
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  pageCountOf,
  remainingRuns,
  unitedRuns,
  updated,
} from "./page-map.js";
import { nonzeroPages } from "./page-scan.js";
import { PrivateMemory, type StoreAccess } from "./private-memory.js";
import {
  CHECKSUM_BYTE_LENGTH,
  checksumPosition,
  pageInSegment,
  SEGMENT_PAGES,
  segmentOf,
  withoutChecksumPages,
} from "./segments.js";

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

export interface SavedMemory {
  readonly byteLength: number;
  readonly map: PageMap;
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

/**
 * A page store: files with the saved pages of all memories of a process, in no order; the maps say what is where.
 *
 * S1  A page is written only while no map refers to it that could still be asked for: that of an epoch which is kept, or
 *     was until a moment that is not durable yet, or one that an attached memory has mapped. All these are in `#used`. So a
 *     save that is cut short has changed nothing.
 * S2  The maps that write() returns may be named once flush() has returned, or its work was done elsewhere.
 * S3  All zeros are not stored: a page without an extent reads as zeros, as the engine's own memory does.
 * S4  Beside each page that a map refers to lies its checksum. A segment that has other names is not written at all.
 *
 *     write -> flush -> (the owner names the maps, durably) -> settle, if the guest goes on; release what is not kept; trim
 *     write -> settle -> (the guest goes on; flushed and named elsewhere) -> release, trim
 */
export class PageStore implements StoreAccess {
  readonly path: string;
  readonly #files: SegmentFiles;
  readonly #open = new Map<number, SegmentFile>();
  readonly #segments: Set<number>;
  readonly #memories: PrivateMemory[];
  readonly #kept: () => readonly PageRun[] | undefined;
  /** S1; undefined: not asked for yet. Sorted and joined. */
  #used: readonly PageRun[] | undefined;
  /** What write() has written last; undefined: nothing since it was settled. */
  #written: Written | undefined;
  readonly #unflushed = new Set<number>();
  #closed = false;

  /**
   * `kept`: the pages that any kept epoch needs, sorted and joined; asked for before the first write. Undefined: too many to
   * say, so every page that is there counts as used.
   */
  constructor(
    path: string,
    files: SegmentFiles,
    saved: readonly SavedMemory[],
    kept: () => readonly PageRun[] | undefined,
  ) {
    this.path = path;
    this.#files = files;
    this.#segments = new Set(files.list());
    this.#kept = kept;
    this.#memories = saved.map(({ byteLength, map }) => new PrivateMemory(this, byteLength, map));
  }

  get memories(): readonly PrivateMemory[] {
    return this.#memories;
  }

  /** Where the memories' pages lie now, as far as they are in the store. */
  get maps(): readonly PageMap[] {
    return this.#written?.maps ?? this.#memories.map(({ mapped }) => mapped);
  }

  placeOf(storePage: number): { readonly descriptor: number; readonly position: number } {
    const { descriptor } = this.#file(segmentOf(storePage));
    return { descriptor, position: pageInSegment(storePage) * PAGE_BYTE_LENGTH };
  }

  /**
   * Before an epoch is dropped, and so its pages released: what is used is known. And there is a segment to write to, so that
   * a save need not make one durable first.
   */
  prepare(): void {
    this.#usedPages();
    const { segments, nextSegment } = this.#writableSegments();
    if (segments.length === 0) this.#file(nextSegment);
  }

  /** An empty memory; it has no pages in the store until it is saved. */
  create(): PrivateMemory {
    const memory = new PrivateMemory(this, 0, []);
    this.#memories.push(memory);
    return memory;
  }

  /**
   * Writes what has changed, and says where everything lies then. Its time is that of the changed pages. With `later`, their
   * checksums are for somebody else to write, before the maps are named.
   */
  write(later?: UnsummedPages[]): readonly PageMap[] {
    this.#forget();
    const unit = libc().pageByteLength / PAGE_BYTE_LENGTH;
    const free = new FreePages({ used: this.#usedPages(), ...this.#writableSegments() }, unit); // S1
    const share = Math.floor(MAX_EXTENTS / this.#memories.length);
    const extents: PageMap[] = [];
    const runs: PageRun[][] = [];
    const maps = this.#memories.map((memory) => {
      const map = memory.mapped;
      const written = memory.written();
      runs.push(written);
      const limit = Math.max(MIN_EXTENTS, share);
      const data = written.length === 0 ? [] : pagesToWrite(memory, map, written, unit, limit);
      const places = data.flatMap((run) => placed(run, free));
      extents.push(places);
      return updated(map, written, places);
    });
    const writes = this.#memories.flatMap((memory, index) =>
      (extents[index] ?? []).map((extent) => ({ page: extent.storePage, chunks: memory.views(extent) })),
    );
    this.#written = { maps, runs, extents };
    this.#used = unitedRuns(this.#usedPages(), usedPages(extents));
    for (const write of contiguous(writes)) this.#write(write, later);
    return maps;
  }

  /** How many pages write() has written last; 0 once it is settled. */
  get writtenPageCount(): number {
    return pageCountOf((this.#written?.extents ?? []).flat());
  }

  /**
   * Before the guest goes on in the same process: what was written counts as unchanged, so that the next save finds only what
   * has changed since. Nothing may have stored into the memories since write().
   */
  settle(): void {
    const written = this.#written;
    if (written === undefined) return;
    this.#written = undefined;
    this.#memories.forEach((memory, index) => {
      memory.settle(written.maps[index] ?? [], written.runs[index] ?? [], written.extents[index] ?? []);
    });
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

  /** No epoch needs these pages any more, durably. */
  release(runs: readonly PageRun[]): void {
    this.#used = remainingRuns(this.#usedPages(), runs);
  }

  /** Gives free space back to the disk, once there is a lot of it: the next save takes free pages first. */
  trim(): void {
    const used = this.#usedPages();
    if (this.#reusableBytes() < LEAST_TRIMMED + (pageCountOf(used) * PAGE_BYTE_LENGTH) / 2) return;
    this.compact();
  }

  /** Gives all free space back. */
  compact(): void {
    for (const segment of [...this.#segments]) {
      const from = segment * SEGMENT_PAGES;
      const all = [{ page: from, count: SEGMENT_PAGES }];
      const free = remainingRuns(all, this.#usedPages());
      const isNeeded = this.#writableSegments().segments.every((writable) => writable === segment);
      if (pageCountOf(free) === SEGMENT_PAGES && !isNeeded) this.#removeSegment(segment);
      else if (this.#file(segment).writable) this.#punch(segment, free);
    }
  }

  /** Pages are written once more, with the checksums that they have, and not flushed. Nobody may be using memory. */
  copy(runs: readonly PageRun[]): MovedRun[] {
    const free = new FreePages(
      { used: this.#usedPages(), ...this.#writableSegments() },
      libc().pageByteLength / PAGE_BYTE_LENGTH,
    );
    return runs.flatMap((run) => {
      let from = run.page;
      return free.take(run.count).map(({ page: to, count }) => {
        const moved = { from, to, count };
        for (let at = 0; at < count; at += COPIED_PAGES) {
          this.#copy({ from: from + at, to: to + at, count: Math.min(COPIED_PAGES, count - at) });
        }
        this.#used = unitedRuns(this.#usedPages(), [{ page: to, count }]);
        from += count;
        return moved;
      });
    });
  }

  #copy({ from, to, count }: MovedRun): void {
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
    const count = attempt("read the page store", this.path, () => readSync(descriptor, bytes, 0, byteLength, position));
    if (count === byteLength) return bytes;
    throw new VermilionError("IO_ERROR", `${this.path}: a segment of its page store is shorter than its maps say`);
  }

  /** A save may have to write every page of every memory, next to all that is kept. */
  lackOfRoom(moreBytes: number): VermilionError | undefined {
    const [segment] = this.#segments;
    invariant(segment !== undefined, "memory grows once there is a segment");
    // Through a descriptor, because the image may have been renamed since.
    const { descriptor } = this.#file(segment);
    const disk = attempt("examine the disk", this.path, () => statfsSync(`/proc/self/fd/${descriptor}`));
    const free = disk.bavail * disk.bsize + this.#reusableBytes();
    const needed = this.#memories.reduce((sum, { byteLength }) => sum + byteLength, moreBytes);
    if (needed <= free) return undefined;
    return new VermilionError(
      "DISK_FULL",
      `${this.path}: cannot grow the memory to ${needed} bytes: saving it may need as many, and the disk has ` +
        `${free} free; free some space or put the image on another disk`,
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const memory of this.#memories) memory.close();
    for (const file of this.#open.values()) file.close();
  }

  /** What was written and never settled is nobody's. */
  #forget(): void {
    if (this.#written === undefined) return;
    const own = usedPages(this.#memories.map(({ mapped }) => mapped));
    this.release(remainingRuns(usedPages(this.#written.extents), own));
    this.#written = undefined;
  }

  #usedPages(): readonly PageRun[] {
    this.#used ??= unitedRuns(this.#kept() ?? this.#everything(), usedPages(this.maps));
    return this.#used;
  }

  #everything(): PageRun[] {
    return [...this.#segments]
      .sort((a, b) => a - b)
      .map((segment) => ({
        page: segment * SEGMENT_PAGES,
        count: Math.ceil(this.#stat(segment).size / PAGE_BYTE_LENGTH),
      }));
  }

  #writableSegments(): { segments: number[]; nextSegment: number } {
    const all = [...this.#segments].sort((a, b) => a - b);
    return { segments: all.filter((segment) => this.#file(segment).writable), nextSegment: (all.at(-1) ?? -1) + 1 };
  }

  #file(segment: number): SegmentFile {
    let file = this.#open.get(segment);
    if (file === undefined) {
      file = this.#segments.has(segment) ? this.#files.open(segment) : this.#files.create(segment);
      this.#segments.add(segment);
      this.#open.set(segment, file);
    }
    return file;
  }

  #removeSegment(segment: number): void {
    this.#open.get(segment)?.close();
    this.#open.delete(segment);
    this.#segments.delete(segment);
    this.#files.remove(segment);
  }

  #punch(segment: number, free: readonly PageRun[]): void {
    const end = segment * SEGMENT_PAGES + Math.ceil(this.#stat(segment).size / PAGE_BYTE_LENGTH);
    for (const run of free) {
      for (const { page, count } of withoutChecksumPages(run.page, Math.min(endOf(run), end))) {
        this.#file(segment).release(pageInSegment(page) * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH);
      }
    }
  }

  #write({ page, chunks }: Write, later: UnsummedPages[] | undefined): void {
    const segment = segmentOf(page);
    const file = this.#file(segment);
    invariant(file.writable, `${this.path}: segment ${segment} has other names and is not written`); // S4
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

  /** Of the segments that may be written. */
  #reusableBytes(): number {
    const { segments } = this.#writableSegments();
    const used = this.#usedPages();
    return segments.reduce((sum, segment) => {
      const all = [{ page: segment * SEGMENT_PAGES, count: SEGMENT_PAGES }];
      const usedHere = SEGMENT_PAGES - pageCountOf(remainingRuns(all, used));
      return sum + Math.max(0, this.#stat(segment).blocks * 512 - usedHere * PAGE_BYTE_LENGTH);
    }, 0);
  }

  #stat(segment: number) {
    return attempt("examine the page store", this.path, () => fstatSync(this.#file(segment).descriptor));
  }
}

/** Of each page, one behind the other; chunks are whole pages. */
export function checksumsOf(chunks: readonly Uint8Array[]): Uint8Array {
  const pageCount = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) / PAGE_BYTE_LENGTH;
  const view = new DataView(new ArrayBuffer(CHECKSUM_BYTE_LENGTH * pageCount));
  let offset = 0;
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.byteLength; at += PAGE_BYTE_LENGTH) {
      view.setUint32(offset, crc32(bytes.subarray(at, at + PAGE_BYTE_LENGTH)), true);
      offset += CHECKSUM_BYTE_LENGTH;
    }
  }
  return new Uint8Array(view.buffer);
}

/** Of all memories together: a resume makes a mapping for each, and the kernel allows a process 65,530. */
const MAX_EXTENTS = 4096;
const MIN_EXTENTS = 64;
/** Pages that are written along with their neighbours, because an extent costs more than they do. */
const MAX_GAP_PAGES = 3;
/** At once, by compaction. */
const COPIED_PAGES = 1024;
/** In bytes; below that, free space is not worth the calls. */
const LEAST_TRIMMED = 4 * 2 ** 20;

/** Of each memory: where everything lies, what had changed, and what was saved of that or along with it. */
interface Written {
  readonly maps: readonly PageMap[];
  readonly runs: readonly (readonly PageRun[])[];
  readonly extents: readonly PageMap[];
}

interface Write {
  /** Of the store. */
  readonly page: number;
  readonly chunks: readonly Uint8Array[];
}

function pagesToWrite(
  memory: PrivateMemory,
  map: PageMap,
  written: readonly PageRun[],
  unit: number,
  limit: number,
): PageRun[] {
  const gap = Math.floor(MAX_GAP_PAGES / unit) * unit;
  const data = joinedRuns(nonzeroPages(memory.address, written, unit, memory.words), gap);
  // As if each run had a place of its own, apart from all others.
  const apart = data.map((run, index) => ({ ...run, storePage: -1 - 2 ** 32 * (index + 1) }));
  const more = compaction(updated(map, written, apart), limit);
  if (more.length === 0) return data;
  return joinedRuns(
    [...data, ...more].sort((a, b) => a.page - b.page),
    0,
  );
}

function placed(run: PageRun, free: FreePages): Extent[] {
  let page = run.page;
  const extents = free.take(run.count).map(({ page: storePage, count }) => {
    const extent = { page, count, storePage };
    page += count;
    return extent;
  });
  invariant(page === endOf(run), "every page has its place");
  return extents;
}

/** Writes whose places follow each other become one. */
function contiguous(writes: readonly Write[]): Write[] {
  const result: { page: number; end: number; chunks: Uint8Array[] }[] = [];
  for (const { page, chunks } of [...writes].sort((a, b) => a.page - b.page)) {
    const end = page + chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) / PAGE_BYTE_LENGTH;
    const last = result.at(-1);
    if (last !== undefined && last.end === page) {
      last.chunks.push(...chunks);
      last.end = end;
    } else result.push({ page, end, chunks: [...chunks] });
  }
  return result;
}
