import type { Libc } from "./libc.js";

/**
 * Memory of the host that libc reads and writes during one call: structures of the kernel, iovecs, paths.
 * Nothing in it outlives the host call that wrote it. Structures are little-endian, as x64 and arm64 are.
 */
export const SCRATCH = {
  pathA: 0, // two paths, each at most 4096 bytes with its NUL, and room for a second NUL
  pathB: 4608,
  link: 9216, // a symlink's target
  stat: 13824, // struct stat, at most 144 bytes
  how: 14080, // struct open_how, 24 bytes
  times: 14112, // struct timespec[2], 32 bytes
  polls: 14144, // struct pollfd[2], 16 bytes
  message: 14176, // struct msghdr, 56 bytes
  small: 14240, // whatever fits 256 bytes
  empty: 14496, // "", for AT_EMPTY_PATH
  iovecs: 14592, // struct iovec[1024]
  byteLength: 14592 + 1024 * 16,
} as const;

export const IOVECS_MAXIMUM = 1024;

/** A buffer outside the guest, with its address. */
export class HostBuffer {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly address: number;

  constructor(libc: Libc, byteLength: number) {
    this.bytes = Buffer.from(new ArrayBuffer(byteLength)); // of its own: pooled buffers share their memory
    this.view = new DataView(this.bytes.buffer);
    this.address = libc.addressOf(this.bytes);
  }

  setAddress(offset: number, address: number): void {
    this.view.setUint32(offset, address >>> 0, true);
    this.view.setUint32(offset + 4, Math.floor(address / 0x100000000), true);
  }

  /** A u64 known to be below 2^53. */
  number(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * 0x100000000;
  }

  /** Writes text and its NUL; returns the address. */
  setString(offset: number, text: string): number {
    const byteLength = this.bytes.write(text, offset, "utf8");
    this.bytes[offset + byteLength] = 0;
    return this.address + offset;
  }
}
