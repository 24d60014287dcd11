/**
 * Pins keep epochs, also of an image that somebody else runs at the moment.
 *
 * N1  Whoever pins makes the pin and then looks for the epoch; whoever removes epochs looks for their pins and then removes
 *     state files. Both do so under the lock (flock) of the image's directory. So a pin that was accepted holds.
 */
import { existsSync, unlinkSync } from "node:fs";
import { errorName, VermilionError } from "../../../pmem/error.js";
import { LOCK } from "../../../pmem/libc.js";
import { imageError, noSuchEpoch } from "./damage.js";
import { keptEpochs } from "./epochs.js";
import { ImageDirectory } from "./image-directory.js";
import { flock } from "./lock.js";
import { pinName, stateName } from "./names.js";
import { readHeader } from "./reading.js";
import type { ImageStorage } from "./storage.js";

/** They are held for some file names' time, so that nobody waits for long. */
const TRIES = 500;
const WAIT_MILLISECONDS = 2;

/** For an open directory. IMAGE_BUSY: whoever holds the pins does not let go of them. */
export function holdingPins(directory: number, path: string, action: () => void): void {
  for (let tries = 1; !tryHoldingPins(directory, path, action); tries++) {
    if (tries >= TRIES) {
      throw imageError("IMAGE_BUSY", path, "another process holds its pins", "wait until it ends, or stop it");
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MILLISECONDS);
  }
}

/** False: somebody else holds them, and nothing was done. */
export function tryHoldingPins(directory: number, path: string, action: () => void): boolean {
  const isLocked = lockPins(directory, path);
  if (isLocked === false) return false;
  try {
    action();
  } finally {
    if (isLocked) flock(directory, LOCK.UNLOCK, path);
  }
  return true;
}

/** False: somebody else holds them. Undefined: the file system has no such locks. */
function lockPins(directory: number, path: string): boolean | undefined {
  try {
    return flock(directory, LOCK.EXCLUSIVE, path);
  } catch (error) {
    if (error instanceof VermilionError) return undefined;
    throw error;
  }
}

/** An epoch that the policy does not keep: paths of its state, and of what would be its pin. */
export interface ExpiredEpoch {
  readonly state: string;
  readonly pin: string;
}

/** Those that are not pinned; if somebody pins just now, none. `directory`: an open one of the image. */
export function removeUnpinned(directory: number, path: string, epochs: readonly ExpiredEpoch[]): void {
  tryHoldingPins(directory, path, () => {
    for (const { state, pin } of epochs) {
      if (existsSync(pin)) continue;
      try {
        unlinkSync(state);
      } catch (error) {
        if (errorName(error) !== "ENOENT") throw error;
      }
    }
  });
}

export interface PinOptions {
  /** Tests only: stands between the work and the directory. */
  readonly wrap?: ((directory: ImageStorage) => ImageStorage) | undefined;
  /** Who needs the epoch for a while only, and lets go of no other's pin. */
  readonly reader?: string;
}

const READER_BYTE_LENGTH = 64;

/** Keeps an epoch whatever the policy says, or no longer. NO_SUCH_EPOCH, IMAGE_BUSY. */
export function pin(path: string, epoch: number, pinned: boolean, { wrap, reader = "" }: PinOptions = {}): void {
  const directory = ImageDirectory.open(path);
  try {
    const { header } = readHeader(directory);
    const storage = wrap?.(directory) ?? directory;
    let isThere = false;
    holdingPins(directory.descriptor, path, () => {
      if (pinned) makePin(storage, epoch, reader);
      isThere = keptEpochs(directory, header.highestEpoch).includes(epoch); // N1
      const isOurs = reader === "" || readerOf(directory, epoch) === reader;
      if ((!pinned && isOurs) || !isThere) storage.remove(pinName(epoch));
    });
    storage.syncDirectory();
    if (!isThere) throw noSuchEpoch(path, epoch);
  } finally {
    directory.close();
  }
}

function makePin(storage: ImageStorage, epoch: number, reader: string): void {
  const file = storage.create(pinName(epoch));
  try {
    if (reader !== "") file.write([Buffer.from(reader)], 0);
  } finally {
    file.close();
  }
}

/** Empty: a user. */
function readerOf(directory: ImageDirectory, epoch: number): string {
  return Buffer.from(directory.readPart(pinName(epoch), 0, READER_BYTE_LENGTH) ?? "").toString("latin1");
}

/** For removeUnpinned. */
export function expiredEpoch(directory: ImageDirectory, epoch: number): ExpiredEpoch {
  return { state: directory.currentPathOf(stateName(epoch)), pin: directory.currentPathOf(pinName(epoch)) };
}
