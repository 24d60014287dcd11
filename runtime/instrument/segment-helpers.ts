/** Helpers for what a module's segments do: their instructions, and the active data segments, which became passive. */
import type { ByteWriter } from "../wasm/byte-writer.js";
import type { Module } from "../wasm/module.js";
import { Misc, Op } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";

const { i32 } = ValueType;

/** Writes a function's body without its locals and its end. */
export type Emit = (out: ByteWriter) => void;
type NamedHelper = readonly [name: string, type: FunctionType, emit: Emit];

/** The thunk of a segment instruction; continuations call it, since segments belong to the main instance. */
export function thunkName(sub: number, segment: number, target: number): string {
  return `segment:${sub}:${segment}:${target}`;
}

/** `key`: of the code's features. */
export function segmentThunk(key: string, indexOf: (helper: string) => number): NamedHelper {
  const [sub = 0, segment = 0, target = 0] = key.split(":").map(Number);
  const drops = sub === Misc.dataDrop || sub === Misc.elemDrop;
  const params = drops ? [] : [i32, i32, i32];
  const emit: Emit = (out) => {
    params.forEach((_, index) => {
      out.copy(Uint8Array.of(Op.localGet, index));
    });
    out.copy(Uint8Array.of(Op.prefixMisc, sub));
    out.u32(segment);
    if (!drops) {
      out.u32(target);
      return;
    }
    out.u8(Op.i32Const);
    out.s32(sub);
    out.u8(Op.i32Const);
    out.s32(segment);
    out.u8(Op.call);
    out.u32(indexOf("dropped"));
  };
  return [thunkName(sub, segment, target), { params, results: [] }, emit];
}

/** One copies the active data segments in, on a clean start; one only drops them. */
export function dataHelpers({ data, bytes }: Module): NamedHelper[] {
  const active = data.map((segment, index) => ({ segment, index })).filter((it) => it.segment.active);
  const type: FunctionType = { params: [], results: [] };
  const drop = (out: ByteWriter, index: number): void => {
    out.copy(Uint8Array.of(Op.prefixMisc, Misc.dataDrop));
    out.u32(index);
  };
  const initialise: Emit = (out) => {
    for (const { segment, index } of active) {
      out.copy(bytes, segment.offsetFrom, segment.offsetTo);
      out.copy(Uint8Array.of(Op.i32Const, 0, Op.i32Const));
      out.s32(segment.byteLength);
      out.copy(Uint8Array.of(Op.prefixMisc, Misc.memoryInit));
      out.u32(index);
      out.u32(segment.memory);
      drop(out, index);
    }
  };
  const dropAll: Emit = (out) => {
    for (const { index } of active) drop(out, index);
  };
  return [
    ["initialiseData", type, initialise],
    ["dropActiveData", type, dropAll],
  ];
}
