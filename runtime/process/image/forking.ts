/**
 * A fork: a new image that goes on from an epoch of another one. Linear memory is not copied: both images have the same
 * segments under names of their own, and neither writes to them any more.
 *
 * K1  The new image has its header last, when all that it names is durable; until then it is IMAGE_INCOMPLETE. The other
 *     image is not written at all.
 */
import { closeSync, constants, copyFileSync, fsyncSync, linkSync } from "node:fs";
import { join, resolve } from "node:path";
import { crc32 } from "node:zlib";
import { attempt } from "../../../pmem/error.js";
import { imageError } from "./damage.js";
import { checkVacant, makeDirectories, syncParents } from "./directories.js";
import { encodeSlot, type ImageHeader, SLOT_BYTE_LENGTH } from "./header.js";
import { ImageDirectory, OPEN_FILES_NAME } from "./image-directory.js";
import { ImageLock } from "./lock.js";
import { HEADER_NAME, MODULE_NAME, memoryName, NEW_HEADER_NAME, segmentName, stateName } from "./names.js";
import { encodePageMaps, segmentByteLengths } from "./page-maps.js";
import { checkMemories, isResumable, readCurrent, readEpoch, type SavedState } from "./reading.js";
import { encodeState } from "./state-file.js";
import { type ImageStorage, writeWhole } from "./storage.js";
import { type Held, holdingToRead, type Wrap } from "./upkeep.js";

/**
 * Returns the epoch that the new image goes on from. Codes: IMAGE_BUSY (the image runs), NO_SUCH_EPOCH, IMAGE_NOT_SAVED,
 * IMAGE_EXISTS, IMAGE_FOREIGN (of the target), and those of the disk.
 */
export function forkImage(path: string, at: number | undefined, target: string, wrap?: Wrap): number {
  return holdingToRead(path, undefined, (source) => {
    const { header } = source;
    if (at === undefined && !isResumable(header)) {
      const reason = `its program is ${header.status === "running" ? "not saved yet" : header.status}`;
      throw imageError("IMAGE_NOT_SAVED", path, reason, "name one of its epochs, as IMAGE@3 (vermilion history)");
    }
    const epoch = at ?? header.epoch;
    if (header.inPlace && header.status !== "saved") {
      throw imageError("IMAGE_NOT_SAVED", path, "its memory in place has moved on", "save it first");
    }
    const saved = at === undefined ? readCurrent(source.directory, header) : readEpoch(source.directory, header, at);
    checkMemories(source.directory, header.inPlace, saved);
    create(source, epoch, saved, resolve(target), wrap);
    return epoch;
  });
}

function create(source: Held, epoch: number, saved: SavedState, target: string, wrap: Wrap | undefined): void {
  const firstCreated = attempt("create the image", target, () => makeDirectories(target));
  const directory = ImageDirectory.open(target);
  let lock: ImageLock | undefined;
  try {
    checkVacant(directory);
    lock = ImageLock.acquire(directory);
    const storage = wrap?.(directory) ?? directory;
    for (const name of checkVacant(directory)) storage.remove(name);
    fill(source, epoch, saved, directory, storage);
    syncParents(target, firstCreated);
  } finally {
    lock?.release();
    directory.close();
  }
}

/** K1. */
function fill(
  { directory: from, header, command }: Held,
  epoch: number,
  saved: SavedState,
  directory: ImageDirectory,
  storage: ImageStorage,
): void {
  share(from, directory, MODULE_NAME);
  for (const segment of segmentByteLengths(saved.maps).keys()) share(from, directory, segmentName(segment));
  const regionCount = header.inPlace ? saved.record.memoryByteLengths.length : 0;
  for (let index = 0; index < regionCount; index++) copy(from, directory, memoryName(index));
  directory.makeOpenFiles();
  for (const name of saved.record.keptFiles) copy(from, directory, join(OPEN_FILES_NAME, name));
  if (saved.record.keptFiles.length > 0) directory.syncOpenFiles();

  const { record, state, maps } = saved;
  const encoded = encodeState(epoch, { record: { ...record, parent: null }, state, pages: encodePageMaps(maps) });
  writeWhole(storage, stateName(epoch), encoded.chunks);

  completeImage(storage, command, {
    ...{ epoch, instrumenterVersion: header.instrumenterVersion, inPlace: header.inPlace },
    ...{ moduleByteLength: header.moduleByteLength, moduleSha256: header.moduleSha256 },
    ...{ state: { checksum: encoded.checksum }, memoryByteLengths: record.memoryByteLengths },
  });
}

/** What a header says of an epoch that is the first and only one of its image. */
type Beginning = Pick<
  ImageHeader,
  "epoch" | "instrumenterVersion" | "moduleByteLength" | "moduleSha256" | "state" | "inPlace" | "memoryByteLengths"
>;

/** K1: all that the header names is durable but for the names, which are when this returns. */
export function completeImage(storage: ImageStorage, command: unknown, beginning: Beginning): void {
  const commandBytes = Buffer.from(JSON.stringify(command), "utf8");
  const slot: ImageHeader = {
    ...beginning,
    status: "saved",
    sequence: 1,
    highestEpoch: beginning.epoch,
    exitStatus: 0,
    message: "",
    command: { byteLength: commandBytes.byteLength, checksum: crc32(commandBytes) },
    writtenAt: Date.now(),
  };
  writeWhole(storage, NEW_HEADER_NAME, [new Uint8Array(SLOT_BYTE_LENGTH), encodeSlot(slot), commandBytes]);
  storage.syncDirectory();
  storage.rename(NEW_HEADER_NAME, HEADER_NAME);
  storage.syncDirectory();
}

/** The same file under a name there; on another disk a copy. */
function share(from: ImageDirectory, to: ImageDirectory, name: string): void {
  try {
    linkSync(from.currentPathOf(name), to.currentPathOf(name));
  } catch {
    copy(from, to, name);
  }
}

function copy(from: ImageDirectory, to: ImageDirectory, name: string): void {
  attempt("copy to", to.pathOf(name), () => {
    copyFileSync(from.currentPathOf(name), to.currentPathOf(name), constants.COPYFILE_FICLONE);
  });
  const file = to.openFile(name, constants.O_RDONLY);
  if (file === undefined) return;
  try {
    attempt("flush", to.pathOf(name), () => fsyncSync(file.descriptor));
  } finally {
    closeSync(file.descriptor);
  }
}
