import { fstatSync, statfsSync } from "node:fs";
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
  updated,
} from "./page-map.js";
import { nonzeroPages } from "./page-scan.js";
import { PrivateMemory, type StoreAccess } from "./private-memory.js";

/** The store's file, as its owner lets us write it. */
export interface PageFile {
  readonly descriptor: number;
  write(chunks: readonly Uint8Array[], position: number): void;
  /** What was written before is durable once this returns. */
  sync(): void;
  /** These bytes are not needed any more. */
  release(position: number, byteLength: number): void;
  close(): void;
}

export interface SavedMemory {
  readonly byteLength: number;
  readonly map: PageMap;
}

/**
 * A page store: one file with the saved pages of all memories of a process, in no order; the maps say what is where.
 *
 * S1  A page is written only while no map refers to it that could still be asked for: that of the epoch which either
 *     header slot names, or one that an attached memory has mapped. So a save that is cut short has changed nothing.
 * S2  The maps that write() returns may be named once flush() has returned.
 * S3  All zeros are not stored: a page without an extent reads as zeros, as the engine's own memory does.
 *
 *     write -> flush -> (the owner names the maps, durably) -> named -> trim; settle, if the guest goes on
 */
export class PageStore implements StoreAccess {
  readonly path: string;
  readonly #file: PageFile;
  readonly #memories: PrivateMemory[];
  /** Maps that a header slot names, newest first: one list for each slot. */
  #named: readonly (readonly PageMap[])[];
  #livePages = 0;
  /** What write() has written last; undefined: nothing since it was settled. */
  #written: { readonly maps: readonly PageMap[]; readonly extents: readonly PageMap[] } | undefined;
  #closed = false;

  constructor(path: string, file: PageFile, saved: readonly SavedMemory[]) {
    this.path = path;
    this.#file = file;
    this.#memories = saved.map(({ byteLength, map }) => new PrivateMemory(this, byteLength, map));
    this.#named = [[]];
    this.named(saved.map(({ map }) => map));
  }

  get memories(): readonly PrivateMemory[] {
    return this.#memories;
  }

  get descriptor(): number {
    return this.#file.descriptor;
  }

  /** An empty memory; it has no pages in the store until it is saved. */
  create(): PrivateMemory {
    const memory = new PrivateMemory(this, 0, []);
    this.#memories.push(memory);
    return memory;
  }

  /** Writes what has changed, and says where everything lies then. Its time is that of the changed pages. */
  write(): readonly PageMap[] {
    const unit = libc().pageByteLength / PAGE_BYTE_LENGTH;
    const free = new FreePages([...this.#named.flat(), ...this.#memories.map(({ mapped }) => mapped)], unit); // S1
    const limit = Math.max(MIN_EXTENTS, Math.floor(MAX_EXTENTS / this.#memories.length));
    const extents: PageMap[] = [];
    const maps = this.#memories.map((memory, index) => {
      const map = this.#named[0]?.[index] ?? [];
      const written = memory.written();
      const data = written.length === 0 ? [] : pagesToWrite(memory, map, written, unit, limit);
      const places = data.flatMap((run) => placed(run, free));
      extents.push(places);
      return updated(map, written, places);
    });
    const writes = this.#memories.flatMap((memory, index) =>
      (extents[index] ?? []).map((extent) => ({ page: extent.storePage, chunks: memory.views(extent) })),
    );
    for (const { page, chunks } of contiguous(writes)) this.#file.write(chunks, page * PAGE_BYTE_LENGTH);
    this.#written = { maps, extents };
    return maps;
  }

  /**
   * Before the guest goes on in the same process: the pages that were saved are mapped from the store again, so that the
   * next save finds only what has changed since. Nothing may have stored into the memories since write().
   */
  settle(): void {
    const written = this.#written;
    if (written === undefined || written.maps !== this.#named[0]) return;
    this.#written = undefined;
    this.#memories.forEach((memory, index) => {
      memory.remap(written.maps[index] ?? [], written.extents[index] ?? []);
    });
  }

  flush(): void {
    this.#file.sync();
  }

  /** A header slot names these maps now, durably; those that it named before may go. */
  named(maps: readonly PageMap[]): void {
    this.#named = [maps, this.#named[0] ?? []];
    this.#livePages = pageCountOf(usedPages(this.#named.flat()));
  }

  /** Gives free space back to the disk, once there is a lot of it: the next save takes free pages first. */
  trim(): void {
    if (this.#reusableBytes() < LEAST_TRIMMED + (this.#livePages * PAGE_BYTE_LENGTH) / 2) return;
    const used = usedPages([...this.#named.flat(), ...this.#memories.map(({ mapped }) => mapped)]); // S1
    let from = 0;
    for (const run of [...used, { page: Math.ceil(this.#stat().size / PAGE_BYTE_LENGTH), count: 0 }]) {
      const position = from * PAGE_BYTE_LENGTH;
      const byteLength = run.page * PAGE_BYTE_LENGTH - position;
      if (byteLength > 0) this.#file.release(position, byteLength);
      from = endOf(run);
    }
  }

  /** A save may have to write every page of every memory, next to all that is kept. */
  lackOfRoom(moreBytes: number): VermilionError | undefined {
    // Through the descriptor, because the image may have been renamed since.
    const disk = attempt("examine the disk", this.path, () => statfsSync(`/proc/self/fd/${this.descriptor}`));
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
    this.#file.close();
  }

  #reusableBytes(): number {
    return Math.max(0, this.#stat().blocks * 512 - this.#livePages * PAGE_BYTE_LENGTH);
  }

  #stat() {
    return attempt("examine the page store", this.path, () => fstatSync(this.#file.descriptor));
  }
}

/** Of all memories together: a resume makes a mapping for each, and the kernel allows a process 65,530. */
const MAX_EXTENTS = 4096;
const MIN_EXTENTS = 64;
/** Pages that are written along with their neighbours, because an extent costs more than they do. */
const MAX_GAP_PAGES = 3;
/** In bytes; below that, free space is not worth the calls. */
const LEAST_TRIMMED = 4 * 2 ** 20;

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
  const data = joinedRuns(nonzeroPages(memory.address, written, unit), gap);
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
