import { readFileSync } from "node:fs";
import { libc, MADV_POPULATE_WRITE, PROT } from "./libc.js";

/**
 * Huge pages for a memory that the engine grows by its access rights: it reserves addresses, and makes those accessible that
 * the guest may use.
 *
 * A fault costs about as much for 2 MiB as for 4 KiB; on a virtual machine, up to ten microseconds. But the kernel uses a
 * huge page only where all of its addresses are accessible at the first touch, and a program whose allocator asks for
 * 64 KiB at a time never has that. So the block that a growth ends in is filled while nobody runs: made accessible, touched,
 * and made inaccessible again. The engine then grants its parts as the program asks for them.
 *
 * All of it is advice: where the kernel declines, memory is as it would have been. Memory of less than a block is left alone.
 */
export class HugePages {
  readonly #address: number;
  readonly #end: number;
  /** Undefined: not asked for yet; 0: there are none. */
  #blockByteLength: number | undefined;

  /** `address`: a page's. */
  constructor(address: number, reservedByteLength: number) {
    this.#address = address;
    this.#end = address + reservedByteLength;
  }

  /** The memory is so long from the beginning. */
  use(byteLength: number): void {
    if (byteLength > LEAST_BYTE_LENGTH) this.#advised();
  }

  /** Call before the engine grows the memory from one length to another; it may still fail to. */
  grow(from: number, to: number): void {
    if (to <= LEAST_BYTE_LENGTH) return;
    const block = this.#advised();
    if (block === 0) return;
    const end = this.#address + to;
    const start = Math.floor((end - 1) / block) * block;
    // Entered before, or accessible as a whole: then the first touch brings it.
    if (start < this.#address + from || end % block === 0 || start + block > this.#end) return;
    const { protect, advise } = libc();
    if (protect(start, block, PROT.READ | PROT.WRITE) === 0) advise(start, block, MADV_POPULATE_WRITE);
    protect(start, block, PROT.NONE);
  }

  #advised(): number {
    if (this.#blockByteLength === undefined) {
      this.#blockByteLength = hugePageByteLength();
      const { advise } = libc();
      if (this.#blockByteLength > 0) advise(this.#address, this.#end - this.#address, MADV_HUGEPAGE);
    }
    return this.#blockByteLength;
  }
}

const MADV_HUGEPAGE = 14;
const LEAST_BYTE_LENGTH = 2 ** 21;
/** Larger ones, as arm64 has with pages of 64 KiB, would waste more than they give. */
const LARGEST = 2 ** 21;
const SETTINGS = "/sys/kernel/mm/transparent_hugepage";

function hugePageByteLength(): number {
  try {
    if (readFileSync(`${SETTINGS}/enabled`, "latin1").includes("[never]")) return 0;
    const byteLength = Number(readFileSync(`${SETTINGS}/hpage_pmd_size`, "latin1"));
    return byteLength <= LARGEST ? byteLength : 0;
  } catch {
    return 0;
  }
}
