import { existsSync } from "node:fs";
import type { PageRun } from "../../../pmem/page-map.js";
import type { KeepPolicy } from "./epoch-record.js";
import { Epochs, keptEpochs, pinnedEpochs } from "./epochs.js";
import type { HeaderSlots } from "./header-slots.js";
import type { ImageDirectory } from "./image-directory.js";
import type { ImageParts } from "./making.js";
import type { MemoryStore } from "./memory-store.js";
import { isHistoryName, stateName, TRAP_NAME } from "./names.js";
import { tryHoldingPins } from "./pins.js";
import type { SavedState } from "./reading.js";
import type { ImageStorage, StorageFile } from "./storage.js";

/** State files that no slot may name: of a commit in flight (I6 in epoch-commits.ts), and the next one. */
const MOST_AHEAD = 2;

/**
 * The state files of an image that this process holds: the next one made ahead, old ones dropped, their pages given back.
 *
 * I3  The state file of the next epoch exists, empty, and its name is durable, since Image.markRunning() or persist(), and a
 *     segment of the page store since Image.create(): the commit, which may have to fit into the last milliseconds of power,
 *     creates and renames nothing, and flushes no names, unless the segment gets full.
 * I5  The pages of an epoch that is dropped are free only when its state file is gone durably.
 */
export class EpochFiles {
  /** Which epochs stay when there are new ones. */
  keep: KeepPolicy;
  readonly #directory: ImageDirectory;
  readonly #storage: ImageStorage;
  #epochs: Epochs;
  readonly #entries: ImageParts["entries"];
  /** Undefined: nothing can run in this image any more. */
  readonly #store: MemoryStore | undefined;
  readonly #slots: HeaderSlots;
  #next: StorageFile | undefined;
  /** I5: removed, not yet durably. That can wait for the next file that is created. */
  #unlinked: PageRun[][] = [];

  constructor({ directory, storage, epochs, entries, store }: ImageParts, slots: HeaderSlots, keep: KeepPolicy) {
    this.#directory = directory;
    this.#storage = storage;
    this.#epochs = epochs;
    this.#entries = entries;
    this.#store = store;
    this.#slots = slots;
    this.keep = keep;
  }

  /** Names of files in `open-files` that some kept epoch needs. */
  keptFiles(): Set<string> {
    return this.#epochs.keptFiles();
  }

  /** Whether anybody may want to go back once the program is over. */
  get keepsHistory(): boolean {
    if (this.#slots.current.inPlace) return false;
    return this.keep.epochs > 1 || this.keep.milliseconds !== null || pinnedEpochs(this.#directory).size > 0;
  }

  /** A file whose name is durable only after syncNames(). */
  create(name: string): StorageFile {
    this.addName();
    return this.#storage.create(name);
  }

  /** A name was added to the directory. Names that were removed are no reason to flush it. */
  addName(): void {
    this.#entries.dirty = true;
  }

  /** The state file of the next epoch; it stays here if writing to it fails. I3. */
  prepareNext(): StorageFile {
    this.#next ??= this.create(stateName(this.#slots.current.highestEpoch + 1));
    return this.#next;
  }

  /** It has been written, and is closed by the caller. */
  takeNext(file: StorageFile): void {
    if (file === this.#next) this.#next = undefined;
  }

  /** The same, with the file of the epoch after that prepared at once. If this throws, nothing has changed. */
  passNext(epoch: number): void {
    this.#next = this.create(stateName(epoch + 1)); // I3
  }

  syncNames(): void {
    if (!this.#entries.dirty) return;
    this.#slots.durably(() => this.#storage.syncDirectory());
    this.#entries.dirty = false;
    this.#releaseUnlinked(); // I5
  }

  /** A new epoch, whose file need not be durable yet. */
  add(epoch: number, { record, maps }: SavedState): void {
    this.#epochs.add(epoch, record, maps);
  }

  /** What the policy does not keep behind this epoch. */
  expired(current: number, now: number): number[] {
    return this.#epochs.expired(current, this.keep, now);
  }

  /** Takes epochs out whose files somebody else will remove; the result are pages that will be free: see `removed`. */
  forget(epochs: readonly number[]): PageRun[][] {
    return epochs.map((epoch) => this.#epochs.drop(epoch));
  }

  /** Somebody else has flushed the names, and removed these epochs' files afterwards, but for those that were pinned meanwhile. */
  removed(expired: readonly number[], free: readonly PageRun[][]): void {
    this.#releaseUnlinked(); // that flush was behind what was removed before
    this.#entries.dirty = false;
    if (expired.every((epoch) => !existsSync(this.#directory.currentPathOf(stateName(epoch))))) {
      this.#unlinked.push(...free);
      return;
    }
    // The pages of the others may be shared with those: the next run, or `vermilion gc`, finds which are free.
    this.#epochs = new Epochs(this.#directory, this.#slots.current.highestEpoch);
  }

  /** What the policy does not keep goes. */
  dropExpired(): void {
    tryHoldingPins(this.#directory.descriptor, this.#directory.path, () => {
      for (const epoch of this.expired(this.#slots.current.epoch, Date.now())) {
        this.#unlinked.push(this.#epochs.drop(epoch));
        this.#storage.remove(stateName(epoch));
      }
    });
  }

  /** In place: no frames may be left that could meet the memory that the guest changes from here on. */
  dropAll(): void {
    for (const epoch of keptEpochs(this.#directory, this.#slots.current.highestEpoch)) {
      this.#epochs.drop(epoch);
      this.#storage.remove(stateName(epoch));
    }
  }

  /** What no slot names: the next state file, and what a run that was cut short has left. */
  removeUncommitted(): void {
    const { status, state, highestEpoch } = this.#slots.current;
    if (status !== "running") this.close();
    const first = highestEpoch + (this.#next === undefined ? 1 : 2);
    for (let epoch = first; epoch <= highestEpoch + MOST_AHEAD; epoch++) this.#storage.remove(stateName(epoch));
    if (status !== "trapped" || state === undefined) this.#storage.remove(TRAP_NAME);
  }

  /** All epochs, and the pages, or in place the memories, that they are made of. */
  removeHistory(): void {
    for (const name of this.#directory.names()) {
      if (isHistoryName(name)) this.#storage.remove(name);
    }
  }

  close(): void {
    this.#next?.close();
    this.#next = undefined;
  }

  #releaseUnlinked(): void {
    for (const runs of this.#unlinked.splice(0)) this.#store?.release(runs);
  }
}
