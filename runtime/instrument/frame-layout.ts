/**
 * In which order a frame holds its values: first those of its own, then those of the tail that it shares with other frames
 * (shared-tails.ts); of each all but i32 first, then the i32, which are spilled in chunks.
 */
import { ValueType } from "../wasm/value-types.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import type { Site } from "./sites.js";

export interface FrameValues {
  /** Locals of other types than i32, in the order of the frame. */
  readonly others: readonly number[];
  /** i32 locals, behind the others. */
  readonly words: readonly number[];
}

export interface SharedTail extends FrameValues {
  readonly locals: ReadonlySet<number>;
}

export interface FrameLayout {
  readonly head: FrameValues;
  readonly tail: SharedTail | undefined;
}

const BYTE_LENGTHS: ReadonlyMap<number, number> = new Map([
  [ValueType.i64, 8],
  [ValueType.f64, 8],
  [ValueType.v128, 16],
]);

/** Bytes that values take in a frame; references are i32 there. */
export function savedByteLengthOf(types: readonly ValueType[]): number {
  return types.reduce((sum, type) => sum + (BYTE_LENGTHS.get(type) ?? 4), 0);
}

/** The locals in the order of the frame. */
export function localsOf({ head, tail }: FrameLayout): number[] {
  return tail === undefined
    ? [...head.others, ...head.words]
    : [...head.others, ...head.words, ...tail.others, ...tail.words];
}

/** All that a frame holds, in no order that matters. */
export function frameLocals(analysis: FunctionAnalysis, site: Site): readonly number[] {
  if (site.operands.length === 0 && site.catchSections.length === 0) return site.live;
  return [...site.operands, ...site.live, ...analysis.caughtLocals(site)];
}

/** In the order of a frame. */
export function valuesOf(analysis: FunctionAnalysis, locals: Iterable<number>, except?: SharedTail): FrameValues {
  const others: number[] = [];
  const words: number[] = [];
  for (const local of locals) {
    if (except?.locals.has(local) === true) continue;
    (analysis.typeOfLocal(local) === ValueType.i32 ? words : others).push(local);
  }
  return { others, words };
}

export function frameLayout(analysis: FunctionAnalysis, site: Site): FrameLayout {
  const { tail } = site;
  return { head: valuesOf(analysis, frameLocals(analysis, site), tail), tail };
}
