/**
 * Copies an epoch of an image to a store; the image may be running meanwhile.
 *
 * P1  The manifest, which makes the epoch visible, is put when every block that it names is durable. So whatever is cut off
 *     before leaves blocks that no manifest names, which the next push uses or `prune` removes.
 * P2  The epoch is pinned while it is read, and its state file is the same afterwards as before: then none of its pages was
 *     free in between, and nothing was written over them.
 */
import { randomBytes } from "node:crypto";
import { readSync } from "node:fs";
import { attempt, VermilionError } from "../../../pmem/error.js";
import { PAGE_BYTE_LENGTH, type PageMap } from "../../../pmem/page-map.js";
import {
  CHECKSUM_BYTE_LENGTH,
  checksumPosition,
  checksumsOf,
  pageInSegment,
  segmentOf,
} from "../../../pmem/segments.js";
import { processIdentity } from "../command-record.js";
import { damaged, imageError } from "../image/damage.js";
import { MAX_STATE_BYTES } from "../image/header.js";
import { ImageDirectory, OPEN_FILES_NAME } from "../image/image-directory.js";
import { pinName, segmentName, stateName } from "../image/names.js";
import { encodePageMaps } from "../image/page-maps.js";
import { pin } from "../image/pins.js";
import { isResumable, readEpoch, readHeader, readModule } from "../image/reading.js";
import { withPages } from "../image/state-file.js";
import type { StorageFile } from "../image/storage.js";
import { getBlock, listBlocks, putBlock } from "./asking.js";
import type { BlockStore } from "./block-store.js";
import { BLOCK_BYTE_LENGTH, blocksOf, type Content, Uploader } from "./contents.js";
import { encodeManifest, listManifests, type Manifest, manifestName, wholeManifest } from "./manifest.js";
import { storeError } from "./store-error.js";

const BLOCK_PAGES = BLOCK_BYTE_LENGTH / PAGE_BYTE_LENGTH;
const MAX_FILE_BYTES = 2 ** 31;

export interface Pushed {
  readonly epoch: number;
  /** Blocks that the store did not have, and their bytes. 0: it has the epoch already, or all of its content. */
  readonly blocks: number;
  readonly byteLength: number;
}

/** Codes: those of reading an image; NO_SUCH_EPOCH, IMAGE_NOT_SAVED, IN_PLACE; STORE_CONFLICT, STORE_FAILED. */
export async function pushEpoch(image: string, store: BlockStore, at?: number): Promise<Pushed> {
  for (let tries = 1; ; tries++) {
    try {
      return await pushOnce(image, store, at);
    } catch (error) {
      const code = error instanceof VermilionError ? error.code : undefined;
      const wasDropped = code === "NO_SUCH_EPOCH" || code === "IMAGE_BUSY";
      if (at !== undefined || !wasDropped || tries === MOST_TRIES) throw error; // else there is a newer one by now
    }
  }
}

/** For the newest epoch of an image that makes them faster than they can be pinned. */
const MOST_TRIES = 10;

async function pushOnce(image: string, store: BlockStore, at: number | undefined): Promise<Pushed> {
  const directory = ImageDirectory.open(image);
  try {
    const { header } = readHeader(directory);
    if (header.inPlace) {
      throw imageError("IN_PLACE", image, "its memory is written in place", "copy the image, once it is saved");
    }
    if (at === undefined && !isResumable(header)) {
      throw imageError(
        "IMAGE_NOT_SAVED",
        image,
        `there is nothing to go on with, its program is ${header.status}`,
        "start it again with vermilion run, or name an epoch that vermilion history lists, as IMAGE@3",
      );
    }
    const epoch = at ?? header.epoch;
    const reader = `push ${randomBytes(8).toString("hex")}\n`;
    const isPinnedHere = directory.statOf(pinName(epoch)) === undefined && pinForNow(image, epoch, reader);
    try {
      return await upload(directory, store, epoch);
    } finally {
      if (isPinnedHere) unpin(image, epoch, reader);
    }
  } finally {
    directory.close();
  }
}

/** False: nobody can drop it, on a read-only disk. NO_SUCH_EPOCH. */
function pinForNow(image: string, epoch: number, reader: string): boolean {
  try {
    pin(image, epoch, true, { reader });
    return true;
  } catch (error) {
    if (error instanceof VermilionError && error.code === "READ_ONLY") return false;
    throw error;
  }
}

/** A user's pin that was set meanwhile stays. */
function unpin(image: string, epoch: number, reader: string): void {
  try {
    pin(image, epoch, false, { reader });
  } catch (error) {
    if (!(error instanceof VermilionError && error.code === "NO_SUCH_EPOCH")) throw error;
  }
}

async function upload(directory: ImageDirectory, store: BlockStore, epoch: number): Promise<Pushed> {
  const { header, command } = readHeader(directory); // behind the pin
  const { record, maps } = readEpoch(directory, header, epoch);
  const stateBytes = readState(directory, epoch);
  const present = await listBlocks(store, "blocks/");
  const known = await listManifests(store);
  const newest = known.at(-1) ?? 0;
  if (newest > header.highestEpoch || (await isOthers(store, newest, command))) throw conflict(store, newest);
  const lengths = new Map(present.map(({ name, byteLength }) => [name, byteLength]));
  const uploader = new Uploader(store, lengths, known.includes(epoch)); // whoever pushes it again may do so because it is damaged
  const whole = (bytes: Uint8Array): Promise<Content> => uploader.content(blocksOf(bytes), bytes.byteLength);
  const module = await whole(readModule(directory, header));
  const state = await whole(withoutPages(directory, stateBytes, epoch, record.memoryByteLengths.length));
  const memories: Content[] = [];
  const pages = new SavedPages(directory);
  try {
    for (const [index, byteLength] of record.memoryByteLengths.entries()) {
      memories.push(await uploader.content(pages.blocksOf(maps[index] ?? [], byteLength), byteLength));
    }
  } finally {
    pages.close();
  }
  const files: Manifest["files"][number][] = [];
  for (const name of record.keptFiles) {
    const path = `${OPEN_FILES_NAME}/${name}`;
    const bytes = directory.read(path, MAX_FILE_BYTES);
    if (bytes === undefined) throw damaged(directory.pathOf(path), "the file is missing");
    files.push({ name, content: await whole(bytes) });
  }
  const after = directory.read(stateName(epoch), MAX_STATE_BYTES);
  if (after === undefined || Buffer.compare(after, stateBytes) !== 0) {
    const reason = `epoch ${epoch} was changed while it was read`;
    throw imageError("IMAGE_BUSY", directory.path, reason, "push it again, or a later one"); // P2
  }
  await uploader.finish();
  const { instrumenterVersion } = header;
  const manifest = encodeManifest({
    format: 1,
    epoch,
    record,
    instrumenterVersion,
    command,
    module,
    state,
    memories,
    files,
  });
  await publish(store, epoch, manifest);
  return { epoch, blocks: uploader.blockCount, byteLength: uploader.byteLength };
}

/** Whether another process, of which this one is no fork, has put that epoch. Early images do not say whose they are. */
async function isOthers(store: BlockStore, epoch: number, command: unknown): Promise<boolean> {
  const own = processIdentity(command);
  if (epoch === 0 || own === undefined) return false;
  const theirs = processIdentity((await wholeManifest(store, epoch))?.command);
  return theirs !== undefined && theirs !== own;
}

/** P1. A manifest that was cut is replaced, one of another process is not. */
async function publish(store: BlockStore, epoch: number, manifest: Uint8Array): Promise<void> {
  const name = manifestName(epoch);
  const before = await getBlock(store, name);
  if (before !== undefined && Buffer.compare(before, manifest) === 0) return;
  if (before !== undefined && (await wholeManifest(store, epoch)) !== undefined) throw conflict(store, epoch);
  await putBlock(store, name, manifest);
}

function conflict(store: BlockStore, epoch: number): VermilionError {
  const reason = `it has another epoch ${epoch}, of another process or another branch`;
  return storeError("STORE_CONFLICT", store, reason, "push to another store");
}

function readState(directory: ImageDirectory, epoch: number): Uint8Array {
  const name = stateName(epoch);
  const bytes = directory.read(name, MAX_STATE_BYTES);
  if (bytes === undefined) throw damaged(directory.pathOf(name), "the file is missing");
  return bytes;
}

/** Where pages lie is the image's affair: without it, the same state has the same bytes everywhere. */
function withoutPages(directory: ImageDirectory, bytes: Uint8Array, epoch: number, memoryCount: number): Uint8Array {
  const none = encodePageMaps(Array.from({ length: memoryCount }, () => []));
  return Buffer.concat(withPages(bytes, epoch, none, directory.pathOf(stateName(epoch))).chunks);
}

/** Pages of the page store, checked by their checksums. */
class SavedPages {
  readonly #directory: ImageDirectory;
  readonly #segments = new Map<number, StorageFile>();
  readonly #block = Buffer.alloc(BLOCK_BYTE_LENGTH);

  constructor(directory: ImageDirectory) {
    this.#directory = directory;
  }

  /** One buffer for all of them; null: none of its pages is kept. IMAGE_DAMAGED. */
  *blocksOf(map: PageMap, memoryByteLength: number): Generator<Uint8Array | null> {
    let first = 0; // the first extent that does not end before the block
    for (let page = 0; page * PAGE_BYTE_LENGTH < memoryByteLength; page += BLOCK_PAGES) {
      const end = page + BLOCK_PAGES;
      let isEmpty = true;
      for (let index = first; index < map.length; index++) {
        const extent = map[index] as PageMap[number];
        if (extent.page >= end) break;
        if (extent.page + extent.count <= page) {
          first = index + 1;
          continue;
        }
        if (isEmpty) this.#block.fill(0);
        isEmpty = false;
        const from = Math.max(extent.page, page);
        const count = Math.min(extent.page + extent.count, end) - from;
        this.#read(extent.storePage + from - extent.page, count, from - page);
      }
      yield isEmpty ? null : this.#block;
    }
  }

  close(): void {
    for (const file of this.#segments.values()) file.close();
  }

  #read(storePage: number, count: number, at: number): void {
    const bytes = this.#block.subarray(at * PAGE_BYTE_LENGTH, (at + count) * PAGE_BYTE_LENGTH);
    this.#fill(storePage, bytes, pageInSegment(storePage) * PAGE_BYTE_LENGTH);
    const sums = Buffer.alloc(count * CHECKSUM_BYTE_LENGTH);
    this.#fill(storePage, sums, checksumPosition(storePage));
    if (sums.equals(checksumsOf([bytes]))) return;
    throw damaged(this.#directory.pathOf(segmentName(segmentOf(storePage))), "a page has a wrong checksum");
  }

  #fill(storePage: number, bytes: Uint8Array, position: number): void {
    const name = segmentName(segmentOf(storePage));
    const file = this.#segments.get(segmentOf(storePage)) ?? this.#directory.openShared(name);
    this.#segments.set(segmentOf(storePage), file);
    const path = this.#directory.pathOf(name);
    const count = attempt("read", path, () => readSync(file.descriptor, bytes, 0, bytes.byteLength, position));
    if (count !== bytes.byteLength) throw damaged(path, "it is shorter than a map says");
  }
}
