/**
 * Continuation modules: the rest of saved frames, one function for each distinct place where one was left, or the further turns
 * of a loop, which several places share (outer-turns.ts).
 *
 * A continuation loads its frame's values from the frame stack, then runs what follows the site. The call at the site
 * becomes a call of the next inner frame's continuation, found through a table. Guest functions are imported from the
 * main instance, as are its memories, tables, globals and tags; types keep their indices. Two places are not in guest
 * code: a host call that was left before it did anything (it is made again with the same arguments), and one whose
 * results were already there (they are returned).
 */
import { ByteWriter } from "../wasm/byte-writer.js";
import { ExternalKind, type Module, SectionId } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import { WASM_HEADER, writeSection } from "../wasm/sections.js";
import { ValueType } from "../wasm/value-types.js";
import { BranchHints } from "./branch-hints.js";
import type { CallGraph } from "./call-graph.js";
import { type CodeTarget, type ContinuationTarget, type PollMode, writesExnref } from "./code-target.js";
import { writeContinuationNames } from "./continuation-names.js";
import { ContinuationWriter } from "./continuation-writer.js";
import { CONTINUATION_FUNCTIONS } from "./frame-stack.js";
import { Appendix, accessorName, type HelperIndices } from "./helpers.js";
import { EXPORT } from "./instrument.js";
import { memoryTypes, writeLimits } from "./memory-types.js";
import { LARGEST_REPEATED, OuterTurns, TurnNumbers } from "./outer-turns.js";
import { HOST_CALL, HOST_RETURN, type Place, Places } from "./places.js";
import { flagPlace } from "./poll-flag.js";
import { PositionMap } from "./position-map.js";
import { TypeTable } from "./type-table.js";

/** Imports of a continuation module, to be matched by index in "function". */
export const CONTINUATION_IMPORTS = {
  ...{ main: "main", stack: "stack", function: "function", table: "table", turns: "turns" },
} as const;

export interface ContinuationModule {
  readonly bytes: Uint8Array;
  /** Its number, as of continuation-names.ts. */
  readonly built: number;
  /** Guest and helper functions that "function" must provide under their index as a name. */
  readonly importedFunctions: readonly number[];
}

const RESULT_EXPORT = "c";
/** Modules whose sites are known; a test may build thousands. */
const MOST_KEPT = 1024;

/** What one module is to have. */
export interface Pieces {
  /** Loops, by the names of their headers. */
  readonly turns: readonly number[];
  readonly places: readonly number[];
  /** Loops whose further turns are called, here or in other modules; all others around the pieces are written again in each. */
  readonly apart: ReadonlySet<number>;
}

/** Name of the export for the nth piece asked for, turns first. */
export function continuationExport(index: number): string {
  return `${RESULT_EXPORT}${index}`;
}

/** As of a Form. */
interface ContinuationForm {
  readonly tracking: boolean;
  readonly exnref?: boolean;
  /** For tests: see outer-turns.ts. */
  readonly largestRepeated?: number | undefined;
}

/** Builds continuation modules of one guest module. */
export class ContinuationBuilder {
  readonly #module: Module;
  readonly #graph: CallGraph;
  readonly #tracking: boolean;
  readonly #exnref: boolean;
  readonly numbers = new TurnNumbers();
  readonly #largestRepeated: number;
  readonly #places: Places;
  /** By the number of a module that was built; the oldest first. */
  readonly #sites = new Map<number, PositionMap>();
  #built = 0;

  constructor(module: Module, graph: CallGraph, { tracking, exnref, largestRepeated }: ContinuationForm) {
    this.#module = module;
    this.#graph = graph;
    this.#tracking = tracking;
    this.#exnref = writesExnref(graph.features, exnref);
    this.#largestRepeated = largestRepeated ?? LARGEST_REPEATED;
    this.#places = new Places(module, graph);
  }

  /** The shape of a frame that was left at a place; undefined when this module has no such place. */
  place(name: number): Place | undefined {
    return this.#places.find(name);
  }

  /** Whether the loops around a place are too large to be written again in its continuation. */
  isTooLarge({ loops }: Place): boolean {
    return loops.reduce((sum, { byteLength }) => sum + byteLength, 0) > this.#largestRepeated;
  }

  /** The name of the site at an offset in a module that was built: see continuation-names.ts for its number. */
  siteIn(built: number, offset: number): number | undefined {
    return this.#sites.get(built)?.originOf(offset);
  }

  /** One module with a function for each piece, exported in order. */
  build({ turns: headers, places, apart }: Pieces, mode: PollMode): ContinuationModule {
    const module = this.#module;
    const types = new TypeTable(module.types);
    const appendix = new Appendix(module, this.#graph.features, types, this.#tracking);
    const imports = new ImportedFunctions(CONTINUATION_FUNCTIONS.length);
    const sites = new PositionMap();
    const hints = new BranchHints();
    const target: CodeTarget = {
      sites,
      helpers: this.#helperIndices(appendix, imports),
      fuelGlobal: module.globals.length,
      flag: mode === "flag" ? flagPlace(module, this.#graph.features) : undefined,
      unwindTag: module.tags.length,
      exitTag: module.tags.length + 1,
      continuation: this.#continuationTarget(imports),
      exnref: this.#exnref,
      hints,
      helper: (name) => imports.index(appendix.index(name)),
    };
    const code = new ByteWriter(1 << 16);
    const functionTypes: number[] = [];
    const functions: number[] = [];
    const turns = new OuterTurns(this.numbers, apart, module.tables.length + 2, module.globals.length + 1);
    const write = (name: number, isCalledAtTurn: boolean): void => {
      hints.begin(functions.length);
      const place = this.place(name);
      if (place === undefined) throw new Error(`no place ${name}`);
      functionTypes.push(types.index([], place.results));
      functions.push(place.functionIndex);
      if (name >= HOST_CALL) writeHostContinuation(code, place, name < HOST_RETURN, target);
      else {
        const { site, analysis } = this.#places.siteOf(name);
        new ContinuationWriter(analysis, target, types, mode, code, turns).writeContinuation(site, isCalledAtTurn);
      }
    };
    for (const header of headers) write(header, true);
    for (const name of places) write(name, false);
    const out = this.#assemble({ code, hints, functionTypes, types, appendix, turns }, imports.list);
    sites.moduleBegin = code.length - out.length; // the code is what it ends with
    this.#keepSites(++this.#built, sites);
    const firstFunction = CONTINUATION_FUNCTIONS.length + imports.list.length;
    writeContinuationNames(out, { built: this.#built, firstFunction, functions });
    return { bytes: out.view(), built: this.#built, importedFunctions: imports.list };
  }

  #keepSites(built: number, sites: PositionMap): void {
    this.#sites.set(built, sites);
    if (this.#sites.size > MOST_KEPT) this.#sites.delete(this.#sites.keys().next().value as number);
  }

  #helperIndices(appendix: Appendix, imports: ImportedFunctions): HelperIndices {
    const direct = (name: string): number => CONTINUATION_FUNCTIONS.findIndex((fn) => fn.name === name);
    const { putI32x8, put, get, frame, unwind, head, tail } = appendix.indices();
    const imported = (index: number): number => imports.index(index);
    const loads = [...get].map(([type, index]): [number, number] => {
      const own = direct(accessorName("get", type));
      return [type, own >= 0 ? own : imported(index)];
    });
    return {
      poll: direct("poll"),
      putI32x8: imported(putI32x8),
      put: new Map([...put].map(([type, index]) => [type, imported(index)])),
      get: new Map(loads),
      frame: frame.map(imported),
      unwind: unwind.map(imported),
      head: head.map(imported),
      tail: tail.map(imported),
      stored: this.#tracking ? direct("stored") : undefined,
    };
  }

  #continuationTarget(imports: ImportedFunctions): ContinuationTarget {
    return {
      functionIndex: (index) => imports.index(index),
      next: CONTINUATION_FUNCTIONS.findIndex((fn) => fn.name === "next"),
      continuationTable: this.#module.tables.length,
      functionTable: this.#module.tables.length + 1,
    };
  }

  #assemble(parts: ModuleParts, importedFunctions: readonly number[]): ByteWriter {
    const { code, hints, functionTypes, types, appendix, turns } = parts;
    const module = this.#module;
    const helperTypes = appendix.typeIndices();
    const tagType = types.index([], []);
    const stackTypes = CONTINUATION_FUNCTIONS.map((fn) => types.index(fn.params, fn.results));
    const out = new ByteWriter(code.length + 65536);
    out.copy(WASM_HEADER);
    writeSection(out, SectionId.type, () => {
      out.u32(module.types.length + types.addedCount);
      for (const { params, results } of module.types) {
        out.u8(0x60);
        for (const list of [params, results]) {
          out.u32(list.length);
          for (const type of list) out.u8(type);
        }
      }
      types.writeAdded(out);
    });
    writeSection(out, SectionId.import, () => {
      const { memories, tables, globals, tags } = module;
      const functions = CONTINUATION_FUNCTIONS.length + importedFunctions.length;
      const own = memories.length + tables.length + 2 + globals.length + 1 + tags.length + 2;
      out.u32(functions + own + turns.importCount);
      const entry = (from: string, name: string, kind: number): void => {
        out.name(from);
        out.name(name);
        out.u8(kind);
      };
      CONTINUATION_FUNCTIONS.forEach((fn, i) => {
        entry(CONTINUATION_IMPORTS.stack, fn.name, ExternalKind.function);
        out.u32(stackTypes[i] as number);
      });
      for (const index of importedFunctions) {
        entry(CONTINUATION_IMPORTS.function, `${index}`, ExternalKind.function);
        const guest = module.functionTypes[index];
        out.u32(guest ?? (helperTypes[index - module.functionTypes.length] as number));
      }
      memoryTypes(module, this.#graph.features).forEach((limits, i) => {
        entry(CONTINUATION_IMPORTS.main, EXPORT.memory(i), ExternalKind.memory);
        writeLimits(out, limits);
      });
      tables.forEach((table, i) => {
        entry(CONTINUATION_IMPORTS.main, EXPORT.table(i), ExternalKind.table);
        out.u8(table.element);
        writeLimits(out, table);
      });
      entry(CONTINUATION_IMPORTS.table, "continuations", ExternalKind.table);
      out.copy(Uint8Array.of(ValueType.funcref, 0, 0));
      entry(CONTINUATION_IMPORTS.main, EXPORT.functions, ExternalKind.table);
      out.copy(Uint8Array.of(ValueType.funcref, 0, 0));
      turns.writeTableImport(out, CONTINUATION_IMPORTS.turns);
      globals.forEach(({ type, mutable }, i) => {
        entry(CONTINUATION_IMPORTS.main, EXPORT.global(i), ExternalKind.global);
        out.u8(type);
        out.u8(mutable ? 1 : 0);
      });
      entry(CONTINUATION_IMPORTS.main, EXPORT.fuel, ExternalKind.global);
      out.copy(Uint8Array.of(ValueType.i32, 1));
      turns.writeRegisterImports(out, CONTINUATION_IMPORTS.turns);
      const tagEntry = (name: string, type: number): void => {
        entry(CONTINUATION_IMPORTS.main, name, ExternalKind.tag);
        out.u8(0);
        out.u32(type);
      };
      tags.forEach((type, i) => {
        tagEntry(EXPORT.tag(i), type);
      });
      tagEntry(EXPORT.unwind, tagType);
      tagEntry(EXPORT.exit, tagType);
    });
    writeSection(out, SectionId.function, () => {
      out.u32(functionTypes.length);
      for (const type of functionTypes) out.u32(type);
    });
    const firstFunction = CONTINUATION_FUNCTIONS.length + importedFunctions.length;
    writeSection(out, SectionId.export, () => {
      out.u32(functionTypes.length);
      for (let i = 0; i < functionTypes.length; i++) {
        out.name(continuationExport(i));
        out.u8(ExternalKind.function);
        out.u32(firstFunction + i);
      }
    });
    writeSection(out, SectionId.custom, () => hints.write(out, firstFunction));
    writeSection(out, SectionId.code, () => {
      out.u32(functionTypes.length);
      out.copy(code.bytes, 0, code.length);
    });
    return out;
  }
}

/** What is written to a module. */
interface ModuleParts {
  readonly code: ByteWriter;
  readonly hints: BranchHints;
  readonly functionTypes: readonly number[];
  readonly types: TypeTable;
  readonly appendix: Appendix;
  readonly turns: OuterTurns;
}

/** Guest and helper functions that a continuation module calls, numbered as they are met. */
class ImportedFunctions {
  readonly list: number[] = [];
  readonly #indices = new Map<number, number>();
  readonly #base: number;

  constructor(base: number) {
    this.#base = base;
  }

  index(functionIndex: number): number {
    const known = this.#indices.get(functionIndex);
    if (known !== undefined) return known;
    const index = this.#base + this.list.length;
    this.#indices.set(functionIndex, index);
    this.list.push(functionIndex);
    return index;
  }
}

/** Loads the saved values; then makes the host call with them, or returns them as its results. */
function writeHostContinuation(code: ByteWriter, place: Place, again: boolean, target: CodeTarget): void {
  const at = code.openSized();
  code.u8(0);
  for (const type of place.values) {
    code.u8(Op.call);
    code.u32(target.helpers.get.get(type) as number);
  }
  if (again) {
    code.u8(Op.call);
    code.u32(target.continuation?.functionIndex(place.functionIndex) ?? place.functionIndex);
  }
  code.u8(Op.end);
  code.closeSized(at);
}
