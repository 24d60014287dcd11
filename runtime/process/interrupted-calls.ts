/**
 * A host call that a failure has interrupted, in saved frames: it returns instead of being made again.
 *
 * Its record, the innermost, becomes that of a call that has returned:
 *
 *     | arguments | their length | BLOCKED_HOST_CALL, index |     ->     | i32 result | 4 | HOST_RETURN, index |
 */
import { BLOCKED_HOST_CALL, HOST_RETURN } from "../instrument/places.js";
import { ExternalKind, type Module, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import { type Frame, RECORD_TRAILER } from "./stacks.js";

/** What the interrupted call of that name returns. */
export type InterruptedResult = (name: string, args: readonly (number | bigint)[]) => number;

/** `innermost`: of these frames; unless it is a waiting host call, the frames stay as they are. */
export function returnInterrupted(
  frames: Uint8Array,
  innermost: Frame | undefined,
  module: Module,
  resultOf: InterruptedResult,
): Uint8Array {
  const { name } = innermost ?? { name: 0 };
  if (innermost === undefined || name >= HOST_RETURN || name < BLOCKED_HOST_CALL) return frames;
  const index = name & ~BLOCKED_HOST_CALL;
  const { params } = typeOfFunction(module, index);
  const args = readIntegers(frames, innermost.valuesOffset, params);
  const called = module.imports.filter(({ kind }) => kind === ExternalKind.function)[index]?.name ?? "";
  const record = new Uint8Array(4 + RECORD_TRAILER);
  const view = new DataView(record.buffer);
  view.setUint32(0, resultOf(called, args), true);
  view.setUint32(4, 4, true);
  view.setUint32(8, (HOST_RETURN | index) >>> 0, true);
  return Buffer.concat([record, frames.subarray(innermost.nameOffset + 4)]);
}

/** The arguments of a system call, which has no others. */
function readIntegers(frames: Uint8Array, offset: number, types: readonly ValueType[]): (number | bigint)[] {
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  let at = offset;
  return types.map((type) => {
    const value = type === ValueType.i64 ? view.getBigInt64(at, true) : view.getInt32(at, true);
    at += type === ValueType.i64 ? 8 : 4;
    return value;
  });
}
