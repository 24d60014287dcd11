import { readSync } from "node:fs";
import { BusyBlocks } from "./busy-blocks.js";
import { attempt, errnoError, invariant, VermilionError } from "./error.js";
import { ENODEV, libc, MAP, PROT } from "./libc.js";
import type { AddressOwner, MemoryBacking } from "./memory-backing.js";
import {
  type Extent,
  endOf,
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  remainingRuns,
  unitedRuns,
} from "./page-map.js";
import { PageScan } from "./page-scan.js";
import { checkReservation } from "./reservation.js";
import { WriteProtection } from "./write-protection.js";

/**
 * A memory whose saved pages lie in a page store, mapped MAP_PRIVATE where they belong; all else is the engine's own
 * anonymous memory, which is zeros until it is written. The kernel copies a page at its first store, so the store's file
 * never changes under a running guest, and a process that is killed has changed nothing.
 *
 * V1  As long as it is attached, the pages of the store that it mapped may not be written again: a page that the guest has
 *     not written is still read from there (`mapped`).
 * V2  While attached it holds the owner: V8 unmaps a memory's range when it collects the memory.
 * V3  close() gives the range back as the owner made it. Later loads read zeros, and no change of the file, by whoever
 *     holds the image then, reaches the process.
 * V4  Once settled, a page that was written is protected, where the kernel can (`#protection`), or counts as written at the next
 *     save, too (`#busy`); where it cannot, it is mapped from the store again. A page that is still mapped from where it lay at
 *     attach (`#fromStore`) becomes our own before that place is given up.
 */
export interface StoreAccess {
  readonly path: string;
  /** The open file that a page of the store lies in, and where, in bytes. */
  placeOf(storePage: number): { readonly descriptor: number; readonly position: number };
  /** Why a save of memories that are `moreBytes` longer together might not fit on the disk; undefined: it would fit. */
  lackOfRoom(moreBytes: number): VermilionError | undefined;
}

interface Attachment {
  readonly owner: AddressOwner;
  readonly address: number;
  readonly reservedByteLength: number;
}

export class PrivateMemory implements MemoryBacking {
  readonly #store: StoreAccess;
  #mapped: PageMap;
  #byteLength: number;
  #attachment: Attachment | undefined;
  /** As long as it is attached. */
  #scan: PageScan | undefined;
  /** V4. */
  #fromStore: readonly PageRun[] = [];
  /** Null: this kernel cannot; undefined: nothing was settled yet. */
  #protection: WriteProtection | null | undefined;
  /** As long as there is protection. */
  #busy: BusyBlocks | undefined;
  #refusal: VermilionError | undefined;
  #closed = false;

  /** `map` lies within `byteLength` and within the store's file: whoever read it has checked that. */
  constructor(store: StoreAccess, byteLength: number, map: PageMap) {
    this.#store = store;
    this.#byteLength = byteLength;
    this.#mapped = map;
  }

  get path(): string {
    return this.#store.path;
  }

  /** V1. */
  get mapped(): PageMap {
    return this.#mapped;
  }

  /** The owner's, once attached: its growth may fail after grow() has allowed it. */
  get byteLength(): number {
    return this.#attachment?.owner.buffer.byteLength ?? this.#byteLength;
  }

  get address(): number {
    return this.#attached.address;
  }

  get growthRefusal(): VermilionError | undefined {
    return this.#refusal;
  }

  /** The owner's bytes must be untouched. REGION_RESERVATION, OUT_OF_MEMORY, IO_ERROR, PLATFORM_UNSUPPORTED, FFI_MISSING. */
  attach(owner: AddressOwner, reservedByteLength: number): void {
    invariant(!this.#closed && this.#attachment === undefined, `a memory of ${this.path} is attached once`);
    invariant(owner.buffer.byteLength === this.#byteLength, `${this.path}: owner and saved memory differ in length`);
    const address = libc().addressOf(new Uint8Array(owner.buffer));
    // One that cannot grow never moves, and needs no reservation.
    if (reservedByteLength > this.#byteLength) {
      checkReservation(this.path, address, this.#byteLength, reservedByteLength);
    }
    this.#attachment = { owner, address, reservedByteLength };
    this.#scan = new PageScan();
    for (const extent of this.#mapped) this.#place(this.#attachment, extent);
    this.#fromStore = this.#mapped;
  }

  /**
   * V4. What the memory holds now is saved, lies where `map` says, and counts as unchanged from here on: `written`, as
   * written() gave it, and `saved`, the extents that were saved for it or along with it.
   */
  settle(map: PageMap, written: readonly PageRun[], saved: PageMap): void {
    const attachment = this.#attachment;
    invariant(attachment !== undefined || saved.length === 0, "only attached memory has changed");
    this.#mapped = map;
    if (attachment === undefined || (written.length === 0 && saved.length === 0)) return;
    const { address, reservedByteLength } = attachment;
    if (this.#protection === undefined) this.#protection = WriteProtection.begin(address, reservedByteLength) ?? null;
    if (this.#protection !== null) {
      const places = unitedRuns(written, saved);
      this.#fromStore = remainingRuns(this.#fromStore, written);
      const left = remainingRuns(this.#fromStore, saved);
      for (const run of remainingRuns(this.#fromStore, left)) this.#makeOwn(run);
      this.#fromStore = left;
      this.#busy ??= new BusyBlocks(reservedByteLength);
      if (this.#protection.protect(remainingRuns(places, this.#busy.unprotected(written)))) return;
      this.#protection.close();
      this.#protection = null;
    }
    for (const extent of saved) this.#place(attachment, extent);
  }

  get #attached(): Attachment {
    invariant(this.#attachment !== undefined, "only attached memory is looked at");
    return this.#attachment;
  }

  /** A store of what is there already. */
  #makeOwn({ page, count }: PageRun): void {
    for (const bytes of this.views({ page, count })) {
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
      for (let at = 0; at < words.length; at += libc().pageByteLength / 4) Atomics.or(words, at, 0);
    }
  }

  grow(byteLength: number): boolean {
    invariant(byteLength >= this.byteLength, "a memory never shrinks");
    this.#refusal = this.#store.lackOfRoom(byteLength - this.byteLength);
    if (this.#refusal !== undefined) return false;
    this.#byteLength = byteLength;
    return true;
  }

  /** Pages that may differ from `mapped`, of which some may not after all. */
  written(): PageRun[] {
    if (this.#attachment === undefined || this.#scan === undefined || this.byteLength === 0) return [];
    return this.#scan.written(this.#attachment.address, this.byteLength);
  }

  /** All of it; gone once the guest runs. */
  get words(): Int32Array {
    return new Int32Array(this.#attached.owner.buffer);
  }

  /** The bytes themselves, not a copy; gone once the guest runs. At most 1 GiB each, because of Node's limits. */
  views({ page, count }: PageRun): Uint8Array[] {
    const { buffer } = this.#attached.owner;
    const pieces: Uint8Array[] = [];
    for (let from = page; from < page + count; from += LARGEST_PIECE) {
      const length = Math.min(LARGEST_PIECE, page + count - from);
      pieces.push(new Uint8Array(buffer, from * PAGE_BYTE_LENGTH, length * PAGE_BYTE_LENGTH));
    }
    return pieces;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const [first, last] = [this.#mapped[0], this.#mapped.at(-1)];
    const attachment = this.#attachment;
    this.#attachment = undefined;
    this.#scan?.close();
    this.#protection?.close();
    this.#byteLength = attachment?.owner.buffer.byteLength ?? this.#byteLength;
    if (attachment === undefined || first === undefined || last === undefined) return;
    const from = attachment.address + first.page * PAGE_BYTE_LENGTH;
    const byteLength = (endOf(last) - first.page) * PAGE_BYTE_LENGTH;
    const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE;
    const errno = libc().mapFixed(from, byteLength, PROT.READ | PROT.WRITE, flags, -1, 0); // V3
    if (errno !== 0) throw errnoError("unmap the memory", this.path, errno);
  }

  #place({ owner, address }: Attachment, extent: Extent): void {
    const { pageByteLength, mapFixed } = libc();
    const from = extent.page * PAGE_BYTE_LENGTH;
    const byteLength = extent.count * PAGE_BYTE_LENGTH;
    const { descriptor, position } = this.#store.placeOf(extent.storePage);
    // An image from a kernel with smaller pages is read where its extents do not fit ours.
    const fits = [from, byteLength, position].every((bytes) => bytes % pageByteLength === 0);
    const errno = fits
      ? mapFixed(address + from, byteLength, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.NORESERVE, descriptor, position)
      : ENODEV;
    if (errno === ENODEV) this.#read(owner, { from, byteLength }, descriptor, position);
    else if (errno !== 0) throw errnoError("map the saved memory", this.path, errno);
  }

  #read(
    owner: AddressOwner,
    { from, byteLength }: { readonly from: number; readonly byteLength: number },
    descriptor: number,
    position: number,
  ): void {
    const bytes = new Uint8Array(owner.buffer, from, byteLength);
    for (let filled = 0; filled < byteLength; ) {
      const length = Math.min(byteLength - filled, LARGEST_PIECE * PAGE_BYTE_LENGTH);
      const count = attempt("read the saved memory", this.path, () =>
        readSync(descriptor, bytes, filled, length, position + filled),
      );
      if (count === 0) throw new VermilionError("IO_ERROR", `${this.path}: it became shorter while it was read`);
      filled += count;
    }
  }
}

const LARGEST_PIECE = 2 ** 30 / PAGE_BYTE_LENGTH;
