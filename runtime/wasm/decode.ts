/** Decodes the sections of a module. Core spec 5.5. */
import { ByteReader, MalformedModule, UnsupportedModule } from "./byte-reader.js";
import {
  type DataSegment,
  type ElementSegment,
  type Export,
  ExternalKind,
  type GlobalType,
  type Import,
  type Limits,
  type Module,
  SectionId,
  type TableType,
} from "./module.js";
import { Op } from "./opcodes.js";
import { type FunctionType, isValueType, ValueType } from "./value-types.js";

/** How a module that we do not carry is refused: what it needs, in words. */
function refuse(what: string, position: number): never {
  throw new UnsupportedModule(`the module uses ${what} (byte ${position}), which Vermilion does not run yet`);
}

function readValueType(reader: ByteReader): ValueType {
  const byte = reader.u8();
  if (isValueType(byte)) return byte;
  if (byte === 0x63 || byte === 0x64 || (byte >= 0x65 && byte <= 0x6e)) {
    refuse("typed references or garbage collection types", reader.position - 1);
  }
  throw new UnsupportedModule(`unknown value type 0x${byte.toString(16)} at byte ${reader.position - 1}`);
}

/** Exceptions cannot pass to JavaScript, which saves and restores tables. */
function readTableType(reader: ByteReader): TableType {
  const element = readValueType(reader);
  if (element === ValueType.exnref) refuse("a table of exceptions (exnref)", reader.position - 1);
  return { element, ...readLimits(reader) };
}

function readLimits(reader: ByteReader): Limits {
  const flags = reader.u8();
  if ((flags & 4) !== 0) refuse("64-bit memory or table indices (memory64)", reader.position - 1);
  if (flags > 3) refuse("custom page sizes", reader.position - 1);
  const minimum = reader.u32();
  const maximum = (flags & 1) !== 0 ? reader.u32() : undefined;
  return { minimum, maximum, shared: (flags & 2) !== 0 };
}

function readTypes(reader: ByteReader, types: FunctionType[]): void {
  for (let count = reader.u32(); count > 0; count--) {
    const form = reader.u8();
    if (form !== 0x60) refuse("garbage collection types or recursive types", reader.position - 1);
    const params: ValueType[] = [];
    for (let n = reader.u32(); n > 0; n--) params.push(readValueType(reader));
    const results: ValueType[] = [];
    for (let n = reader.u32(); n > 0; n--) results.push(readValueType(reader));
    types.push({ params, results });
  }
}

/** Skips a constant expression, `end` included; notes the functions it refers to. */
function skipConstantExpression(reader: ByteReader, functions: number[]): void {
  for (;;) {
    const opcode = reader.u8();
    switch (opcode) {
      case Op.end:
        return;
      case Op.i32Const:
      case Op.i64Const:
        reader.skipLeb();
        break;
      case Op.f32Const:
        reader.skip(4);
        break;
      case Op.f64Const:
        reader.skip(8);
        break;
      case Op.globalGet:
        reader.u32();
        break;
      case Op.refNull:
        readValueType(reader);
        break;
      case Op.refFunc:
        functions.push(reader.u32());
        break;
      case Op.prefixSimd:
        reader.u32();
        reader.skip(16);
        break;
      case 0x6a:
      case 0x6b:
      case 0x6c:
      case 0x7c:
      case 0x7d:
      case 0x7e:
        break;
      default:
        refuse(`the constant instruction 0x${opcode.toString(16)}`, reader.position - 1);
    }
  }
}

function readElements(reader: ByteReader, elements: ElementSegment[]): void {
  for (let count = reader.u32(); count > 0; count--) {
    const flags = reader.u32();
    const functions: number[] = [];
    const active = (flags & 1) === 0;
    if (active) {
      if ((flags & 2) !== 0) reader.u32();
      skipConstantExpression(reader, functions);
    }
    if ((flags & 3) !== 0) {
      if ((flags & 4) !== 0) readValueType(reader);
      else reader.u8();
    }
    for (let n = reader.u32(); n > 0; n--) {
      if ((flags & 4) !== 0) skipConstantExpression(reader, functions);
      else functions.push(reader.u32());
    }
    elements.push({ mode: active ? "active" : (flags & 2) !== 0 ? "declarative" : "passive", functions });
  }
}

function readData(reader: ByteReader, data: DataSegment[]): void {
  const ignored: number[] = [];
  for (let count = reader.u32(); count > 0; count--) {
    const flags = reader.u32();
    const active = flags !== 1;
    const memory = flags === 2 ? reader.u32() : 0;
    const offsetFrom = reader.position;
    if (active) skipConstantExpression(reader, ignored);
    const offsetTo = active ? reader.position - 1 : offsetFrom;
    const byteLength = reader.u32();
    data.push({ active, memory, offsetFrom, offsetTo, bytesFrom: reader.position, byteLength });
    reader.skip(byteLength);
  }
}

/** The state of one decoding: a Module under construction. */
class ModuleDecoder {
  readonly types: FunctionType[] = [];
  readonly imports: Import[] = [];
  readonly functionTypes: number[] = [];
  readonly tables: TableType[] = [];
  readonly memories: Limits[] = [];
  readonly globals: GlobalType[] = [];
  readonly tags: number[] = [];
  readonly exports: Export[] = [];
  readonly elements: ElementSegment[] = [];
  readonly data: DataSegment[] = [];
  readonly referencedFunctions: number[] = [];
  readonly sections = new Map<number, readonly [number, number]>();
  start: number | undefined;
  importedFunctionCount = 0;

  section(id: number, reader: ByteReader): void {
    switch (id) {
      case SectionId.type:
        readTypes(reader, this.types);
        break;
      case SectionId.import:
        this.#readImports(reader);
        break;
      case SectionId.function:
        for (let count = reader.u32(); count > 0; count--) this.functionTypes.push(reader.u32());
        break;
      case SectionId.table:
        this.#readTables(reader);
        break;
      case SectionId.memory:
        for (let count = reader.u32(); count > 0; count--) this.memories.push(readLimits(reader));
        break;
      case SectionId.global:
        for (let count = reader.u32(); count > 0; count--) {
          this.globals.push({ type: readValueType(reader), mutable: reader.u8() === 1 });
          skipConstantExpression(reader, this.referencedFunctions);
        }
        break;
      case SectionId.tag:
        for (let count = reader.u32(); count > 0; count--) this.#readTag(reader);
        break;
      case SectionId.export:
        for (let count = reader.u32(); count > 0; count--) {
          const name = reader.name();
          const kind = reader.u8();
          this.exports.push({ name, kind, index: reader.u32() });
        }
        break;
      case SectionId.start:
        this.start = reader.u32();
        break;
      case SectionId.element:
        readElements(reader, this.elements);
        break;
      case SectionId.data:
        readData(reader, this.data);
        break;
      default:
        break;
    }
  }

  #readImports(reader: ByteReader): void {
    for (let count = reader.u32(); count > 0; count--) {
      const module = reader.name();
      const name = reader.name();
      const kind = reader.u8();
      this.imports.push({ module, name, kind });
      if (kind === ExternalKind.function) {
        this.functionTypes.push(reader.u32());
        this.importedFunctionCount++;
      } else if (kind === ExternalKind.table) {
        this.tables.push(readTableType(reader));
      } else if (kind === ExternalKind.memory) this.memories.push(readLimits(reader));
      else if (kind === ExternalKind.global) {
        this.globals.push({ type: readValueType(reader), mutable: reader.u8() === 1 });
      } else if (kind === ExternalKind.tag) this.#readTag(reader);
      else refuse(`an import of unknown kind ${kind} ("${module}"."${name}")`, reader.position);
    }
  }

  #readTag(reader: ByteReader): void {
    reader.u8();
    this.tags.push(reader.u32());
  }

  #readTables(reader: ByteReader): void {
    for (let count = reader.u32(); count > 0; count--) {
      const initialised = reader.bytes[reader.position] === 0x40;
      if (initialised) reader.skip(2);
      this.tables.push(readTableType(reader));
      if (initialised) skipConstantExpression(reader, this.referencedFunctions);
    }
  }
}

/** Of a module without code: none. */
function readBodies(bytes: Uint8Array, code: readonly [number, number] | undefined): Uint32Array {
  if (code === undefined) return new Uint32Array(0);
  const reader = new ByteReader(bytes, code[0]);
  const count = reader.u32();
  const bodies = new Uint32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const byteLength = reader.u32();
    bodies[2 * i] = reader.position;
    reader.skip(byteLength);
    bodies[2 * i + 1] = reader.position;
  }
  return bodies;
}

/**
 * Decodes a module's sections.
 *
 * The bytes are expected to have passed the engine's validation; what the engine may accept and we do not carry is
 * refused by name.
 *
 * @throws MalformedModule when the bytes are no module, UnsupportedModule when it needs a feature we do not carry.
 */
export function decodeModule(bytes: Uint8Array): Module {
  const reader = new ByteReader(bytes);
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (magic.slice(0, 4).some((byte, i) => bytes[i] !== byte))
    throw new MalformedModule("not a WebAssembly module (.wasm, or .wat text)");
  if (bytes[4] === 0x0d || bytes[6] === 1) refuse("the component model (a component, not a core module)", 4);
  if (magic.some((byte, i) => bytes[i] !== byte)) throw new UnsupportedModule("unknown WebAssembly version");
  reader.position = 8;
  const decoder = new ModuleDecoder();
  while (reader.position < bytes.length) {
    const id = reader.u8();
    const byteLength = reader.u32();
    const from = reader.position;
    reader.skip(byteLength);
    if (id === SectionId.custom) continue;
    if (id > SectionId.tag) refuse(`a section of unknown kind ${id}`, from);
    decoder.sections.set(id, [from, from + byteLength]);
    decoder.section(id, new ByteReader(bytes, from));
  }
  const { types, imports, functionTypes, tables, memories, globals, tags, exports, elements, data } = decoder;
  const { start, sections, importedFunctionCount, referencedFunctions } = decoder;
  let bodies: Uint32Array | undefined;
  return {
    ...{ bytes, sections, types, imports, functionTypes, tables, memories, globals, tags, exports, start },
    ...{ elements, data, importedFunctionCount, referencedFunctions },
    /** Found when first asked for: a start asks for none, and there may be a hundred thousand. */
    get bodies(): Uint32Array {
      bodies ??= readBodies(bytes, sections.get(SectionId.code));
      return bodies;
    },
  };
}
