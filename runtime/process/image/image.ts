import { resolve } from "node:path";
import { attempt, invariant, VermilionError } from "../../../pmem/error.js";
import type { MemoryBacking } from "../../../pmem/memory-backing.js";
import type { Committer } from "./commit.js";
import { beyondLimit } from "./damage.js";
import { type Companions, EpochCommits } from "./epoch-commits.js";
import { EpochFiles } from "./epoch-files.js";
import { type EpochRecord, KEEP_LAST, type KeepPolicy, type TrapRecord } from "./epoch-record.js";
import type { PointFacts } from "./epoch-writing.js";
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
import { HEADER_NAME } from "./names.js";
import { hasLostHeader, ImageReading, readState } from "./reading.js";
import type { ImageState } from "./state-file.js";

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
 * I2, I6: commits, in epoch-commits.ts. I3, I5: the files of epochs, in epoch-files.ts. I4: failed flushes, in
 * header-slots.ts.
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
  readonly #slots: HeaderSlots;
  readonly #files: EpochFiles;
  /** Undefined: nothing can run in this image any more. */
  readonly #commits: EpochCommits | undefined;
  #closed = false;

  private constructor(parts: ImageParts) {
    const { directory, storage, header, saved, store } = parts;
    this.path = directory.path;
    this.moduleBytes = parts.moduleBytes;
    this.command = parts.command;
    this.#directory = directory;
    this.#lock = parts.lock;
    const memoryByteLengths = () => this.memories.map(({ byteLength }) => byteLength);
    this.#slots = new HeaderSlots(directory.path, storage.open(HEADER_NAME), header, memoryByteLengths);
    this.#files = new EpochFiles(parts, this.#slots, saved?.record.keep ?? KEEP_LAST);
    this.#commits = store && new EpochCommits(parts, store, this.#slots, this.#files);
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

  /** Whether there are epochs without the header that belongs to them. IMAGE_MISSING. */
  static hasLostHeader(path: string): boolean {
    return hasLostHeader(resolve(path));
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
    return this.#commits?.saved?.record;
  }

  /** Names of files in `open-files` that some kept epoch needs. */
  keptFiles(): Set<string> {
    return this.#files.keptFiles();
  }

  /** Those of a resumable image, or created since, in the order of the module. */
  get memories(): readonly MemoryBacking[] {
    return this.#commits?.store.memories ?? [];
  }

  /** The next memory of the module, empty: grow it, then attach it. */
  createMemory(): MemoryBacking {
    this.#checkOpen();
    if (this.memories.length >= MAX_MEMORIES) {
      throw beyondLimit(this.path, "its program has too many memories", MAX_MEMORIES);
    }
    if (this.header.inPlace) this.#files.addName();
    return this.#running().store.create();
  }

  /** What the last commit saved. IMAGE_INTERRUPTED: killed before any save. IMAGE_NOT_SAVED: it is over. */
  readState(): ImageState {
    this.#checkOpen();
    const { header, command } = this;
    return (this.#commits?.saved ?? readState(this.#directory, { header, command, damage: undefined })).state;
  }

  /** Signals to this program that ask for a persistence point: for others to read, with our pid. */
  announce(signals: readonly string[]): void {
    this.#checkOpen();
    attempt("write the lock", this.path, () => this.#lock.announce(signals));
  }

  /** Durable before it returns, and to be called before the guest's first store (I1). */
  markRunning(): void {
    const { status, inPlace } = this.header;
    this.#check(this.record === undefined ? "running" : status);
    const commits = this.#running();
    const { saved, store } = commits;
    store.prepare();
    this.#files.prepareNext(); // I3
    this.#files.syncNames();
    if (saved === undefined) return; // created so, and durable
    const state = inPlace ? undefined : { checksum: saved.checksum };
    this.#slots.flip({ status: "running", message: "", exitStatus: 0, state });
    store.settle();
    this.#files.removeUncommitted();
    if (inPlace) {
      commits.forget();
      this.#files.dropAll();
    } else this.#files.dropExpired();
  }

  /** If this throws, the image stays "running", from the epoch before; otherwise a resume sees this state. */
  commit(state: ImageState, facts: PointFacts): void {
    this.#check("running");
    this.#running().commit(state, facts);
  }

  /**
   * A persistence point of a guest that goes on at once in this process: what commit() and markRunning() do together, in
   * one write of the header. Not in place, where the guest's next store would change the saved memory.
   *
   * If this throws, the epoch before stays, unless `header` names the next one; and unless the image is `poisoned`, the
   * guest may go on all the same.
   */
  persist(state: ImageState, facts: PointFacts): void {
    this.#checkPersistable();
    this.#running().persist(state, facts);
  }

  /**
   * The same, but only written, not flushed: the guest may go on when this returns, and the committer makes the rest durable
   * meanwhile, flushes and closes the guest's files, and removes what is not needed any more then. Until that is done the epoch
   * before is the image's; the next transition waits for it. If this throws, nothing has changed, and the guest may go on.
   */
  persistLater(state: ImageState, facts: PointFacts, companions: Companions, committer: Committer): void {
    this.#checkPersistable();
    this.#running().persistLater(state, facts, companions, committer);
  }

  /** Waits for a commit in flight, if there is one. @throws what it failed with: then nothing more can be saved (I4). */
  settleCommit(): void {
    this.#commits?.settle();
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
    this.#commits?.forget();
    this.#files.removeHistory();
  }

  /**
   * The guest has trapped; its memory stays for inspection, if there is room for it, and so do the epochs: one can go back
   * before the trap.
   */
  trap(trap: TrapRecord, hostCalls = 0): void {
    this.#check("running");
    try {
      this.#running().commitTrap(trap, { why: "trap", hostCalls, keptFiles: [] });
    } catch (error) {
      this.#checkOpen();
      if (!(error instanceof VermilionError)) throw error;
      this.#slots.flip({ status: "trapped", state: undefined, message: trap.message });
    }
    this.#files.removeUncommitted();
    this.#commits?.forget();
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
    this.#commits?.store.close();
    this.#files.close();
    this.#slots.close();
    this.#lock.release();
    this.#directory.close();
  }

  #running(): EpochCommits {
    invariant(this.#commits !== undefined, `nothing runs in ${this.path}`);
    return this.#commits;
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

  /** In place the guest's next store would change the saved memory. */
  #checkPersistable(): void {
    this.#check("running");
    invariant(!this.header.inPlace, `the memory of ${this.path} cannot be kept while the guest runs`);
  }
}
