import { appendRun, endOf, PAGE_BYTE_LENGTH, type PageRun } from "./page-map.js";

/** 64 KiB: long enough that a protected run is seldom cut in pieces, each a call; no kernel's page is longer. */
export const BLOCK_PAGES = 16;
/** Of a block that is called busy. What is not written after all and saved along is so at most a seventh more. */
const BUSY_PAGES = 14;
/** In saves. */
const LONGEST_UNPROTECTED = 8;

/**
 * Blocks of a memory that the guest writes all the time. Which pages have changed is found out by protecting them, and the next
 * store to each is a fault of 1 to 2 us; of a block in which nearly every page is written between any two saves it is known
 * beforehand. So such a block stays unprotected for some saves, and all its pages count as written: docs/rationale.md#moments.
 *
 * B1  What is found in a block says something only if it was protected at the save before (`#unprotectedFor` is 0).
 * B2  Found busy twice in a row it stays unprotected for one save, then is looked at again, and if it is busy still stays so for
 *     two, four, and eight: a phase of the program that has ended is written on at most that often.
 */
export class BusyBlocks {
  /** How often in a row a block was found busy. */
  readonly #timesBusy: Uint8Array;
  /** The save at which something was found in it last. */
  readonly #foundAt: Uint32Array;
  readonly #unprotectedFor: Uint8Array;
  #save = 0;

  /** `byteLength`: of the memory, as long as it may become. */
  constructor(byteLength: number) {
    const blockCount = Math.ceil(byteLength / (BLOCK_PAGES * PAGE_BYTE_LENGTH));
    this.#timesBusy = new Uint8Array(blockCount);
    this.#foundAt = new Uint32Array(blockCount);
    this.#unprotectedFor = new Uint8Array(blockCount);
  }

  /** Once for each save; `written`: the pages that it has found, sorted. The result: whole blocks that are not to be protected. */
  unprotected(written: readonly PageRun[]): PageRun[] {
    this.#save++;
    const result: PageRun[] = [];
    let [block, pageCount] = [-1, 0];
    const leave = () => {
      if (block >= 0 && this.#staysUnprotected(block, pageCount)) appendRun(result, block * BLOCK_PAGES, BLOCK_PAGES);
    };
    for (const run of written) {
      for (let from = run.page; from < endOf(run); ) {
        const next = Math.floor(from / BLOCK_PAGES);
        if (next !== block) {
          leave();
          [block, pageCount] = [next, 0];
        }
        const to = Math.min(endOf(run), (block + 1) * BLOCK_PAGES);
        pageCount += to - from;
        from = to;
      }
    }
    leave();
    return result;
  }

  #staysUnprotected(block: number, pageCount: number): boolean {
    const wasFoundBefore = this.#foundAt[block] === this.#save - 1;
    this.#foundAt[block] = this.#save;
    const before = this.#unprotectedFor[block] ?? 0;
    const left = before > 0 ? before - 1 : this.#lookedAt(block, pageCount, wasFoundBefore); // B1
    this.#unprotectedFor[block] = left;
    return left > 0;
  }

  /** B2. For how many saves a block stays unprotected of which so much was written since it was protected. */
  #lookedAt(block: number, pageCount: number, wasFoundBefore: boolean): number {
    const times = wasFoundBefore ? (this.#timesBusy[block] ?? 0) : 0;
    const timesBusy = pageCount >= BUSY_PAGES ? Math.min(times + 1, 255) : 0;
    this.#timesBusy[block] = timesBusy;
    return timesBusy < 2 ? 0 : Math.min(2 ** (timesBusy - 2), LONGEST_UNPROTECTED);
  }
}
