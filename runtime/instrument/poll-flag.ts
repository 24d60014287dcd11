/**
 * Where the word lies that polls of the "flag" form look at: in the guard region behind linear memory.
 *
 * The engine reserves 8 GiB of addresses for a memory, as far as an index and a static offset together can reach, and lets
 * the processor find accesses out of bounds: code checks nothing. One page there is made accessible. What the polls load
 * with the last index and a large offset then is a word that another thread can set, at the price of a load and a branch.
 *
 * The guest must not reach it: with the largest index of all, its own accesses end below the page, since their
 * static offsets are smaller. A module with an offset that is not keeps its counters. docs/rationale.md#flags
 */
import { MOST_MEMORY_PAGES, type Module, WASM_PAGE_BYTE_LENGTH } from "../wasm/module.js";
import type { CodeFeatures } from "./body-scanner.js";

/** The largest page of the kernels that we run on. */
const FLAG_PAGE_BYTES = 65_536;
const LARGEST_ACCESS_BYTES = 16;

/** An address in memory 0, as a load has it. */
export interface FlagPlace {
  /** i32, negative: a number of 32 bits from the end. */
  readonly index: number;
  readonly offset: number;
  /** Index and offset together: bytes from the beginning of the memory. */
  readonly distance: number;
}

/** Undefined: the module has no memory for it, or could reach the page. */
export function flagPlace({ memories }: Module, { largestOffset }: CodeFeatures): FlagPlace | undefined {
  const memory = memories[0];
  if (memory === undefined) return undefined;
  const end = Math.min(memory.maximum ?? MOST_MEMORY_PAGES, MOST_MEMORY_PAGES) * WASM_PAGE_BYTE_LENGTH;
  // The engine refuses offsets behind the end of the longest memory that the module may have.
  const offset = end - FLAG_PAGE_BYTES;
  const distance = 2 ** 32 - FLAG_PAGE_BYTES + offset;
  if (offset < 0 || largestOffset + 2 ** 32 + LARGEST_ACCESS_BYTES > distance) return undefined;
  return { index: -FLAG_PAGE_BYTES, offset, distance };
}
