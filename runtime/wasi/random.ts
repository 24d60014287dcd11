import { Errno, LINUX } from "./errno.js";
import { RESTART, type WasiHost } from "./host.js";
import type { Libc } from "./libc.js";
import { HostBuffer } from "./scratch.js";
import { failurePending } from "./wait.js";

/** What one getrandom(2) may take: about a tenth of a second. */
const CHUNK_BYTES = 1 << 24;

/** A hash table's key, a UUID, a seed: most requests are this small, and the system call is most of their cost. */
const SMALL_BYTES = 64;

/**
 * Random bytes that the kernel gave in advance, for small requests. They belong to this process alone: never saved, so no
 * two branches of a program get the same ones, and each is wiped when it is handed out.
 */
export class RandomBytes {
  readonly #libc: Libc;
  readonly #buffer: HostBuffer;
  #left = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#buffer = new HostBuffer(libc, SMALL_BYTES * 16);
  }

  /** At most SMALL_BYTES, to [offset, offset + byteLength) of `to`. False, with nothing taken: the kernel gives none now. */
  take(to: Uint8Array, offset: number, byteLength: number): boolean {
    const { bytes } = this.#buffer;
    if (this.#left < byteLength) {
      if (this.#libc.getrandom(this.#buffer.address, bytes.length, 0) !== bytes.length) return false;
      this.#left = bytes.length;
    }
    const end = this.#left;
    this.#left -= byteLength;
    for (let from = this.#left, at = offset; from < end; from++, at++) {
      to[at] = bytes[from]!;
      bytes[from] = 0;
    }
    return true;
  }
}

/** random_get: fills [buffer, buffer + byteLength) from the kernel's generator. */
export function randomGet(host: WasiHost, buffer: number, byteLength: number): number {
  const { memory, libc, random } = host;
  buffer >>>= 0;
  byteLength >>>= 0;
  if (!memory.has(buffer, byteLength)) return Errno.FAULT;
  if (host.options.simulation !== undefined) {
    host.options.simulation.fillRandom(memory.bytes.subarray(buffer, buffer + byteLength));
    return Errno.SUCCESS;
  }
  if (byteLength <= SMALL_BYTES && random.take(memory.bytes, buffer, byteLength)) return Errno.SUCCESS;
  for (let done = 0; done < byteLength; ) {
    const got = libc.getrandom(memory.address + buffer + done, Math.min(byteLength - done, CHUNK_BYTES), 0);
    if (got >= 0) done += got;
    else if (libc.errno() !== LINUX.EINTR) return host.lastError();
    if (done < byteLength && failurePending(host)) return RESTART;
  }
  return Errno.SUCCESS;
}
