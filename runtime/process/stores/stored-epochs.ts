/** What a store keeps, for those who look at it, and what is removed from it. */
import type { VermilionError } from "../../../pmem/error.js";
import type { EpochReason, KeepPolicy } from "../image/epoch-record.js";
import { listBlocks, removeBlock } from "./asking.js";
import type { BlockStore } from "./block-store.js";
import { BLOCK_BYTE_LENGTH, blockName } from "./contents.js";
import { listManifests, type Manifest, manifestName, type StoreEvents, wholeManifest } from "./manifest.js";
import { storeError } from "./store-error.js";

/** An epoch in a store; a plain object that JSON carries. */
export interface StoredEpoch {
  readonly epoch: number;
  readonly parent: number | null;
  /** ISO 8601: when it was made, not when it was pushed. */
  readonly at: string;
  readonly why: EpochReason;
  readonly hostCalls: number;
  readonly memoryByteLength: number;
  /** What its blocks take in the store; it shares them with other epochs. */
  readonly storedByteLength: number;
}

/** Ascending. STORE_FAILED. */
export async function listStored(store: BlockStore, events: StoreEvents = {}): Promise<StoredEpoch[]> {
  const found: StoredEpoch[] = [];
  for (const epoch of await listManifests(store)) {
    const manifest = await wholeManifest(store, epoch, events);
    if (manifest === undefined) continue;
    const { parent, at, why, hostCalls, memoryByteLengths } = manifest.record;
    found.push({
      ...{ epoch, parent, at: new Date(at).toISOString(), why, hostCalls },
      memoryByteLength: memoryByteLengths.reduce((sum, length) => sum + length, 0),
      storedByteLength: hashesOf(manifest).size * BLOCK_BYTE_LENGTH,
    });
  }
  return found;
}

export interface PruneOptions {
  /** Epochs go that cannot be read, as well. */
  readonly damaged?: boolean;
}

export interface Pruned {
  readonly epochs: readonly number[];
  readonly blocks: number;
}

/**
 * Removes epochs that the policy does not keep, the newest counting as current, then whatever no epoch needs, the rest of cut
 * pushes included. Without a policy only the latter. Nobody may push meanwhile. STORE_FAILED; STORE_DAMAGED: which blocks a manifest
 * needs that cannot be read, nobody knows. With `damaged` such epochs go as well.
 *
 * An epoch goes before its blocks: a cut leaves whole epochs, and blocks for the next time.
 */
export async function pruneStore(
  store: BlockStore,
  policy?: KeepPolicy,
  { damaged = false }: PruneOptions = {},
): Promise<Pruned> {
  const kept: Manifest[] = [];
  const gone: number[] = [];
  const now = Date.now();
  let rank = 0;
  for (const epoch of (await listManifests(store)).reverse()) {
    const manifest = await wholeManifest(store, epoch, damaged ? {} : { damaged: refusePruning(store) });
    const { epochs = Number.POSITIVE_INFINITY, milliseconds = null } = policy ?? {};
    const isYoung = manifest !== undefined && milliseconds !== null && now - manifest.record.at <= milliseconds;
    if (manifest !== undefined && (rank++ < epochs || isYoung)) kept.push(manifest);
    else gone.push(epoch);
  }
  const manifests = kept.map(({ epoch }) => manifestName(epoch));
  const needed = new Set([...manifests, ...kept.flatMap((each) => [...hashesOf(each)].map(blockName))]);
  for (const epoch of gone.reverse()) await removeBlock(store, manifestName(epoch));
  const rest = (await listBlocks(store, "")).filter(({ name }) => !needed.has(name));
  for (const { name } of rest) await removeBlock(store, name);
  return { epochs: gone, blocks: rest.length };
}

function refusePruning(store: BlockStore) {
  return (epoch: number, cause: VermilionError): never => {
    const reason = `epoch ${epoch} cannot be read, so nobody knows which blocks it needs`;
    const next = "push it again, or have such epochs removed too (vermilion prune --damaged)";
    throw storeError("STORE_DAMAGED", store, reason, next, cause);
  };
}

function hashesOf({ module, state, memories, files }: Manifest): Set<string> {
  const contents = [module, state, ...memories, ...files.map(({ content }) => content)];
  return new Set(contents.flatMap(({ blocks }) => blocks.filter((hash) => hash !== null)));
}
