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
