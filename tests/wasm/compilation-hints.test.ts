import { describe, expect, test } from "vitest";
import { ByteReader } from "../../runtime/wasm/byte-reader.js";
import { ByteWriter } from "../../runtime/wasm/byte-writer.js";
import { fillHintRoom, findHintRoom, type HintFormat, writeHintRoom } from "../../runtime/wasm/compilation-hints.js";
import { WASM_HEADER, writeSection } from "../../runtime/wasm/sections.js";

const FORMATS: readonly HintFormat[] = ["strategies", "priorities"];
const NAMES = { strategies: "compilationHints", priorities: "metadata.code.compilation_priority" } as const;

/** A module of so many functions that do nothing, of which some are imported, with room for hints. */
function moduleWithRoom(imported: number, defined: number): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  out.copy(WASM_HEADER);
  writeSection(out, 1, () => out.copy(Uint8Array.of(1, 0x60, 0, 0)));
  writeSection(out, 2, () => {
    out.u32(imported);
    for (let i = 0; i < imported; i++) out.copy(Uint8Array.of(1, 0x61, 1, 0x62, 0, 0));
  });
  writeSection(out, 3, () => {
    out.u32(defined);
    for (let i = 0; i < defined; i++) out.u32(0);
  });
  writeHintRoom(out, imported, defined);
  writeSection(out, 10, () => {
    out.u32(defined);
    for (let i = 0; i < defined; i++) out.copy(Uint8Array.of(2, 0, 0x0b));
  });
  return new Uint8Array(out.view());
}

/** Functions without imported ones that the hints name, in their order. */
function hinted(bytes: Uint8Array<ArrayBuffer>, format: HintFormat, imported: number): readonly number[] {
  const [content] = WebAssembly.Module.customSections(new WebAssembly.Module(bytes), NAMES[format]);
  const reader = new ByteReader(new Uint8Array(content ?? new ArrayBuffer(0)));
  const count = reader.u32();
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    if (format === "strategies") {
      const strategy = reader.u8();
      if (strategy !== 1 && strategy !== 2) throw new Error(`strategy ${strategy}`);
      if (strategy === 2) found.push(i);
    } else {
      found.push(reader.u32() - imported);
      const rest = [reader.u8(), reader.u8(), reader.u8()].join();
      if (rest !== "0,1,0") throw new Error(`an entry ends with ${rest}`);
    }
  }
  expect(reader.position).toBe(reader.bytes.length);
  return found;
}

describe.each(FORMATS)("hints in the room for them: %s", (format) => {
  test.each([
    [0, 1],
    [3, 5],
    [130, 127],
    [2, 20_000],
    [17_000, 40_000],
  ])("of %i imported and %i own functions, none to all", (imported, defined) => {
    for (const each of [defined + 1, 7, 3, 2, 1]) {
      const bytes = moduleWithRoom(imported, defined);
      const room = findHintRoom(bytes);
      expect(room).toMatchObject({ importedFunctions: imported, definedFunctions: defined });
      if (room === undefined) continue;
      const named = Array.from({ length: defined }, (_, i) => defined - 1 - i).filter((index) => index % each === 0);
      fillHintRoom(bytes, room, [...named, defined, 2 ** 32 - 1], format);
      expect(WebAssembly.validate(bytes)).toBe(true);
      expect(findHintRoom(bytes)).toBeUndefined();
      const fitting =
        format === "strategies" || each > 1 ? named : named.slice(0, hinted(bytes, format, imported).length);
      expect(fitting.length).toBeGreaterThanOrEqual(named.length / 2);
      expect(hinted(bytes, format, imported)).toEqual([...fitting].sort((a, b) => a - b));
    }
  });
});
