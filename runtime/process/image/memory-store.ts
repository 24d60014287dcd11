import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { PageMap } from "../../../pmem/page-map.js";
import { PageStore } from "../../../pmem/page-store.js";
import { Region } from "../../../pmem/region.js";
import type { ImageHeader } from "./header.js";
import { memoryName, PAGES_NAME } from "./reading.js";
import type { ImageDirectory, ImageStorage } from "./storage.js";

/**
 * How an image keeps linear memory: in a page store (pmem/page-store.ts), or in regions that the guest writes in place.
 * Their calls at a save, in this order: write, flush, then the image names the maps durably, named, trim;
 * and settle, should the guest go on.
 */
export interface MemoryStore {
  readonly memories: readonly MemoryBacking[];
  /** The next memory, empty: grow it, then attach it. */
  create(): MemoryBacking;
  /** What the memories hold goes to the disk; the result says where, and is empty where it lies in place. */
  write(): readonly PageMap[];
  /** What was written is durable once this returns. */
  flush(): void;
  /** A header slot names these maps now, durably. */
  named(maps: readonly PageMap[]): void;
  /** Before the guest goes on in the same process: what was saved last counts as unchanged from here on. */
  settle(): void;
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

  write(): readonly PageMap[] {
    return [];
  }

  flush(): void {
    this.#regions.forEach((region, index) => {
      this.#storage.flushRegion(memoryName(index), region);
    });
  }

  named(): void {}

  settle(): void {}

  trim(): void {}

  close(): void {
    for (const region of this.#regions) region.close();
  }
}

export function createStore(directory: ImageDirectory, storage: ImageStorage, inPlace: boolean): MemoryStore {
  if (inPlace) return new RegionStore(directory, storage);
  return new PageStore(directory.pathOf(PAGES_NAME), storage.create(PAGES_NAME), []);
}

/** Of a resumable image, whose files have been checked. */
export function openStore(
  directory: ImageDirectory,
  storage: ImageStorage,
  { inPlace, memoryByteLengths }: ImageHeader,
  maps: readonly PageMap[],
): MemoryStore {
  if (!inPlace) {
    const saved = maps.map((map, index) => ({ map, byteLength: memoryByteLengths[index] ?? 0 }));
    return new PageStore(directory.pathOf(PAGES_NAME), storage.open(PAGES_NAME), saved);
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
