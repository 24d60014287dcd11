import { createHash } from "node:crypto";
import { closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync, rmdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { crc32 } from "node:zlib";
import { attempt, errorName, invariant, type VermilionError } from "../../../pmem/error.js";
import { Region } from "../../../pmem/region.js";
import { damaged, imageError } from "./damage.js";
import {
  encodeSlot,
  type ImageHeader,
  MAX_COMMAND_BYTES,
  MAX_MEMORIES,
  MAX_STATE_BYTES,
  SLOT_BYTE_LENGTH,
} from "./header.js";
import { ImageLock, LOCK_NAME } from "./lock.js";
import {
  checkRegions,
  HEADER_NAME,
  ImageReading,
  isImageName,
  MODULE_NAME,
  memoryName,
  readHeader,
  readModule,
  readState,
  stateName,
} from "./reading.js";
import { encodeState, type ImageState } from "./state-file.js";
import { ImageDirectory, type ImageStorage, OPEN_FILES_NAME, type StorageFile } from "./storage.js";

export interface CreateOptions {
  readonly moduleBytes: Uint8Array;
  /** Plain JSON data; comes back as `command`. */
  readonly command: object;
  readonly instrumenterVersion: number;
  /** Tests only: stands between the image and its directory. */
  readonly storage?: (directory: ImageStorage) => ImageStorage;
}

export interface OpenOptions {
  /** Of the running program: a saved image of another version is refused, its frames do not fit. */
  readonly instrumenterVersion: number;
  /** Tests only. */
  readonly storage?: (directory: ImageStorage) => ImageStorage;
}

interface Parts {
  readonly directory: ImageDirectory;
  readonly storage: ImageStorage;
  readonly lock: ImageLock;
  readonly header: ImageHeader;
  readonly command: unknown;
  readonly moduleBytes: Uint8Array;
  readonly state: ImageState | undefined;
  readonly regions: Region[];
}

/**
 * An image that this process holds: the directory of one process, its lock, header, state file and regions.
 *
 *     create -> running          open -> what the header says
 *     markRunning: saved -> running       commit: running -> saved       finish, trap: running -> finished, trapped
 *
 * I1  The guest may store into a region only after markRunning() has returned: from then on no frames exist that could
 *     meet the changed memory (H4 in header.ts).
 * I2  A commit makes durable, in this order: regions, state file, directory entries, header slot. A slot never names
 *     what a power cut could still take away.
 * I3  The state file of the next epoch exists, empty, and its name is durable, since markRunning(): the commit, which
 *     may have to fit into the last milliseconds of power, creates and renames nothing.
 * I4  After a failed flush of header or state file nobody knows what the disk holds: no further transition.
 */
export class Image {
  /** Absolute. */
  readonly path: string;
  /** The program as the guest's own bytes, verified. Not to be written. */
  readonly moduleBytes: Uint8Array;
  /** The command record, plain JSON; untrusted if the image comes from others. */
  readonly command: unknown;
  readonly #directory: ImageDirectory;
  readonly #storage: ImageStorage;
  readonly #lock: ImageLock;
  readonly #regions: Region[];
  readonly #headerFile: StorageFile;
  #header: ImageHeader;
  #state: ImageState | undefined;
  #nextState: StorageFile | undefined;
  #directoryDirty = true;
  #closed = false;
  #poison: unknown;

  private constructor(parts: Parts) {
    this.path = parts.directory.path;
    this.moduleBytes = parts.moduleBytes;
    this.command = parts.command;
    this.#directory = parts.directory;
    this.#storage = parts.storage;
    this.#lock = parts.lock;
    this.#header = parts.header;
    this.#state = parts.state;
    this.#regions = parts.regions;
    this.#headerFile = parts.storage.open(HEADER_NAME);
  }

  /**
   * A new image, status "running", in a new or empty directory; what an earlier creation left unfinished is replaced.
   * IMAGE_EXISTS, IMAGE_FOREIGN (other files in the directory), IMAGE_BUSY, IMAGE_LIMIT, and the codes of the disk.
   */
  static create(path: string, options: CreateOptions): Image {
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
    try {
      checkVacant(directory); // before the lock file is put there, and again under the lock
      lock = ImageLock.acquire(directory);
      const leftovers = checkVacant(directory);
      const storage = options.storage?.(directory) ?? directory;
      for (const name of leftovers) storage.remove(name);

      const { moduleBytes } = options;
      const moduleFile = storage.create(MODULE_NAME);
      moduleFile.write([moduleBytes], 0);
      moduleFile.sync();
      moduleFile.close();
      const header: ImageHeader = {
        status: "running",
        sequence: 1,
        epoch: 0,
        exitStatus: 0,
        message: "",
        instrumenterVersion: options.instrumenterVersion,
        moduleByteLength: moduleBytes.byteLength,
        moduleSha256: createHash("sha256").update(moduleBytes).digest("hex"),
        state: undefined,
        command: { byteLength: commandBytes.byteLength, checksum: crc32(commandBytes) },
        memoryByteLengths: [],
        writtenAt: Date.now(),
      };
      // Renamed into place once all the rest is durable, its name included: a header is there with everything that
      // it names or not at all (H1). Later writes flip slots.
      const headerFile = storage.create(NEW_HEADER_NAME);
      headerFile.write([new Uint8Array(SLOT_BYTE_LENGTH), encodeSlot(header), commandBytes], 0);
      headerFile.sync();
      headerFile.close();
      directory.makeOpenFiles();
      storage.syncDirectory();
      storage.rename(NEW_HEADER_NAME, HEADER_NAME);
      storage.syncDirectory();
      syncParents(absolute, firstCreated);
      const command: unknown = JSON.parse(commandBytes.toString("utf8"));
      return new Image({ directory, storage, lock, header, command, moduleBytes, state: undefined, regions: [] });
    } catch (error) {
      lock?.release();
      directory.close();
      throw error;
    }
  }

  /**
   * Takes the lock and verifies everything but the bytes of the regions, of which only the lengths are looked at.
   *
   * Succeeds also for an image that is not resumable: see `header.status`; readState() then says why.
   * IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED, IMAGE_UNSAFE, IMAGE_BUSY.
   */
  static open(path: string, options: OpenOptions): Image {
    const directory = ImageDirectory.open(resolve(path));
    let lock: ImageLock | undefined;
    const regions: Region[] = [];
    try {
      if (directory.statOf(HEADER_NAME) === undefined) readHeader(directory); // throws, and puts no lock file there
      lock = ImageLock.acquire(directory);
      const verified = readHeader(directory);
      const { header, command, damage } = verified;
      directory.makeOpenFiles(); // copying tools may have left it out, empty as it mostly is
      const moduleBytes = readModule(directory, header);
      let state: ImageState | undefined;
      if (header.status === "saved") {
        checkInstrumenter(directory, header, options.instrumenterVersion);
        state = readState(directory, verified);
        checkRegions(directory, header);
        header.memoryByteLengths.forEach((byteLength, index) => {
          regions.push(Region.open(directory.pathOf(memoryName(index)), byteLength));
        });
      } else if (header.status === "running" && damage !== undefined) {
        // The damaged slot may have said "saved": not ours to throw away without being asked.
        throw damaged(directory.pathOf(HEADER_NAME), damage);
      }
      const storage = options.storage?.(directory) ?? directory;
      return new Image({ directory, storage, lock, header, command, moduleBytes, state, regions });
    } catch (error) {
      for (const region of regions) region.close();
      lock?.release();
      directory.close();
      throw error;
    }
  }

  /** Without the lock, for inspection: IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED. */
  static read(path: string): ImageReading {
    return ImageReading.open(resolve(path));
  }

  /**
   * Removes an image that nobody holds, whole or damaged. False: there was none.
   * IMAGE_BUSY; IMAGE_FOREIGN: the directory holds other files, nothing was removed.
   */
  static remove(path: string): boolean {
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
      // Durably first: an old header must not come back among the files of a new image.
      directory.remove(HEADER_NAME);
      directory.syncDirectory();
      for (const name of directory.names()) {
        if (isImageName(name) && name !== LOCK_NAME && name !== OPEN_FILES_NAME) directory.remove(name);
      }
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

  get header(): ImageHeader {
    return this.#header;
  }

  /** memory-0, memory-1, ... of a saved image, or those created since. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** The region of the next memory: create them in the order of the module. Empty: grow it, then attach it. */
  createRegion(): Region {
    this.#check("running");
    const index = this.#regions.length;
    if (index >= MAX_MEMORIES) throw beyondLimit(this.path, "its program has too many memories", MAX_MEMORIES);
    const region = Region.create(this.#directory.pathOf(memoryName(index)));
    this.#regions.push(region);
    this.#directoryDirty = true;
    return region;
  }

  /** What the last commit saved. IMAGE_INTERRUPTED: killed before it saved. IMAGE_NOT_SAVED: it is over. */
  readState(): ImageState {
    this.#checkOpen();
    return (
      this.#state ?? readState(this.#directory, { header: this.#header, command: this.command, damage: undefined })
    );
  }

  /** Durable before it returns, and to be called before the guest's first store (I1). The saved state is gone then. */
  markRunning(): void {
    const { status, epoch } = this.#header;
    invariant(status === "running" || status === "saved", `a program that has ${status} cannot run`);
    this.#check(status);
    this.#prepareNextState(); // I3
    this.#syncDirectory();
    if (status === "running") return; // created so, and durable
    this.#flip({ status: "running", state: undefined });
    this.#state = undefined;
    this.#storage.remove(stateName(epoch)); // H4
  }

  /** If this throws, the image stays "running"; otherwise a resume sees this state, now and after a power cut. */
  commit(state: ImageState): void {
    this.#check("running");
    const epoch = this.#header.epoch + 1;
    this.#regions.forEach((region, index) => {
      this.#storage.flushRegion(memoryName(index), region);
    });
    const { chunks, byteLength, checksum } = encodeState(epoch, state);
    if (byteLength > MAX_STATE_BYTES)
      throw beyondLimit(this.path, `its state has ${byteLength} bytes`, MAX_STATE_BYTES);
    const file = this.#prepareNextState(); // already there, unless a commit failed before
    this.#nextState = undefined;
    try {
      file.write(chunks, 0);
      this.#durably(() => file.sync());
    } finally {
      file.close();
    }
    this.#syncDirectory(); // nothing to do, unless regions were created since markRunning()
    this.#flip({ status: "saved", epoch, state: { byteLength, checksum } }); // the persistence point
  }

  /** The guest has exited. */
  finish(exitStatus: number): void {
    this.#check("running");
    this.#flip({ status: "finished", exitStatus: exitStatus >>> 0 });
    this.#dropNextState();
  }

  /** The guest has trapped; its memory stays for inspection. */
  trap(message: string): void {
    this.#check("running");
    this.#flip({ status: "trapped", message });
    this.#dropNextState();
  }

  /** Closes the regions and releases the lock; changes nothing on disk. Closing twice does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const region of this.#regions) region.close();
    this.#nextState?.close();
    this.#headerFile.close();
    this.#lock.release();
    this.#directory.close();
  }

  #prepareNextState(): StorageFile {
    if (this.#nextState === undefined) {
      this.#nextState = this.#storage.create(stateName(this.#header.epoch + 1));
      this.#directoryDirty = true;
    }
    return this.#nextState;
  }

  #dropNextState(): void {
    this.#nextState?.close();
    this.#nextState = undefined;
    this.#storage.remove(stateName(this.#header.epoch + 1));
  }

  #syncDirectory(): void {
    if (!this.#directoryDirty) return;
    this.#durably(() => this.#storage.syncDirectory());
    this.#directoryDirty = false;
  }

  #flip(changes: Partial<ImageHeader>): void {
    const header: ImageHeader = {
      ...this.#header,
      ...changes,
      sequence: this.#header.sequence + 1,
      memoryByteLengths: this.#regions.map((region) => region.byteLength),
      writtenAt: Date.now(),
    };
    this.#durably(() => {
      this.#headerFile.write([encodeSlot(header)], SLOT_BYTE_LENGTH * (header.sequence % 2)); // H3
      this.#headerFile.sync();
    });
    this.#header = header;
  }

  /** I4. */
  #durably(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#poison = error;
      throw error;
    }
  }

  #checkOpen(): void {
    invariant(!this.#closed, `the image ${this.path} is closed`);
    if (this.#poison === undefined) return;
    const reason = "an earlier flush failed, so what the disk holds is unknown";
    throw imageError(
      "IMAGE_POISONED",
      this.path,
      reason,
      "look after the disk, then open the image again",
      this.#poison,
    );
  }

  #check(status: ImageHeader["status"]): void {
    this.#checkOpen();
    invariant(this.#header.status === status, `the image is ${this.#header.status}, not ${status}`);
  }
}

const NEW_HEADER_NAME = "header.new";

function beyondLimit(path: string, what: string, limit: number): VermilionError {
  return imageError("IMAGE_LIMIT", path, what, `an image holds at most ${limit}`);
}

/** Returns the files that an unfinished creation left; throws if the directory holds anything else. */
function checkVacant(directory: ImageDirectory): string[] {
  checkOnlyImageFiles(directory);
  const names = directory.names();
  if (names.includes(HEADER_NAME)) {
    const reason = "there is an image already";
    throw imageError("IMAGE_EXISTS", directory.path, reason, "resume it, start again with --fresh, or name another");
  }
  return names.filter((name) => name !== LOCK_NAME && name !== OPEN_FILES_NAME);
}

function checkOnlyImageFiles(directory: ImageDirectory): void {
  const stranger = directory.names().find((name) => !isImageName(name));
  if (stranger === undefined) return;
  const reason = `the directory holds files that are not an image's: ${JSON.stringify(stranger)}`;
  throw imageError("IMAGE_FOREIGN", directory.path, reason, "name another directory");
}

function checkInstrumenter(directory: ImageDirectory, header: ImageHeader, version: number): void {
  if (header.instrumenterVersion === version) return;
  const reason = `its frames are of instrumenter version ${header.instrumenterVersion}, and this Vermilion has ${version}`;
  throw imageError("IMAGE_VERSION", directory.path, reason, "resume it with the Vermilion that saved it");
}

/**
 * Returns the outermost directory that was missing. Not mkdir's own recursion, which never ends where a parent is there
 * and says ENOENT all the same, as /proc does.
 */
function makeDirectories(path: string): string | undefined {
  const missing: string[] = [];
  for (let parent = path; !existsSync(parent); parent = dirname(parent)) missing.push(parent);
  for (const directory of [...missing].reverse()) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      if (errorName(error) !== "EEXIST") throw error; // another process was faster
    }
  }
  return missing.at(-1);
}

/** The entry of each directory that mkdir made is durable once its parent is flushed. */
function syncParents(path: string, firstCreated: string | undefined): void {
  if (firstCreated === undefined) return;
  for (let child = path; ; child = dirname(child)) {
    const parent = dirname(child);
    attempt("flush the directory", parent, () => {
      const descriptor = openSync(parent, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    });
    if (child === firstCreated || parent === child) return;
  }
}
