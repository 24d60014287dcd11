/**
 * Source lines from the section .debug_line (DWARF 2 to 5, 32 bits), as compilers put it into modules that are built for
 * debugging. Lenient, like names.ts: what cannot be read has no lines.
 *
 * Addresses are offsets from the beginning of the code section's contents:
 * https://yurydelendik.github.io/webassembly-dwarf/
 */
import { ByteReader } from "./byte-reader.js";
import { SectionId } from "./module.js";
import { sectionsOf } from "./sections.js";

/** One row of a line table: from this address on, up to the next row's. `line` 0: the compiler's own code. */
interface Row {
  readonly address: number;
  readonly file: string;
  readonly line: number;
}

/** Behind a sequence there is nothing. */
const END = -1;

/** "file.c:12" by byte offset in the module. */
export class DebugLines {
  readonly #codeOffset: number;
  readonly #rows: readonly Row[];

  private constructor(codeOffset: number, rows: Row[]) {
    this.#codeOffset = codeOffset;
    // Sequences are in any order. Where one ends and another begins, the one that begins counts.
    this.#rows = rows.sort((a, b) => a.address - b.address || a.line - b.line);
  }

  static read(module: Uint8Array): DebugLines {
    const sections = customSections(module);
    const rows: Row[] = [];
    try {
      const lines = sections.get(".debug_line");
      if (lines !== undefined) readUnits(lines, sections, rows);
    } catch {}
    return new DebugLines(sections.codeOffset, rows);
  }

  /** Null: nothing is known of it. */
  at(offset: number): string | null {
    const address = offset - this.#codeOffset;
    let [low, high] = [0, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#rows[middle]?.address ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    // The compiler's own code belongs to what it stands behind.
    while (this.#rows[low - 1]?.line === 0) low--;
    const row = this.#rows[low - 1];
    return row === undefined || row.line === END ? null : `${row.file}:${row.line}`;
  }
}

class Sections extends Map<string, Uint8Array> {
  /** Of the code section's contents. */
  codeOffset = 0;
}

function customSections(module: Uint8Array): Sections {
  const sections = new Sections();
  try {
    for (const { id, from, to } of sectionsOf(module)) {
      const reader = new ByteReader(module, from);
      if (id === SectionId.code) sections.codeOffset = from;
      if (id === SectionId.custom) sections.set(reader.name(), module.subarray(reader.position, to));
    }
  } catch {}
  return sections;
}

/** Little-endian, as in wasm. */
class DwarfReader {
  readonly #view: DataView;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get byteLength(): number {
    return this.#view.byteLength;
  }

  u8(): number {
    return this.#view.getUint8(this.position++);
  }

  i8(): number {
    return this.#view.getInt8(this.position++);
  }

  u16(): number {
    this.position += 2;
    return this.#view.getUint16(this.position - 2, true);
  }

  u32(): number {
    this.position += 4;
    return this.#view.getUint32(this.position - 4, true);
  }

  /** LEB128, below 2^53. */
  unsigned(): number {
    let result = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.u8();
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) return result;
    }
  }

  signed(): number {
    let result = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.u8();
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) return (byte & 0x40) === 0 ? result : result - factor * 128;
    }
  }

  text(): string {
    const bytes: number[] = [];
    for (let byte = this.u8(); byte !== 0; byte = this.u8()) bytes.push(byte);
    return Buffer.from(bytes).toString();
  }
}

interface Header {
  readonly minimumInstructionLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** By opcode, from 1: how many operands. */
  readonly operandCounts: readonly number[];
  /** By the number that the program uses. */
  readonly files: readonly string[];
}

function readUnits(lines: Uint8Array, sections: Sections, rows: Row[]): void {
  const reader = new DwarfReader(lines);
  while (reader.position + 4 < reader.byteLength) {
    const byteLength = reader.u32();
    if (byteLength >= 0xfffffff0) return; // the form of 64 bits, which no compiler to wasm32 writes
    const end = reader.position + byteLength;
    try {
      runProgram(reader, readHeader(reader, sections), end, rows);
    } catch {} // the next unit may be readable
    reader.position = end;
  }
}

function readHeader(reader: DwarfReader, sections: Sections): Header {
  const version = reader.u16();
  if (version >= 5) reader.position += 2; // sizes of addresses and segment selectors
  const headerByteLength = reader.u32();
  const program = reader.position + headerByteLength;
  const minimumInstructionLength = reader.u8();
  if (version >= 4) reader.u8(); // operations in an instruction
  reader.u8(); // whether rows are statements by default
  const lineBase = reader.i8();
  const lineRange = reader.u8();
  const opcodeBase = reader.u8();
  const operandCounts = Array.from({ length: opcodeBase - 1 }, () => reader.u8());
  let files: string[];
  if (version >= 5) {
    readEntries(reader, sections); // directories
    files = readEntries(reader, sections);
  } else {
    while (reader.text() !== ""); // directories
    files = [""];
    for (let name = reader.text(); name !== ""; name = reader.text()) {
      files.push(name);
      for (let i = 0; i < 3; i++) reader.unsigned(); // directory, time, length
    }
  }
  reader.position = program;
  return { minimumInstructionLength, lineBase, lineRange, opcodeBase, operandCounts, files };
}

const CONTENT_PATH = 1;
const FORM = {
  block: 0x09,
  data1: 0x0b,
  data2: 0x05,
  data4: 0x06,
  data8: 0x07,
  data16: 0x1e,
  lineStrp: 0x1f,
  string: 0x08,
  strp: 0x0e,
  udata: 0x0f,
} as const;

/** DWARF 5: a table of directories or files that says itself what is in it. Returns the paths. */
function readEntries(reader: DwarfReader, sections: Sections): string[] {
  const formats = Array.from({ length: reader.u8() }, () => [reader.unsigned(), reader.unsigned()] as const);
  return Array.from({ length: reader.unsigned() }, () => {
    let path = "";
    for (const [content, form] of formats) {
      const value = readForm(reader, form, sections);
      if (content === CONTENT_PATH) path = value;
    }
    return path;
  });
}

/** Texts only; everything else is skipped. */
function readForm(reader: DwarfReader, form: number, sections: Sections): string {
  switch (form) {
    case FORM.string:
      return reader.text();
    case FORM.lineStrp:
      return textAt(sections.get(".debug_line_str"), reader.u32());
    case FORM.strp:
      return textAt(sections.get(".debug_str"), reader.u32());
    case FORM.udata:
      reader.unsigned();
      return "";
    case FORM.block: {
      const byteLength = reader.unsigned(); // moves the position
      reader.position += byteLength;
      return "";
    }
    default: {
      const lengths: Readonly<Record<number, number>> = {
        [FORM.data1]: 1,
        [FORM.data2]: 2,
        [FORM.data4]: 4,
        [FORM.data8]: 8,
        [FORM.data16]: 16,
      };
      const byteLength = lengths[form];
      if (byteLength === undefined) throw new Error(`form ${form}`);
      reader.position += byteLength;
      return "";
    }
  }
}

function textAt(section: Uint8Array | undefined, offset: number): string {
  if (section === undefined) return "";
  const reader = new DwarfReader(section);
  reader.position = offset;
  return reader.text();
}

const STANDARD = { copy: 1, advancePc: 2, advanceLine: 3, setFile: 4, constAddPc: 8, fixedAdvancePc: 9 } as const;
const EXTENDED = { endSequence: 1, setAddress: 2 } as const;

/** The line number program: a machine that writes rows. */
function runProgram(reader: DwarfReader, header: Header, end: number, rows: Row[]): void {
  const { minimumInstructionLength, lineBase, lineRange, opcodeBase, operandCounts, files } = header;
  let [address, file, line] = [0, 1, 1];
  const emit = (atEnd: boolean): void => {
    rows.push({ address, file: baseName(files[file] ?? ""), line: atEnd ? END : line });
  };
  const advance = (operations: number): void => {
    address += operations * minimumInstructionLength;
  };
  while (reader.position < end) {
    const opcode = reader.u8();
    if (opcode >= opcodeBase) {
      advance(Math.floor((opcode - opcodeBase) / lineRange));
      line += lineBase + ((opcode - opcodeBase) % lineRange);
      emit(false);
    } else if (opcode === 0) {
      const next = reader.unsigned();
      const after = reader.position + next;
      const extended = reader.u8();
      if (extended === EXTENDED.setAddress) address = reader.u32();
      else if (extended === EXTENDED.endSequence) {
        emit(true);
        [address, file, line] = [0, 1, 1];
      }
      reader.position = after;
    } else if (opcode === STANDARD.copy) emit(false);
    else if (opcode === STANDARD.advancePc) advance(reader.unsigned());
    else if (opcode === STANDARD.advanceLine) line += reader.signed();
    else if (opcode === STANDARD.setFile) file = reader.unsigned();
    else if (opcode === STANDARD.constAddPc) advance(Math.floor((255 - opcodeBase) / lineRange));
    else if (opcode === STANDARD.fixedAdvancePc) address += reader.u16();
    else for (let i = operandCounts[opcode - 1] ?? 0; i > 0; i--) reader.unsigned();
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
