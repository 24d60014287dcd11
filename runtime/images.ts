/**
 * What can be done with images that nobody need run for it: their history, forks, upkeep. The modules for it are loaded when
 * first needed: a run needs none of them.
 */
import { resolve } from "node:path";
import type { Comparison } from "./process/comparison.js";
import type { EpochSummary } from "./process/history.js";
import type { KeepPolicy } from "./process/image/epoch-record.js";
import type { Collected } from "./process/image/upkeep.js";
import type { Verification } from "./process/image/verifying.js";
import type { BlockStore } from "./process/stores/block-store.js";
import type { FollowEvents } from "./process/stores/following.js";
import type { StoreEvents } from "./process/stores/manifest.js";
import type { Pushed } from "./process/stores/pushing.js";
import type { Pruned, PruneOptions, StoredEpoch } from "./process/stores/stored-epochs.js";

const history = () => import("./process/history.js");

export const Images = {
  /** The persistence points that an image keeps, ascending. Codes: IMAGE_MISSING, IMAGE_DAMAGED and the other IMAGE_ codes. */
  async history(image: string): Promise<EpochSummary[]> {
    return (await history()).listEpochs(image);
  },

  /** Keeps an epoch whatever the policy says; also while the image is run. Codes: NO_SUCH_EPOCH. */
  async pin(image: string, epoch: number): Promise<void> {
    (await history()).pinEpoch(image, epoch, true);
  },

  /** The policy decides again. Codes: NO_SUCH_EPOCH. */
  async unpin(image: string, epoch: number): Promise<void> {
    (await history()).pinEpoch(image, epoch, false);
  },

  /** Takes an epoch out of the history. Codes: NO_SUCH_EPOCH; EPOCH_IN_USE: it is the current one, or pinned; IMAGE_BUSY. */
  async drop(image: string, epoch: number): Promise<void> {
    (await history()).drop(image, epoch);
  },

  /**
   * Drops what is not to be kept (`policy`; undefined: what the image has been told), and gives the disk back all that no
   * epoch needs. Codes: IMAGE_BUSY, DISK_FULL.
   */
  async collect(image: string, policy?: KeepPolicy): Promise<Collected> {
    return (await history()).collectGarbage(image, policy);
  },

  /**
   * A new image `target` that goes on from an epoch of another, by default the current one; the result is that epoch. Memory
   * is shared until it is written. docs/persistence-model.md#forks
   * Codes: IMAGE_BUSY, NO_SUCH_EPOCH, IMAGE_NOT_SAVED, IMAGE_EXISTS, IMAGE_FOREIGN, and those of the disk.
   */
  async fork(image: string, target: string, { at }: { readonly at?: number | undefined } = {}): Promise<number> {
    return (await history()).fork(image, at, target);
  },

  /**
   * Reads all of an image and says what is wrong with it. With `repair` the image goes back to its newest good epoch, if the
   * current one is damaged, and damaged ones are removed. Codes: IMAGE_BUSY, UNREPAIRABLE, IMAGE_DAMAGED (its header).
   */
  async verify(image: string, { repair = false }: { readonly repair?: boolean } = {}): Promise<Verification> {
    return (await history()).verify(image, { repair });
  },

  /**
   * Copies an epoch, by default the current one, to a store, of which only what the store has not yet; also while the image is
   * run. docs/persistence-model.md#stores
   * Codes: NO_SUCH_EPOCH, IMAGE_NOT_SAVED, IN_PLACE, IMAGE_DAMAGED, IMAGE_BUSY (the epoch was dropped meanwhile);
   * STORE_CONFLICT (another process's epoch of that number is there), STORE_FAILED (the driver), and those of the disk.
   */
  async push(image: string, store: BlockStore, { at }: { readonly at?: number | undefined } = {}): Promise<Pushed> {
    const { pushEpoch } = await import("./process/stores/pushing.js");
    return pushEpoch(resolve(image), store, at);
  },

  /**
   * Pushes the newest epoch whenever there is a new one, for as long as the process runs that holds the image now, and then the one
   * that it left. Not in the thread that runs a guest's process with `persistEvery`: pushes delay its commits.
   * Codes: those of `push`, if they stay; what may pass is tried again.
   */
  async follow(image: string, store: BlockStore, events: FollowEvents = {}): Promise<void> {
    const { followEpochs } = await import("./process/stores/following.js");
    return followEpochs(resolve(image), store, events);
  },

  /**
   * A new image of an epoch in a store, by default the newest; the result is that epoch.
   * Codes: STORE_EMPTY, NO_SUCH_EPOCH, STORE_DAMAGED, STORE_FAILED; IMAGE_EXISTS, IMAGE_FOREIGN, IMAGE_BUSY, and those of the disk.
   */
  async pull(
    store: BlockStore,
    image: string,
    { at, damaged }: StoreEvents & { readonly at?: number | undefined } = {},
  ): Promise<number> {
    const { pullEpoch } = await import("./process/stores/pulling.js");
    return pullEpoch(store, image, { at, damaged });
  },

  /** The epochs in a store, ascending. Codes: STORE_FAILED. */
  async stored(store: BlockStore, events: StoreEvents = {}): Promise<StoredEpoch[]> {
    const { listStored } = await import("./process/stores/stored-epochs.js");
    return listStored(store, events);
  },

  /**
   * Removes from a store the epochs that `policy` does not keep (undefined: none), and what no epoch needs, such as the rest of
   * pushes that were cut. Nobody may push meanwhile. Codes: STORE_FAILED; STORE_DAMAGED: an epoch cannot be read; with `damaged`
   * such epochs are removed, too.
   */
  async prune(store: BlockStore, policy?: KeepPolicy, options: PruneOptions = {}): Promise<Pruned> {
    const { pruneStore } = await import("./process/stores/stored-epochs.js");
    return pruneStore(store, policy, options);
  },

  /** What two epochs differ in. Codes: NO_SUCH_EPOCH, IMAGE_DAMAGED. */
  async compare(image: string, before: number, after: number): Promise<Comparison> {
    const { compareEpochs } = await import("./process/comparison.js");
    return compareEpochs(image, before, after);
  },
};
