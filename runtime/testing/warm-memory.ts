/**
 * Linear memory of a walk, frozen at its crash points: what a fork starts from costs the pages that were written, however
 * long the memory is.
 *
 * The newest frozen state is a file in memory; the walk and its forks map it privately, so that the kernel copies a page
 * at its first store, and tells which were written.
 *
 * W1  A page of a mapping that was not written since it was mapped is the file's.
 * W2  The file changes only in `freeze`. What it then overwrites is kept by the versions that are still needed (`kept`).
 * W3  A fork is done with its mapping before the next `freeze`: what it did not write would change under it.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { errnoError, invariant } from "../../pmem/error.js";
import { libc, MAP, PROT } from "../../pmem/libc.js";
import { PAGE_BYTE_LENGTH, type PageRun } from "../../pmem/page-map.js";
import { writtenPages } from "../../pmem/page-scan.js";
import { sameBytes } from "./comparison.js";

/** A memory as it was at one crash point. */
export interface FrozenMemory {
  readonly store: WarmMemory;
  readonly byteLength: number;
  /** It differs from the one that was frozen before it. */
  readonly changed: boolean;
  /** W2: by page. */
  readonly kept: Map<number, Uint8Array>;
}

export class WarmMemory {
  readonly #path: string;
  readonly #descriptor: number;
  #byteLength = 0;
  /** Where the walk's memory was mapped. */
  #address = 0;

  constructor(path: string) {
    this.#path = path;
    this.#descriptor = openSync(path, "w+");
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** The walk's memory as it is now; `needed`: the versions that are still to be loaded. */
  freeze(memory: WebAssembly.Memory, needed: readonly FrozenMemory[]): FrozenMemory {
    const { byteLength } = memory.buffer;
    const address = addressOf(memory);
    const mapped = this.#address === address ? this.#byteLength : 0; // moved: nothing of it is mapped any more
    const grown = byteLength !== this.#byteLength;
    if (grown) ftruncateSync(this.#descriptor, byteLength);
    let changed = grown;
    for (const run of written(memory)) {
      if (!this.#store(memory, run, needed)) continue;
      changed = true;
    }
    if (mapped !== byteLength) this.#map(address, 0, byteLength);
    this.#byteLength = byteLength;
    this.#address = address;
    return { store: this, byteLength, changed, kept: new Map() };
  }

  /** Copies the pages of a run that differ, and maps the run again. */
  #store(memory: WebAssembly.Memory, { page, count }: PageRun, needed: readonly FrozenMemory[]): boolean {
    const position = page * PAGE_BYTE_LENGTH;
    const bytes = new Uint8Array(memory.buffer, position, count * PAGE_BYTE_LENGTH);
    const before = new Uint8Array(bytes.length);
    readSync(this.#descriptor, before, 0, before.length, position);
    const changed = !sameBytes(bytes, before);
    if (changed) {
      for (const { kept, byteLength } of needed) {
        const inside = Math.min(count, byteLength / PAGE_BYTE_LENGTH - page); // the memory may have grown since
        for (let i = 0; i < inside; i++) {
          const old = before.subarray(i * PAGE_BYTE_LENGTH, (i + 1) * PAGE_BYTE_LENGTH);
          if (!kept.has(page + i)) kept.set(page + i, old); // W2
        }
      }
      writeSync(this.#descriptor, bytes, 0, bytes.length, position);
    }
    this.#map(addressOf(memory), position, bytes.length);
    return changed;
  }

  /** Makes another memory, as long as this was, the frozen one. */
  load({ byteLength, kept }: FrozenMemory, memory: WebAssembly.Memory): void {
    invariant(memory.buffer.byteLength === byteLength, "a frozen memory is loaded into one of its length");
    this.#map(addressOf(memory), 0, byteLength);
    const bytes = new Uint8Array(memory.buffer);
    for (const [page, old] of kept) bytes.set(old, page * PAGE_BYTE_LENGTH);
  }

  /** Makes `to`, of the same length, what `from` has become since it was loaded. */
  copy(from: WebAssembly.Memory, to: WebAssembly.Memory): void {
    this.#map(addressOf(to), 0, Math.min(this.#byteLength, to.buffer.byteLength));
    for (const { page, count } of written(from)) {
      const [position, length] = [page * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH];
      new Uint8Array(to.buffer, position, length).set(new Uint8Array(from.buffer, position, length));
    }
  }

  /** Compares a fork's memory with the walk's; both have been mapped from here (W1). */
  isSame(fork: WebAssembly.Memory, walk: WebAssembly.Memory): boolean {
    if (fork.buffer.byteLength !== walk.buffer.byteLength) return false;
    return [...written(fork), ...written(walk)].every(({ page, count }) => {
      const [position, length] = [page * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH];
      return sameBytes(new Uint8Array(fork.buffer, position, length), new Uint8Array(walk.buffer, position, length));
    });
  }

  #map(address: number, position: number, byteLength: number): void {
    if (byteLength === 0) return;
    const flags = MAP.PRIVATE | MAP.NORESERVE;
    const errno = libc().mapFixed(
      address + position,
      byteLength,
      PROT.READ | PROT.WRITE,
      flags,
      this.#descriptor,
      position,
    );
    if (errno !== 0) throw errnoError("map the memory of a crash point", this.#path, errno);
  }
}

function addressOf(memory: WebAssembly.Memory): number {
  return libc().addressOf(new Uint8Array(memory.buffer));
}

function written(memory: WebAssembly.Memory): PageRun[] {
  const { byteLength } = memory.buffer;
  return byteLength === 0 ? [] : writtenPages(addressOf(memory), byteLength);
}
