import { VermilionError } from "../../../pmem/error.js";
import type { BlockStore } from "./block-store.js";

/** As errors of images: the place, what is wrong, the next step. */
export function storeError(
  code: string,
  { location }: BlockStore,
  reason: string,
  next: string,
  cause?: unknown,
): VermilionError {
  return new VermilionError(code, `${location}: ${reason}; ${next}`, { cause });
}

/** STORE_DAMAGED: what comes back is not what was put there. */
export function damagedStore(store: BlockStore, reason: string, cause?: unknown): VermilionError {
  return storeError("STORE_DAMAGED", store, reason, "pull another epoch (vermilion history), or push again", cause);
}

/** What drivers throw is theirs: STORE_FAILED, unless it is a VermilionError already. */
export async function asking<Result>(store: BlockStore, what: string, action: Promise<Result>): Promise<Result> {
  try {
    return await action;
  } catch (cause) {
    if (cause instanceof VermilionError) throw cause;
    const reason = `cannot ${what}: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw storeError("STORE_FAILED", store, reason, "nothing that was there before is lost; try again", cause);
  }
}
