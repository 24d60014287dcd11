/**
 * Which functions the engine is to compile when it compiles the module, and not when they are first called: custom sections, which
 * an engine passes over unless a flag has it look at them. V8 had them since version 8.3 (a byte for each function); from 14 on
 * those of the compilation hints proposal (metadata.code.compilation_priority), for some functions.
 */
import { ByteReader } from "./byte-reader.js";
import { ByteWriter } from "./byte-writer.js";
import { SectionId } from "./module.js";
import { sectionsOf, writeSection } from "./sections.js";

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
  writeSection(out, SectionId.custom, () => {
    const from = out.length;
    out.name(ROOM_NAME);
    out.u32(importedFunctions);
    out.u32(definedFunctions);
    out.copy(new Uint8Array(hintRoomByteLength(definedFunctions) - (out.length - from)));
  });
}

interface HintRoom {
  readonly from: number;
  readonly to: number;
  readonly importedFunctions: number;
  readonly definedFunctions: number;
}

/** Undefined: the module has none. */
export function findHintRoom(bytes: Uint8Array): HintRoom | undefined {
  for (const { id, begin, from, to } of sectionsOf(bytes)) {
    if (id === SectionId.code) return undefined;
    if (id !== SectionId.custom) continue;
    const reader = new ByteReader(bytes, from);
    if (reader.name() !== ROOM_NAME) continue;
    return { from: begin, to, importedFunctions: reader.u32(), definedFunctions: reader.u32() };
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
  writeSection(section, SectionId.custom, () => {
    if (format === "strategies") writeStrategies(section, strategiesFor(room, functions));
    else writePriorities(section, room, functions);
  });
  writeFiller(section, room.to - room.from - section.length);
  bytes.set(section.view(), room.from);
}

function strategiesFor({ definedFunctions }: HintRoom, functions: readonly number[]): Uint8Array {
  const strategies = new Uint8Array(definedFunctions).fill(LAZY);
  for (const index of functions) strategies[index] = EAGER; // beyond the last one: no effect
  return strategies;
}

/** Of all functions that the module defines, in order. */
function writeStrategies(out: ByteWriter, strategies: Uint8Array): void {
  out.name(SECTION_NAMES.strategies);
  out.u32(strategies.length);
  out.copy(strategies);
}

/** Of an entry, behind the function's index: offset 0, length 1, priority 0. */
const FIRST = Uint8Array.of(0, 1, 0);

function writePriorities(out: ByteWriter, room: HintRoom, functions: readonly number[]): void {
  out.name(SECTION_NAMES.priorities);
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
  writeSection(out, SectionId.custom, () => {
    out.name("");
    out.copy(new Uint8Array(byteLength - SECTION_HEADER_BYTES - 1));
  });
}

/** The module, with the hint for each of its functions that it be optimised at once. */
export function withOptimizingHints(bytes: Uint8Array): Uint8Array {
  let functionCount = 0;
  for (const { id, begin, from } of sectionsOf(bytes)) {
    if (id === SectionId.function) functionCount = new ByteReader(bytes, from).u32();
    if (id !== SectionId.code) continue; // it must stand between the two
    const out = new ByteWriter(bytes.length + functionCount + ROOM_HEADER_BYTES);
    out.copy(bytes, 0, begin);
    writeSection(out, SectionId.custom, () =>
      writeStrategies(out, new Uint8Array(functionCount).fill(OPTIMIZE_AT_ONCE)),
    );
    out.copy(bytes, begin);
    return out.view();
  }
  return bytes;
}
