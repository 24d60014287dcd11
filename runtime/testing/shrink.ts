import type { Strike, Trace } from "./trace.js";

const MOST_TRIES = 60;

/** The shortest chain found that still fails; `fails` is asked about each candidate. */
export async function shrink(trace: Trace, fails: (candidate: Trace) => Promise<boolean>): Promise<Trace> {
  let best = trace;
  let tries = 0;
  for (let found = true; found && tries < MOST_TRIES; ) {
    found = false;
    for (const candidate of shorter(best)) {
      if (++tries > MOST_TRIES) break;
      if (!(await fails(candidate))) continue;
      best = candidate;
      found = true;
      break;
    }
  }
  return best;
}

/** The likeliest first: one failure less, then failures that come sooner after one another. */
function* shorter(trace: Trace): Generator<Trace> {
  for (let i = trace.length - 1; i >= 0 && trace.length > 1; i--) yield without(trace, i);
  for (let i = trace.length - 1; i > 0; i--) {
    const strike = trace[i] as Strike;
    for (const ordinal of new Set([1, Math.floor(strike.ordinal / 2), strike.ordinal - 1])) {
      if (ordinal >= 1 && ordinal < strike.ordinal) yield trace.with(i, { kind: "safepoint", ordinal });
    }
  }
}

/** The next failure strikes where it did: its safepoints are counted from the one before. */
function without(trace: Trace, index: number): Trace {
  const [gone, next] = [trace[index] as Strike, trace[index + 1]];
  const rest = trace.filter((_, i) => i !== index);
  if (next === undefined || gone.kind !== "safepoint") return rest;
  return rest.with(index, { kind: "safepoint", ordinal: gone.ordinal + next.ordinal });
}
