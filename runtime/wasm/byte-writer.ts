/** A growing buffer of bytes with the binary format's integers (core spec 5.2.2). */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Room for `count` more bytes; callers reserve once per instruction, then write unchecked. */
  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    this.reserve(5);
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  /** Signed LEB128 of an i32. */
  s32(value: number): void {
    this.reserve(5);
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.bytes[this.length++] = low;
        return;
      }
      this.bytes[this.length++] = low | 0x80;
    }
  }

  copy(source: Uint8Array, from = 0, to = source.length): void {
    const count = to - from;
    this.reserve(count);
    if (count < 48) for (let i = from; i < to; i++) this.bytes[this.length++] = source[i] as number;
    else {
      this.bytes.set(source.subarray(from, to), this.length);
      this.length += count;
    }
  }

  name(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.u32(encoded.length);
    this.copy(encoded);
  }

  /** A five-byte length that is patched once the bytes behind it are known; returns where it stands. */
  openSized(): number {
    this.reserve(5);
    const at = this.length;
    this.length += 5;
    return at;
  }

  closeSized(at: number): void {
    let rest = this.length - at - 5;
    for (let i = 0; i < 4; i++) {
      this.bytes[at + i] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[at + 4] = rest;
  }

  /** The written bytes; a view, valid until the next write. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
