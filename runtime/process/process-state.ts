import { VermilionError } from "../../pmem/error.js";
import type { ImageState } from "./image/state-file.js";
import { NO_POLICY, type PersistencePolicy, parsePolicy } from "./persistence-policy.js";

/**
 * How many activations were saved, which is what the process layer itself remembers in an image: for messages, and to
 * choose a stack that is long enough. IMAGE_DAMAGED: the image holds something else.
 */
export function frameCountOf(state: ImageState, path: string): number {
  return countOf(fieldOf(state, "frames"), path);
}

/** The number of the log that begins where the state was saved; 0 in states from before there were logs. IMAGE_DAMAGED. */
export function logNumberOf(state: ImageState | undefined, path: string): number {
  const log = fieldOf(state, "log");
  return log === undefined ? 0 : countOf(log, path);
}

/** How the process was run when the state was saved; as if never told anything in states from before that was kept. IMAGE_DAMAGED. */
export function policyOf(state: ImageState | undefined, path: string): PersistencePolicy {
  const value = fieldOf(state, "policy");
  const policy = value === undefined ? NO_POLICY : parsePolicy(value);
  if (policy === undefined) throw malformed(path);
  return policy;
}

/** Undefined: it is not there. */
function fieldOf(state: ImageState | undefined, name: "frames" | "log" | "policy"): unknown {
  const process = state?.process;
  return typeof process === "object" && process !== null ? Reflect.get(process, name) : undefined;
}

function countOf(value: unknown, path: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed(path);
}

function malformed(path: string): VermilionError {
  return new VermilionError("IMAGE_DAMAGED", `${path}: its process state is malformed; start again with --fresh`);
}
