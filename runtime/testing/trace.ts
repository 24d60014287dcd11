/**
 * A chain of power failures as text: what reproduces a finding. `safepoint:120+call:3:after`: at the 120th safepoint of the
 * first run, then behind the third host call of the run that went on. Safepoints are counted as `run --fail-at` counts.
 */
import { VermilionError } from "../../pmem/error.js";

export type Strike =
  | { readonly kind: "safepoint"; readonly ordinal: number }
  | { readonly kind: "call-inside" | "call-after"; readonly ordinal: number };

export type Trace = readonly Strike[];

export function formatTrace(trace: Trace): string {
  return trace.map(formatStrike).join("+");
}

function formatStrike(strike: Strike): string {
  if (strike.kind === "call-inside") return `call:${strike.ordinal}:inside`;
  if (strike.kind === "call-after") return `call:${strike.ordinal}:after`;
  return `safepoint:${strike.ordinal}`;
}

/** TRACE_INVALID. */
export function parseTrace(text: string): Trace {
  return text.split("+").map((part, index): Strike => {
    const [kind = "", digits = "", rest] = part.split(":");
    const ordinal = Number(digits);
    if (!/^[0-9]{1,15}$/.test(digits) || ordinal < 1) refuse(text, `"${part}" has no ordinal from 1`);
    if (kind === "safepoint" && rest === undefined) return { kind, ordinal };
    if (index > 0) refuse(text, `"${part}": failures behind the first are at safepoints`);
    if (kind === "call" && rest === "inside") return { kind: "call-inside", ordinal };
    if (kind === "call" && rest === "after") return { kind: "call-after", ordinal };
    return refuse(text, `"${part}" is no place of a failure`);
  });
}

function refuse(text: string, why: string): never {
  throw new VermilionError(
    "TRACE_INVALID",
    `"${text}": ${why}; it is safepoint:N, call:N:inside or call:N:after, joined by +`,
  );
}
