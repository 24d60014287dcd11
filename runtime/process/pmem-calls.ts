/**
 * What guest-examples/vermilion.h offers a program for persistent memory that it manages itself: imports of the module
 * "vermilion". docs/programming-models.md
 *
 * A program announces a range of its first memory and flushes what it stores there, as it would on real persistent memory.
 * In an ordinary run the whole process persists, so that there is nothing to flush and never anything to bring back: the
 * calls are there and do nothing. Under a simulated failure a `PersistentMemory` stands behind them.
 */
import type { HostFunction } from "./machine-host.js";

export interface PersistentMemory {
  /** Makes a range persistent. True: all of it was before a failure, and holds again what survived. */
  announce(address: number, byteLength: number): boolean;
  writeBack(address: number, byteLength: number): void;
  fence(): void;
  /** Down to the medium, in every persistence domain. */
  persist(address: number, byteLength: number): void;
  /** The program has told the outside world that something is done, which must then outlive every failure. */
  promise(count: number): void;
}

/** Parameters and results, by import name: "i" is an i32. */
export const PMEM_SIGNATURES: Readonly<Record<string, readonly [params: string, results: string]>> = {
  pmem: ["ii", "i"],
  clwb: ["ii", ""],
  sfence: ["", ""],
  pmem_persist: ["ii", ""],
  promise: ["i", ""],
};

const NOTHING_TO_DO: PersistentMemory = {
  announce: () => false,
  writeBack: () => undefined,
  fence: () => undefined,
  persist: () => undefined,
  promise: () => undefined,
};

export function pmemCalls(memory: PersistentMemory = NOTHING_TO_DO): Readonly<Record<string, HostFunction>> {
  return {
    pmem: (address, byteLength) => (memory.announce(unsigned(address), unsigned(byteLength)) ? 1 : 0),
    clwb: (address, byteLength) => void memory.writeBack(unsigned(address), unsigned(byteLength)),
    sfence: () => void memory.fence(),
    pmem_persist: (address, byteLength) => void memory.persist(unsigned(address), unsigned(byteLength)),
    promise: (count) => void memory.promise(unsigned(count)),
  };
}

function unsigned(value: number | bigint | undefined): number {
  return Number(value) >>> 0;
}
