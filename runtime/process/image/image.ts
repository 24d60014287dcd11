import { resolve } from "node:path";
import { attempt, invariant, VermilionError } from "../../../pmem/error.js";
import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { PageRun } from "../../../pmem/page-map.js";
import type { UnsummedPages } from "../../../pmem/page-store.js";
import type { Commit, Committer } from "./commit.js";
import { beyondLimit, imageError } from "./damage.js";
import { type EpochReason, type EpochRecord, KEEP_LAST, type KeepPolicy, type TrapRecord } from "./epoch-record.js";
import { type Epochs, keptEpochs, pinnedEpochs } from "./epochs.js";
import { encodeSlot, type ImageHeader, MAX_MEMORIES, MAX_STATE_BYTES, SLOT_BYTE_LENGTH } from "./header.js";
import type { ImageLock } from "./lock.js";
import {
  type CreateOptions,
  createImage,
  type ImageParts,
  type NewEntries,
  type OpenOptions,
  openImage,
  removeImage,
} from "./making.js";
import type { MemoryStore } from "./memory-store.js";
import { HEADER_NAME, segmentNumber, stateName, stateNumber, TRAP_NAME } from "./names.js";
import { encodePageMaps } from "./page-maps.js";
import { ImageReading, readState, type SavedState } from "./reading.js";
import { encodeState, type ImageState } from "./state-file.js";
import type { ImageDirectory, ImageStorage, StorageFile } from "./storage.js";

/** What the history is told about a persistence point. */
export interface PointFacts {
  readonly why: EpochReason;
  /** Host calls that the program has made since its beginning. */
  readonly hostCalls: number;
  /** Files in `open-files` that the state names. */
  readonly keptFiles: readonly string[];
}

/** A commit that somebody else makes while the guest runs. */
interface InFlight {
  readonly committer: Committer;
  readonly header: ImageHeader;
  readonly saved: SavedState;
  /** Pages of the epochs that it removes, which are free once that is durable. */
  readonly free: readonly PageRun[][];
}

/**
 * An image that this process holds: the directory of one process, its lock, header, state file and linear memory.
 *
 *     create -> running          open -> what the header says
 *     markRunning: saved -> running       commit: running -> saved       finish, trap: running -> finished, trapped
 *     persist: running -> running, of the next epoch; persistLater: the same, once its commit is made
 *
 * I1  The guest may store into its memory only after markRunning() has returned: then the current slot names the epoch that
 *     it goes on from, and a save may overwrite whatever no kept epoch needs. In place, no frames exist any more that
 *     could meet the changed memory.
 * I2  A commit makes durable, in this order: linear memory and state file, directory entries, header slot. A slot never
 *     names what a power cut could still take away, and until the last of these writes the epoch before is whole.
 * I3  The state file of the next epoch exists, empty, and its name is durable, since markRunning() or persist(), and a
 *     segment of the page store since create(): the commit, which may have to fit into the last milliseconds of power,
 *     creates and renames nothing, unless the segment gets full.
 * I4  After a failed flush of memory, header or state file nobody knows what the disk holds: no further transition.
 * I5  The pages of an epoch that is dropped are free only when its state file is gone durably.
 * I6  One commit at most is in flight. Until it has ended no other write goes to the image, and none of its files is closed.
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
  readonly #epochs: Epochs;
  readonly #entries: NewEntries;
  #header: ImageHeader;
  #saved: SavedState | undefined;
  #nextState: StorageFile | undefined;
  /** Whether an epoch after `#saved` lies in the store's memories, which no slot names yet. */
  #inFlight: InFlight | undefined;
  /** I5. */
  #unlinked: PageRun[][] = [];
  #keep: KeepPolicy;
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
    this.#epochs = parts.epochs;
    this.#entries = parts.entries;
    this.#keep = parts.saved?.record.keep ?? KEEP_LAST;
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

  /** Which epochs stay when there are new ones. Default: as before in this image; in a new one only the last. */
  set keep(policy: KeepPolicy) {
    this.#keep = policy;
  }

  /** What is known about the epoch that it goes on from; undefined: it begins. */
  get record(): EpochRecord | undefined {
    return this.#saved?.record;
  }

  /** Names of files in `open-files` that some kept epoch needs. */
  keptFiles(): Set<string> {
    return this.#epochs.keptFiles();
  }

  /** Those of a resumable image, or created since, in the order of the module. */
  get memories(): readonly MemoryBacking[] {
    return this.#store?.memories ?? [];
  }

  /** The next memory of the module, empty: grow it, then attach it. */
  createMemory(): MemoryBacking {
    this.#checkOpen();
    if (this.memories.length >= MAX_MEMORIES) {
      throw beyondLimit(this.path, "its program has too many memories", MAX_MEMORIES);
    }
    if (this.#header.inPlace) this.#entries.dirty = true;
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
    const { status, inPlace } = this.#header;
    this.#check(this.#saved === undefined ? "running" : status);
    const store = this.#running();
    store.prepare();
    this.#prepareNextState(); // I3
    this.#syncDirectory();
    if (this.#saved === undefined) return; // created so, and durable
    const state = inPlace ? undefined : { checksum: this.#saved.checksum };
    this.#flip({ status: "running", message: "", exitStatus: 0, state });
    store.settle();
    this.#removeUncommitted();
    if (inPlace) this.#forgetSaved();
    else this.#drop(this.#expired(this.#header.epoch));
  }

  /** If this throws, the image stays "running", from the epoch before; otherwise a resume sees this state. */
  commit(state: ImageState, facts: PointFacts): void {
    this.#check("running");
    const { header, saved } = this.#save("saved", state, facts);
    this.#flip(header); // the persistence point
    this.#adopt(saved);
    this.#running().trim();
  }

  /**
   * A persistence point of a guest that goes on at once in this process: what commit() and markRunning() do together, in
   * one write of the header. Not in place, where the guest's next store would change the saved memory.
   *
   * If this throws, the epoch before stays, unless `header` names the next one; and unless the image is `poisoned`, the
   * guest may go on all the same.
   */
  persist(state: ImageState, facts: PointFacts): void {
    this.#check("running");
    invariant(!this.#header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
    const { header, saved } = this.#save("running", state, facts);
    this.#flip(header); // the persistence point
    this.#adopt(saved);
    this.#running().settle();
    this.#drop(this.#expired(this.#header.epoch));
    this.#running().trim();
    this.#prepareNextState(); // I3
    this.#syncDirectory();
  }

  /**
   * The same, but only written, not flushed: the guest may go on when this returns, and the committer makes the rest durable
   * meanwhile, flushes `guestFiles`, whose content belongs to the state, and closes them. Until that is done the epoch before is the image's; the next transition waits for it. If this throws, nothing
   * has changed, and the guest may go on.
   */
  persistLater(state: ImageState, facts: PointFacts, guestFiles: readonly number[], committer: Committer): void {
    this.#check("running");
    invariant(!this.#header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
    const store = this.#running();
    const checksums: UnsummedPages[] = [];
    const { saved, changes, file } = this.#write("running", state, facts, checksums);
    const epoch = this.#header.highestEpoch + 1;
    this.#nextState = undefined;
    try {
      this.#nextState = this.#created(stateName(epoch + 1)); // I3
    } catch (error) {
      this.#nextState = file;
      throw error;
    }
    store.settle();
    const header = this.#slot(changes);
    this.#epochs.add(epoch, saved.record, saved.maps);
    const expired = this.#epochs.expired(epoch, this.#keep, header.writtenAt);
    const free = expired.map((old) => this.#epochs.drop(old));
    this.#inFlight = { committer, header, saved, free };
    const commit: Commit = {
      path: this.path,
      checksums,
      flush: [...guestFiles, ...store.takeUnflushed(), file.descriptor],
      directory: this.#directory.descriptor,
      header: { descriptor: this.#headerFile.descriptor, ...slotWrite(header) },
      remove: expired.map((old) => this.#directory.currentPathOf(stateName(old))),
      close: [...guestFiles, file.descriptor],
    };
    committer.start(commit);
  }

  /** Waits for a commit in flight, if there is one. @throws what it failed with: then nothing more can be saved (I4). */
  settleCommit(): void {
    const flight = this.#inFlight;
    if (flight === undefined) return;
    this.#inFlight = undefined;
    this.#durably(() => flight.committer.wait());
    this.#releaseUnlinked(); // its flush of the directory was behind what was removed before
    this.#header = flight.header;
    this.#saved = flight.saved;
    this.#unlinked.push(...flight.free);
    this.#entries.dirty = flight.free.length > 0;
    this.#running().trim();
  }

  /** Where the image is now, if it was renamed since it was opened. */
  get newPath(): string | undefined {
    return this.#directory.newPath;
  }

  /** I4: nothing more can be saved. */
  get poisoned(): boolean {
    return this.#poison !== undefined;
  }

  /** The guest has exited; its memory is of no use any more, but for a history that is to be kept. */
  finish(exitStatus: number): void {
    this.#check("running");
    this.#flip({ status: "finished", state: undefined, exitStatus: exitStatus >>> 0 });
    this.#removeUncommitted();
    if (this.#keepsHistory()) return;
    this.#saved = undefined;
    for (const name of this.#directory.names()) {
      if (stateNumber(name) !== undefined || segmentNumber(name) !== undefined) this.#storage.remove(name);
    }
  }

  /**
   * The guest has trapped; its memory stays for inspection, if there is room for it, and so do the epochs: one can go back
   * before the trap.
   */
  trap(trap: TrapRecord, hostCalls = 0): void {
    this.#check("running");
    const { message } = trap;
    try {
      const facts = { why: "trap", hostCalls, keptFiles: [] } as const;
      this.#flip(this.#save("trapped", MEMORY_ONLY, facts, trap).header);
    } catch (error) {
      this.#checkOpen();
      if (!(error instanceof VermilionError)) throw error;
      this.#flip({ status: "trapped", state: undefined, message });
    }
    this.#removeUncommitted();
    this.#saved = undefined;
  }

  /** Gives the memories' ranges back and releases the lock; changes nothing on disk. Closing twice does nothing. */
  close(): void {
    if (this.#closed) return;
    try {
      this.settleCommit(); // I6
    } catch {
      // Whoever made it has told; the epoch before stays.
    }
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

  /** I2, up to the header slot, which the result is for. */
  #save(status: Saving, state: ImageState, facts: PointFacts, trap: TrapRecord | null = null) {
    const { saved, changes, file } = this.#write(status, state, facts, undefined, trap);
    if (file === this.#nextState) this.#nextState = undefined;
    try {
      this.#durably(() => this.#running().flush());
      this.#durably(() => file.sync());
    } finally {
      file.close();
    }
    this.#syncDirectory(); // nothing to do, unless files were created since markRunning()
    return { header: changes, saved };
  }

  /** Everything but the slot, not flushed. The open file is that of the state. */
  #write(
    status: Saving,
    state: ImageState,
    facts: PointFacts,
    later: UnsummedPages[] | undefined,
    trap: TrapRecord | null = null,
  ): { saved: SavedState; changes: Partial<ImageHeader>; file: StorageFile } {
    if (this.#directory.statOf(HEADER_NAME) === undefined) {
      const reason = "the image was removed while its program ran, and nothing can be saved";
      throw imageError("IMAGE_MISSING", this.path, reason, "start the program again");
    }
    const store = this.#running();
    const { epoch: parent, highestEpoch } = this.#header;
    const maps = store.write(later);
    const record: EpochRecord = {
      ...facts,
      parent: this.#saved === undefined ? null : parent,
      at: Date.now(),
      pagesWritten: store.writtenPageCount,
      memoryByteLengths: this.memories.map(({ byteLength }) => byteLength),
      keep: this.#keep,
      trap,
    };
    const isTrap = status === "trapped"; // no persistence point, and of no epoch but the one that it came from
    const epoch = isTrap ? parent : highestEpoch + 1;
    const { chunks, byteLength, checksum } = encodeState(epoch, { record, state, pages: encodePageMaps(maps) });
    if (byteLength > MAX_STATE_BYTES)
      throw beyondLimit(this.path, `its state has ${byteLength} bytes`, MAX_STATE_BYTES);
    const file = isTrap ? this.#created(TRAP_NAME) : this.#prepareNextState();
    file.write(chunks, 0);
    const named = isTrap ? {} : { epoch, highestEpoch: epoch };
    const message = trap?.message ?? "";
    return {
      saved: { record, state, maps, checksum },
      changes: { status, message, state: { checksum }, ...named },
      file,
    };
  }

  #adopt(saved: SavedState): void {
    this.#saved = saved;
    this.#epochs.add(this.#header.epoch, saved.record, saved.maps);
  }

  /** In place: the frames must not meet the memory that the guest changes from here on. */
  #forgetSaved(): void {
    this.#saved = undefined;
    for (const epoch of keptEpochs(this.#directory, this.#header.highestEpoch)) {
      this.#epochs.drop(epoch);
      this.#storage.remove(stateName(epoch));
    }
  }

  #expired(current: number): number[] {
    return this.#epochs.expired(current, this.#keep, Date.now());
  }

  #drop(epochs: readonly number[]): void {
    for (const epoch of epochs) {
      this.#unlinked.push(this.#epochs.drop(epoch));
      this.#storage.remove(stateName(epoch));
      this.#entries.dirty = true;
    }
  }

  #releaseUnlinked(): void {
    for (const runs of this.#unlinked.splice(0)) this.#running().release(runs);
  }

  /** Whether anybody may want to go back once the program is over. */
  #keepsHistory(): boolean {
    if (this.#header.inPlace) return false;
    return this.#keep.epochs > 1 || this.#keep.milliseconds !== null || pinnedEpochs(this.#directory).size > 0;
  }

  /** What no slot names: the next state file, and what a run that was cut short has left. */
  #removeUncommitted(): void {
    const { status, state, highestEpoch } = this.#header;
    if (status !== "running") {
      this.#nextState?.close();
      this.#nextState = undefined;
    }
    const next = this.#nextState === undefined ? undefined : highestEpoch + 1;
    for (const name of this.#directory.names()) {
      const epoch = stateNumber(name);
      if (epoch !== undefined && epoch > highestEpoch && epoch !== next) this.#storage.remove(name);
    }
    if (status !== "trapped" || state === undefined) this.#storage.remove(TRAP_NAME);
  }

  #prepareNextState(): StorageFile {
    this.#nextState ??= this.#created(stateName(this.#header.highestEpoch + 1));
    return this.#nextState;
  }

  #created(name: string): StorageFile {
    this.#entries.dirty = true;
    return this.#storage.create(name);
  }

  #syncDirectory(): void {
    if (!this.#entries.dirty) return;
    this.#durably(() => this.#storage.syncDirectory());
    this.#entries.dirty = false;
    this.#releaseUnlinked(); // I5
  }

  #slot(changes: Partial<ImageHeader>): ImageHeader {
    return {
      ...this.#header,
      ...changes,
      sequence: this.#header.sequence + 1,
      memoryByteLengths: this.memories.map(({ byteLength }) => byteLength),
      writtenAt: Date.now(),
    };
  }

  #flip(changes: Partial<ImageHeader>): void {
    const header = this.#slot(changes);
    const { bytes, position } = slotWrite(header);
    this.#durably(() => {
      this.#headerFile.write([bytes], position); // H3
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
    this.settleCommit(); // I6
    this.#checkOpen();
    invariant(this.#header.status === status, `the image is ${this.#header.status}, not ${status}`);
  }
}

type Saving = "saved" | "running" | "trapped";

function slotWrite(header: ImageHeader): { readonly bytes: Uint8Array; readonly position: number } {
  return { bytes: encodeSlot(header), position: SLOT_BYTE_LENGTH * (header.sequence % 2) };
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
