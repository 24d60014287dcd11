/** The instrumented forms that this engine is given, and what they are called in the cache and in messages. */
import type { Form, PollMode } from "../instrument/code-target.js";
import { V8_VERSION } from "./engine-flags.js";

/** Node 22's engine (V8 12.4) takes these instructions and runs some of them wrongly; older ones do not know them. */
export const RUNS_EXNREF = V8_VERSION >= 13;

/**
 * What a program is tried in first. On arm64 the memories of Node 20's engine (V8 11.3) have no guard region: every access is compared
 * with the end, and there is no room for a flag.
 */
export const USUAL_MODE: PollMode = process.arch === "arm64" && V8_VERSION < 12 ? "fast" : "flag";

export function formFor(mode: PollMode, tracking = false): Form {
  return { mode, tracking, exnref: RUNS_EXNREF };
}

export function nameOfForm({ mode, tracking, exnref }: Form): string {
  return `${mode}${tracking ? "-tracking" : ""}${exnref === true ? "-exnref" : ""}`;
}
