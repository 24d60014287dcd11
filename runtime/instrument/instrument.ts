/**
 * The instrumented module: the guest's, with safepoints and handlers in its code and our helpers behind its own parts.
 *
 * Sections are copied where they do not change. What changes: types, functions, tables, tags, globals and exports get
 * ours appended; memories that grow are declared shared (memory-types.ts); the start section is left out (the host calls
 * the function, on a clean start only); active data segments become passive (instantiation must not write over live
 * memory); bodies of functions that can unwind are rewritten. Output order follows core spec 5.5.2, so code is written into its own buffer before the type section,
 * because it may ask for new types.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { ByteWriter } from "../wasm/byte-writer.js";
import { hintRoomByteLength, writeHintRoom } from "../wasm/compilation-hints.js";
import { ExternalKind, type Limits, type Module, SectionId } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import { sectionsOf, WASM_HEADER, writeSection } from "../wasm/sections.js";
import { ValueType } from "../wasm/value-types.js";
import { BodyWriter } from "./body-writer.js";
import { BranchHints } from "./branch-hints.js";
import type { CallGraph } from "./call-graph.js";
import { type CodeTarget, type Form, writesExnref } from "./code-target.js";
import { dispatchedFunctions } from "./frame-stack.js";
import { FunctionAnalysis } from "./function-analysis.js";
import { Appendix } from "./helpers.js";
import { definedMemoryTypes, writeLimits } from "./memory-types.js";
import { flagPlace } from "./poll-flag.js";
import type { PositionMap } from "./position-map.js";
import { TypeTable } from "./type-table.js";

/** Names of our exports; the prefix keeps them apart from any guest's. */
export const EXPORT = {
  memory: (index: number): string => `vermilion:memory:${index}`,
  table: (index: number): string => `vermilion:table:${index}`,
  global: (index: number): string => `vermilion:global:${index}`,
  tag: (index: number): string => `vermilion:tag:${index}`,
  dispatch: "vermilion:dispatch",
  functions: "vermilion:functions",
  fuel: "vermilion:fuel",
  unwinding: "vermilion:unwinding",
  unwind: "vermilion:unwind",
  exit: "vermilion:exit",
  helper: (name: string): string => `vermilion:${name}`,
} as const;

/** Helpers that the host calls by export. */
export const HOST_CALLED_HELPERS = [
  "saveGlobals",
  "loadGlobals",
  "initialiseData",
  "dropActiveData",
  "fillFunctionTable",
] as const;

/** A vector section with entries appended behind the guest's. */
function writeExtended(out: ByteWriter, module: Module, id: number, added: number, write: () => void): void {
  const section = module.sections.get(id);
  if (section === undefined && added === 0) return;
  writeSection(out, id, () => {
    let count = 0;
    let from = 0;
    let to = 0;
    if (section !== undefined) {
      const reader = new ByteReader(module.bytes, section[0]);
      count = reader.u32();
      from = reader.position;
      to = section[1];
    }
    out.u32(count + added);
    out.copy(module.bytes, from, to);
    write();
  });
}

function writeData(out: ByteWriter, module: Module): void {
  if (module.data.length === 0) return;
  writeSection(out, SectionId.data, () => {
    out.u32(module.data.length);
    for (const { bytesFrom, byteLength } of module.data) {
      out.u32(1);
      out.u32(byteLength);
      out.copy(module.bytes, bytesFrom, bytesFrom + byteLength);
    }
  });
}

function writeExports(out: ByteWriter, module: Module, appendix: Appendix): void {
  const { memory, table, global, tag } = ExternalKind;
  const added: [string, number, number][] = [
    ...module.memories.map((_, i): [string, number, number] => [EXPORT.memory(i), memory, i]),
    ...module.tables.map((_, i): [string, number, number] => [EXPORT.table(i), table, i]),
    ...module.globals.map((_, i): [string, number, number] => [EXPORT.global(i), global, i]),
    ...module.tags.map((_, i): [string, number, number] => [EXPORT.tag(i), tag, i]),
    [EXPORT.dispatch, table, appendix.dispatchTable],
    [EXPORT.functions, table, appendix.functionTable],
    [EXPORT.fuel, global, appendix.fuelGlobal],
    [EXPORT.unwinding, global, appendix.unwindingGlobal],
    [EXPORT.unwind, tag, appendix.unwindTag],
    [EXPORT.exit, tag, appendix.exitTag],
    ...HOST_CALLED_HELPERS.map((name): [string, number, number] => [
      EXPORT.helper(name),
      ExternalKind.function,
      appendix.index(name),
    ]),
  ];
  writeExtended(out, module, SectionId.export, added.length, () => {
    for (const [name, kind, index] of added) {
      out.name(name);
      out.u8(kind);
      out.u32(index);
    }
  });
}

/** Where the main module's code is written for. */
export function mainTarget(module: Module, graph: CallGraph, appendix: Appendix, { mode, exnref }: Form): CodeTarget {
  return {
    helpers: appendix.indices(),
    fuelGlobal: appendix.fuelGlobal,
    flag: mode === "flag" ? flagPlace(module, graph.features) : undefined,
    unwindTag: appendix.unwindTag,
    exitTag: appendix.exitTag,
    continuation: undefined,
    exnref: writesExnref(graph.features, exnref),
    hints: new BranchHints(),
    helper: (name) => appendix.index(name),
  };
}

/** Bodies of the guest's functions, rewritten where they can unwind, then our helpers'. */
function writeCode(
  out: ByteWriter,
  module: Module,
  graph: CallGraph,
  appendix: Appendix,
  types: TypeTable,
  { mode, tracking }: Form,
  target: CodeTarget,
): void {
  const analysis = new FunctionAnalysis(module, graph);
  const { positions } = target;
  const writer = new BodyWriter(analysis, target, types, mode, out);
  const definedCount = module.bodies.length / 2;
  out.u32(definedCount + appendix.helperCount);
  for (let defined = 0; defined < definedCount; defined++) {
    const index = module.importedFunctionCount + defined;
    const replaces = tracking || graph.replacesInstructions[index] === 1;
    if (graph.mayUnwind[index] === 1 || replaces) {
      analysis.analyze(index);
      if (analysis.sites.length > 0 || replaces) {
        target.hints.begin(defined);
        writer.writeFunction();
        continue;
      }
    }
    const from = module.bodies[2 * defined] as number;
    const to = module.bodies[2 * defined + 1] as number;
    out.u32(to - from);
    positions?.noteCopy(out.length, from);
    out.copy(module.bytes, from, to);
  }
  appendix.writeBodies(out);
}

/**
 * Bytes that surely hold all sections before the code: the guest's, our additions, an element for each function, room
 * for compilation hints; and, if there are not very many, the branch hints.
 */
function headRoom(module: Module, appendix: Appendix): number {
  const code = module.sections.get(SectionId.code);
  const guest = (code?.[0] ?? module.bytes.length) + 16;
  const exports = module.memories.length + module.tables.length + module.globals.length + module.tags.length;
  const longestExport = 64;
  const hintRoom = hintRoomByteLength(appendix.functionCount - module.importedFunctionCount);
  return guest + 5 * appendix.functionCount + longestExport * exports + hintRoom + (module.bytes.length >> 2) + 65536;
}

function copyCustomNames(out: ByteWriter, module: Module): void {
  for (const { id, from, to } of sectionsOf(module.bytes)) {
    if (id !== SectionId.custom || new ByteReader(module.bytes, from).name() !== "name") continue;
    writeSection(out, SectionId.custom, () => out.copy(module.bytes, from, to));
  }
}

interface HeadParts {
  /** Index of the type that our tags have. */
  readonly tagType: number;
  /** Of the memories that the module defines. */
  readonly memories: readonly Limits[];
  readonly tracking: boolean;
}

/** All sections before the code. */
function writeHead(
  module: Module,
  appendix: Appendix,
  types: TypeTable,
  { tagType, memories, tracking }: HeadParts,
): ByteWriter {
  const head = new ByteWriter(65536);
  head.copy(WASM_HEADER);
  writeExtended(head, module, SectionId.type, types.addedCount, () => types.writeAdded(head));
  writeExtended(head, module, SectionId.import, 0, () => undefined);
  writeExtended(head, module, SectionId.function, appendix.helperCount, () => {
    for (const type of appendix.typeIndices()) head.u32(type);
  });
  writeExtended(head, module, SectionId.table, 2, () => {
    for (const length of [dispatchedFunctions(tracking).length, appendix.functionCount]) {
      head.u8(ValueType.funcref);
      head.u8(1);
      head.u32(length);
      head.u32(length);
    }
  });
  if (memories.length > 0) {
    writeSection(head, SectionId.memory, () => {
      head.u32(memories.length);
      for (const limits of memories) writeLimits(head, limits);
    });
  }
  writeExtended(head, module, SectionId.tag, 2, () => {
    for (let i = 0; i < 2; i++) {
      head.u8(0);
      head.u32(tagType);
    }
  });
  writeExtended(head, module, SectionId.global, 2, () => {
    for (let i = 0; i < 2; i++) head.copy(Uint8Array.of(ValueType.i32, 1, Op.i32Const, 0, Op.end));
  });
  writeExports(head, module, appendix);
  writeExtended(head, module, SectionId.element, 1, () => {
    head.copy(Uint8Array.of(1, 0));
    head.u32(appendix.functionCount);
    for (let index = 0; index < appendix.functionCount; index++) head.u32(index);
  });
  if (module.data.length > 0) writeSection(head, SectionId.dataCount, () => head.u32(module.data.length));
  writeHintRoom(head, module.importedFunctionCount, appendix.functionCount - module.importedFunctionCount);
  return head;
}

/**
 * Rewrites a module so that it can be stopped at its safepoints.
 *
 * @param metadata bytes that are put into a custom section of their own, for the cache.
 * @param positions filled, if it is wanted.
 */
export function instrument(
  module: Module,
  graph: CallGraph,
  form: Form,
  metadata: Uint8Array,
  positions?: PositionMap,
): Uint8Array {
  const types = new TypeTable(module.types);
  const appendix = new Appendix(module, graph.features, types, form.tracking);
  const tagType = types.index([], []);
  // Code is written first, behind room for what stands before it, so that the whole is made without a second copy.
  const room = headRoom(module, appendix);
  // More than any program needs: memory that is never written to costs nothing, a buffer that is outgrown costs a second one.
  const out = new ByteWriter(room + module.bytes.length * 3);
  out.length = room;
  const target: CodeTarget = { ...mainTarget(module, graph, appendix, form), positions };
  writeSection(out, SectionId.code, () => writeCode(out, module, graph, appendix, types, form, target));
  const memories = definedMemoryTypes(module, graph.features);
  const head = writeHead(module, appendix, types, { tagType, memories, tracking: form.tracking });
  if (head.length + target.hints.longestByteLength <= room) {
    writeSection(head, SectionId.custom, () => target.hints.write(head, module.importedFunctionCount));
  }
  if (head.length > room) throw new Error(`sections before the code take ${head.length} bytes, room is for ${room}`);
  out.bytes.set(head.view(), room - head.length);
  if (positions !== undefined) positions.moduleBegin = room - head.length;
  writeData(out, module);
  copyCustomNames(out, module);
  writeSection(out, SectionId.custom, () => {
    out.name(METADATA_SECTION);
    out.copy(metadata);
  });
  return out.bytes.subarray(room - head.length, out.length);
}

export const METADATA_SECTION = "vermilion";
