import type { BlockStore, StoredBlock } from "../../../runtime/process/stores/block-store.js";

/** How a put ends that a crash cuts. */
export type Cut = "before" | "torn" | "after";

export class Crash extends Error {}

/** An object store in memory, with a crash on demand; torn puts are what no driver may leave, and are survived all the same. */
export class MemoryStore implements BlockStore {
  readonly location = "memory:";
  readonly blocks: Map<string, Uint8Array>;
  /** Calls that changed something. */
  changes = 0;
  #cut: { readonly change: number; readonly how: Cut } | undefined;
  /** Called in front of each put. */
  onPut: () => void = () => {};

  constructor(blocks: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.blocks = new Map(blocks);
  }

  /** From the nth change on, nothing reaches the store any more. */
  crashAt(change: number, how: Cut): void {
    this.#cut = { change, how };
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.onPut();
    const how = this.#change();
    if (how === "before") throw new Crash();
    const length = how === "torn" ? Math.floor(bytes.byteLength / 2) : bytes.byteLength;
    this.blocks.set(name, new Uint8Array(bytes.subarray(0, length)));
    if (how !== undefined) throw new Crash();
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.blocks.get(name)?.slice();
  }

  async list(prefix: string): Promise<readonly StoredBlock[]> {
    return [...this.blocks]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, { byteLength }]) => ({ name, byteLength }));
  }

  async remove(name: string): Promise<void> {
    const how = this.#change();
    if (how === "before" || how === "torn") throw new Crash();
    this.blocks.delete(name);
    if (how !== undefined) throw new Crash();
  }

  #change(): Cut | undefined {
    const number = this.changes++;
    if (this.#cut === undefined || number < this.#cut.change) return undefined;
    return number === this.#cut.change ? this.#cut.how : "before";
  }
}
