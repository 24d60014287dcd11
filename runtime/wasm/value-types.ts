/**
 * Value types by their byte in the binary format (core spec 5.3, exception handling for exnref).
 * Reference types that need type indices (function references, garbage collection) are refused by the decoder.
 */
export const ValueType = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
  exnref: 0x69,
} as const;

/** One byte of the binary format that names a type. */
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

const CARRIED = new Set<number>(Object.values(ValueType));

/** Whether a byte is a value type that we carry. */
export function isValueType(byte: number): byte is ValueType {
  return CARRIED.has(byte);
}

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A key that two function types share exactly when they are the same type. */
export function functionTypeKey(type: FunctionType): string {
  return `${type.params.join()}>${type.results.join()}`;
}
