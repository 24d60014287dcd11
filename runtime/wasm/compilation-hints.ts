/**
 * Which functions the engine is to compile when it compiles the module, and not when they are first called: custom sections, which
 * an engine passes over unless a flag has it look at them. V8 had them since version 8.3 (a byte for each function); from 14 on
 * those of the compilation hints proposal (metadata.code.compilation_priority), for some functions.
 */
import { ByteReader } from "./byte-reader.js";
import { ByteWriter } from "./byte-writer.js";
import { SectionId } from "./module.js";

const HEADER_BYTE_LENGTH = 8;

/** As the engine's version has them. */
export type HintFormat = "strategies" | "priorities";
const SECTION_NAMES: Readonly<Record<HintFormat, string>> = {
  strategies: "compilationHints",
  priorities: "metadata.code.compilation_priority",
};

/** Of a strategy: two bits when to compile, two for the tier of the first code, and two for the last one's. */
const LAZY = 1;
const EAGER = 2;
const OPTIMIZE_AT_ONCE = EAGER | (2 << 2) | (2 << 4);

/** Room for hints in a module that is kept, so that none of its code moves when they come. */
const ROOM_NAME = "vermilion:hints";
/** Id and length of a section, with room for any length. */
const SECTION_HEADER_BYTES = 6;
/** More than either kind of hints takes besides its entries. */
const ROOM_HEADER_BYTES = 96;
/** Bytes a function: all have a strategy, or more than half of them a priority. */
const ROOM_BYTES_EACH = 3;

export function hintRoomByteLength(definedFunctions: number): number {
  return ROOM_HEADER_BYTES + ROOM_BYTES_EACH * definedFunctions;
}

/** The whole section; it must stand between the sections of functions and of code. */
export function writeHintRoom(out: ByteWriter, importedFunctions: number, definedFunctions: number): void {
  const byteLength = hintRoomByteLength(definedFunctions);
  out.u8(SectionId.custom);
  const at = out.openSized();
  const from = out.length;
  out.name(ROOM_NAME);
  out.u32(importedFunctions);
  out.u32(definedFunctions);
  out.copy(new Uint8Array(byteLength - (out.length - from)));
  out.closeSized(at);
}

interface HintRoom {
  readonly from: number;
  readonly to: number;
  readonly importedFunctions: number;
  readonly definedFunctions: number;
}

/** Undefined: the module has none. */
export function findHintRoom(bytes: Uint8Array): HintRoom | undefined {
  const reader = new ByteReader(bytes, HEADER_BYTE_LENGTH);
  while (reader.position < bytes.length) {
    const from = reader.position;
    const id = reader.u8();
    if (id === SectionId.code) return undefined;
    const to = reader.u32() + reader.position;
    if (id === SectionId.custom && reader.name() === ROOM_NAME) {
      return { from, to, importedFunctions: reader.u32(), definedFunctions: reader.u32() };
    }
    reader.position = to;
  }
  return undefined;
}

/**
 * Fills the room with the hints that these functions (indices, without the imported ones) be compiled at once, and all others when
 * they are called. What does not fit is left out, from the end of the list.
 */
export function fillHintRoom(
  bytes: Uint8Array,
  room: HintRoom,
  functions: readonly number[],
  format: HintFormat,
): void {
  const section = new ByteWriter(room.to - room.from);
  section.u8(SectionId.custom);
  const at = section.openSized();
  section.name(SECTION_NAMES[format]);
  if (format === "strategies") writeStrategies(section, room, functions);
  else writePriorities(section, room, functions);
  section.closeSized(at);
  writeFiller(section, room.to - room.from - section.length);
  bytes.set(section.view(), room.from);
}

function writeStrategies(out: ByteWriter, { definedFunctions }: HintRoom, functions: readonly number[]): void {
  const strategies = new Uint8Array(definedFunctions).fill(LAZY);
  for (const index of functions) strategies[index] = EAGER; // beyond the last one: no effect
  out.u32(definedFunctions);
  out.copy(strategies);
}

/** Of an entry, behind the function's index: offset 0, length 1, priority 0. */
const FIRST = Uint8Array.of(0, 1, 0);

function writePriorities(out: ByteWriter, room: HintRoom, functions: readonly number[]): void {
  const { importedFunctions, definedFunctions } = room;
  const longestIndex = byteLengthOf(importedFunctions + definedFunctions);
  const entries = room.to - room.from - out.length - byteLengthOf(definedFunctions) - SECTION_HEADER_BYTES - 1;
  const fitting = Math.floor(entries / (longestIndex + FIRST.length));
  const chosen = functions.filter((index) => index < definedFunctions).slice(0, fitting);
  out.u32(chosen.length);
  for (const index of chosen.sort((a, b) => a - b)) {
    out.u32(importedFunctions + index);
    out.copy(FIRST);
  }
}

/** Of an unsigned LEB128. */
function byteLengthOf(value: number): number {
  return value < 128 ? 1 : 1 + byteLengthOf(Math.floor(value / 128));
}

/** A section that says nothing, of so many bytes in all. */
function writeFiller(out: ByteWriter, byteLength: number): void {
  out.u8(SectionId.custom);
  const at = out.openSized();
  out.name("");
  out.copy(new Uint8Array(byteLength - SECTION_HEADER_BYTES - 1));
  out.closeSized(at);
}

/** The module, with the hint for each of its functions that it be optimised at once. */
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
  const content = new ByteWriter(functionCount + SECTION_NAMES.strategies.length + 8);
  content.name(SECTION_NAMES.strategies);
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
