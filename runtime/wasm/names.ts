/** Function names from the name section (core spec 7.4.1); lenient, since a debugging aid must never stop a run. */
import { ByteReader } from "./byte-reader.js";
import { SectionId } from "./module.js";
import { sectionsOf } from "./sections.js";

/** Names by function index; empty when there is no readable name section. */
export function readFunctionNames(bytes: Uint8Array): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  try {
    for (const { id, from, to } of sectionsOf(bytes)) {
      const reader = new ByteReader(bytes, from);
      if (id === SectionId.custom && reader.name() === "name") readSubsections(reader, to, names);
    }
  } catch {
    return names;
  }
  return names;
}

function readSubsections(reader: ByteReader, end: number, names: Map<number, string>): void {
  const functionNames = 1;
  while (reader.position < end) {
    const id = reader.u8();
    const byteLength = reader.u32();
    const next = reader.position + byteLength;
    if (id === functionNames) {
      for (let count = reader.u32(); count > 0; count--) {
        const index = reader.u32();
        names.set(index, reader.name());
      }
    }
    reader.position = next;
  }
}
