/**
 * Questions to a store. Its driver may be anybody's: what it throws, at once or later, and what it returns that is none of the
 * answers of a BlockStore, is STORE_FAILED.
 */
import { VermilionError } from "../../../pmem/error.js";
import type { BlockStore, StoredBlock } from "./block-store.js";
import { storeError } from "./store-error.js";

export async function putBlock(store: BlockStore, name: string, bytes: Uint8Array): Promise<void> {
  await asking(store, `put ${name}`, () => store.put(name, bytes));
}

/** Undefined: it is not there. */
export async function getBlock(store: BlockStore, name: string): Promise<Uint8Array | undefined> {
  return await asking(store, `get ${name}`, async () => {
    const bytes: unknown = await store.get(name);
    if (bytes === undefined || bytes instanceof Uint8Array) return bytes;
    throw new Error("what its driver returned is no Uint8Array");
  });
}

export async function listBlocks(store: BlockStore, prefix: string): Promise<readonly StoredBlock[]> {
  return await asking(store, `list ${prefix}`, async () => {
    const blocks: unknown = await store.list(prefix);
    if (Array.isArray(blocks) && blocks.every(isStoredBlock)) return blocks;
    throw new Error("what its driver returned is no array of names and lengths");
  });
}

export async function removeBlock(store: BlockStore, name: string): Promise<void> {
  await asking(store, `remove ${name}`, () => store.remove(name));
}

function isStoredBlock(value: unknown): value is StoredBlock {
  const { name, byteLength } = (value ?? {}) as Partial<Record<keyof StoredBlock, unknown>>;
  return typeof name === "string" && typeof byteLength === "number";
}

async function asking<Result>(store: BlockStore, what: string, ask: () => Promise<Result>): Promise<Result> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof VermilionError) throw cause;
    const reason = `cannot ${what.trimEnd()}: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw storeError("STORE_FAILED", store, reason, "nothing that was there before is lost; try again", cause);
  }
}
