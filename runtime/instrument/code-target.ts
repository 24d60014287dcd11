/** Where instrumented code goes: what its indices mean there, and what the parts of a writer share. */
import type { CodeFeatures } from "./body-scanner.js";
import type { BranchHints } from "./branch-hints.js";
import type { CodeBuffer } from "./code-buffer.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import type { HelperIndices } from "./helpers.js";
import type { OuterHandlers } from "./outer-handlers.js";
import type { FlagPlace } from "./poll-flag.js";
import type { PositionMap } from "./position-map.js";
import type { TailCode } from "./shared-tails.js";
import type { StoreLocals } from "./tracked-stores.js";
import type { TypeTable } from "./type-table.js";

/**
 * When polls ask the host: at every safepoint that is due by count ("exact"), by counts that are taken so that hot loops
 * pay least ("fast"), or when a flag is up, and by count in loops without calls ("flag"). Frames are the same.
 */
export type PollMode = "exact" | "fast" | "flag";

/** What a module is made into. */
export interface Form {
  readonly mode: PollMode;
  /** Whether the host is told of every store: see tracked-stores.ts. */
  readonly tracking: boolean;
  /** Whether handlers may be written with try_table, where the guest has none of the older kind: the engine runs it. */
  readonly exnref?: boolean;
}

/** Whether a form's handlers are written with try_table; an engine refuses a mix of both kinds. */
export function writesExnref(features: CodeFeatures, exnref: boolean | undefined): boolean {
  return features.exnref || (exnref === true && !features.legacyExceptions);
}

/** Where code is written for: index mappings of the main module or of a continuation module. */
export interface CodeTarget {
  readonly helpers: HelperIndices;
  readonly fuelGlobal: number;
  /** Only for the form that looks at it. */
  readonly flag: FlagPlace | undefined;
  readonly unwindTag: number;
  readonly exitTag: number;
  /** Undefined in the main module, whose indices are the guest's. */
  readonly continuation: ContinuationTarget | undefined;
  readonly exnref: boolean;
  readonly hints: BranchHints;
  /** Told where each instruction is written. */
  readonly positions?: PositionMap | undefined;
  /** Told where each site is written: what the engine's stack traces of a guest that stands there say. */
  readonly sites?: PositionMap | undefined;
  /** Index of a helper by name. */
  helper(name: string): number;
}

export interface ContinuationTarget {
  functionIndex(index: number): number;
  /** Steps to the next frame and returns its slot. */
  readonly next: number;
  readonly continuationTable: number;
  readonly functionTable: number;
}

/** Shared by all that write the current function of an analysis. */
export interface WriterContext {
  readonly analysis: FunctionAnalysis;
  readonly target: CodeTarget;
  readonly types: TypeTable;
  readonly mode: PollMode;
  readonly code: CodeBuffer;
  /** Of the function that is being written. */
  locals: AddedLocals;
  /** Whether what is written stands in a loop that counts its turns. */
  inCountedLoop: boolean;
  /** Whether it stands in a guard that several calls share. */
  inSharedGuard: boolean;
  /** In how many try_tables of the guest's it stands. */
  guestTryTables: number;
  /** Of the function that is being written; undefined: guards have their handlers in themselves. */
  outerHandlers: OuterHandlers | undefined;
  tailCode: TailCode;
  storeLocals: StoreLocals;
}

/** Locals that a function gets for its polls and calls; NO_LOCAL for those that it does not need. */
export interface AddedLocals {
  readonly fuel: number;
  readonly counter: number;
  /** Keeps the callee of a call_indirect while a `try` is opened. */
  readonly index: number;
  /** Says which of the calls that share a guard is under way. */
  readonly site: number;
  /** Whether loops of the function take different steps off its counter, so that it may pass below zero. */
  readonly mixedSteps: boolean;
}

export const NO_LOCAL = -1;

export const NO_ADDED_LOCALS: AddedLocals = {
  ...{ fuel: NO_LOCAL, counter: NO_LOCAL, index: NO_LOCAL, site: NO_LOCAL },
  mixedSteps: false,
};
