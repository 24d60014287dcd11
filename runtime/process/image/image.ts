import { resolve } from "node:path";
import { attempt, invariant, VermilionError } from "../../../pmem/error.js";
import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { PageMap } from "../../../pmem/page-map.js";
import { beyondLimit, imageError } from "./damage.js";
import { encodeSlot, type ImageHeader, MAX_MEMORIES, MAX_STATE_BYTES, SLOT_BYTE_LENGTH } from "./header.js";
import type { ImageLock } from "./lock.js";
import {
  type CreateOptions,
  createImage,
  type ImageParts,
  type OpenOptions,
  openImage,
  removeImage,
} from "./making.js";
import type { MemoryStore } from "./memory-store.js";
import { encodePageMaps } from "./page-maps.js";
import { HEADER_NAME, ImageReading, PAGES_NAME, readState, type SavedState, stateName } from "./reading.js";
import { encodeState, type ImageState } from "./state-file.js";
import type { ImageDirectory, ImageStorage, StorageFile } from "./storage.js";

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

  private constructor(parts: ImageParts) {
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
    return new Image(createImage(path, options));
  }

  /**
   * Takes the lock and verifies everything but the bytes of linear memory, of whose files only the lengths are looked at.
   *
   * Succeeds also for an image that is not resumable: see `header`; readState() then says why.
   * IMAGE_MISSING, IMAGE_FOREIGN, IMAGE_INCOMPLETE, IMAGE_VERSION, IMAGE_DAMAGED, IMAGE_UNSAFE, IMAGE_BUSY.
   */
  static open(path: string, options: OpenOptions): Image {
    return new Image(openImage(path, options));
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
    return removeImage(path);
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
