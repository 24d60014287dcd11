/**
 * The guest's linear memory, as the host calls see it: the one owner of views over it.
 *
 * G1  A view is used only after `has` said, in the same call, that the range is inside.
 * G2  `has` renews the views when they are too short: memory.grow detaches the old buffer (its length becomes 0), and
 *     a shared memory's old buffer keeps its old length. So the common case costs one comparison.
 * G3  Nothing that can run the guest stands between `has` and the use of a view.
 *
 * A guest address is a number in [0, 2^32): callers pass i32 parameters through `>>> 0`.
 */
export class GuestMemory {
  /** Address of byte 0 in this process, for handing ranges to libc. */
  readonly address: number;
  bytes: Uint8Array;
  view: DataView;
  readonly #memory: WebAssembly.Memory;

  constructor(memory: WebAssembly.Memory, address: number) {
    this.#memory = memory;
    this.address = address;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
  }

  /** Whether [offset, offset + byteLength) is inside. */
  has(offset: number, byteLength: number): boolean {
    return offset + byteLength <= this.bytes.length || this.#renew(offset + byteLength);
  }

  #renew(end: number): boolean {
    const { buffer } = this.#memory;
    if (buffer !== this.bytes.buffer) {
      this.bytes = new Uint8Array(buffer);
      this.view = new DataView(buffer);
    }
    return end <= this.bytes.length;
  }

  setU8(offset: number, value: number): void {
    this.bytes[offset] = value;
  }

  setU16(offset: number, value: number): void {
    this.view.setUint16(offset, value, true);
  }

  u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  setU32(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
  }

  u32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  setU64(offset: number, value: bigint): void {
    this.view.setBigUint64(offset, value, true);
  }

  u64(offset: number): bigint {
    return this.view.getBigUint64(offset, true);
  }

  /** A whole number in [0, 2^53). */
  setU64FromNumber(offset: number, value: number): void {
    this.view.setUint32(offset, value >>> 0, true);
    this.view.setUint32(offset + 4, (value / 0x100000000) >>> 0, true);
  }
}

/** Writes seconds * 10^9 + nanoseconds, which passes 2^53, without a bigint. Seconds before 1970 become 0. */
export function writeTimestamp(view: DataView, offset: number, seconds: number, nanoseconds: number): void {
  if (seconds < 0) {
    view.setUint32(offset, 0, true);
    view.setUint32(offset + 4, 0, true);
    return;
  }
  const lower = Math.imul(seconds, 1e9) >>> 0; // exact
  const upper = (seconds * 1e9 - lower) / 0x100000000; // a whole number, but for rounding, which moves it by less than 2^-20
  const low = lower + nanoseconds;
  view.setUint32(offset, low >>> 0, true);
  view.setUint32(offset + 4, (upper + (low >= 0x100000000 ? 1.5 : 0.5)) >>> 0, true);
}
