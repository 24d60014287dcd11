/**
 * A module: its sections as decode.ts finds them; function bodies stay bytes.
 *
 * Index spaces are complete: imports first, then definitions. Positions are byte offsets in the module, so that a body
 * can be copied without being understood.
 */
import { type FunctionType, functionTypeKey, type ValueType } from "./value-types.js";

export const SectionId = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

export const ExternalKind = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

/** Of 64 KiB: a 32-bit memory has 4 GiB at most. */
export const MOST_MEMORY_PAGES = 65_536;
/** The unit of linear memory's length. https://webassembly.github.io/spec/core/exec/runtime.html#page-size */
export const WASM_PAGE_BYTE_LENGTH = 65_536;

export interface Limits {
  readonly minimum: number;
  readonly maximum: number | undefined;
  readonly shared: boolean;
}

export interface TableType extends Limits {
  readonly element: ValueType;
}

export interface GlobalType {
  readonly type: ValueType;
  readonly mutable: boolean;
}

export interface Import {
  readonly module: string;
  readonly name: string;
  readonly kind: number;
}

export interface Export {
  readonly name: string;
  readonly kind: number;
  readonly index: number;
}

export interface ElementSegment {
  readonly mode: "active" | "passive" | "declarative";
  readonly functions: readonly number[];
}

export interface DataSegment {
  readonly active: boolean;
  readonly memory: number;
  /** Byte range of the offset expression without its `end`; empty for passive segments. */
  readonly offsetFrom: number;
  readonly offsetTo: number;
  readonly bytesFrom: number;
  readonly byteLength: number;
}

export interface Module {
  readonly bytes: Uint8Array;
  /** Content range of each non-custom section, by id. */
  readonly sections: ReadonlyMap<number, readonly [from: number, to: number]>;
  readonly types: readonly FunctionType[];
  readonly imports: readonly Import[];
  /** Type index of every function, imports first. */
  readonly functionTypes: readonly number[];
  readonly tables: readonly TableType[];
  readonly memories: readonly Limits[];
  readonly globals: readonly GlobalType[];
  /** Type index of every tag. */
  readonly tags: readonly number[];
  readonly exports: readonly Export[];
  readonly start: number | undefined;
  readonly elements: readonly ElementSegment[];
  readonly data: readonly DataSegment[];
  /** Begin and end of each body, in pairs. */
  readonly bodies: Uint32Array;
  readonly importedFunctionCount: number;
  /** Functions whose reference appears in a constant expression. */
  readonly referencedFunctions: readonly number[];
}

/** The type of a function. */
export function typeOfFunction(module: Module, index: number): FunctionType {
  return module.types[module.functionTypes[index] as number] as FunctionType;
}

/** 0 for an import, and for what is no function of the module. */
export function bodyByteLength({ bodies, importedFunctionCount }: Module, index: number): number {
  const body = 2 * (index - importedFunctionCount);
  return (bodies[body + 1] ?? 0) - (bodies[body] ?? 0);
}

/** The function whose body holds a byte, or undefined. */
export function functionAtByte(module: Module, offset: number): number | undefined {
  const { bodies } = module;
  let low = 0;
  let high = bodies.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if (offset < (bodies[2 * middle] as number)) high = middle - 1;
    else if (offset >= (bodies[2 * middle + 1] as number)) low = middle + 1;
    else return module.importedFunctionCount + middle;
  }
  return undefined;
}

/** First type index of an equal type, by type index. */
export function canonicalTypes(module: Module): Uint32Array {
  const firstOf = new Map<string, number>();
  return Uint32Array.from(module.types, (type, index) => {
    const key = functionTypeKey(type);
    const first = firstOf.get(key) ?? index;
    firstOf.set(key, first);
    return first;
  });
}
