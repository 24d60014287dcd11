import { crc32 } from "node:zlib";
import { PAGE_BYTE_LENGTH, type PageMap, pageCountOf } from "../../../pmem/page-map.js";
import { contentHash } from "./content-hash.js";
import { damaged, damagedForGood, imageError, noSuchEpoch } from "./damage.js";
import type { EpochRecord } from "./epoch-record.js";
import { currentSlot, type ImageHeader, MAX_COMMAND_BYTES, MAX_STATE_BYTES, SLOTS_BYTE_LENGTH } from "./header.js";
import { ImageDirectory } from "./image-directory.js";
import { type Holder, ImageLock } from "./lock.js";
import {
  HEADER_NAME,
  isImageName,
  MODULE_NAME,
  memoryName,
  NEW_HEADER_NAME,
  segmentName,
  stateName,
  stateNumber,
  TRAP_NAME,
} from "./names.js";
import { decodePageMaps, segmentByteLengths } from "./page-maps.js";
import { decodeJson, decodeState, type ImageState } from "./state-file.js";

export interface VerifiedHeader {
  readonly header: ImageHeader;
  /** The command record, plain JSON; untrusted. */
  readonly command: unknown;
  /** What is wrong with the slot that is not current; undefined if nothing is. */
  readonly damage: string | undefined;
}

/** IMAGE_INCOMPLETE (no header), IMAGE_FOREIGN, IMAGE_VERSION, IMAGE_DAMAGED, IMAGE_UNSAFE. */
export function readHeader(directory: ImageDirectory): VerifiedHeader {
  const path = directory.pathOf(HEADER_NAME);
  const bytes = directory.read(HEADER_NAME, SLOTS_BYTE_LENGTH + MAX_COMMAND_BYTES);
  if (bytes === undefined) throw headerMissing(directory);
  const { header, damage } = currentSlot(bytes, path);
  const command = bytes.subarray(SLOTS_BYTE_LENGTH);
  if (command.byteLength !== header.command.byteLength || crc32(command) !== header.command.checksum) {
    throw damagedForGood(path, "the command record has a wrong length or checksum");
  }
  return { header, command: decodeJson(command, path), damage };
}

export interface KnownModule {
  readonly module: Uint8Array;
  /** As of contentHash. */
  readonly hash: string;
}

/** IMAGE_DAMAGED, IMAGE_UNSAFE. */
export function readModule(directory: ImageDirectory, header: ImageHeader, known?: KnownModule): Uint8Array {
  if (known?.hash === header.moduleSha256) return known.module;
  const path = directory.pathOf(MODULE_NAME);
  const bytes = directory.read(MODULE_NAME, header.moduleByteLength);
  if (bytes === undefined) throw damagedForGood(path, "the file is missing");
  if (bytes.byteLength !== header.moduleByteLength) {
    throw damagedForGood(path, `it has ${bytes.byteLength} bytes instead of ${header.moduleByteLength}`);
  }
  if (contentHash(bytes) !== header.moduleSha256) {
    throw damagedForGood(path, "it is not the module that was saved (wrong SHA-256)");
  }
  return bytes;
}

/** Whether there is something to go on with. */
export function isResumable({ status, state }: ImageHeader): boolean {
  return state !== undefined && (status === "saved" || status === "running");
}

/** A state and where its linear memory lies; in place: no maps. */
export interface SavedState {
  readonly record: EpochRecord;
  readonly state: ImageState;
  readonly maps: readonly PageMap[];
  /** For the header slot. */
  readonly checksum: number;
}

/** What the header says to go on from. IMAGE_INTERRUPTED, IMAGE_NOT_SAVED: nothing. IMAGE_DAMAGED, IMAGE_UNSAFE. */
export function readState(directory: ImageDirectory, { header, damage }: VerifiedHeader): SavedState {
  if (!isResumable(header)) throw notResumable(directory, header.status, damage);
  return readCurrent(directory, header);
}

/** The file that the header names, of a trap too. */
export function readCurrent(directory: ImageDirectory, header: ImageHeader): SavedState {
  const name = header.status === "trapped" ? TRAP_NAME : stateName(header.epoch);
  const saved = readStateFile(directory, name, header.epoch, header.inPlace);
  if (saved.checksum === header.state?.checksum) return saved;
  throw damaged(directory.pathOf(name), "it is not the state that the header names");
}

/** The state of any epoch that is kept. NO_SUCH_EPOCH, IMAGE_DAMAGED. */
export function readEpoch(directory: ImageDirectory, header: ImageHeader, epoch: number): SavedState {
  if (epoch > header.highestEpoch || directory.statOf(stateName(epoch)) === undefined) {
    throw noSuchEpoch(directory.path, epoch);
  }
  if (epoch === header.epoch && isResumable(header)) return readCurrent(directory, header);
  return readStateFile(directory, stateName(epoch), epoch, header.inPlace);
}

function readStateFile(directory: ImageDirectory, name: string, epoch: number, inPlace: boolean): SavedState {
  const path = directory.pathOf(name);
  const bytes = directory.read(name, MAX_STATE_BYTES);
  if (bytes === undefined) throw damaged(path, "the file is missing");
  const { record, state, pages, checksum } = decodeState(bytes, epoch, path);
  return { record, state, checksum, maps: inPlace ? [] : decodePageMaps(pages, record.memoryByteLengths, path) };
}

/** IMAGE_DAMAGED: a file of linear memory is missing or has a wrong length. Reads none of their bytes. */
export function checkMemories(directory: ImageDirectory, inPlace: boolean, { record, maps }: SavedState): void {
  if (inPlace) {
    checkRegions(directory, record.memoryByteLengths);
    return;
  }
  for (const [segment, needed] of segmentByteLengths(maps)) {
    const name = segmentName(segment);
    const found = directory.statOf(name)?.size;
    if (found !== undefined && found >= needed) continue;
    const reason = found === undefined ? "the file is missing" : `it has ${found} bytes instead of ${needed} or more`;
    throw damaged(directory.pathOf(name), reason);
  }
}

function checkRegions(directory: ImageDirectory, memoryByteLengths: readonly number[]): void {
  memoryByteLengths.forEach((byteLength, index) => {
    const name = memoryName(index);
    const found = directory.statOf(name)?.size;
    if (found === byteLength) return;
    const reason = found === undefined ? "the file is missing" : `it has ${found} bytes instead of ${byteLength}`;
    throw damaged(directory.pathOf(name), reason);
  });
}

function notResumable(directory: ImageDirectory, status: string, damage: string | undefined) {
  if (status !== "running") {
    const reason = `the program of this image has ${status}, there is nothing to go on with`;
    return imageError("IMAGE_NOT_SAVED", directory.path, reason, "start it again with vermilion run");
  }
  if (damage !== undefined) return damaged(directory.pathOf(HEADER_NAME), damage);
  const reason = "the program was killed before its state was saved, or is still running";
  return imageError("IMAGE_INTERRUPTED", directory.path, reason, "start it again with vermilion run");
}

/** IMAGE_MISSING. */
export function hasLostHeader(path: string): boolean {
  const directory = ImageDirectory.open(path);
  try {
    return lacksHeader(directory.names());
  } finally {
    directory.close();
  }
}

/** Whether there are epochs, and neither the header that belongs to them nor the one of an image that is being removed. */
function lacksHeader(names: readonly string[]): boolean {
  if (names.includes(HEADER_NAME) || names.includes(NEW_HEADER_NAME)) return false;
  return names.some((name) => stateNumber(name) !== undefined);
}

function headerMissing(directory: ImageDirectory) {
  const names = directory.names();
  if (!names.every(isImageName)) {
    return imageError("IMAGE_FOREIGN", directory.path, "this directory is no image", "check the path");
  }
  if (lacksHeader(names)) {
    const reason = "it holds epochs, but its header is missing: somebody removed it, or a fork or a pull was cut short";
    const next = "put the header back from a copy, fork or pull again, or start again with --fresh";
    return imageError("IMAGE_INCOMPLETE", directory.path, reason, next);
  }
  const reason = "the image was never completed: its header is missing";
  return imageError("IMAGE_INCOMPLETE", directory.path, reason, "start the program again with --fresh");
}

/**
 * An image read without its lock, for inspection; its holder may be at work at the same time.
 *
 * What a running holder changes under our hands reads as damage, so everything is tried a few times.
 */
export class ImageReading {
  readonly path: string;
  readonly header: ImageHeader;
  readonly command: unknown;
  /** What is wrong with the slot that is not current; undefined if nothing is. */
  readonly damage: string | undefined;
  /** The live process that holds the image. */
  readonly holder: Holder | undefined;

  private constructor(path: string, verified: VerifiedHeader, holder: Holder | undefined) {
    this.path = path;
    this.header = verified.header;
    this.command = verified.command;
    this.damage = verified.damage;
    this.holder = holder;
  }

  static open(path: string): ImageReading {
    return withDirectory(path, (directory) => {
      const verified = patiently(() => readHeader(directory));
      return new ImageReading(path, verified, ImageLock.holder(directory));
    });
  }

  readModule(): Uint8Array {
    return withDirectory(this.path, (directory) => readModule(directory, this.header));
  }

  /** Of the epoch in `header`; IMAGE_DAMAGED also if the holder has gone on since. */
  readState(): ImageState {
    return withDirectory(this.path, (directory) => readState(directory, this).state);
  }

  /** Of any epoch that is kept. NO_SUCH_EPOCH, IMAGE_DAMAGED. */
  readEpoch(epoch: number): SavedState {
    return withDirectory(this.path, (directory) => readEpoch(directory, this.header, epoch));
  }

  /** What the header names, of a trap too; undefined: nothing. IMAGE_DAMAGED. */
  readCurrent(): SavedState | undefined {
    if (this.header.state === undefined) return undefined;
    return withDirectory(this.path, (directory) => readCurrent(directory, this.header));
  }

  /** What each linear memory of a state takes on the disk, in bytes; zeros where nothing of it is kept. */
  diskByteLengths(saved: SavedState | undefined): number[] {
    const { header } = this;
    if (!header.inPlace) {
      return (saved?.maps ?? header.memoryByteLengths.map(() => [])).map((map) => PAGE_BYTE_LENGTH * pageCountOf(map));
    }
    return withDirectory(this.path, (directory) =>
      header.memoryByteLengths.map((_, index) => 512 * (directory.statOf(memoryName(index))?.blocks ?? 0)),
    );
  }
}

function withDirectory<Result>(path: string, use: (directory: ImageDirectory) => Result): Result {
  const directory = ImageDirectory.open(path);
  try {
    return use(directory);
  } finally {
    directory.close();
  }
}

function patiently<Result>(read: () => Result): Result {
  for (let tries = 1; tries < 3; tries++) {
    try {
      return read();
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return read();
}
