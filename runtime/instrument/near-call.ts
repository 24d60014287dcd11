/**
 * A small function between the guest and the host, for a host function with a parameter of 64 bits.
 *
 * JavaScript gets such an argument as a bigint, which is made anew for each call and slow to compute with; and almost all of
 * them are small: offsets, precisions of clocks. So this looks, and hands over what an i32 can say as one:
 *
 *     (func (param i32 i64 i32) (result i32)
 *       (if (i64.lt_u (local.get 1) (i64.const 0x80000000))
 *         (then (return (call $near (local.get 0) (i32.wrap_i64 (local.get 1)) (local.get 2)))))
 *       (call $far (local.get 0) (local.get 1) (local.get 2)))
 *
 * It is no part of the program: it saves no frame, and stack traces are read without it.
 */
import { ByteWriter } from "../wasm/byte-writer.js";
import { ExternalKind, SectionId } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import { WASM_HEADER, writeSection } from "../wasm/sections.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";

const MODULE_NAME = "near-call";
const I64_LT_U = 0x54;
const I32_WRAP_I64 = 0xa7;
const VOID = 0x40;
/** i64.const 2^31. */
const NEAR_END = [Op.i64Const, 0x80, 0x80, 0x80, 0x80, 0x08];
const FUNCTION = { near: 0, far: 1, call: 2 } as const;

/** Whether a URL of the engine's, as in its stack traces, is that of such a module. */
export function isNearCall(url: string): boolean {
  return url.startsWith(`wasm://wasm/${MODULE_NAME}-`);
}

/** Imports "near" and "far" from "host", exports "call". The type has one result at most, and a parameter of 64 bits. */
export function buildNearCall(type: FunctionType): Uint8Array<ArrayBuffer> {
  const { params, results } = type;
  const nearParams = params.map((param) => (param === ValueType.i64 ? ValueType.i32 : param));
  const out = new ByteWriter(256);
  out.copy(WASM_HEADER);
  writeSection(out, SectionId.type, () => {
    out.u32(2);
    for (const own of [nearParams, params])
      out.copy(Uint8Array.of(0x60, own.length, ...own, results.length, ...results));
  });
  writeSection(out, SectionId.import, () => {
    out.u32(2);
    for (const [index, name] of ["near", "far"].entries()) {
      out.name("host");
      out.name(name);
      out.copy(Uint8Array.of(ExternalKind.function, index));
    }
  });
  writeSection(out, SectionId.function, () => out.copy(Uint8Array.of(1, 1)));
  writeSection(out, SectionId.export, () => {
    out.u32(1);
    out.name("call");
    out.copy(Uint8Array.of(ExternalKind.function, FUNCTION.call));
  });
  writeSection(out, SectionId.code, () => {
    out.u32(1);
    const at = out.openSized();
    out.u8(0);
    writeBody(out, params);
    out.closeSized(at);
  });
  writeSection(out, SectionId.custom, () => {
    out.name("name");
    writeSection(out, 0, () => out.name(MODULE_NAME));
  });
  return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
}

function writeBody(out: ByteWriter, params: readonly ValueType[]): void {
  const long = params.flatMap((type, index) => (type === ValueType.i64 ? [index] : []));
  for (const index of long) {
    out.copy(Uint8Array.of(Op.localGet, index, ...NEAR_END, I64_LT_U, Op.if, VOID));
  }
  params.forEach((type, index) => {
    out.copy(Uint8Array.of(Op.localGet, index));
    if (type === ValueType.i64) out.u8(I32_WRAP_I64);
  });
  out.copy(Uint8Array.of(Op.call, FUNCTION.near, Op.return));
  for (const _ of long) out.u8(Op.end);
  params.forEach((_, index) => {
    out.copy(Uint8Array.of(Op.localGet, index));
  });
  out.copy(Uint8Array.of(Op.call, FUNCTION.far, Op.end));
}
