/** An image's past, for those who look at it and choose from it: what the command line lists. */
import { resolve } from "node:path";
import { usedPages } from "../../pmem/free-pages.js";
import { PAGE_BYTE_LENGTH, pageCountOf } from "../../pmem/page-map.js";
import type { EpochReason, KeepPolicy } from "./image/epoch-record.js";
import { keptEpochs, pinnedEpochs, readBeginning, readMaps } from "./image/epochs.js";
import { forkImage } from "./image/forking.js";
import { ImageDirectory } from "./image/image-directory.js";
import { pin } from "./image/pins.js";
import { isResumable, readHeader } from "./image/reading.js";
import type { ImageState } from "./image/state-file.js";
import { type Collected, collect, dropEpoch } from "./image/upkeep.js";
import { type Verification, verifyImage } from "./image/verifying.js";
import { hasLog, removeLogs } from "./log/files.js";
import { OpenedLog } from "./log/opened-log.js";
import { logNumberOf } from "./process-state.js";

/** A persistence point that is kept; a plain object that JSON carries. */
export interface EpochSummary {
  readonly epoch: number;
  /** The epoch that it went on from, be it kept or not; null: it began with the program. */
  readonly parent: number | null;
  /** The process goes on from here. */
  readonly current: boolean;
  readonly pinned: boolean;
  /** ISO 8601. */
  readonly at: string;
  /** `failure`: a power failure; `return`: the end of an instance's call; the others are points of a run. */
  readonly why: EpochReason;
  /** Pages of 4 KiB that were written for it. */
  readonly pagesWritten: number;
  /** Host calls that the program has made since its beginning. */
  readonly hostCalls: number;
  /** Of all its linear memories. */
  readonly memoryByteLength: number;
  /** What its memories and its state take on the disk; it shares the pages with other epochs. */
  readonly diskByteLength: number;
}

/** Ascending; also while the image is run. IMAGE_MISSING, IMAGE_DAMAGED and the other IMAGE_ codes. */
export function listEpochs(image: string): EpochSummary[] {
  const directory = ImageDirectory.open(resolve(image));
  try {
    const { header } = readHeader(directory);
    const pinned = pinnedEpochs(directory);
    return keptEpochs(directory, header.highestEpoch).flatMap((epoch) => {
      if (directory.statOf(`state-${epoch}`) === undefined) return []; // dropped since we have looked
      const beginning = readBeginning(directory, epoch);
      const { record, byteLength } = beginning;
      const pages = pageCountOf(usedPages(header.inPlace ? [] : readMaps(directory, epoch, beginning)));
      const { parent, at, why, pagesWritten, hostCalls, memoryByteLengths } = record;
      return [
        {
          epoch,
          parent,
          current: isResumable(header) && header.epoch === epoch,
          pinned: pinned.has(epoch),
          at: new Date(at).toISOString(),
          why,
          pagesWritten,
          hostCalls,
          memoryByteLength: memoryByteLengths.reduce((sum, length) => sum + length, 0),
          diskByteLength: pages * PAGE_BYTE_LENGTH + byteLength,
        },
      ];
    });
  } finally {
    directory.close();
  }
}

/** Keeps an epoch whatever the policy says, or no longer; also while the image is run. NO_SUCH_EPOCH. */
export function pinEpoch(image: string, epoch: number, pinned: boolean): void {
  pin(resolve(image), epoch, pinned);
}

/** Takes an epoch out of the history. NO_SUCH_EPOCH; EPOCH_IN_USE: it is the current one, or pinned; IMAGE_BUSY. */
export function drop(image: string, epoch: number): void {
  dropEpoch(resolve(image), epoch);
}

/** See KeepPolicy; undefined: the policy that the image has. IMAGE_BUSY. */
export function collectGarbage(image: string, policy?: KeepPolicy): Collected {
  return collect(resolve(image), policy);
}

/** A new image that goes on from an epoch, by default the current one; the result is that epoch. */
export function fork(image: string, epoch: number | undefined, target: string): number {
  return forkImage(resolve(image), epoch, target);
}

export function verify(image: string, { repair }: { readonly repair: boolean }): Verification {
  const path = resolve(image);
  return verifyImage(path, repair, { check: (state) => checkLog(path, state), remove: () => removeLogs(path) });
}

/** IMAGE_DAMAGED */
function checkLog(image: string, state: ImageState | undefined): void {
  const number = logNumberOf(state, image);
  if (hasLog(image, number)) OpenedLog.open(image, number)?.close();
}
