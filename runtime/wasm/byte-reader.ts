/** Thrown for wasm that we do not carry; `process` turns it into an error that names the file. */
export class UnsupportedModule extends Error {
  override readonly name = "UnsupportedModule";
}

/** Thrown for bytes that are no wasm at all, or are cut off; likewise. */
export class MalformedModule extends Error {
  override readonly name = "MalformedModule";
}

function endText(at: number): string {
  return `unexpected end of the module at byte ${at}: it may have been cut short; build it, or fetch it, again`;
}

/** A cursor over the binary format (core spec 5.2). Reading past the end yields an error, never undefined. */
export class ByteReader {
  readonly bytes: Uint8Array;
  position: number;

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  u8(): number {
    const byte = this.bytes[this.position];
    if (byte === undefined) throw new MalformedModule(endText(this.position));
    this.position++;
    return byte;
  }

  u32(): number {
    let result = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return result >>> 0;
    }
    throw new MalformedModule(`integer too long at byte ${this.position}`);
  }

  skipLeb(): void {
    while (this.u8() >= 0x80);
  }

  skip(count: number): void {
    this.position += count;
    if (this.position > this.bytes.length) {
      throw new MalformedModule(endText(this.bytes.length));
    }
  }

  name(): string {
    const byteLength = this.u32();
    const start = this.position;
    this.skip(byteLength);
    return new TextDecoder().decode(this.bytes.subarray(start, this.position));
  }
}
