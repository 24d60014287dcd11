/** When to pull the plug on purpose, in one run. Everything here is deterministic but `afterMilliseconds`. */
export interface FailurePlan {
  /** At the Nth safepoint crossed in this run, counted from 1. */
  readonly atSafepoint?: number | undefined;
  /** `ordinal`: at the Nth call of that name in this run, counted from 1; of the name "*", at the Nth host call of all. */
  readonly atCall?: FailureAtCall | undefined;
  /** Wall time from the guest's first instruction. */
  readonly afterMilliseconds?: number | undefined;
  /** The probability, in (0, 1], at each safepoint; `seed` chooses which. */
  readonly rate?: { readonly probability: number; readonly seed: number } | undefined;
}

export interface FailureAtCall {
  /** Of the imported function; "*": of any. */
  readonly name: string;
  readonly ordinal: number;
  /** Before: the call has not happened and is made on resume. After: it has happened and its result is kept. */
  readonly when: "before" | "after";
}

/**
 * The safepoint at which this run fails, or undefined. The number of trials until the first success is geometrically
 * distributed, so one draw stands for a coin toss at every safepoint. The epoch is mixed into the seed: a chain of runs
 * with one seed fails at different places and is the same chain every time.
 */
export function plannedSafepoint(plan: FailurePlan, epoch: number): number | undefined {
  if (plan.rate === undefined) return plan.atSafepoint;
  const { probability, seed } = plan.rate;
  if (probability >= 1) return 1;
  const toss = uniform(seed, epoch);
  const drawn = 1 + Math.floor(Math.log1p(-toss) / Math.log1p(-probability));
  return Math.min(drawn, plan.atSafepoint ?? drawn, Number.MAX_SAFE_INTEGER);
}

/** A number in [0, 1) out of two: the finalizer of MurmurHash3 over both, two rounds. */
function uniform(seed: number, epoch: number): number {
  let state = (seed ^ Math.floor(seed / 2 ** 32)) | 0;
  for (const word of [0x9e3779b9, epoch]) {
    state = (state ^ word) | 0;
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state ^= state >>> 16;
  }
  return (state >>> 0) / 2 ** 32;
}
