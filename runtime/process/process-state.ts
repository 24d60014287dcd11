import { VermilionError } from "../../pmem/error.js";
import type { ImageState } from "./image/state-file.js";
import { NO_POLICY, type PersistencePolicy, parsePolicy } from "./persistence-policy.js";

/**
 * How many activations were saved, which is what the process layer itself remembers in an image: for messages, and to
 * choose a stack that is long enough. IMAGE_DAMAGED: the image holds something else.
 */
export function frameCountOf(state: ImageState, path: string): number {
  const { process } = state;
  if (typeof process === "object" && process !== null && "frames" in process) {
    const { frames } = process;
    if (typeof frames === "number" && Number.isSafeInteger(frames) && frames >= 0) return frames;
  }
  throw malformed(path);
}

/** The number of the log that begins where the state was saved; 0 in states from before there were logs. IMAGE_DAMAGED. */
export function logNumberOf(state: ImageState | undefined, path: string): number {
  const process = state?.process;
  if (typeof process !== "object" || process === null || !("log" in process)) return 0;
  const { log } = process;
  if (typeof log === "number" && Number.isSafeInteger(log) && log >= 0) return log;
  throw malformed(path);
}

/** How the process was run when the state was saved. IMAGE_DAMAGED. */
export function policyOf(state: ImageState | undefined, path: string): PersistencePolicy {
  const process = state?.process;
  if (typeof process !== "object" || process === null || !("policy" in process)) return NO_POLICY; // of an early image
  const policy = parsePolicy(process.policy);
  if (policy === undefined) throw malformed(path);
  return policy;
}

function malformed(path: string): VermilionError {
  return new VermilionError("IMAGE_DAMAGED", `${path}: its process state is malformed; start again with --fresh`);
}
