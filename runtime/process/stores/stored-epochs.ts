/** What a store keeps, for those who look at it, and what is removed from it. */
import { VermilionError } from "../../../pmem/error.js";
import type { EpochReason, KeepPolicy } from "../image/epoch-record.js";
import type { BlockStore } from "./block-store.js";
import { BLOCK_BYTE_LENGTH, blockName } from "./contents.js";
import { listManifests, type Manifest, manifestName, readManifest } from "./manifest.js";
import { asking } from "./store-error.js";

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

/** Ascending; those that were cut are left out. STORE_FAILED. */
export async function listStored(store: BlockStore): Promise<StoredEpoch[]> {
  const found: StoredEpoch[] = [];
  for (const epoch of await listManifests(store)) {
    const manifest = await wholeManifest(store, epoch);
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

export interface Pruned {
  readonly epochs: readonly number[];
  readonly blocks: number;
}

/**
 * Removes epochs that the policy does not keep, the newest counting as current, then whatever no epoch needs, the rest of cut
 * pushes included. Without a policy only the latter. Nobody may push meanwhile. STORE_FAILED.
 *
 * An epoch goes before its blocks: a cut leaves whole epochs, and blocks for the next time.
 */
export async function pruneStore(store: BlockStore, policy?: KeepPolicy): Promise<Pruned> {
  const kept: Manifest[] = [];
  const gone: number[] = [];
  const now = Date.now();
  let rank = 0;
  for (const epoch of (await listManifests(store)).reverse()) {
    const manifest = await wholeManifest(store, epoch);
    const { epochs = Number.POSITIVE_INFINITY, milliseconds = null } = policy ?? {};
    const isYoung = manifest !== undefined && milliseconds !== null && now - manifest.record.at <= milliseconds;
    if (manifest !== undefined && (rank++ < epochs || isYoung)) kept.push(manifest);
    else gone.push(epoch);
  }
  const manifests = kept.map(({ epoch }) => manifestName(epoch));
  const needed = new Set([...manifests, ...kept.flatMap((each) => [...hashesOf(each)].map(blockName))]);
  for (const epoch of gone.reverse()) await removeFrom(store, manifestName(epoch));
  const rest = (await asking(store, "list", store.list(""))).filter(({ name }) => !needed.has(name));
  for (const { name } of rest) await removeFrom(store, name);
  return { epochs: gone, blocks: rest.length };
}

async function removeFrom(store: BlockStore, name: string): Promise<void> {
  await asking(store, `remove ${name}`, store.remove(name));
}

async function wholeManifest(store: BlockStore, epoch: number): Promise<Manifest | undefined> {
  try {
    return await readManifest(store, epoch);
  } catch (error) {
    if (error instanceof VermilionError && error.code === "STORE_DAMAGED") return undefined;
    throw error;
  }
}

function hashesOf({ module, state, memories, files }: Manifest): Set<string> {
  const contents = [module, state, ...memories, ...files.map(({ content }) => content)];
  return new Set(contents.flatMap(({ blocks }) => blocks.filter((hash) => hash !== null)));
}
