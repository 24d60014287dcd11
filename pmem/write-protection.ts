import { closeSync } from "node:fs";
import { BLOCK_PAGES } from "./busy-blocks.js";
import { libc } from "./libc.js";
import { joinedRuns, PAGE_BYTE_LENGTH, type PageRun } from "./page-map.js";

/**
 * Which pages of a range are written after they were protected, by the kernel's asynchronous write protection (userfaultfd
 * with WP_ASYNC, Linux 6.7). The first store to a protected page is a fault that the kernel resolves by itself: nobody has
 * to listen, and page-scan.ts reads the result.
 *
 * Why not map what was saved from its file again, as without it: the next store to each page would copy it, which takes twice
 * as long as this fault, and every run of pages would need a mapping of its own.
 */
export class WriteProtection {
  readonly #descriptor: number;
  readonly #address: number;
  /** Of the kernel, for its struct uffdio_range. */
  readonly #words: BigUint64Array;

  private constructor(descriptor: number, address: number) {
    this.#descriptor = descriptor;
    this.#address = address;
    this.#words = new BigUint64Array(4);
  }

  /**
   * The range may hold anonymous and private mappings, and reserved addresses. Undefined: the kernel is older, or a sandbox
   * does not let us (Docker's, for one). Mappings that replace a part later have none.
   */
  static begin(address: number, byteLength: number): WriteProtection | undefined {
    const { createFaultDescriptor } = libc();
    const descriptor = createFaultDescriptor();
    if (descriptor < 0) return undefined;
    const protection = new WriteProtection(descriptor, address);
    const agreed = protection.#call(UFFDIO.API, [UFFD_API, UFFD_FEATURE_WP_ASYNC, 0n]);
    const range = [BigInt(address), BigInt(byteLength)];
    if (agreed && protection.#call(UFFDIO.REGISTER, [...range, UFFDIO_REGISTER_MODE_WP, 0n])) return protection;
    protection.close();
    return undefined;
  }

  /** In pages of 4 KiB from the range's beginning: these count as not written, and so may some between them. False: not all do. */
  protect(runs: readonly PageRun[]): boolean {
    return joinedRuns(runs, MAX_GAP_PAGES).every(({ page, count }) =>
      this.#call(UFFDIO.WRITEPROTECT, [
        BigInt(this.#address + page * PAGE_BYTE_LENGTH),
        BigInt(count * PAGE_BYTE_LENGTH),
        UFFDIO_WRITEPROTECT_MODE_WP,
      ]),
    );
  }

  /** Nothing is protected any more: every page counts as written. */
  close(): void {
    closeSync(this.#descriptor);
  }

  #call(request: number, words: readonly bigint[]): boolean {
    const { control, addressOf } = libc();
    this.#words.set(words);
    return control(this.#descriptor, request, addressOf(new Uint8Array(this.#words.buffer))) === 0;
  }
}

/** Of linux/userfaultfd.h. */
const UFFDIO = { API: 0xc018aa3f, REGISTER: 0xc020aa00, WRITEPROTECT: 0xc018aa06 } as const;
const UFFD_API = 0xaan;
const UFFD_FEATURE_WP_ASYNC = 1n << 15n;
const UFFDIO_REGISTER_MODE_WP = 2n;
const UFFDIO_WRITEPROTECT_MODE_WP = 1n;
/**
 * To pass over clean pages takes less than another call; to mark those that were never touched costs their first store a fault. Less
 * than a block that is left out on purpose.
 */
const MAX_GAP_PAGES = BLOCK_PAGES - 1;
