/**
 * Makes an image of an epoch in a store. What comes back is checked, byte for byte, and all of the image's format is written
 * anew: a store decides what a process is, never where anything is written.
 *
 * L1  The image has its header last, as a fork has (K1); whatever is cut off before leaves it IMAGE_INCOMPLETE.
 */
import { resolve } from "node:path";
import { attempt } from "../../../pmem/error.js";
import { type Extent, endOf, PAGE_BYTE_LENGTH, type PageMap } from "../../../pmem/page-map.js";
import { CHECKSUM_PAGES, checksumPosition, checksumsOf, pageInSegment, segmentOf } from "../../../pmem/segments.js";
import { contentHash } from "../image/content-hash.js";
import { checkVacant, makeDirectories, syncParents } from "../image/directories.js";
import { completeImage } from "../image/forking.js";
import { ImageDirectory, OPEN_FILES_NAME } from "../image/image-directory.js";
import { ImageLock } from "../image/lock.js";
import { MODULE_NAME, segmentName, stateName } from "../image/names.js";
import { encodePageMaps } from "../image/page-maps.js";
import { decodeState, withPages } from "../image/state-file.js";
import { type ImageStorage, type StorageFile, writeWhole } from "../image/storage.js";
import type { Wrap } from "../image/upkeep.js";
import type { BlockStore } from "./block-store.js";
import { BLOCK_BYTE_LENGTH, type Content, download, downloadWhole } from "./contents.js";
import { listManifests, type Manifest, readManifest, type StoreEvents, wholeManifest } from "./manifest.js";
import { damagedStore, storeError } from "./store-error.js";

export interface PullOptions extends StoreEvents {
  /** Default: the newest that can be read. */
  readonly at?: number | undefined;
  /** Tests only. */
  readonly wrap?: Wrap | undefined;
}

/**
 * Returns the epoch. Codes: STORE_EMPTY, NO_SUCH_EPOCH, STORE_DAMAGED, STORE_FAILED; IMAGE_EXISTS, IMAGE_FOREIGN, IMAGE_BUSY (of the
 * target), and those of the disk.
 */
export async function pullEpoch(store: BlockStore, target: string, options: PullOptions = {}): Promise<number> {
  const { at, wrap } = options;
  const manifest = at === undefined ? await newest(store, options) : await manifestOf(store, at);
  const path = resolve(target);
  const firstCreated = attempt("create the image", path, () => makeDirectories(path));
  const directory = ImageDirectory.open(path);
  let lock: ImageLock | undefined;
  try {
    checkVacant(directory);
    lock = ImageLock.acquire(directory);
    const storage = wrap?.(directory) ?? directory;
    for (const name of checkVacant(directory)) storage.remove(name);
    directory.removeOpenFiles();
    directory.makeOpenFiles();
    await fill(store, manifest, directory, storage);
    syncParents(path, firstCreated);
  } finally {
    lock?.release();
    directory.close();
  }
  return manifest.epoch;
}

async function manifestOf(store: BlockStore, epoch: number): Promise<Manifest> {
  const manifest = await readManifest(store, epoch);
  if (manifest !== undefined) return manifest;
  throw storeError("NO_SUCH_EPOCH", store, `it has no epoch ${epoch}`, "vermilion history lists those that it has");
}

/** One that was cut is none: then it is the one before. */
async function newest(store: BlockStore, events: StoreEvents): Promise<Manifest> {
  let damage: unknown;
  for (const epoch of (await listManifests(store)).reverse()) {
    const damaged: StoreEvents["damaged"] = (_, error) => {
      damage ??= error;
      events.damaged?.(epoch, error);
    };
    const manifest = await wholeManifest(store, epoch, { damaged });
    if (manifest !== undefined) return manifest;
  }
  if (damage !== undefined) throw damage;
  throw storeError("STORE_EMPTY", store, "it has no epochs", "push one to it (vermilion push)");
}

async function fill(
  store: BlockStore,
  manifest: Manifest,
  directory: ImageDirectory,
  storage: ImageStorage,
): Promise<void> {
  const { epoch, record } = manifest;
  const module = await downloadWhole(store, manifest.module);
  writeWhole(storage, MODULE_NAME, [module]);
  const state = await downloadWhole(store, manifest.state);
  const decoded = checkedState(store, manifest, state);
  const writer = new SegmentWriter(storage);
  const maps: PageMap[] = [];
  try {
    for (const memory of manifest.memories) maps.push(await writeMemory(store, memory, writer));
    writer.finish();
  } finally {
    writer.close();
  }
  for (const { name, content } of manifest.files)
    await writeFile(store, content, storage, `${OPEN_FILES_NAME}/${name}`);
  if (manifest.files.length > 0) directory.syncOpenFiles();
  const { chunks } = withPages(state, epoch, encodePageMaps(maps), stateName(epoch));
  writeWhole(storage, stateName(epoch), chunks);
  completeImage(storage, manifest.command, {
    ...{ epoch, instrumenterVersion: manifest.instrumenterVersion, inPlace: false },
    ...{ moduleByteLength: module.byteLength, moduleSha256: contentHash(module) },
    ...{ state: { checksum: decoded.checksum }, memoryByteLengths: record.memoryByteLengths },
  });
}

/** What the manifest says of the state is what the state says itself. */
function checkedState(store: BlockStore, { epoch, record }: Manifest, bytes: Uint8Array) {
  try {
    const decoded = decodeState(bytes, epoch, stateName(epoch));
    if (JSON.stringify(decoded.record) === JSON.stringify(record)) return decoded;
  } catch (error) {
    throw damagedStore(store, `the state of epoch ${epoch} is malformed`, error);
  }
  throw damagedStore(store, `epoch ${epoch} and its state are not of the same process`);
}

async function writeMemory(store: BlockStore, memory: Content, writer: SegmentWriter): Promise<PageMap> {
  const map: Extent[] = [];
  let page = 0;
  for await (const block of download(store, memory)) {
    if (block !== null) writer.append(map, page, block);
    page += BLOCK_BYTE_LENGTH / PAGE_BYTE_LENGTH;
  }
  return map;
}

async function writeFile(store: BlockStore, content: Content, storage: ImageStorage, name: string): Promise<void> {
  const file = storage.create(name);
  try {
    let at = 0;
    for await (const block of download(store, content)) {
      file.write([block ?? new Uint8Array(Math.min(BLOCK_BYTE_LENGTH, content.byteLength - at))], at);
      at += BLOCK_BYTE_LENGTH;
    }
    file.sync();
  } finally {
    file.close();
  }
}

/** Written at once, 4 MiB. */
const PAGES_AT_ONCE = 1024;

/** Fills the segments of a new page store, from the first page on. */
class SegmentWriter {
  readonly #storage: ImageStorage;
  /** The next page, never one of checksums. */
  #next = CHECKSUM_PAGES;
  /** Those before it that are not written yet, all in one segment. */
  #pages: Uint8Array[] = [];
  #file: StorageFile | undefined;

  constructor(storage: ImageStorage) {
    this.#storage = storage;
  }

  /** Whole pages of a memory, from `page` on; the map is told where they are. */
  append(map: Extent[], page: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; at += PAGE_BYTE_LENGTH) {
      const last = map.at(-1);
      const [memoryPage, storePage] = [page + at / PAGE_BYTE_LENGTH, this.#next];
      const goesOn = last !== undefined && endOf(last) === memoryPage && last.storePage + last.count === storePage;
      if (goesOn) map[map.length - 1] = { ...last, count: last.count + 1 };
      else map.push({ page: memoryPage, storePage, count: 1 });
      this.#pages.push(bytes.subarray(at, at + PAGE_BYTE_LENGTH));
      this.#next++;
      if (this.#pages.length === PAGES_AT_ONCE || pageInSegment(this.#next) === 0) this.#writePages();
    }
  }

  /** All is durable but the names. */
  finish(): void {
    if (this.#pages.length > 0) this.#writePages();
    this.#file?.sync();
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #writePages(): void {
    const first = this.#next - this.#pages.length;
    if (pageInSegment(first) === CHECKSUM_PAGES) {
      this.#file?.sync();
      this.close();
      this.#file = this.#storage.create(segmentName(segmentOf(first)));
    }
    this.#file?.write([checksumsOf(this.#pages)], checksumPosition(first));
    this.#file?.write(this.#pages, pageInSegment(first) * PAGE_BYTE_LENGTH);
    this.#pages = [];
    if (pageInSegment(this.#next) === 0) this.#next += CHECKSUM_PAGES;
  }
}
