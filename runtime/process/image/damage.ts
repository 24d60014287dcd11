import { VermilionError } from "../../../pmem/error.js";

/** Errors of images all read alike: the file, what is wrong with it, the next step. */
export function imageError(code: string, path: string, reason: string, next: string, cause?: unknown): VermilionError {
  return new VermilionError(code, `${path}: ${reason}; ${next}`, { cause });
}

/** IMAGE_DAMAGED: the bytes are not those that were written. */
export function damaged(path: string, reason: string, cause?: unknown): VermilionError {
  return imageError(
    "IMAGE_DAMAGED",
    path,
    reason,
    "restore the image from a copy, start again with --fresh, or see what vermilion verify --repair can do",
    cause,
  );
}

/** The same, where no repair can help: nothing else says what this file said. */
export function damagedForGood(path: string, reason: string): VermilionError {
  return imageError("IMAGE_DAMAGED", path, reason, "restore the image from a copy, or start again with --fresh");
}

/** NO_SUCH_EPOCH: none of the epochs that the image keeps. */
export function noSuchEpoch(path: string, epoch: number): VermilionError {
  return imageError("NO_SUCH_EPOCH", path, `it keeps no epoch ${epoch}`, "vermilion history lists those that it has");
}

/** IMAGE_LIMIT: more than the format has room for. */
export function beyondLimit(path: string, what: string, limit: number): VermilionError {
  return imageError("IMAGE_LIMIT", path, what, `an image holds at most ${limit}`);
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
