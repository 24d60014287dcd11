import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { SegmentFile, SegmentFiles, UnsummedPages } from "../../../pmem/open-segments.js";
import type { PageMap, PageRun } from "../../../pmem/page-map.js";
import { PageStore } from "../../../pmem/page-store.js";
import { Region } from "../../../pmem/region.js";
import type { ImageDirectory } from "./image-directory.js";
import { memoryName, segmentName, segmentNumber } from "./names.js";
import type { ImageStorage } from "./storage.js";

/**
 * How an image keeps linear memory: in a page store (pmem/page-store.ts), or in regions that the guest writes in place.
 * Their calls at a save: write, flush, then the image names the maps durably; settle, should the guest go on, before or
 * after that; then release what no epoch needs any more, and trim.
 */
export interface MemoryStore {
  readonly memories: readonly MemoryBacking[];
  /** Where everything lies now; empty: in place. */
  readonly maps: readonly PageMap[];
  /** Pages that the last write() has written, until it is settled. */
  readonly writtenPageCount: number;
  /** A save will find the files that it writes. */
  prepare(): void;
  /** The next memory, empty: grow it, then attach it. */
  create(): MemoryBacking;
  /** What the memories hold goes to the disk; the result is `maps`. With `later`, checksums are left to somebody else. */
  write(later?: UnsummedPages[]): readonly PageMap[];
  /** What was written is durable once this returns. */
  flush(): void;
  /** What flush() would flush, for somebody else to do. */
  takeUnflushed(): number[];
  /** Before the guest goes on in the same process: what was saved last counts as unchanged from here on. */
  settle(): void;
  /** No epoch needs these pages any more, durably. */
  release(runs: readonly PageRun[]): void;
  /** After a save, when nobody waits for it. */
  trim(): void;
  close(): void;
}

/**
 * Regions: the mapped file is the memory, so a save is only the flush. For disks that are memory themselves (tmpfs, DAX).
 * The price: a process that is killed while it runs has changed the only memory there is, and cannot go on.
 */
class RegionStore implements MemoryStore {
  readonly #directory: ImageDirectory;
  readonly #storage: ImageStorage;
  readonly #regions: Region[] = [];

  constructor(directory: ImageDirectory, storage: ImageStorage) {
    this.#directory = directory;
    this.#storage = storage;
  }

  /** Those of a saved image. REGION_LENGTH and the other codes of Region.open. */
  open(byteLengths: readonly number[]): void {
    byteLengths.forEach((byteLength, index) => {
      this.#regions.push(Region.open(this.#directory.pathOf(memoryName(index)), byteLength));
    });
  }

  get memories(): readonly Region[] {
    return this.#regions;
  }

  create(): Region {
    const region = Region.create(this.#directory.pathOf(memoryName(this.#regions.length)));
    this.#regions.push(region);
    return region;
  }

  get maps(): readonly PageMap[] {
    return [];
  }

  get writtenPageCount(): number {
    return 0;
  }

  prepare(): void {}

  write(): readonly PageMap[] {
    return [];
  }

  flush(): void {
    this.#regions.forEach((region, index) => {
      this.#storage.flushRegion(memoryName(index), region);
    });
  }

  takeUnflushed(): number[] {
    return [];
  }

  settle(): void {}

  release(): void {}

  trim(): void {}

  close(): void {
    for (const region of this.#regions) region.close();
  }
}

/** The segments of a page store as files of the image. */
export class ImageSegments implements SegmentFiles {
  readonly #directory: ImageDirectory;
  readonly #storage: ImageStorage;
  readonly #names: readonly string[];
  readonly #created: () => void;

  /** `names`: of the directory's files. */
  constructor(directory: ImageDirectory, storage: ImageStorage, names: readonly string[], created: () => void) {
    this.#directory = directory;
    this.#storage = storage;
    this.#names = names;
    this.#created = created;
  }

  list(): number[] {
    return this.#names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b);
  }

  /** A segment with other names belongs to a fork as well: only read. */
  open(segment: number): SegmentFile {
    const name = segmentName(segment);
    const shared = (this.#directory.statOf(name)?.nlink ?? 1) > 1;
    return Object.assign(shared ? this.#storage.openShared(name) : this.#storage.open(name), { writable: !shared });
  }

  create(segment: number): SegmentFile {
    this.#created();
    return Object.assign(this.#storage.create(segmentName(segment)), { writable: true });
  }

  remove(segment: number): void {
    this.#storage.remove(segmentName(segment));
  }
}

export interface StoreOptions {
  readonly directory: ImageDirectory;
  readonly storage: ImageStorage;
  /** Of the directory's files. */
  readonly names: readonly string[];
  readonly inPlace: boolean;
  /** Of the epoch that is opened, in bytes; a new image has none. */
  readonly memoryByteLengths: readonly number[];
  readonly maps: readonly PageMap[];
  /** Pages that the kept epochs need; see PageStore. */
  readonly kept: () => readonly PageRun[] | undefined;
  /** A file was created, whose name is not durable yet. */
  readonly created: () => void;
}

/** Of a new image, or of one whose files have been checked. */
export function openStore(options: StoreOptions): MemoryStore {
  const { directory, storage, names, inPlace, memoryByteLengths, maps, kept, created } = options;
  if (!inPlace) {
    const saved = memoryByteLengths.map((byteLength, index) => ({ byteLength, map: maps[index] ?? [] }));
    return new PageStore(directory.path, new ImageSegments(directory, storage, names, created), saved, kept);
  }
  const regions = new RegionStore(directory, storage);
  try {
    regions.open(memoryByteLengths);
  } catch (error) {
    regions.close();
    throw error;
  }
  return regions;
}
