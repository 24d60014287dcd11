/**
 * The energy that is left when the power has failed, for tests: so many bytes can still be written, and then nothing.
 *
 * From `begin` on every write is counted. The one at which the energy ends is cut at the byte; behind it nothing reaches the
 * disk any more, but is counted on, so that it can be told how much would have been needed. What comes behind the header's
 * flush is not: the save is made by then.
 */
import type { Cut, HoldupEnergy } from "./holdup-energy.js";
import { HEADER_NAME } from "./names.js";
import type { ImageStorage, StorageFile } from "./storage.js";

export class Holdup {
  readonly #heldByteLength: number;
  /** Undefined: the power is on. */
  #written: number | undefined;
  /** Bytes up to the header's flush. */
  #needed: number | undefined;

  constructor({ milliseconds, bytesPerSecond }: HoldupEnergy) {
    this.#heldByteLength = Math.floor((milliseconds / 1000) * bytesPerSecond);
  }

  /** The power fails now. */
  begin(): void {
    this.#written ??= 0;
  }

  /** Undefined: all that was written fits. */
  get cut(): Cut | undefined {
    const neededByteLength = this.#needed ?? 0;
    if (neededByteLength <= this.#heldByteLength) return undefined;
    return { neededByteLength, heldByteLength: this.#heldByteLength };
  }

  get #isGone(): boolean {
    return (this.#written ?? 0) > this.#heldByteLength;
  }

  readonly wrap = (inner: ImageStorage): ImageStorage => ({
    create: (name) => (this.#isGone ? nowhere(this) : this.#wrapFile(inner.create(name))),
    open: (name) => this.#wrapFile(inner.open(name), name === HEADER_NAME),
    openShared: (name) => this.#wrapFile(inner.openShared(name)),
    rename: (from, to) => this.#unlessGone(() => inner.rename(from, to)),
    remove: (name) => this.#unlessGone(() => inner.remove(name)),
    syncDirectory: () => this.#unlessGone(() => inner.syncDirectory()),
    flushRegion: (name, region) => {
      this.#take(region.byteLength);
      this.#unlessGone(() => inner.flushRegion(name, region));
    },
  });

  #wrapFile(inner: StorageFile, isHeader = false): StorageFile {
    return {
      descriptor: inner.descriptor,
      write: (chunks, position) => {
        const byteLength = totalOf(chunks);
        const left = this.#take(byteLength);
        if (left >= byteLength) inner.write(chunks, position);
        // A slot ends in zeros that are there already: without them it is whole all the same, so it is cut in front of it.
        else if (left > 0 && !isHeader) inner.write([Buffer.concat(chunks).subarray(0, left)], position);
      },
      sync: () => {
        this.#unlessGone(() => inner.sync());
        if (isHeader) this.#needed ??= this.#written;
      },
      release: (position, byteLength) => this.#unlessGone(() => inner.release(position, byteLength)),
      close: () => inner.close(),
    };
  }

  /** How much of it can still be written. */
  #take(byteLength: number): number {
    if (this.#written === undefined) return byteLength;
    const left = Math.max(0, this.#heldByteLength - this.#written);
    this.#written += byteLength;
    return Math.min(left, byteLength);
  }

  #unlessGone(action: () => void): void {
    if (!this.#isGone) action();
  }

  /** Counts what would have been written. */
  count(chunks: readonly Uint8Array[]): void {
    this.#take(totalOf(chunks));
  }
}

/** A file that was to be created when nothing could be written any more. */
function nowhere(holdup: Holdup): StorageFile {
  return {
    descriptor: -1,
    write: (chunks) => holdup.count(chunks),
    sync: () => {},
    release: () => {},
    close: () => {},
  };
}

function totalOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
