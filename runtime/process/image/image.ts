import { rmdirSync } from "node:fs";
import { resolve } from "node:path";
import { crc32 } from "node:zlib";
import { attempt, errorName, invariant, VermilionError } from "../../../pmem/error.js";
import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { PageMap } from "../../../pmem/page-map.js";
import { contentHash } from "./content-hash.js";
import { damaged, imageError } from "./damage.js";
import { checkOnlyImageFiles, checkVacant, makeDirectories, syncParents } from "./directories.js";
import {
  encodeSlot,
  type ImageHeader,
  MAX_COMMAND_BYTES,
  MAX_MEMORIES,
  MAX_STATE_BYTES,
  SLOT_BYTE_LENGTH,
} from "./header.js";
import { ImageLock, LOCK_NAME } from "./lock.js";
import { createStore, type MemoryStore, openStore } from "./memory-store.js";
import { encodePageMaps } from "./page-maps.js";
import {
  checkMemories,
  HEADER_NAME,
  ImageReading,
  isImageName,
  isResumable,
  MODULE_NAME,
  PAGES_NAME,
  readHeader,
  readModule,
  readState,
  type SavedState,
  stateName,
} from "./reading.js";
import { encodeState, type ImageState } from "./state-file.js";
import { ImageDirectory, type ImageStorage, OPEN_FILES_NAME, type StorageFile } from "./storage.js";

export interface CreateOptions {
  readonly moduleBytes: Uint8Array;
  /** A file with these bytes, durable and never written again: linked instead of copied, where that is possible. */
  readonly moduleCopy?: string | undefined;
  /** Plain JSON data; comes back as `command`. */
  readonly command: object;
  readonly instrumenterVersion: number;
  /** Linear memory in regions that the guest writes in place, instead of a page store; see RegionStore. */
  readonly inPlace?: boolean;
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
  readonly saved: SavedState | undefined;
  /** Undefined: nothing can run in this image any more. */
  readonly store: MemoryStore | undefined;
}

/**
 * An image that this process holds: the directory of one process, its lock, header, state file and linear memory.
 *
 *     create -> running          open -> what the header says
 *     markRunning: saved -> running       commit: running -> saved       finish, trap: running -> finished, trapped
 *     persist: running -> running, of the next epoch
 *
 * I1  The guest may store into its memory only after markRunning() has returned: then both slots name the epoch that it
 *     goes on from, and a save may overwrite whatever that epoch does not need. In place, no frames exist any more that
 *     could meet the changed memory.
 * I2  A commit makes durable, in this order: linear memory, state file, directory entries, header slot. A slot never
 *     names what a power cut could still take away, and until the last of these writes the epoch before is whole.
 * I3  The state file of the next epoch exists, empty, and its name is durable, since markRunning() or persist(), and the
 *     page store since create(): the commit, which may have to fit into the last milliseconds of power, creates and renames nothing.
 * I4  After a failed flush of memory, header or state file nobody knows what the disk holds: no further transition.
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
  readonly #store: MemoryStore | undefined;
  readonly #headerFile: StorageFile;
  #header: ImageHeader;
  #saved: SavedState | undefined;
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
    this.#saved = parts.saved;
    this.#store = parts.store;
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
    let store: MemoryStore | undefined;
    try {
      checkVacant(directory); // before the lock file is put there, and again under the lock
      lock = ImageLock.acquire(directory);
      const leftovers = checkVacant(directory);
      const storage = options.storage?.(directory) ?? directory;
      for (const name of leftovers) storage.remove(name);

      const { moduleBytes, moduleCopy } = options;
      if (moduleCopy === undefined || !directory.link(moduleCopy, MODULE_NAME)) {
        const moduleFile = storage.create(MODULE_NAME);
        moduleFile.write([moduleBytes], 0);
        moduleFile.sync();
        moduleFile.close();
      }
      const inPlace = options.inPlace ?? false;
      store = createStore(directory, storage, inPlace);
      const header: ImageHeader = {
        status: "running",
        sequence: 1,
        epoch: 0,
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
      return new Image({ directory, storage, lock, header, command, moduleBytes, saved: undefined, store });
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
  static open(path: string, options: OpenOptions): Image {
    const directory = ImageDirectory.open(resolve(path));
    let lock: ImageLock | undefined;
    let store: MemoryStore | undefined;
    try {
      if (directory.statOf(HEADER_NAME) === undefined) readHeader(directory); // throws, and puts no lock file there
      lock = ImageLock.acquire(directory);
      const verified = readHeader(directory);
      const { header, command, damage } = verified;
      directory.makeOpenFiles(); // copying tools may have left it out, empty as it mostly is
      const moduleBytes = readModule(directory, header);
      const storage = options.storage?.(directory) ?? directory;
      let saved: SavedState | undefined;
      if (header.status === "running" && damage !== undefined) {
        // The damaged slot may have said "saved", or that it is over: not ours to go back behind without being asked.
        throw damaged(directory.pathOf(HEADER_NAME), damage);
      }
      if (isResumable(header)) {
        checkInstrumenter(directory, header, options.instrumenterVersion);
        saved = readState(directory, verified);
        checkMemories(directory, header, saved.maps);
        store = openStore(directory, storage, header, saved.maps);
      }
      return new Image({ directory, storage, lock, header, command, moduleBytes, saved, store });
    } catch (error) {
      store?.close();
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

  /** Those of a resumable image, or created since, in the order of the module. */
  get memories(): readonly MemoryBacking[] {
    return this.#store?.memories ?? [];
  }

  /** The next memory of the module, empty: grow it, then attach it. */
  createMemory(): MemoryBacking {
    this.#check("running");
    if (this.memories.length >= MAX_MEMORIES) {
      throw beyondLimit(this.path, "its program has too many memories", MAX_MEMORIES);
    }
    if (this.#header.inPlace) this.#directoryDirty = true;
    return this.#running().create();
  }

  /** What the last commit saved. IMAGE_INTERRUPTED: killed before any save. IMAGE_NOT_SAVED: it is over. */
  readState(): ImageState {
    this.#checkOpen();
    const { command } = this;
    return (this.#saved ?? readState(this.#directory, { header: this.#header, command, damage: undefined })).state;
  }

  /** Signals to this program that ask for a persistence point: for others to read, with our pid. */
  announce(signals: readonly string[]): void {
    this.#checkOpen();
    attempt("write the lock", this.path, () => this.#lock.announce(signals));
  }

  /** Durable before it returns, and to be called before the guest's first store (I1). */
  markRunning(): void {
    const { status, epoch, inPlace } = this.#header;
    this.#check(this.#saved === undefined ? "running" : status);
    this.#running();
    this.#prepareNextState(); // I3
    this.#syncDirectory();
    if (this.#saved === undefined) return; // created so, and durable
    this.#flip(inPlace ? { status: "running", state: undefined } : { status: "running" });
    this.#running().settle();
    if (inPlace) this.#saved = undefined;
    const needed = [...(inPlace ? [] : [stateName(epoch)]), stateName(epoch + 1)];
    for (const name of this.#directory.names()) {
      if (/^state-\d+$/.test(name) && !needed.includes(name)) this.#storage.remove(name);
    }
  }

  /** If this throws, the image stays "running", from the epoch before; otherwise a resume sees this state. */
  commit(state: ImageState): void {
    this.#check("running");
    const maps = this.#save("saved", state); // the persistence point
    this.#saved = { state, maps };
    this.#running().trim();
  }

  /**
   * A persistence point of a guest that goes on at once in this process: what commit() and markRunning() do together, in
   * one write of the header. Not in place, where the guest's next store would change the saved memory.
   *
   * If this throws, the epoch before stays, unless `header` names the next one; and unless the image is `poisoned`, the
   * guest may go on all the same.
   */
  persist(state: ImageState): void {
    this.#check("running");
    invariant(!this.#header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
    const before = this.#header.epoch;
    const hadState = this.#saved !== undefined;
    const maps = this.#save("running", state); // the persistence point
    this.#saved = { state, maps };
    this.#running().settle();
    this.#running().trim();
    if (hadState) this.#storage.remove(stateName(before));
    this.#prepareNextState(); // I3
    this.#syncDirectory();
  }

  /** I4: nothing more can be saved. */
  get poisoned(): boolean {
    return this.#poison !== undefined;
  }

  /** The guest has exited; its memory is of no use any more. */
  finish(exitStatus: number): void {
    this.#check("running");
    this.#flip({ status: "finished", state: undefined, exitStatus: exitStatus >>> 0 });
    const { epoch } = this.#header;
    this.#dropNextState();
    this.#saved = undefined;
    for (const name of [stateName(epoch), PAGES_NAME]) this.#storage.remove(name);
  }

  /** The guest has trapped; its memory stays for inspection, if there is room for it. */
  trap(message: string): void {
    this.#check("running");
    try {
      this.#save("trapped", MEMORY_ONLY, message);
    } catch (error) {
      this.#checkOpen();
      if (!(error instanceof VermilionError)) throw error;
      this.#flip({ status: "trapped", state: undefined, message });
      this.#dropNextState();
    }
    this.#saved = undefined;
  }

  /** Gives the memories' ranges back and releases the lock; changes nothing on disk. Closing twice does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#store?.close();
    this.#nextState?.close();
    this.#headerFile.close();
    this.#lock.release();
    this.#directory.close();
  }

  #running(): MemoryStore {
    invariant(this.#store !== undefined, `nothing runs in ${this.path}`);
    return this.#store;
  }

  /** I2. */
  #save(status: "saved" | "running" | "trapped", state: ImageState, message = ""): readonly PageMap[] {
    const store = this.#running();
    const epoch = this.#header.epoch + 1;
    const maps = store.write();
    this.#durably(() => store.flush());
    const { chunks, byteLength, checksum } = encodeState(epoch, { state, pages: encodePageMaps(maps) });
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
    const named = status === "trapped" ? epoch - 1 : epoch; // a trap is no persistence point
    this.#flip({ status, epoch: named, message, state: { byteLength, checksum } }, maps);
    return maps;
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

  /** `maps`: of the epoch that the slot names from now on. */
  #flip(changes: Partial<ImageHeader>, maps: readonly PageMap[] = this.#saved?.maps ?? []): void {
    const header: ImageHeader = {
      ...this.#header,
      ...changes,
      sequence: this.#header.sequence + 1,
      memoryByteLengths: this.memories.map(({ byteLength }) => byteLength),
      writtenAt: Date.now(),
    };
    this.#durably(() => {
      this.#headerFile.write([encodeSlot(header)], SLOT_BYTE_LENGTH * (header.sequence % 2)); // H3
      this.#headerFile.sync();
    });
    this.#header = header;
    this.#store?.named(maps);
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

/** What is saved of a trapped guest: its frames are gone. */
const MEMORY_ONLY: ImageState = {
  machine: {
    globals: new Uint8Array(0),
    tables: new Uint8Array(0),
    segments: new Uint8Array(0),
    stacks: new Uint8Array(0),
  },
  wasi: null,
  process: null,
};

function beyondLimit(path: string, what: string, limit: number): VermilionError {
  return imageError("IMAGE_LIMIT", path, what, `an image holds at most ${limit}`);
}

function checkInstrumenter(directory: ImageDirectory, header: ImageHeader, version: number): void {
  if (header.instrumenterVersion === version) return;
  const reason = `its frames are of instrumenter version ${header.instrumenterVersion}, and this Vermilion has ${version}`;
  throw imageError("IMAGE_VERSION", directory.path, reason, "resume it with the Vermilion that saved it");
}
