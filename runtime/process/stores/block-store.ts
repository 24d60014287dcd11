/** Where copies of epochs are kept, away from the image: blocks of bytes under names. docs/rationale.md#stores */

export interface StoredBlock {
  readonly name: string;
  readonly byteLength: number;
}

/**
 * A driver: four operations, which every object store has (PutObject, GetObject, ListObjectsV2, DeleteObject). Names are
 * `blocks/` or `epochs/` and 1 to 64 of the characters 0-9 and a-f. Of
 * two that put the same name at the same time, either may win.
 */
export interface BlockStore {
  /** For messages. */
  readonly location: string;
  /** Replaces what is there. Whoever reads sees all of it or nothing, also after a crash; durable once this resolves. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined: there is none. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** All whose names begin so, in any order. */
  list(prefix: string): Promise<readonly StoredBlock[]>;
  /** Also if there is none. */
  remove(name: string): Promise<void>;
}

/** Anything else in a store is not ours, or the rest of a `put` that was cut. */
export function isBlockName(name: string): boolean {
  return /^(?:blocks|epochs)\/[0-9a-f]{1,64}$/.test(name);
}
