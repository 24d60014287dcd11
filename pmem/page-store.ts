import { VermilionError } from "./error.js";
import { FreePages, usedPages } from "./free-pages.js";
import { libc } from "./libc.js";
import { type MovedRun, OpenSegments, type SegmentFiles, type UnsummedPages } from "./open-segments.js";
import {
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  pageCountOf,
  remainingRuns,
  unitedRuns,
  updated,
} from "./page-map.js";
import { PrivateMemory, type StoreAccess } from "./private-memory.js";
import { SEGMENT_PAGES } from "./segments.js";
import { contiguous, pagesToWrite, placed } from "./write-plan.js";

export interface SavedMemory {
  readonly byteLength: number;
  readonly map: PageMap;
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
  readonly #segments: OpenSegments;
  readonly #memories: PrivateMemory[];
  readonly #kept: () => readonly PageRun[] | undefined;
  /** S1; undefined: not asked for yet. Sorted and joined. */
  #used: readonly PageRun[] | undefined;
  /** What write() has written last; undefined: nothing since it was settled. */
  #written: Written | undefined;
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
    this.#segments = new OpenSegments(path, files);
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
    return this.#segments.placeOf(storePage);
  }

  /**
   * Before an epoch is dropped, and so its pages released: what is used is known. And there is a segment to write to, so that
   * a save need not make one durable first.
   */
  prepare(): void {
    this.#usedPages();
    const { segments, nextSegment } = this.#segments.writable();
    if (segments.length === 0) this.#segments.create(nextSegment);
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
    const free = this.#freePages(unit); // S1
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
    for (const write of contiguous(writes)) this.#segments.write(write, later); // S4
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
    this.#segments.flush();
  }

  /** What flush() would do is for somebody else to do: the files to flush. */
  takeUnflushed(): number[] {
    return this.#segments.takeUnflushed();
  }

  /** No epoch needs these pages any more, durably. */
  release(runs: readonly PageRun[]): void {
    this.#used = remainingRuns(this.#usedPages(), runs);
  }

  /** Gives free space back to the disk, once there is a lot of it: the next save takes free pages first. */
  trim(): void {
    const used = this.#usedPages();
    if (this.#segments.reusableBytes(used) < LEAST_TRIMMED + (pageCountOf(used) * PAGE_BYTE_LENGTH) / 2) return;
    this.compact();
  }

  /** Gives all free space back. */
  compact(): void {
    for (const segment of this.#segments.numbers) {
      const from = segment * SEGMENT_PAGES;
      const all = [{ page: from, count: SEGMENT_PAGES }];
      const free = remainingRuns(all, this.#usedPages());
      const isNeeded = this.#segments.writable().segments.every((writable) => writable === segment);
      if (pageCountOf(free) === SEGMENT_PAGES && !isNeeded) this.#segments.remove(segment);
      else if (this.#segments.isWritable(segment)) this.#segments.punch(segment, free);
    }
  }

  /** Pages are written once more, with the checksums that they have, and not flushed. Nobody may be using memory. */
  copy(runs: readonly PageRun[]): MovedRun[] {
    const free = this.#freePages(libc().pageByteLength / PAGE_BYTE_LENGTH);
    return runs.flatMap((run) => {
      let from = run.page;
      return free.take(run.count).map(({ page: to, count }) => {
        const moved = { from, to, count };
        this.#segments.copy(moved);
        this.#used = unitedRuns(this.#usedPages(), [{ page: to, count }]);
        from += count;
        return moved;
      });
    });
  }

  /** A save may have to write every page of every memory, next to all that is kept. */
  lackOfRoom(moreBytes: number): VermilionError | undefined {
    const free = this.#segments.freeDiskBytes() + this.#segments.reusableBytes(this.#usedPages());
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
    this.#segments.close();
  }

  /** What was written and never settled is nobody's. */
  #forget(): void {
    if (this.#written === undefined) return;
    const own = usedPages(this.#memories.map(({ mapped }) => mapped));
    this.release(remainingRuns(usedPages(this.#written.extents), own));
    this.#written = undefined;
  }

  #usedPages(): readonly PageRun[] {
    this.#used ??= unitedRuns(this.#kept() ?? this.#segments.everything(), usedPages(this.maps));
    return this.#used;
  }

  #freePages(unit: number): FreePages {
    return new FreePages({ used: this.#usedPages(), ...this.#segments.writable() }, unit);
  }
}

/** Of all memories together: a resume makes a mapping for each, and the kernel allows a process 65,530. */
const MAX_EXTENTS = 4096;
const MIN_EXTENTS = 64;
/** In bytes; below that, free space is not worth the calls. */
const LEAST_TRIMMED = 4 * 2 ** 20;

/** Of each memory: where everything lies, what had changed, and what was saved of that or along with it. */
interface Written {
  readonly maps: readonly PageMap[];
  readonly runs: readonly (readonly PageRun[])[];
  readonly extents: readonly PageMap[];
}
