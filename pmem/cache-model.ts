/**
 * What a simulated power failure leaves of persistent memory: the cache between stores and the medium.
 *
 * Stores are kept by 64-byte line, in program order, until they are surely on the medium. A line's stores reach it in that
 * order (x86 keeps stores to one line in order), those of different lines in any. A store is cut at 8-byte words: each word
 * is whole or not there, and the words of one store that spans several come in any order. A write-back makes what its line
 * has stored so far durable at the next fence; it may also be durable before, as any other store may.
 *
 * C1  `medium` holds what every failure from now on leaves; a line's `stores` are those that one may leave or take.
 * C2  `written` is the medium with all stores: what the program sees.
 * C3  A line's first `flushed` stores were written back since the last fence.
 * C4  A range begins with what it held when it was announced, durable, as a file has what it was created with.
 *
 * Under `eadr` a store is durable at once (but the words of the last, in program order, may be torn); under `none` only
 * what was persisted to the medium by an explicit call is, and lines that were written back are lost like others.
 */
import { invariant } from "./error.js";

/** The persistence domain: up to where a store must have come to outlive a failure. */
export type PersistenceDomain = "eadr" | "adr" | "none";

export const LINE_BYTE_LENGTH = 64;
const WORD_BYTE_LENGTH = 8;

/** Bytes that reach the medium together. */
export interface Piece {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** What one store put into one line. */
export interface LineStore {
  /** In program order, over all lines; the parts of a store in several lines have the same. */
  readonly sequence: number;
  readonly pieces: readonly Piece[];
}

interface Line {
  stores: LineStore[];
  flushed: number;
}

/** A range of persistent memory. */
export interface PersistentRange {
  readonly address: number;
  readonly medium: Uint8Array;
  readonly written: Uint8Array;
}

export class CacheModel {
  readonly domain: PersistenceDomain;
  readonly #ranges: PersistentRange[] = [];
  /** Dirty lines by number, the longest dirty first. */
  readonly #lines = new Map<number, Line>();
  readonly #flushedLines = new Set<number>();
  #sequence = 0;

  constructor(domain: PersistenceDomain) {
    this.domain = domain;
  }

  get ranges(): readonly PersistentRange[] {
    return this.#ranges;
  }

  /** Stores so far; the sequence number of the last. */
  get storeCount(): number {
    return this.#sequence;
  }

  /** Makes a range persistent. What of it is persistent already stays as it is. */
  announce(address: number, bytes: Uint8Array): void {
    for (const [from, to] of this.#missing(address, address + bytes.length)) {
      const held = bytes.slice(from - address, to - address);
      this.#ranges.push({ address: from, medium: held, written: held.slice() });
    }
    this.#ranges.sort((a, b) => a.address - b.address);
  }

  /** The parts of [from, to) that are in no range. */
  #missing(from: number, to: number): [from: number, to: number][] {
    const missing: [number, number][] = [];
    let at = from;
    for (const { address, medium } of this.#ranges) {
      if (address + medium.length <= at || address >= to) continue;
      if (address > at) missing.push([at, address]);
      at = address + medium.length;
    }
    if (at < to) missing.push([at, to]);
    return missing;
  }

  /** The program has stored; `bytes` is memory, in which the bytes are already. False: nothing persistent. */
  store(address: number, byteLength: number, memory: Uint8Array): boolean {
    let touched = false;
    for (const range of this.#ranges) {
      const from = Math.max(address, range.address);
      const to = Math.min(address + byteLength, range.address + range.medium.length);
      if (from >= to) continue;
      if (!touched) {
        if (this.domain === "eadr") this.#settleAll(); // what came before is durable once the next is made
        this.#sequence++;
      }
      touched = true;
      range.written.set(memory.subarray(from, to), from - range.address);
      for (let at = from; at < to; ) {
        const end = Math.min(to, endOfBlock(at, LINE_BYTE_LENGTH));
        this.#lineOf(at).stores.push({ sequence: this.#sequence, pieces: piecesOf(at, end, memory) });
        at = end;
      }
    }
    return touched;
  }

  /** The program has gone on from its last store to something else: under eADR that store is whole. */
  goOn(): void {
    if (this.domain === "eadr") this.#settleAll();
  }

  #settleAll(): void {
    for (const { stores } of this.#lines.values()) for (const store of stores) this.#apply(store);
    this.#lines.clear();
  }

  /**
   * Takes what has changed in memory without being told: what the host wrote, or, for programs that are not tracked, all
   * stores. Their order is unknown, so the words of each changed line count as one store.
   */
  absorb(memory: Uint8Array): boolean {
    let changed = false;
    for (const range of this.#ranges) {
      const { address, written } = range;
      const end = address + written.length;
      if (Buffer.compare(memory.subarray(address, end), written) === 0) continue;
      changed = true;
      for (let at = address; at < end; at = endOfBlock(at, LINE_BYTE_LENGTH)) {
        const words = changedWords(range, memory, at, Math.min(end, endOfBlock(at, LINE_BYTE_LENGTH)));
        if (words !== undefined) this.store(words.from, words.to - words.from, memory);
      }
    }
    return changed;
  }

  #lineOf(address: number): Line {
    const number = Math.floor(address / LINE_BYTE_LENGTH);
    let line = this.#lines.get(number);
    if (line === undefined) {
      line = { stores: [], flushed: 0 };
      this.#lines.set(number, line);
    }
    return line;
  }

  /** Begins to write lines back. Returns whether any of them was dirty. */
  writeBack(address: number, byteLength: number): boolean {
    if (byteLength === 0 || this.domain === "eadr") return false;
    let dirty = false;
    const last = Math.floor((address + byteLength - 1) / LINE_BYTE_LENGTH);
    for (let number = Math.floor(address / LINE_BYTE_LENGTH); number <= last; number++) {
      const line = this.#lines.get(number);
      if (line === undefined || line.stores.length === line.flushed) continue;
      dirty = true;
      line.flushed = line.stores.length; // C3
      this.#flushedLines.add(number);
    }
    return dirty;
  }

  /** What was written back is durable now. */
  fence(): void {
    if (this.domain === "none") return; // it has left the cache, and is in memory that loses it
    this.goOn();
    this.#settle();
  }

  /** Makes a range durable down to the medium, whatever the domain. */
  persist(address: number, byteLength: number): void {
    if (byteLength === 0) return;
    this.writeBack(address, byteLength);
    if (this.domain !== "none") {
      this.fence();
      return;
    }
    const first = Math.floor(address / LINE_BYTE_LENGTH);
    const last = Math.floor((address + byteLength - 1) / LINE_BYTE_LENGTH);
    this.#settle((number) => number >= first && number <= last);
  }

  #settle(wanted: (line: number) => boolean = () => true): void {
    for (const number of this.#flushedLines) {
      if (!wanted(number)) continue;
      this.#flushedLines.delete(number);
      const line = this.#lines.get(number);
      invariant(line !== undefined, `line ${number} was written back and is dirty`); // C3
      for (const store of line.stores.splice(0, line.flushed)) this.#apply(store);
      line.flushed = 0;
      if (line.stores.length === 0) this.#lines.delete(number);
    }
  }

  #apply({ pieces }: LineStore): void {
    for (const piece of pieces) {
      const range = this.#ranges.find(
        ({ address, medium }) => piece.address >= address && piece.address < address + medium.length,
      );
      range?.medium.set(piece.bytes, piece.address - range.address);
    }
  }

  /** The stores of each dirty line, oldest first, that a failure now may leave or take. */
  dirtyLines(): (readonly LineStore[])[] {
    if (this.domain === "none") return [];
    return [...this.#lines.values()].map(({ stores }) => stores);
  }
}

function endOfBlock(address: number, byteLength: number): number {
  return (Math.floor(address / byteLength) + 1) * byteLength;
}

function piecesOf(from: number, to: number, memory: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  for (let at = from; at < to; ) {
    const end = Math.min(to, endOfBlock(at, WORD_BYTE_LENGTH));
    pieces.push({ address: at, bytes: memory.slice(at, end) });
    at = end;
  }
  return pieces;
}

/** From the first to the last changed word of [at, end); undefined: nothing has changed. */
function changedWords(
  { address: base, written }: PersistentRange,
  memory: Uint8Array,
  at: number,
  end: number,
): { readonly from: number; readonly to: number } | undefined {
  const differs = (address: number): boolean => written[address - base] !== memory[address];
  let first = at;
  while (first < end && !differs(first)) first++;
  if (first === end) return undefined;
  let last = end - 1;
  while (!differs(last)) last--;
  const from = Math.max(at, endOfBlock(first, WORD_BYTE_LENGTH) - WORD_BYTE_LENGTH);
  return { from, to: Math.min(end, endOfBlock(last, WORD_BYTE_LENGTH)) };
}
