/** How an image comes to be, is opened and is removed again: all that is done before and after somebody holds it. */
import { rmdirSync } from "node:fs";
import { resolve } from "node:path";
import { crc32 } from "node:zlib";
import { attempt, errorName } from "../../../pmem/error.js";
import { contentHash } from "./content-hash.js";
import { beyondLimit, damaged, imageError } from "./damage.js";
import { checkOnlyImageFiles, checkVacant, makeDirectories, syncParents } from "./directories.js";
import { Epochs } from "./epochs.js";
import { encodeSlot, type ImageHeader, MAX_COMMAND_BYTES, SLOT_BYTE_LENGTH } from "./header.js";
import { ImageDirectory, OPEN_FILES_NAME } from "./image-directory.js";
import { ImageLock, LOCK_NAME } from "./lock.js";
import { type MemoryStore, openStore } from "./memory-store.js";
import { HEADER_NAME, isImageName, MODULE_NAME, NEW_HEADER_NAME, stateNumber } from "./names.js";
import { checkFewPages } from "./page-checks.js";
import {
  checkMemories,
  isResumable,
  type KnownModule,
  readEpoch,
  readHeader,
  readModule,
  readState,
  type SavedState,
} from "./reading.js";
import { type ImageStorage, writeWhole } from "./storage.js";

export interface CreateOptions {
  readonly moduleBytes: Uint8Array;
  /** A file with these bytes, durable and never written again: linked instead of copied, where that is possible. */
  readonly moduleCopy?: string | undefined;
  /** Plain JSON data; comes back as `command`. */
  readonly command: object;
  readonly instrumenterVersion: number;
  /** Linear memory in regions that the guest writes in place, instead of a page store; see RegionStore. */
  readonly inPlace?: boolean;
  /** For tests and simulated failures: stands between the image and its directory. */
  readonly storage?: (directory: ImageStorage) => ImageStorage;
}

export interface OpenOptions {
  /** Also of a trapped process: it is run again from its beginning, by its log, and nothing is written. */
  readonly follow?: boolean;
  /** Of the running program: a saved image of another version is refused, its frames do not fit. */
  readonly instrumenterVersion: number;
  /** To go on from an epoch of the history, of an image that is over, too. Default: the current one. */
  readonly at?: number | undefined;
  /** Bytes whose hash is known: taken for the image's module if they are that. */
  readonly module?: KnownModule | undefined;
  /** As above. */
  readonly storage?: (directory: ImageStorage) => ImageStorage;
}

/** Whether files were created, or removed, since the directory was last flushed. */
export interface NewEntries {
  dirty: boolean;
}

/** What creating or opening an image makes, for the one handle that will own it. */
export interface ImageParts {
  readonly directory: ImageDirectory;
  readonly storage: ImageStorage;
  readonly lock: ImageLock;
  /** With `at`, what it will be once the guest runs. */
  readonly header: ImageHeader;
  readonly command: unknown;
  readonly moduleBytes: Uint8Array;
  readonly saved: SavedState | undefined;
  /** Undefined: nothing can run in this image any more. */
  readonly store: MemoryStore | undefined;
  readonly epochs: Epochs;
  readonly entries: NewEntries;
}

/**
 * A new image, status "running", in a new or empty directory; what an earlier creation left unfinished is replaced.
 * IMAGE_EXISTS, IMAGE_FOREIGN (other files in the directory), IMAGE_BUSY, IMAGE_LIMIT, and the codes of the disk.
 */
export function createImage(path: string, options: CreateOptions): ImageParts {
  const absolute = resolve(path);
  const commandBytes = Buffer.from(JSON.stringify(options.command), "utf8");
  if (commandBytes.byteLength > MAX_COMMAND_BYTES) {
    throw beyondLimit(
      absolute,
      `its arguments and environment take ${commandBytes.byteLength} bytes`,
      MAX_COMMAND_BYTES,
    );
  }
  const firstCreated = attempt("create the image", absolute, () => makeDirectories(absolute));
  const directory = ImageDirectory.open(absolute);
  let lock: ImageLock | undefined;
  let store: MemoryStore | undefined;
  try {
    checkVacant(directory); // before the lock file is put there, and again under the lock
    lock = ImageLock.acquire(directory);
    const leftovers = checkVacant(directory);
    const storage = options.storage?.(directory) ?? directory;
    for (const name of leftovers) storage.remove(name);

    const { moduleBytes, moduleCopy } = options;
    if (moduleCopy === undefined || !directory.link(moduleCopy, MODULE_NAME)) {
      writeWhole(storage, MODULE_NAME, [moduleBytes]);
    }
    const inPlace = options.inPlace ?? false;
    const entries: NewEntries = { dirty: true };
    const epochs = new Epochs(directory, 0);
    store = openStore({
      ...{ directory, storage, names: [], inPlace, memoryByteLengths: [], maps: [] },
      kept: () => [],
      created: () => {
        entries.dirty = true;
      },
    });
    store.prepare();
    const header: ImageHeader = {
      status: "running",
      sequence: 1,
      epoch: 0,
      highestEpoch: 0,
      exitStatus: 0,
      message: "",
      instrumenterVersion: options.instrumenterVersion,
      moduleByteLength: moduleBytes.byteLength,
      moduleSha256: contentHash(moduleBytes),
      state: undefined,
      command: { byteLength: commandBytes.byteLength, checksum: crc32(commandBytes) },
      inPlace,
      memoryByteLengths: [],
      writtenAt: Date.now(),
    };
    // Renamed into place once all the rest is durable, its name included: a header is there with everything that
    // it names or not at all (H1). Later writes flip slots.
    writeWhole(storage, NEW_HEADER_NAME, [new Uint8Array(SLOT_BYTE_LENGTH), encodeSlot(header), commandBytes]);
    directory.makeOpenFiles();
    storage.syncDirectory();
    storage.rename(NEW_HEADER_NAME, HEADER_NAME);
    storage.syncDirectory();
    syncParents(absolute, firstCreated);
    const command: unknown = JSON.parse(commandBytes.toString("utf8"));
    return { directory, storage, lock, header, command, moduleBytes, saved: undefined, store, epochs, entries };
  } catch (error) {
    store?.close();
    lock?.release();
    directory.close();
    throw error;
  }
}

/**
 * Takes the lock and verifies everything but the bytes of linear memory, of whose files only the lengths are looked at.
 *
 * Succeeds also for an image that is not resumable: see `header`; readState() then says why.
 * IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED, IMAGE_UNSAFE, IMAGE_BUSY.
 */
export function openImage(path: string, options: OpenOptions): ImageParts {
  const directory = ImageDirectory.open(resolve(path));
  let lock: ImageLock | undefined;
  let store: MemoryStore | undefined;
  try {
    if (directory.statOf(HEADER_NAME) === undefined) readHeader(directory); // throws, and puts no lock file there
    lock = ImageLock.acquire(directory);
    const verified = readHeader(directory);
    const { header, command, damage } = verified;
    directory.makeOpenFiles(); // copying tools may have left it out, empty as it mostly is
    const moduleBytes = readModule(directory, header, options.module);
    const storage = options.storage?.(directory) ?? directory;
    const { at } = options;
    if (header.status === "running" && damage !== undefined) {
      // The damaged slot may have said "saved", or that it is over: not ours to go back behind without being asked.
      throw damaged(directory.pathOf(HEADER_NAME), damage);
    }
    const entries: NewEntries = { dirty: true };
    const names = directory.names();
    const epochs = new Epochs(directory, header.highestEpoch, names);
    const parts = { directory, storage, lock, command, moduleBytes, epochs, entries };
    const created = (): void => {
      entries.dirty = true;
    };
    if (at === undefined && !isResumable(header)) {
      const begins = header.status === "running" || options.follow === true;
      if (begins && header.epoch === 0 && !header.inPlace) {
        // Killed before its first persistence point: a log may lead through it again, from the beginning.
        store = openStore({
          ...{ directory, storage, names, inPlace: false, memoryByteLengths: [], maps: [], created },
          kept: () => [],
        });
      }
      return { ...parts, header, saved: undefined, store };
    }
    checkInstrumenter(directory, header, options.instrumenterVersion);
    const saved: SavedState = at === undefined ? readState(directory, verified) : readEpoch(directory, header, at);
    checkMemories(directory, header.inPlace, saved);
    checkFewPages(directory, storage, saved.maps);
    store = openStore({
      ...{ directory, storage, names, inPlace: header.inPlace, maps: saved.maps, created },
      memoryByteLengths: saved.record.memoryByteLengths,
      kept: () => epochs.usedPages(),
    });
    const epoch = at ?? header.epoch;
    return { ...parts, header: { ...header, epoch }, saved, store };
  } catch (error) {
    store?.close();
    lock?.release();
    directory.close();
    throw error;
  }
}

/**
 * Removes an image that nobody holds, whole or damaged. False: there was none.
 * IMAGE_BUSY; IMAGE_FOREIGN: the directory holds other files, nothing was removed.
 */
export function removeImage(path: string): boolean {
  const absolute = resolve(path);
  let directory: ImageDirectory;
  try {
    directory = ImageDirectory.open(absolute);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "IMAGE_MISSING") return false;
    throw error;
  }
  let lock: ImageLock | undefined;
  try {
    checkOnlyImageFiles(directory);
    lock = ImageLock.acquire(directory);
    const names = directory.names();
    // Durably first: an old header must not come back among the files of a new image. And under the name that it has while an
    // image is made, so that one whose removal was cut short does not look as if it had lost its header.
    if (names.includes(HEADER_NAME)) directory.rename(HEADER_NAME, NEW_HEADER_NAME);
    directory.syncDirectory();
    const stay = new Set([LOCK_NAME, OPEN_FILES_NAME, NEW_HEADER_NAME]);
    for (const name of names) if (isImageName(name) && name !== HEADER_NAME && !stay.has(name)) directory.remove(name);
    if (names.some((name) => stateNumber(name) !== undefined)) directory.syncDirectory();
    directory.remove(NEW_HEADER_NAME);
    directory.removeOpenFiles();
    directory.remove(LOCK_NAME);
    try {
      rmdirSync(absolute);
    } catch (error) {
      // Someone creates a new image there already.
      if (errorName(error) !== "ENOTEMPTY") attempt("remove the image", absolute, () => rmdirSync(absolute));
    }
    return true;
  } finally {
    lock?.release();
    directory.close();
  }
}

function checkInstrumenter(directory: ImageDirectory, header: ImageHeader, version: number): void {
  if (header.instrumenterVersion === version) return;
  const reason = `its frames are of instrumenter version ${header.instrumenterVersion}, and this Vermilion has ${version}`;
  throw imageError("IMAGE_VERSION", directory.path, reason, "resume it with the Vermilion that saved it");
}
