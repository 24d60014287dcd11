import { closeSync, constants, fdatasyncSync, fstatSync, ftruncateSync, openSync, statfsSync } from "node:fs";
import { attempt, errnoError, invariant, systemError, VermilionError } from "./error.js";
import { libc, MAP, PROT } from "./libc.js";
import type { AddressOwner, MemoryBacking } from "./memory-backing.js";
import { checkReservation } from "./reservation.js";

/**
 * A region: a file and its shared mapping over a range of addresses that somebody else reserved.
 *
 *     address              + byteLength                        + reservedByteLength
 *     | file, read-write   | file (not there yet), no access   | whatever the owner keeps there: never touched
 *
 * R1  The file is never shorter than byteLength: no access below byteLength meets SIGBUS for want of a file.
 * R2  The mapping never passes the owner's reservation, which is checked against /proc/self/maps before it is replaced.
 * R3  While attached, the region holds the owner. V8 unmaps a memory's range when it collects the memory, and the kernel
 *     may give the range to anyone; as long as we hold the owner, the range is ours to map and to restore.
 * R4  close() gives the range back as the owner made it: anonymous memory, same access. Later stores through the owner
 *     reach no file (someone else may hold the image by then), and loads read zeros instead of killing the process.
 * R5  After a failed flush nothing may be claimed durable ever again: the kernel has dropped the dirty marks. Poisoned.
 *
 * What cannot be had: a store into a hole of a sparse file on a disk that has filled up meanwhile is a SIGBUS. grow()
 * therefore asks for room for every page promised so far, holes included, but others can take that room later.
 */

/** All lengths are multiples of this: the largest page of the supported kernels (arm64 has 4, 16 and 64 KiB). */
export const REGION_GRANULE = 65_536;

interface Attachment {
  readonly owner: AddressOwner;
  readonly address: number;
  readonly reservedByteLength: number;
}

export class Region implements MemoryBacking {
  readonly path: string;
  readonly #descriptor: number;
  #byteLength: number;
  #attachment: Attachment | undefined;
  #closed = false;
  #poison: VermilionError | undefined;
  #refusal: VermilionError | undefined;

  private constructor(path: string, descriptor: number, byteLength: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#byteLength = byteLength;
  }

  /** A new, empty file (mode 0600). ALREADY_EXISTS, DISK_FULL, READ_ONLY, PERMISSION_DENIED, NOT_FOUND. */
  static create(path: string): Region {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const descriptor = attempt("create the region", path, () =>
      openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
    return new Region(path, descriptor, 0);
  }

  /** REGION_LENGTH: the file is longer or shorter. SYMLINK_REFUSED, NOT_A_FILE, and what `create` throws. */
  static open(path: string, byteLength: number): Region {
    checkLength(byteLength);
    const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants; // O_NONBLOCK: a pipe in the file's place must not block us
    const descriptor = attempt("open the region", path, () => openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
    try {
      const stat = attempt("examine the region", path, () => fstatSync(descriptor));
      if (!stat.isFile()) throw new VermilionError("NOT_A_FILE", `${path}: a region must be a plain file`);
      if (stat.nlink > 1) {
        const reason = "a region is written in place, and this file has a second name elsewhere";
        throw new VermilionError("NOT_A_FILE", `${path}: ${reason}; copy it`);
      }
      if (stat.size !== byteLength) {
        const relation = stat.size < byteLength ? "shorter" : "longer";
        throw new VermilionError(
          "REGION_LENGTH",
          `${path}: the region is ${relation} than recorded: ${stat.size} bytes instead of ${byteLength}; ` +
            "it was cut, replaced or copied while in use, so restore it from a copy",
        );
      }
      return new Region(path, descriptor, byteLength);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Of byte 0; never moves while attached. */
  get address(): number {
    invariant(this.#attachment !== undefined, "an address needs an attached region");
    return this.#attachment.address;
  }

  /** Why the last grow() returned false: DISK_FULL, REGION_RESERVATION. Undefined if the last one succeeded. */
  get growthRefusal(): VermilionError | undefined {
    return this.#refusal;
  }

  /**
   * Maps the file over the owner's bytes, whose contents are lost; the owner's length must be the region's.
   *
   * `reservedByteLength`: the declared maximum of the memory, in bytes. V8 reserves at least that much whenever it can
   * grow in place (it reserves more, but documents none of it), and its own growth then makes file pages accessible.
   * MMAP_UNSUPPORTED, REGION_RESERVATION, PLATFORM_UNSUPPORTED, FFI_MISSING, OUT_OF_MEMORY: nothing was changed.
   */
  attach(owner: AddressOwner, reservedByteLength: number): void {
    this.#checkUsable();
    checkLength(reservedByteLength);
    invariant(this.#attachment === undefined, `${this.path} is attached already`);
    const byteLength = this.#byteLength;
    invariant(owner.buffer.byteLength === byteLength, `${this.path}: owner and region differ in length`);
    invariant(byteLength <= reservedByteLength, `${this.path}: longer than its reservation`);
    const system = libc();
    const address = system.addressOf(new Uint8Array(owner.buffer));
    if (reservedByteLength > 0) {
      // Probed elsewhere first: a kernel that refuses a fixed mapping late has already removed what was there.
      const refused = system.probeMapping(this.#descriptor);
      if (refused !== 0) throw errnoError("map the region", this.path, refused);
      checkReservation(this.path, address, byteLength, reservedByteLength); // R2
      const errno = mapRange(address, byteLength, reservedByteLength, MAP.SHARED, this.#descriptor);
      if (errno !== 0) {
        mapRange(address, byteLength, reservedByteLength, ANONYMOUS, -1);
        throw errnoError("map the region", this.path, errno);
      }
    }
    this.#attachment = { owner, address, reservedByteLength };
  }

  /**
   * Call before the owner grows: the file must have the pages before they become accessible (R1). The new bytes read
   * as zeros. False: no room on the disk or in the reservation (see growthRefusal), nothing changed. Other errors of
   * the disk are thrown. The owner must grow, or fail to, before the next flush.
   */
  grow(byteLength: number): boolean {
    this.#checkUsable();
    checkLength(byteLength);
    invariant(byteLength >= this.#byteLength, `${this.path}: a region never shrinks`);
    this.#refusal = undefined;
    if (byteLength === this.#byteLength) return true;
    this.#refusal = this.#beyondReservation(byteLength) ?? this.#lackOfRoom(byteLength);
    if (this.#refusal !== undefined) return false;
    try {
      ftruncateSync(this.#descriptor, byteLength);
    } catch (cause) {
      const error = systemError(`grow the region to ${byteLength} bytes`, this.path, cause);
      if (error.code !== "DISK_FULL") throw error;
      this.#refusal = error;
      return false;
    }
    this.#byteLength = byteLength;
    return true;
  }

  /**
   * Returns once every byte stored so far would survive a power cut. Linux marks a page of a shared mapping dirty at
   * its first store and fdatasync writes it out, so msync over the range would do the same and need the FFI.
   * byteLength is the owner's from here on: if the owner failed to grow after grow(), the file is cut back.
   */
  flush(): void {
    this.#checkUsable();
    const wanted = this.#attachment?.owner.buffer.byteLength ?? this.#byteLength;
    invariant(wanted <= this.#byteLength, `${this.path}: the owner grew beyond the region`);
    try {
      if (wanted < this.#byteLength) ftruncateSync(this.#descriptor, wanted);
      this.#byteLength = wanted;
      fdatasyncSync(this.#descriptor);
    } catch (cause) {
      this.#poison = systemError("flush the region", this.path, cause);
      throw this.#poison;
    }
  }

  /** R4. Nothing is flushed. The owner may not be used by a running guest any more; closing twice does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const attachment = this.#attachment;
    this.#attachment = undefined;
    try {
      if (attachment !== undefined && attachment.reservedByteLength > 0) {
        const { owner, address, reservedByteLength } = attachment;
        // The owner's own length: if it failed to grow after we did, it is smaller than ours.
        const errno = mapRange(address, owner.buffer.byteLength, reservedByteLength, ANONYMOUS, -1);
        if (errno !== 0) throw errnoError("unmap the region", this.path, errno);
      }
    } finally {
      closeSync(this.#descriptor);
    }
  }

  /** The memory itself would refuse it as well: its guest asked for more than its declared maximum. */
  #beyondReservation(byteLength: number): VermilionError | undefined {
    const reserved = this.#attachment?.reservedByteLength;
    if (reserved === undefined || byteLength <= reserved) return undefined;
    const reason = `cannot grow to ${byteLength} bytes: the memory's maximum is ${reserved}`;
    return new VermilionError("REGION_RESERVATION", `${this.path}: ${reason}; build the program with a larger one`);
  }

  #lackOfRoom(byteLength: number): VermilionError | undefined {
    const stat = attempt("examine the region", this.path, () => fstatSync(this.#descriptor));
    // Through the descriptor, because the image may have been renamed since.
    const disk = attempt("examine the disk of the region", this.path, () =>
      statfsSync(`/proc/self/fd/${this.#descriptor}`),
    );
    const allocated = stat.blocks * 512;
    const free = disk.bavail * disk.bsize;
    if (byteLength - allocated <= free) return undefined;
    return new VermilionError(
      "DISK_FULL",
      `${this.path}: cannot grow the region to ${byteLength} bytes: it may need ${byteLength - allocated} more and the ` +
        `disk has ${free} free; free some space or put the image on another disk`,
    );
  }

  #checkUsable(): void {
    invariant(!this.#closed, `${this.path} is closed`);
    if (this.#poison === undefined) return;
    throw new VermilionError(
      "REGION_POISONED",
      `${this.path}: an earlier flush failed, so what the disk holds is unknown; go on from an earlier save`,
      { cause: this.#poison },
    );
  }
}

const ANONYMOUS = MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE;

/** Replaces the whole range: read-write up to byteLength, no access from there on. Returns 0 or an errno. */
function mapRange(address: number, byteLength: number, reservedByteLength: number, flags: number, fd: number): number {
  const { mapFixed } = libc();
  let errno = 0;
  if (byteLength > 0) errno = mapFixed(address, byteLength, PROT.READ | PROT.WRITE, flags, fd, 0);
  if (errno !== 0 || byteLength === reservedByteLength) return errno;
  const offset = fd === -1 ? 0 : byteLength;
  return mapFixed(address + byteLength, reservedByteLength - byteLength, PROT.NONE, flags, fd, offset);
}

function checkLength(byteLength: number): void {
  invariant(
    Number.isSafeInteger(byteLength) && byteLength >= 0 && byteLength % REGION_GRANULE === 0,
    `a region's length is a multiple of ${REGION_GRANULE}, not ${byteLength}`,
  );
}
