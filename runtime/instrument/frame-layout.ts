/** In which order a frame holds its values: all but i32 first, then the i32, which are spilled in chunks. */
import { ValueType } from "../wasm/value-types.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import type { Site } from "./sites.js";

export interface FrameLayout {
  /** Locals of other types than i32, in the order of the frame. */
  readonly others: readonly number[];
  /** i32 locals, behind the others. */
  readonly words: readonly number[];
  readonly byteLength: number;
}

const BYTE_LENGTHS: ReadonlyMap<number, number> = new Map([
  [ValueType.i64, 8],
  [ValueType.f64, 8],
  [ValueType.v128, 16],
]);

/** Bytes that a value takes in a frame; references are i32 there. */
export function savedByteLength(type: number): number {
  return BYTE_LENGTHS.get(type) ?? 4;
}

/** The locals in the order of the frame. */
export function localsOf({ others, words }: FrameLayout): number[] {
  return [...others, ...words];
}

export function frameLayout(analysis: FunctionAnalysis, site: Site): FrameLayout {
  const others: number[] = [];
  const words: number[] = [];
  let byteLength = 0;
  for (const local of [...site.operands, ...site.live, ...analysis.caughtLocals(site)]) {
    const type = analysis.typeOfLocal(local);
    (type === ValueType.i32 ? words : others).push(local);
    byteLength += savedByteLength(type);
  }
  return { others, words, byteLength };
}
