/**
 * What is done to the history of an image that nobody runs: epochs dropped, space given back.
 *
 * U1  An epoch is dropped by the removal of its file, durably, before anything that only it needed is written or removed.
 * U2  Moved pages are durable before a state file names their new place, and that file has replaced the old one durably
 *     before the old pages go. So whatever is cut off, each epoch finds its pages in one of the two places.
 */
import { usedPages } from "../../../pmem/free-pages.js";
import type { MovedRun } from "../../../pmem/open-segments.js";
import {
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  pageCountOf,
  remainingRuns,
  unitedRuns,
} from "../../../pmem/page-map.js";
import { PageStore } from "../../../pmem/page-store.js";
import { SEGMENT_PAGES, segmentOf } from "../../../pmem/segments.js";
import { imageError, noSuchEpoch } from "./damage.js";
import type { KeepPolicy } from "./epoch-record.js";
import { Epochs, keptEpochs, readMaps } from "./epochs.js";
import { type ImageHeader, MAX_STATE_BYTES } from "./header.js";
import { ImageDirectory } from "./image-directory.js";
import { ImageLock } from "./lock.js";
import { ImageSegments } from "./memory-store.js";
import { pinName, segmentNumber, stateName, stateNumber, TRAP_NAME } from "./names.js";
import { encodePageMaps } from "./page-maps.js";
import { holdingPins } from "./pins.js";
import { isResumable, readCurrent, readHeader } from "./reading.js";
import { withPages } from "./state-file.js";
import type { ImageStorage } from "./storage.js";

/** Tests only: stands between the work and the directory. */
export type Wrap = (directory: ImageStorage) => ImageStorage;

/** An image that nobody runs, held for the time of some work on it. */
export interface Held {
  readonly directory: ImageDirectory;
  readonly storage: ImageStorage;
  readonly header: ImageHeader;
  readonly command: unknown;
  /** What is wrong with the slot that is not current. */
  readonly damage: string | undefined;
}

/** IMAGE_BUSY: somebody runs it. IMAGE_MISSING, IMAGE_DAMAGED (its header) and the like. */
export function holding<Result>(path: string, wrap: Wrap | undefined, work: (held: Held) => Result): Result {
  return withLock(path, wrap, (directory) => ImageLock.acquire(directory), work);
}

/** The same for work that writes nothing into it, which a read-only disk need not hinder. */
export function holdingToRead<Result>(path: string, wrap: Wrap | undefined, work: (held: Held) => Result): Result {
  return withLock(path, wrap, (directory) => ImageLock.acquireToRead(directory), work);
}

function withLock<Result>(
  path: string,
  wrap: Wrap | undefined,
  acquire: (directory: ImageDirectory) => ImageLock,
  work: (held: Held) => Result,
): Result {
  const directory = ImageDirectory.open(path);
  let lock: ImageLock | undefined;
  try {
    readHeader(directory); // throws, and puts no lock file there
    lock = acquire(directory);
    return work({ directory, storage: wrap?.(directory) ?? directory, ...readHeader(directory) });
  } finally {
    lock?.release();
    directory.close();
  }
}

/** Takes an epoch out of the history. NO_SUCH_EPOCH, EPOCH_IN_USE (the current one, or pinned), IMAGE_BUSY. */
export function dropEpoch(path: string, epoch: number, wrap?: Wrap): void {
  holding(path, wrap, (held) => {
    const { directory, storage, header } = held;
    const epochs = new Epochs(directory, header.highestEpoch);
    if (!epochs.has(epoch)) throw noSuchEpoch(path, epoch);
    if (isResumable(header) && header.epoch === epoch) {
      const next = "go back to another one first (vermilion resume --at), or remove the image";
      throw imageError("EPOCH_IN_USE", path, `epoch ${epoch} is the current one`, next);
    }
    const free = header.inPlace ? [] : epochs.drop(epoch);
    if (removeUnpinned(held, [epoch]).length === 0) {
      throw imageError("EPOCH_IN_USE", path, `epoch ${epoch} is pinned`, "vermilion history --unpin lets go of it");
    }
    storage.syncDirectory(); // U1
    // With many epochs only its own pages are looked at, and given back; `collect` finds whatever else is free.
    giveBack(held, epochs.usedPages(), free);
  });
}

/** Those that it has removed. N1 in pins.ts */
function removeUnpinned({ directory, storage }: Held, epochs: readonly number[]): number[] {
  const gone: number[] = [];
  holdingPins(directory.descriptor, directory.path, () => {
    for (const epoch of epochs) {
      if (directory.statOf(pinName(epoch)) !== undefined) continue;
      storage.remove(stateName(epoch));
      gone.push(epoch);
    }
  });
  return gone;
}

export interface Collected {
  readonly epochs: readonly number[];
  /** Bytes on the disk before and after. */
  readonly before: number;
  readonly after: number;
}

/** Drops what the policy does not keep, and gives the disk back all that no epoch needs. IMAGE_BUSY. */
export function collect(path: string, policy: KeepPolicy | undefined, wrap?: Wrap): Collected {
  return holding(path, wrap, (held) => {
    const { directory, storage, header } = held;
    const before = diskByteLength(directory);
    const epochs = new Epochs(directory, header.highestEpoch);
    const current = isResumable(header) ? readCurrent(directory, header) : undefined;
    const keep = policy ?? current?.record.keep;
    const expired = keep === undefined ? [] : epochs.expired(header.epoch, keep, Date.now());
    const gone = removeUnpinned(held, expired);
    for (const name of directory.names()) {
      const epoch = stateNumber(name);
      const isLeftover = epoch !== undefined && epoch > header.highestEpoch;
      if (isLeftover || name.endsWith(".new")) storage.remove(name);
    }
    storage.syncDirectory(); // U1
    if (!header.inPlace) compact(held);
    giveBack(held, header.inPlace ? [] : pagesOf(allMaps(held)));
    return { epochs: gone, before, after: diskByteLength(directory) };
  });
}

/** Where some state's pages lie, and the file that says so. */
interface Named {
  readonly name: string;
  /** Of the epoch in the file. */
  readonly epoch: number;
  readonly maps: readonly PageMap[];
}

/** One after the other: there may be a hundred thousand. IMAGE_DAMAGED: nobody knows what one of them needs. */
function* allMaps(held: Held): Generator<Named> {
  const { directory, header } = held;
  for (const epoch of keptEpochs(directory, header.highestEpoch)) {
    yield { name: stateName(epoch), epoch, maps: readMaps(directory, epoch) };
  }
  yield* trapMaps(held);
}

function trapMaps({ directory, header }: Held): Named[] {
  if (header.status !== "trapped" || header.state === undefined) return [];
  return [{ name: TRAP_NAME, epoch: header.epoch, maps: readCurrent(directory, header).maps }];
}

/** Beyond that many extents those that were read are joined with the rest, which makes few of them. */
const EXTENTS_JOINED = 65_536;

/** All that they need, sorted and joined. */
function pagesOf(states: Iterable<Named>): readonly PageRun[] {
  let used: readonly PageRun[] = [];
  let more: PageMap[] = [];
  let extents = 0;
  for (const { maps } of states) {
    more.push(...maps);
    extents += maps.reduce((sum, { length }) => sum + length, 0);
    if (extents < Math.max(EXTENTS_JOINED, used.length)) continue;
    used = unitedRuns(used, usedPages(more));
    more = [];
    extents = 0;
  }
  return unitedRuns(used, usedPages(more));
}

/**
 * Segments without pages in use go, holes are made in the others. `kept`: what the epochs need; undefined: everything that is there,
 * but for `free`.
 */
function giveBack(held: Held, kept: readonly PageRun[] | undefined, free: readonly PageRun[] = []): void {
  if (held.header.inPlace) return;
  const trap = pagesOf(trapMaps(held));
  const store = openStore(held, kept && unitedRuns(kept, trap));
  try {
    if (kept === undefined) store.release(remainingRuns(free, trap));
    store.compact();
  } finally {
    store.close();
  }
  held.storage.syncDirectory();
}

function openStore({ directory, storage }: Held, used: readonly PageRun[] | undefined): PageStore {
  return new PageStore(
    directory.path,
    new ImageSegments(directory, storage, directory.names(), () => {}),
    [],
    () => used,
  );
}

/** Segments that are shared are copied once less than this part of them is in use: the rest cannot be given back. */
const SPARSE = 0.5;

/** Moves what is in use out of shared segments that are mostly not. */
function compact(held: Held): void {
  const { directory, storage } = held;
  const used = pagesOf(allMaps(held));
  const sparse = new Set(
    directory.names().flatMap((name) => {
      const segment = segmentNumber(name);
      const stat = segment === undefined ? undefined : directory.statOf(name);
      if (segment === undefined || stat === undefined || stat.nlink === 1) return [];
      const all = [{ page: segment * SEGMENT_PAGES, count: SEGMENT_PAGES }];
      const inUse = SEGMENT_PAGES - pageCountOf(remainingRuns(all, used));
      return inUse > 0 && inUse * PAGE_BYTE_LENGTH < SPARSE * stat.blocks * 512 ? [segment] : [];
    }),
  );
  if (sparse.size === 0) return;
  const store = openStore(held, used);
  try {
    const moved = store.copy(used.filter(({ page }) => sparse.has(segmentOf(page)))); // no run crosses to another segment
    store.flush();
    storage.syncDirectory();
    for (const { name, epoch, maps: before } of allMaps(held)) {
      const maps = before.map((map) => movedMap(map, moved));
      if (maps.every((map, index) => map.every((extent, at) => extent === before[index]?.[at]))) continue;
      const bytes = directory.read(name, MAX_STATE_BYTES) ?? new Uint8Array(0);
      const file = storage.create(`${name}.new`);
      try {
        file.write(withPages(bytes, epoch, encodePageMaps(maps), directory.pathOf(name)).chunks, 0);
        file.sync();
      } finally {
        file.close();
      }
      storage.syncDirectory();
      storage.rename(`${name}.new`, name);
    }
    storage.syncDirectory(); // U2
  } finally {
    store.close();
  }
}

/** Extents of which a part has moved fall into pieces. */
function movedMap(map: PageMap, moved: readonly MovedRun[]): PageMap {
  return map.flatMap((extent) => {
    const end = extent.storePage + extent.count;
    const pieces = moved.filter(({ from, count }) => from < end && from + count > extent.storePage);
    if (pieces.length === 0) return [extent];
    return pieces.map(({ from, to, count }) => {
      const first = Math.max(from, extent.storePage);
      const last = Math.min(from + count, end);
      return { page: extent.page + first - extent.storePage, count: last - first, storePage: to + first - from };
    });
  });
}

/** What the saved memories take. */
function diskByteLength(directory: ImageDirectory): number {
  const segments = directory.names().filter((name) => segmentNumber(name) !== undefined);
  return segments.reduce((sum, name) => sum + 512 * (directory.statOf(name)?.blocks ?? 0), 0);
}
