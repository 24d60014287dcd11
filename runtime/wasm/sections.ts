/** The sections of a module as bytes (core spec 5.5.2). */
import { ByteReader } from "./byte-reader.js";
import type { ByteWriter } from "./byte-writer.js";

export const WASM_HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** Byte offsets in the module. */
export interface SectionBytes {
  readonly id: number;
  /** Of the id. */
  readonly begin: number;
  /** Of the content. */
  readonly from: number;
  /** Of what comes behind it: not looked at before it is asked for. */
  readonly to: number;
}

/** One after the other. MalformedModule, where the module ends in the head of one. */
export function* sectionsOf(bytes: Uint8Array): IterableIterator<SectionBytes> {
  const reader = new ByteReader(bytes, WASM_HEADER.length);
  while (reader.position < bytes.length) {
    const begin = reader.position;
    const id = reader.u8();
    const byteLength = reader.u32();
    const from = reader.position;
    const to = from + byteLength;
    yield { id, begin, from, to };
    reader.position = to;
  }
}

/** Writes a section whose length is known afterwards. */
export function writeSection(out: ByteWriter, id: number, write: () => void): void {
  out.u8(id);
  const at = out.openSized();
  write();
  out.closeSized(at);
}
