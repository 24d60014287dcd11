import { fstatSync } from "node:fs";
import { attempt } from "../../../pmem/error.js";
import type { Commit } from "./commit.js";
import { imageError } from "./damage.js";
import { encodeSlot, type ImageHeader, SLOT_BYTE_LENGTH } from "./header.js";
import type { StorageFile } from "./storage.js";

/**
 * The header of an image that this process holds: the slot that is current, and the writing of the other one (H3 in header.ts).
 *
 * I4  After a failed flush of memory, header or state file nobody knows what the disk holds: no further transition. Whatever
 *     must be durable is done by durably(), and each transition begins with check().
 */
export class HeaderSlots {
  readonly #path: string;
  readonly #file: StorageFile;
  readonly #memoryByteLengths: () => readonly number[];
  #current: ImageHeader;
  #poison: unknown;

  /** Of the header file, which it closes. The lengths, in bytes, go into each slot that it writes. */
  constructor(path: string, file: StorageFile, current: ImageHeader, memoryByteLengths: () => readonly number[]) {
    this.#path = path;
    this.#file = file;
    this.#current = current;
    this.#memoryByteLengths = memoryByteLengths;
  }

  get current(): ImageHeader {
    return this.#current;
  }

  /** Whether the file that they are in is still the header of some image: false when that was removed. */
  get exist(): boolean {
    return attempt("examine", this.#path, () => fstatSync(this.#file.descriptor).nlink > 0);
  }

  get poisoned(): boolean {
    return this.#poison !== undefined;
  }

  /** IMAGE_POISONED (I4). */
  check(): void {
    if (this.#poison === undefined) return;
    const reason = "an earlier flush failed, so what the disk holds is unknown";
    const next = "look after the disk, then open the image again";
    throw imageError("IMAGE_POISONED", this.#path, reason, next, this.#poison);
  }

  /** I4. */
  durably(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#poison = error;
      throw error;
    }
  }

  /** The current header with these changes, as it will be written. */
  changed(changes: Partial<ImageHeader>): ImageHeader {
    return {
      ...this.#current,
      ...changes,
      sequence: this.#current.sequence + 1,
      memoryByteLengths: this.#memoryByteLengths(),
      writtenAt: Date.now(),
    };
  }

  /** Makes it current, durably before this returns. */
  flip(changes: Partial<ImageHeader>): void {
    const header = this.changed(changes);
    const { bytes, position } = this.writeOf(header);
    this.durably(() => {
      this.#file.write([bytes], position); // H3
      this.#file.sync();
    });
    this.#current = header;
  }

  writeOf(header: ImageHeader): Commit["header"] {
    const position = SLOT_BYTE_LENGTH * (header.sequence % 2);
    return { descriptor: this.#file.descriptor, bytes: encodeSlot(header), position };
  }

  /** Somebody else has written it, durably. */
  adopt(header: ImageHeader): void {
    this.#current = header;
  }

  close(): void {
    this.#file.close();
  }
}
