/**
 * The frame stack: a small module with a memory of its own, into which handlers spill and from which continuations load.
 *
 * It is a module apart because Node 20 has no multi-memory. Calls between instances cost a few nanoseconds, values of
 * every type pass as they are (NaN payloads, v128), and the host reads the frames as bytes without a call per value.
 *
 * Layout: records grow upwards, the innermost activation first, as the exception passes them.
 *
 *     values...            in the order of `FrameLayout`, little endian, packed
 *     u32 values' length   bytes
 *     u32 site             when saved; replaced by the continuation's slot before a resume
 *
 * A resume reads backwards from the end: `next` steps to the record below and returns its slot.
 *
 * F1  `top` is the end of the last whole record, plus the values of one that is being written.
 * F2  Records are consumed before guest code runs again, so a new unwinding may start at 0.
 */
import { ByteWriter } from "../wasm/byte-writer.js";
import { ExternalKind, SectionId, WASM_PAGE_BYTE_LENGTH } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";

const { i32, i64, f32, f64, v128, funcref } = ValueType;

/** i32 values that one spilling call takes. */
export const CHUNK = 8;

/** Functions of the frame stack, with their slot in an instrumented module's dispatch table. */
export interface FrameStackFunction {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Nine of a kind, by the number of i32 values that they take; `more`: parameters behind them. */
const byWords = (name: string, more: number): FrameStackFunction[] =>
  Array.from({ length: CHUNK + 1 }, (_, count) => ({
    name: `${name}${count}`,
    params: new Array<ValueType>(count + more).fill(i32),
    results: [],
  }));

/** Slot order; `host` functions are the embedder's, passed through so that a table can hold them. */
export const FRAME_STACK_FUNCTIONS: readonly (FrameStackFunction & { readonly host?: true })[] = [
  { name: "poll", params: [], results: [], host: true },
  { name: "grow", params: [i32, i32], results: [i32], host: true },
  { name: "dropped", params: [i32, i32], results: [], host: true },
  { name: "refuse", params: [i32], results: [], host: true },
  { name: "functionIndex", params: [funcref], results: [i32], host: true },
  { name: "functionAt", params: [i32], results: [funcref], host: true },
  { name: "putI32", params: [i32], results: [] },
  { name: "putI32x8", params: new Array<ValueType>(CHUNK).fill(i32), results: [] },
  { name: "putI64", params: [i64], results: [] },
  { name: "putF32", params: [f32], results: [] },
  { name: "putF64", params: [f64], results: [] },
  { name: "putV128", params: [v128], results: [] },
  ...byWords("frame", 1),
  ...byWords("head", 1),
  ...byWords("tail", 0),
  { name: "getI32", params: [], results: [i32] },
  { name: "getI64", params: [], results: [i64] },
  { name: "getF32", params: [], results: [f32] },
  { name: "getF64", params: [], results: [f64] },
  { name: "getV128", params: [], results: [v128] },
  { name: "next", params: [], results: [i32] },
  // Behind all others: a module whose stores are not tracked has no slot for it.
  { name: "stored", params: [i32, i32, i32], results: [], host: true },
];

/** Those that continuations call themselves; what saves frames is reached through the main module's helpers. */
export const CONTINUATION_FUNCTIONS = FRAME_STACK_FUNCTIONS.filter(({ name }) => !/^(put|frame|head|tail)/.test(name));

/** Those that a module's dispatch table has. */
export function dispatchedFunctions(tracking: boolean): typeof FRAME_STACK_FUNCTIONS {
  return tracking ? FRAME_STACK_FUNCTIONS : FRAME_STACK_FUNCTIONS.slice(0, -1);
}

export function frameStackSlot(name: string): number {
  return FRAME_STACK_FUNCTIONS.findIndex((candidate) => candidate.name === name);
}

/** Store and load opcodes by type. */
const ACCESS: ReadonlyMap<number, { bytes: number; store: readonly number[]; load: readonly number[] }> = new Map([
  [i32, { bytes: 4, store: [0x36], load: [0x28] }],
  [i64, { bytes: 8, store: [0x37], load: [0x29] }],
  [f32, { bytes: 4, store: [0x38], load: [0x2a] }],
  [f64, { bytes: 8, store: [0x39], load: [0x2b] }],
  [v128, { bytes: 16, store: [Op.prefixSimd, 11], load: [Op.prefixSimd, 0] }],
]);

/** Most frames that can be saved: 1 GiB of them. */
const MAXIMUM_PAGES = 16384;
const GLOBAL = { top: 0, limit: 1, value: 2, record: 3, site: 4 } as const;

/** Opens room for one call's values: grows the memory when `top` passes `limit`. */
function emitRoom(out: ByteWriter): void {
  const spare = 256;
  out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, Op.globalGet, GLOBAL.limit, 0x4f, Op.if, 0x40));
  out.copy(Uint8Array.of(0x3f, 0, Op.memoryGrow, 0, Op.i32Const, 0x7f, 0x46, Op.if, 0x40, Op.unreachable, Op.end));
  out.u8(Op.memorySize);
  out.u8(0);
  out.u8(Op.i32Const);
  out.s32(WASM_PAGE_BYTE_LENGTH);
  out.copy(Uint8Array.of(0x6c, Op.i32Const));
  out.s32(spare);
  out.copy(Uint8Array.of(Op.i32Sub, Op.globalSet, GLOBAL.limit, Op.end));
}

/** Stores the parameters at `top` and moves it; `length` words of a frame's trailer come from the caller. */
function emitStores(out: ByteWriter, params: readonly ValueType[]): number {
  let offset = 0;
  params.forEach((type, index) => {
    const access = ACCESS.get(type);
    if (access === undefined) return;
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, Op.localGet, index, ...access.store, 0));
    out.u32(offset);
    offset += access.bytes;
  });
  return offset;
}

function emitMoveTop(out: ByteWriter, byteLength: number): void {
  out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, Op.i32Const));
  out.s32(byteLength);
  out.copy(Uint8Array.of(Op.i32Add, Op.globalSet, GLOBAL.top));
}

function emitBody(out: ByteWriter, fn: FrameStackFunction): void {
  if (fn.name.startsWith("put")) {
    emitRoom(out);
    const byteLength = emitStores(out, fn.params);
    emitMoveTop(out, byteLength);
  } else if (fn.name.startsWith("head")) {
    const count = fn.params.length - 1;
    emitRoom(out);
    emitMoveTop(out, emitStores(out, fn.params.slice(0, count)));
    out.copy(Uint8Array.of(Op.localGet, count, Op.globalSet, GLOBAL.site));
  } else if (/^(frame|tail)/.test(fn.name)) {
    const isTail = fn.name.startsWith("tail");
    const count = fn.params.length - (isTail ? 0 : 1);
    emitRoom(out);
    const byteLength = emitStores(out, fn.params.slice(0, count));
    // The trailer: length of the values, then the site (the last parameter, or what the head said).
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, Op.globalGet, GLOBAL.top, Op.i32Const));
    out.s32(byteLength);
    out.copy(Uint8Array.of(Op.i32Add, Op.globalGet, GLOBAL.record, Op.i32Sub, 0x36, 0));
    out.u32(byteLength);
    const site = isTail ? [Op.globalGet, GLOBAL.site] : [Op.localGet, count];
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, ...site, 0x36, 0));
    out.u32(byteLength + 4);
    emitMoveTop(out, byteLength + 8);
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.top, Op.globalSet, GLOBAL.record));
  } else if (fn.name === "next") {
    // record is the end of the record to enter: value = start of its values, record = the end of the one before.
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.record, Op.i32Const, 8, Op.i32Sub));
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.record, Op.i32Const, 8, Op.i32Sub, 0x28, 0, 0, Op.i32Sub));
    out.copy(Uint8Array.of(Op.globalSet, GLOBAL.value));
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.record, Op.i32Const, 4, Op.i32Sub, 0x28, 0, 0));
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.value, Op.globalSet, GLOBAL.record));
  } else {
    const access = ACCESS.get(fn.results[0] as ValueType);
    if (access === undefined) return;
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.value, ...access.load, 0, 0));
    out.copy(Uint8Array.of(Op.globalGet, GLOBAL.value, Op.i32Const, access.bytes, Op.i32Add));
    out.copy(Uint8Array.of(Op.globalSet, GLOBAL.value));
  }
}

function section(out: ByteWriter, id: number, write: () => void): void {
  out.u8(id);
  const at = out.openSized();
  write();
  out.closeSized(at);
}

/** The frame stack's module; imports its host functions from "host", exports all of them, its memory and pointers. */
export function buildFrameStack(): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(4096);
  const all = FRAME_STACK_FUNCTIONS;
  const host = all.filter((fn) => fn.host === true);
  const own = all.filter((fn) => fn.host !== true);
  out.copy(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  section(out, SectionId.type, () => {
    out.u32(all.length);
    for (const fn of all) {
      out.u8(0x60);
      for (const list of [fn.params, fn.results]) {
        out.u32(list.length);
        for (const type of list) out.u8(type);
      }
    }
  });
  section(out, SectionId.import, () => {
    out.u32(host.length);
    host.forEach((fn) => {
      out.name("host");
      out.name(fn.name);
      out.u8(ExternalKind.function);
      out.u32(all.indexOf(fn));
    });
  });
  section(out, SectionId.function, () => {
    out.u32(own.length);
    for (const fn of own) out.u32(all.indexOf(fn));
  });
  section(out, SectionId.memory, () => {
    out.copy(Uint8Array.of(1, 1, 1));
    out.u32(MAXIMUM_PAGES);
  });
  section(out, SectionId.global, () => {
    out.u32(Object.keys(GLOBAL).length);
    for (const _ of Object.keys(GLOBAL)) out.copy(Uint8Array.of(i32, 1, Op.i32Const, 0, Op.end));
  });
  section(out, SectionId.export, () => {
    out.u32(all.length + 3);
    all.forEach((fn) => {
      out.name(fn.name);
      out.u8(ExternalKind.function);
      out.u32(fn.host === true ? host.indexOf(fn) : host.length + own.indexOf(fn));
    });
    out.name("memory");
    out.copy(Uint8Array.of(ExternalKind.memory, 0));
    out.name("top");
    out.copy(Uint8Array.of(ExternalKind.global, GLOBAL.top));
    out.name("record");
    out.copy(Uint8Array.of(ExternalKind.global, GLOBAL.record));
  });
  section(out, SectionId.code, () => {
    out.u32(own.length);
    for (const fn of own) {
      const at = out.openSized();
      out.u8(0);
      emitBody(out, fn);
      out.u8(Op.end);
      out.closeSized(at);
    }
  });
  return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
}
