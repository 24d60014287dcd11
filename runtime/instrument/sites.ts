/**
 * What an analysis finds in a function: its sites, and what must be kept so that an activation can be left there.
 *
 * A *site* is a place where an activation may be left and its frame saved: a call that can unwind, a loop header, or
 * the function's entry. Its offset in the original module is its name, in every instrumented form of that module.
 */
import type { ValueType } from "../wasm/value-types.js";
import type { SharedTail } from "./frame-layout.js";

export const SiteKind = { call: 0, loop: 1, entry: 2 } as const;

export interface Site {
  /** Instruction index; -1 for the entry. */
  readonly instruction: number;
  readonly kind: (typeof SiteKind)[keyof typeof SiteKind];
  /** Byte offset in the original module; the declaration of locals stands for the entry. */
  readonly offset: number;
  /** Temporaries that hold the operands below, bottom first. */
  readonly operands: readonly number[];
  /** Catch sections around the site, outermost first, by the instruction index of their `catch`. */
  readonly catchSections: readonly number[];
  /** Locals that may be read later on. */
  live: readonly number[];
  /** What its frame has in common with others'; undefined: nothing that is worth it. */
  tail: SharedTail | undefined;
}

/** What happens in a turn of a loop: plain code; inner loops or guest handlers; or calls. */
export const LoopCost = { plain: 0, nested: 1, calls: 2 } as const;

/** What a catch section that rethrows keeps, so that a continuation can throw the same exception again. */
export interface CaughtException {
  /** For catch_all: the local that says which tag it was (tag index + 1). */
  readonly which: number | undefined;
  /** Payload locals by tag. */
  readonly payloads: ReadonlyMap<number, readonly number[]>;
}

/** A producer of several values: where they land, their types, and whether any is needed. */
export interface MultiProducer {
  readonly height: number;
  readonly types: readonly ValueType[];
  needed: boolean;
}
