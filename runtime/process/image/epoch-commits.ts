import type { UnsummedPages } from "../../../pmem/open-segments.js";
import type { PageRun } from "../../../pmem/page-map.js";
import type { Commit, Committer } from "./commit.js";
import type { EpochFiles } from "./epoch-files.js";
import type { TrapRecord } from "./epoch-record.js";
import { MEMORY_ONLY, type PointFacts, type Saving, type WrittenEpoch, writeEpoch } from "./epoch-writing.js";
import type { ImageHeader } from "./header.js";
import type { HeaderSlots } from "./header-slots.js";
import type { ImageDirectory } from "./image-directory.js";
import type { ImageParts } from "./making.js";
import type { MemoryStore } from "./memory-store.js";
import { expiredEpoch } from "./pins.js";
import type { SavedState } from "./reading.js";
import type { ImageState } from "./state-file.js";

/** A commit that somebody else makes while the guest runs. */
interface InFlight {
  readonly committer: Committer;
  readonly header: ImageHeader;
  readonly saved: SavedState;
  /** Epochs that it removes, but for those that are pinned by then. */
  readonly expired: readonly number[];
  /** Their pages, which are free once that is durable. */
  readonly free: readonly PageRun[][];
}

/** What goes with an epoch that is committed later. */
export interface Companions {
  /** Descriptors: their content belongs to the state. */
  readonly guestFiles: readonly number[];
  /** Names in the image that only epochs before it needed. */
  readonly remove: readonly string[];
}

/**
 * The commits of an image that this process holds: each writes an epoch behind the one before, and last the slot that names it.
 *
 *     saved --commit, persist--> saved, of the next epoch
 *     saved --persistLater--> in flight --settle--> saved, of the next epoch
 *
 * I2  A commit makes durable, in this order: linear memory and state file, directory entries, header slot. A slot never
 *     names what a power cut could still take away, and until the last of these writes the epoch before is whole.
 * I6  One commit at most is in flight. Until it has ended no other write goes to the image, and none of its files is closed:
 *     each transition of the image, and its end, begins with settle().
 */
export class EpochCommits {
  readonly store: MemoryStore;
  readonly #directory: ImageDirectory;
  readonly #slots: HeaderSlots;
  readonly #files: EpochFiles;
  #saved: SavedState | undefined;
  /** Whether an epoch after `#saved` lies in the store's memories, which no slot names yet. */
  #inFlight: InFlight | undefined;

  constructor({ directory, saved }: ImageParts, store: MemoryStore, slots: HeaderSlots, files: EpochFiles) {
    this.store = store;
    this.#directory = directory;
    this.#slots = slots;
    this.#files = files;
    this.#saved = saved;
  }

  /** The epoch that the image goes on from; undefined: it begins, or there is nothing to go on with. */
  get saved(): SavedState | undefined {
    return this.#saved;
  }

  /** Nothing goes on from there any more. */
  forget(): void {
    this.#saved = undefined;
  }

  /** See Image.commit(). */
  commit(state: ImageState, facts: PointFacts): void {
    const { changes, saved } = this.#save({ status: "saved", state, facts });
    this.#slots.flip(changes); // the persistence point
    this.#adopt(saved);
    this.store.trim();
  }

  /** See Image.persist(). */
  persist(state: ImageState, facts: PointFacts): void {
    const { changes, saved } = this.#save({ status: "running", state, facts });
    this.#slots.flip(changes); // the persistence point
    this.#adopt(saved);
    this.store.settle();
    this.#files.dropExpired();
    this.store.trim();
    this.#files.prepareNext(); // I3
    this.#files.syncNames();
  }

  /** See Image.persistLater(). */
  persistLater(state: ImageState, facts: PointFacts, { guestFiles, remove }: Companions, committer: Committer): void {
    const checksums: UnsummedPages[] = [];
    const { saved, changes, file } = this.#write({ status: "running", state, facts, later: checksums });
    const epoch = this.#slots.current.highestEpoch + 1;
    this.#files.passNext(epoch);
    this.store.settle();
    const header = this.#slots.changed(changes);
    this.#files.add(epoch, saved);
    const expired = this.#files.expired(epoch, header.writtenAt);
    const free = this.#files.forget(expired);
    this.#inFlight = { committer, header, saved, expired, free };
    const commit: Commit = {
      path: this.#directory.path,
      checksums,
      flush: [...guestFiles, ...this.store.takeUnflushed(), file.descriptor],
      directory: this.#directory.descriptor,
      header: this.#slots.writeOf(header),
      expired: expired.map((each) => expiredEpoch(this.#directory, each)),
      remove: remove.map((name) => this.#directory.currentPathOf(name)),
      close: [...guestFiles, file.descriptor],
    };
    committer.start(commit);
  }

  /** Waits for the commit in flight, if there is one. @throws what it failed with: then nothing more can be saved (I4). */
  settle(): void {
    const flight = this.#inFlight;
    if (flight === undefined) return;
    this.#inFlight = undefined;
    this.#slots.durably(() => flight.committer.wait());
    this.#slots.adopt(flight.header);
    this.#saved = flight.saved;
    this.#files.removed(flight.expired, flight.free);
    this.store.trim();
  }

  /** The memory of a guest that has trapped: no persistence point, nothing goes on from there. */
  commitTrap(trap: TrapRecord, facts: PointFacts): void {
    this.#slots.flip(this.#save({ status: "trapped", state: MEMORY_ONLY, facts, trap }).changes);
  }

  /** I2, up to the header slot, which the result is for. */
  #save(saving: Saving): Pick<WrittenEpoch, "saved" | "changes"> {
    const { saved, changes, file } = this.#write(saving);
    this.#files.takeNext(file);
    try {
      this.#slots.durably(() => this.store.flush());
      this.#slots.durably(() => file.sync());
    } finally {
      file.close();
    }
    this.#files.syncNames(); // nothing to do, unless files were created since Image.markRunning()
    return { changes, saved };
  }

  /** Everything but the slot, not flushed. */
  #write(saving: Saving): WrittenEpoch {
    const { current: header, exist: exists } = this.#slots;
    const place = { path: this.#directory.path, exists, store: this.store, files: this.#files, header };
    return writeEpoch({ ...place, before: this.#saved?.record }, saving);
  }

  #adopt(saved: SavedState): void {
    this.#saved = saved;
    this.#files.add(this.#slots.current.epoch, saved);
  }
}
