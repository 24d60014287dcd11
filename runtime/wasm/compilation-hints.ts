import { ByteReader } from "./byte-reader.js";
import { ByteWriter } from "./byte-writer.js";
import { SectionId } from "./module.js";

/** As V8 has had them since version 8.3; older than the proposal's `metadata.code` sections. */
const SECTION_NAME = "compilationHints";
/** Compile when the module is compiled: 2; the first code by the optimising tier: 2; and so the last. */
const OPTIMIZE_AT_ONCE = 2 | (2 << 2) | (2 << 4);
const HEADER_BYTE_LENGTH = 8;

/**
 * The module, with the hint for each of its functions that it be optimised at once. An engine that is not asked for hints
 * passes over the section.
 */
export function withOptimizingHints(bytes: Uint8Array): Uint8Array {
  const reader = new ByteReader(bytes, HEADER_BYTE_LENGTH);
  let functionCount = 0;
  for (;;) {
    const from = reader.position;
    const id = reader.u8();
    const end = reader.u32() + reader.position;
    if (id === SectionId.function) functionCount = reader.u32();
    if (id === SectionId.code) return withSection(bytes, from, functionCount); // it must stand between the two
    reader.position = end;
  }
}

function withSection(bytes: Uint8Array, at: number, functionCount: number): Uint8Array {
  const content = new ByteWriter(functionCount + SECTION_NAME.length + 8);
  content.name(SECTION_NAME);
  content.u32(functionCount);
  for (let index = 0; index < functionCount; index++) content.u8(OPTIMIZE_AT_ONCE);
  const out = new ByteWriter(bytes.length + content.length + 8);
  out.copy(bytes, 0, at);
  out.u8(SectionId.custom);
  out.u32(content.length);
  out.copy(content.bytes, 0, content.length);
  out.copy(bytes, at);
  return out.bytes.subarray(0, out.length);
}
