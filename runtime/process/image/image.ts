import { resolve } from "node:path";
import { attempt, invariant, VermilionError } from "../../../pmem/error.js";
import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { UnsummedPages } from "../../../pmem/open-segments.js";
import type { PageRun } from "../../../pmem/page-map.js";
import type { Commit, Committer } from "./commit.js";
import { beyondLimit } from "./damage.js";
import { EpochFiles } from "./epoch-files.js";
import { type EpochRecord, KEEP_LAST, type KeepPolicy, type TrapRecord } from "./epoch-record.js";
import { MEMORY_ONLY, type PointFacts, type Saving, type WrittenEpoch, writeEpoch } from "./epoch-writing.js";
import { type ImageHeader, MAX_MEMORIES } from "./header.js";
import { HeaderSlots } from "./header-slots.js";
import type { ImageDirectory } from "./image-directory.js";
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
import { HEADER_NAME, stateName } from "./names.js";
import { ImageReading, readState, type SavedState } from "./reading.js";
import type { ImageState } from "./state-file.js";

/** A commit that somebody else makes while the guest runs. */
interface InFlight {
  readonly committer: Committer;
  readonly header: ImageHeader;
  readonly saved: SavedState;
  /** Pages of the epochs that it removes, which are free once that is durable. */
  readonly free: readonly PageRun[][];
}

/** What goes with an epoch that is committed later. */
interface Companions {
  /** Descriptors: their content belongs to the state. */
  readonly guestFiles: readonly number[];
  /** Names in the image that only epochs before it needed. */
  readonly remove: readonly string[];
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
 * I3, I5: the files of epochs, in epoch-files.ts. I4: failed flushes, in header-slots.ts.
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
  readonly #lock: ImageLock;
  readonly #store: MemoryStore | undefined;
  readonly #slots: HeaderSlots;
  readonly #files: EpochFiles;
  #saved: SavedState | undefined;
  /** Whether an epoch after `#saved` lies in the store's memories, which no slot names yet. */
  #inFlight: InFlight | undefined;
  #closed = false;

  private constructor(parts: ImageParts) {
    const { directory, storage, header, saved } = parts;
    this.path = directory.path;
    this.moduleBytes = parts.moduleBytes;
    this.command = parts.command;
    this.#directory = directory;
    this.#lock = parts.lock;
    this.#saved = saved;
    this.#store = parts.store;
    const memoryByteLengths = () => this.memories.map(({ byteLength }) => byteLength);
    this.#slots = new HeaderSlots(directory.path, storage.open(HEADER_NAME), header, memoryByteLengths);
    this.#files = new EpochFiles(parts, this.#slots, saved?.record.keep ?? KEEP_LAST);
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
    return this.#slots.current;
  }

  /** Which epochs stay when there are new ones. Default: as before in this image; in a new one only the last. */
  set keep(policy: KeepPolicy) {
    this.#files.keep = policy;
  }

  /** What is known about the epoch that it goes on from; undefined: it begins. */
  get record(): EpochRecord | undefined {
    return this.#saved?.record;
  }

  /** Names of files in `open-files` that some kept epoch needs. */
  keptFiles(): Set<string> {
    return this.#files.openFiles();
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
    if (this.header.inPlace) this.#files.addName();
    return this.#running().create();
  }

  /** What the last commit saved. IMAGE_INTERRUPTED: killed before any save. IMAGE_NOT_SAVED: it is over. */
  readState(): ImageState {
    this.#checkOpen();
    const { header, command } = this;
    return (this.#saved ?? readState(this.#directory, { header, command, damage: undefined })).state;
  }

  /** Signals to this program that ask for a persistence point: for others to read, with our pid. */
  announce(signals: readonly string[]): void {
    this.#checkOpen();
    attempt("write the lock", this.path, () => this.#lock.announce(signals));
  }

  /** Durable before it returns, and to be called before the guest's first store (I1). */
  markRunning(): void {
    const { status, inPlace } = this.header;
    this.#check(this.#saved === undefined ? "running" : status);
    const store = this.#running();
    store.prepare();
    this.#files.prepareNext(); // I3
    this.#files.syncNames();
    if (this.#saved === undefined) return; // created so, and durable
    const state = inPlace ? undefined : { checksum: this.#saved.checksum };
    this.#slots.flip({ status: "running", message: "", exitStatus: 0, state });
    store.settle();
    this.#files.removeUncommitted();
    if (inPlace) {
      this.#saved = undefined;
      this.#files.dropAll();
    } else this.#files.dropExpired();
  }

  /** If this throws, the image stays "running", from the epoch before; otherwise a resume sees this state. */
  commit(state: ImageState, facts: PointFacts): void {
    this.#check("running");
    const { changes, saved } = this.#save({ status: "saved", state, facts });
    this.#slots.flip(changes); // the persistence point
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
    invariant(!this.header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
    const { changes, saved } = this.#save({ status: "running", state, facts });
    this.#slots.flip(changes); // the persistence point
    this.#adopt(saved);
    this.#running().settle();
    this.#files.dropExpired();
    this.#running().trim();
    this.#files.prepareNext(); // I3
    this.#files.syncNames();
  }

  /**
   * The same, but only written, not flushed: the guest may go on when this returns, and the committer makes the rest durable
   * meanwhile, flushes and closes the guest's files, and removes what is not needed any more then. Until that is done the epoch
   * before is the image's; the next transition waits for it. If this throws, nothing has changed, and the guest may go on.
   */
  persistLater(state: ImageState, facts: PointFacts, { guestFiles, remove }: Companions, committer: Committer): void {
    this.#check("running");
    invariant(!this.header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
    const store = this.#running();
    const checksums: UnsummedPages[] = [];
    const { saved, changes, file } = this.#write({ status: "running", state, facts, later: checksums });
    const epoch = this.header.highestEpoch + 1;
    this.#files.passNext(epoch);
    store.settle();
    const header = this.#slots.changed(changes);
    this.#files.add(epoch, saved);
    const expired = this.#files.expired(epoch, header.writtenAt);
    const free = this.#files.forget(expired);
    this.#inFlight = { committer, header, saved, free };
    const commit: Commit = {
      path: this.path,
      checksums,
      flush: [...guestFiles, ...store.takeUnflushed(), file.descriptor],
      directory: this.#directory.descriptor,
      header: this.#slots.writeOf(header),
      remove: [...expired.map(stateName), ...remove].map((name) => this.#directory.currentPathOf(name)),
      close: [...guestFiles, file.descriptor],
    };
    committer.start(commit);
  }

  /** Waits for a commit in flight, if there is one. @throws what it failed with: then nothing more can be saved (I4). */
  settleCommit(): void {
    const flight = this.#inFlight;
    if (flight === undefined) return;
    this.#inFlight = undefined;
    this.#slots.durably(() => flight.committer.wait());
    this.#slots.adopt(flight.header);
    this.#saved = flight.saved;
    this.#files.removed(flight.free);
    this.#running().trim();
  }

  /** Where the image is now, if it was renamed since it was opened. */
  get newPath(): string | undefined {
    return this.#directory.newPath;
  }

  /** I4: nothing more can be saved. */
  get poisoned(): boolean {
    return this.#slots.poisoned;
  }

  /** The guest has exited; its memory is of no use any more, but for a history that is to be kept. */
  finish(exitStatus: number): void {
    this.#check("running");
    this.#slots.flip({ status: "finished", state: undefined, exitStatus: exitStatus >>> 0 });
    this.#files.removeUncommitted();
    if (this.#files.keepsHistory) return;
    this.#saved = undefined;
    this.#files.removeHistory();
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
      this.#slots.flip(this.#save({ status: "trapped", state: MEMORY_ONLY, facts, trap }).changes);
    } catch (error) {
      this.#checkOpen();
      if (!(error instanceof VermilionError)) throw error;
      this.#slots.flip({ status: "trapped", state: undefined, message });
    }
    this.#files.removeUncommitted();
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
    this.#files.close();
    this.#slots.close();
    this.#lock.release();
    this.#directory.close();
  }

  #running(): MemoryStore {
    invariant(this.#store !== undefined, `nothing runs in ${this.path}`);
    return this.#store;
  }

  /** I2, up to the header slot, which the result is for. */
  #save(saving: Saving): Pick<WrittenEpoch, "saved" | "changes"> {
    const { saved, changes, file } = this.#write(saving);
    this.#files.takeNext(file);
    try {
      this.#slots.durably(() => this.#running().flush());
      this.#slots.durably(() => file.sync());
    } finally {
      file.close();
    }
    this.#files.syncNames(); // nothing to do, unless files were created since markRunning()
    return { changes, saved };
  }

  /** Everything but the slot, not flushed. */
  #write(saving: Saving): WrittenEpoch {
    const { header } = this;
    const place = { path: this.path, exists: this.#slots.exist, store: this.#running(), files: this.#files, header };
    return writeEpoch({ ...place, before: this.#saved?.record }, saving);
  }

  #adopt(saved: SavedState): void {
    this.#saved = saved;
    this.#files.add(this.header.epoch, saved);
  }

  #checkOpen(): void {
    invariant(!this.#closed, `the image ${this.path} is closed`);
    this.#slots.check(); // I4
  }

  #check(status: ImageHeader["status"]): void {
    this.settleCommit(); // I6
    this.#checkOpen();
    const { status: found } = this.header;
    invariant(found === status, `the image is ${found}, not ${status}`);
  }
}
