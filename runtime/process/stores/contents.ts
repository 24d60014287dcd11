/**
 * Contents of any length as blocks of 64 KiB, each under the SHA-256 of its bytes: what two epochs have in common is there
 * once, and every block that comes back is checked by its own name. Blocks of zeros are not kept.
 */
import { createHash } from "node:crypto";
import { getBlock, putBlock } from "./asking.js";
import type { BlockStore } from "./block-store.js";
import { damagedStore } from "./store-error.js";

export const BLOCK_BYTE_LENGTH = 65_536;

export interface Content {
  readonly byteLength: number;
  /** SHA-256, hexadecimal, of each block; null: zeros. The last block may be shorter. */
  readonly blocks: readonly (string | null)[];
}

const ZEROS = Buffer.alloc(BLOCK_BYTE_LENGTH);

export const blockName = (hash: string): string => `blocks/${hash}`;

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Puts blocks that a store does not have yet, several at a time. */
export class Uploader {
  readonly #store: BlockStore;
  readonly #present: ReadonlyMap<string, number>;
  readonly #put = new Set<string>();
  readonly #checksPresent: boolean;
  readonly #inFlight = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  /** Of what was put. */
  blockCount = 0;
  byteLength = 0;

  /**
   * `present`: what is there, with its length: a block that a cut left shorter is put again. `checksPresent`: what is there is read,
   * and put again if it is damaged.
   */
  constructor(store: BlockStore, present: ReadonlyMap<string, number>, checksPresent: boolean) {
    this.#store = store;
    this.#present = present;
    this.#checksPresent = checksPresent;
  }

  /** `bytes` may be used again once this resolves. */
  async content(blocks: Iterable<Uint8Array | null>, byteLength: number): Promise<Content> {
    const hashes: (string | null)[] = [];
    for (const bytes of blocks) {
      const isZero = bytes === null || ZEROS.subarray(0, bytes.byteLength).equals(bytes);
      hashes.push(isZero ? null : await this.#block(bytes));
    }
    return { byteLength, blocks: hashes };
  }

  /** Every block that was asked for is durable. */
  async finish(): Promise<void> {
    await Promise.all(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #isDamaged(name: string, bytes: Uint8Array): Promise<boolean> {
    if (!this.#checksPresent) return false;
    const found = await getBlock(this.#store, name);
    return found === undefined || Buffer.compare(found, bytes) !== 0;
  }

  async #block(bytes: Uint8Array): Promise<string> {
    const hash = hashOf(bytes);
    const name = blockName(hash);
    if (this.#put.has(name)) return hash;
    this.#put.add(name);
    if (this.#present.get(name) === bytes.byteLength && !(await this.#isDamaged(name, bytes))) return hash;
    this.blockCount++;
    this.byteLength += bytes.byteLength;
    const put: Promise<void> = putBlock(this.#store, name, new Uint8Array(bytes))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#inFlight.delete(put));
    this.#inFlight.add(put);
    if (this.#inFlight.size >= MOST_IN_FLIGHT) await Promise.race(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
    return hash;
  }
}

/** What a store far away answers late, and one on a disk flushes together. */
const MOST_IN_FLIGHT = 16;

export function* blocksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += BLOCK_BYTE_LENGTH) yield bytes.subarray(at, at + BLOCK_BYTE_LENGTH);
}

/** The blocks of a content, checked, in order, some asked for ahead; null: zeros. STORE_DAMAGED. */
export async function* download(store: BlockStore, content: Content): AsyncGenerator<Uint8Array | null> {
  const ahead: Promise<Uint8Array | null>[] = [];
  let next = 0;
  const ask = () => {
    const hash = content.blocks[next] ?? null;
    const byteLength = Math.min(BLOCK_BYTE_LENGTH, content.byteLength - next * BLOCK_BYTE_LENGTH);
    next++;
    const asked = hash === null ? Promise.resolve(null) : block(store, hash, byteLength);
    asked.catch(() => {}); // whoever waits for it is told
    ahead.push(asked);
  };
  for (let given = 0; given < content.blocks.length; given++) {
    while (next < content.blocks.length && ahead.length < MOST_IN_FLIGHT) ask();
    yield await (ahead.shift() as Promise<Uint8Array | null>);
  }
}

/** All of it. STORE_DAMAGED. */
export async function downloadWhole(store: BlockStore, content: Content): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(content.byteLength);
  let at = 0;
  for await (const part of download(store, content)) {
    if (part !== null) bytes.set(part, at);
    at += BLOCK_BYTE_LENGTH;
  }
  return bytes;
}

async function block(store: BlockStore, hash: string, byteLength: number): Promise<Uint8Array> {
  const name = blockName(hash);
  const bytes = await getBlock(store, name);
  if (bytes === undefined) throw damagedStore(store, `${name} is missing`);
  if (bytes.byteLength !== byteLength || hashOf(bytes) !== hash)
    throw damagedStore(store, `${name} is not what was put there`);
  return bytes;
}
