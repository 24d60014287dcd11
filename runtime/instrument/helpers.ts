/**
 * What the instrumenter appends to a module: helper functions, tables, globals and tags, all behind the guest's own in
 * their index spaces, so that no index in the guest's code changes.
 *
 * The frame stack's functions cannot be imported (an import would shift every function index), so each is reached
 * through a slot of the dispatch table, by a helper function that calls it indirectly. Only cold paths use them.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import type { Module } from "../wasm/module.js";
import { EMPTY_BLOCK, Misc, Op } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";
import type { CodeFeatures } from "./body-scanner.js";
import { CHUNK, dispatchedFunctions, type FrameStackFunction, frameStackSlot } from "./frame-stack.js";
import { dataHelpers, type Emit, segmentThunk } from "./segment-helpers.js";
import type { TypeTable } from "./type-table.js";

const { i32, funcref, externref, exnref } = ValueType;

/** Reasons of `refuse`, by number. */
export const REFUSALS = ["externref", "exnref"] as const;

/**
 * Function indices that emitted code calls; what they are differs between main and continuation modules. Those that save
 * values do nothing unless frames are being saved.
 */
export interface HelperIndices {
  readonly poll: number;
  readonly putI32x8: number;
  /** By value type. */
  readonly put: ReadonlyMap<number, number>;
  readonly get: ReadonlyMap<number, number>;
  /** Ends a frame; by the number of i32 values in the last chunk. */
  readonly frame: readonly number[];
  /** Ends a frame, and unwinds. */
  readonly unwind: readonly number[];
  /** Ends a frame's head, and says whether frames are being saved, so that its tail is to come; numbered as `frame`. */
  readonly head: readonly number[];
  /** Ends a frame with a tail, and unwinds. */
  readonly tail: readonly number[];
  /** Undefined: stores are not tracked. */
  readonly stored: number | undefined;
}

interface Helper {
  readonly name: string;
  readonly type: FunctionType;
  readonly emit: Emit;
}

const PUT_NAMES: readonly (readonly [number, string])[] = [
  [ValueType.i32, "I32"],
  [ValueType.i64, "I64"],
  [ValueType.f32, "F32"],
  [ValueType.f64, "F64"],
  [ValueType.v128, "V128"],
];

/** Names of the functions that save and load a value of a type. */
export function accessorName(verb: "put" | "get", type: number): string {
  const plain = PUT_NAMES.find(([candidate]) => candidate === type)?.[1];
  if (plain !== undefined) return verb + plain;
  return verb + (type === funcref ? "Funcref" : type === externref ? "Externref" : "Exnref");
}

export class Appendix {
  readonly #module: Module;
  readonly #types: TypeTable;
  readonly #tracking: boolean;
  readonly #helpers: Helper[] = [];
  readonly #indexOf = new Map<string, number>();
  readonly dispatchTable: number;
  readonly functionTable: number;
  readonly fuelGlobal: number;
  readonly unwindingGlobal: number;
  readonly unwindTag: number;
  readonly exitTag: number;

  constructor(module: Module, features: CodeFeatures, types: TypeTable, tracking: boolean) {
    this.#module = module;
    this.#types = types;
    this.#tracking = tracking;
    this.dispatchTable = module.tables.length;
    this.functionTable = module.tables.length + 1;
    this.fuelGlobal = module.globals.length;
    this.unwindingGlobal = module.globals.length + 1;
    this.unwindTag = module.tags.length;
    this.exitTag = module.tags.length + 1;
    for (const fn of dispatchedFunctions(tracking)) {
      const call = (out: ByteWriter): void => {
        fn.params.forEach((_, index) => {
          out.copy(Uint8Array.of(Op.localGet, index));
        });
        out.u8(Op.i32Const);
        out.s32(frameStackSlot(fn.name));
        out.u8(Op.callIndirect);
        out.u32(types.index(fn.params, fn.results));
        out.u32(this.dispatchTable);
      };
      this.#addDispatched(fn, call);
    }
    for (let count = 0; count <= CHUNK; count++) this.#addUnwind(count);
    this.#addReferences(features);
    for (const memory of features.memoryGrow) this.#addGrow(memory);
    const indexOf = (name: string): number => this.index(name);
    for (const key of features.segmentOperations) this.#add(...segmentThunk(key, indexOf));
    this.#addGlobals();
    for (const helper of dataHelpers(module)) this.#add(...helper);
    this.#add("fillFunctionTable", { params: [], results: [] }, (out) => {
      const segment = module.elements.length;
      out.copy(Uint8Array.of(Op.i32Const, 0, Op.i32Const, 0, Op.i32Const));
      out.s32(this.functionCount);
      out.copy(Uint8Array.of(Op.prefixMisc, Misc.tableInit));
      out.u32(segment);
      out.u32(this.functionTable);
    });
  }

  #addDispatched(fn: FrameStackFunction, call: Emit): void {
    const { name } = fn;
    if (name.startsWith("head")) {
      this.#add(name, { params: fn.params, results: [i32] }, (out) => {
        this.#ifUnwinding(out, call);
        out.u8(Op.globalGet);
        out.u32(this.unwindingGlobal);
      });
    } else if (name.startsWith("tail")) {
      this.#add(name, fn, (out) => {
        call(out);
        out.u8(Op.throw);
        out.u32(this.unwindTag);
      });
    } else {
      const saves = fn.params.length > 0 && /^(put|frame)/.test(name);
      this.#add(name, fn, saves ? (out) => this.#ifUnwinding(out, call) : call);
    }
  }

  #add(name: string, type: FunctionType, emit: Emit): void {
    this.#indexOf.set(name, this.#module.functionTypes.length + this.#helpers.length);
    this.#helpers.push({ name, type: { params: type.params, results: type.results }, emit });
    this.#types.index(type.params, type.results);
  }

  /** Guest functions and helpers together. */
  get functionCount(): number {
    return this.#module.functionTypes.length + this.#helpers.length;
  }

  index(name: string): number {
    const index = this.#indexOf.get(name);
    if (index === undefined) throw new Error(`no helper named ${name}`);
    return index;
  }

  indices(): HelperIndices {
    const types = [...PUT_NAMES.map(([type]) => type), funcref, externref, exnref];
    const accessors = (verb: "put" | "get"): Map<number, number> =>
      new Map(
        types
          .filter((type) => this.#indexOf.has(accessorName(verb, type)))
          .map((type) => [type, this.index(accessorName(verb, type))]),
      );
    const ends = (name: string): number[] =>
      Array.from({ length: CHUNK + 1 }, (_, count) => this.index(`${name}${count}`));
    return {
      poll: this.index("poll"),
      putI32x8: this.index("putI32x8"),
      put: accessors("put"),
      get: accessors("get"),
      frame: ends("frame"),
      unwind: ends("unwind"),
      head: ends("head"),
      tail: ends("tail"),
      stored: this.#tracking ? this.index("stored") : undefined,
    };
  }

  /** Guards call what saves values in front of every exception that passes, also those of the guest's own. */
  #ifUnwinding(out: ByteWriter, emit: Emit): void {
    out.u8(Op.globalGet);
    out.u32(this.unwindingGlobal);
    out.copy(Uint8Array.of(Op.if, EMPTY_BLOCK));
    emit(out);
    out.u8(Op.end);
  }

  /** Ends a frame as `frame<count>` does, and unwinds; nothing, if the host said that the guest is to go on. */
  #addUnwind(count: number): void {
    this.#add(`unwind${count}`, { params: new Array<ValueType>(count + 1).fill(i32), results: [] }, (out) => {
      this.#ifUnwinding(out, () => {
        for (let index = 0; index <= count; index++) out.copy(Uint8Array.of(Op.localGet, index));
        out.u8(Op.call);
        out.u32(this.index(`frame${count}`));
        out.u8(Op.throw);
        out.u32(this.unwindTag);
      });
    });
  }

  /** References travel as i32: a function's index, or -1 for null; other references only when null. */
  #addReferences(features: CodeFeatures): void {
    this.#add("putFuncref", { params: [funcref], results: [] }, (out) => {
      this.#ifUnwinding(out, () => {
        out.copy(Uint8Array.of(Op.localGet, 0, Op.call));
        out.u32(this.index("functionIndex"));
        out.u8(Op.call);
        out.u32(this.index("putI32"));
      });
    });
    this.#add("getFuncref", { params: [], results: [funcref] }, (out) => {
      out.u8(Op.call);
      out.u32(this.index("getI32"));
      out.u8(Op.call);
      out.u32(this.index("functionAt"));
    });
    for (const type of features.exnref ? [externref, exnref] : [externref]) {
      this.#add(accessorName("put", type), { params: [type], results: [] }, (out) => {
        this.#ifUnwinding(out, () => {
          out.copy(Uint8Array.of(Op.localGet, 0, Op.refIsNull, Op.i32Eqz, Op.if, EMPTY_BLOCK, Op.i32Const));
          out.s32(REFUSALS.indexOf(type === externref ? "externref" : "exnref"));
          out.u8(Op.call);
          out.u32(this.index("refuse"));
          out.copy(Uint8Array.of(Op.end, Op.i32Const, 0x7f, Op.call));
          out.u32(this.index("putI32"));
        });
      });
      this.#add(accessorName("get", type), { params: [], results: [type] }, (out) => {
        out.u8(Op.call);
        out.u32(this.index("getI32"));
        out.copy(Uint8Array.of(Op.drop, Op.refNull, type));
      });
    }
  }

  /** memory.grow after the region has room for it; -1 when it has none. */
  #addGrow(memory: number): void {
    this.#add(`grow:${memory}`, { params: [i32], results: [i32] }, (out) => {
      out.u8(Op.i32Const);
      out.s32(memory);
      out.copy(Uint8Array.of(Op.localGet, 0, Op.call));
      out.u32(this.index("grow"));
      out.copy(Uint8Array.of(Op.if, i32, Op.localGet, 0, Op.memoryGrow));
      out.u32(memory);
      out.copy(Uint8Array.of(Op.else, Op.i32Const, 0x7f, Op.end));
    });
  }

  /** Mutable globals go through the frame stack, so that every type, v128 and references included, is saved alike. */
  #addGlobals(): void {
    const { globals } = this.#module;
    const setUnwinding = (out: ByteWriter, value: 0 | 1): void => {
      out.copy(Uint8Array.of(Op.i32Const, value, Op.globalSet));
      out.u32(this.unwindingGlobal);
    };
    this.#add("saveGlobals", { params: [], results: [] }, (out) => {
      setUnwinding(out, 1);
      globals.forEach(({ type, mutable }, index) => {
        if (!mutable) return;
        out.u8(Op.globalGet);
        out.u32(index);
        out.u8(Op.call);
        out.u32(this.index(accessorName("put", type)));
      });
      setUnwinding(out, 0);
    });
    this.#add("loadGlobals", { params: [], results: [] }, (out) => {
      globals.forEach(({ type, mutable }, index) => {
        if (!mutable) return;
        out.u8(Op.call);
        out.u32(this.index(accessorName("get", type)));
        out.u8(Op.globalSet);
        out.u32(index);
      });
    });
  }

  /** Type index of each helper, in order. */
  typeIndices(): number[] {
    return this.#helpers.map(({ type }) => this.#types.index(type.params, type.results));
  }

  get helperCount(): number {
    return this.#helpers.length;
  }

  writeBodies(out: ByteWriter): void {
    for (const helper of this.#helpers) {
      const at = out.openSized();
      out.u8(0);
      helper.emit(out);
      out.u8(Op.end);
      out.closeSized(at);
    }
  }
}
