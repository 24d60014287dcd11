/**
 * Pushes the newest epoch of an image whenever there is a new one, for as long as the process runs that holds it now, and then
 * the one that it left. Epochs that come faster than the store takes them are passed over.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { VermilionError } from "../../../pmem/error.js";
import { Image } from "../image/image.js";
import { isResumable } from "../image/reading.js";
import type { BlockStore } from "./block-store.js";
import { type Pushed, pushEpoch } from "./pushing.js";

const LOOK_MILLISECONDS = 50;
const FIRST_WAIT_MILLISECONDS = 100;
const LONGEST_WAIT_MILLISECONDS = 10_000;
/** Without a process that makes new epochs, that many tries must do. */
const LAST_TRIES = 5;

export interface FollowEvents {
  readonly pushed?: ((pushed: Pushed) => void) | undefined;
  /** A push has failed and will be tried again; told once, until one succeeds. */
  readonly failing?: ((error: VermilionError) => void) | undefined;
}

/** Codes: those of `pushEpoch`, if they stay. */
export async function followEpochs(image: string, store: BlockStore, events: FollowEvents = {}): Promise<void> {
  const first = Image.read(image).holder;
  let done = 0;
  let failures = 0;
  let isTold = false;
  for (;;) {
    const { header, holder } = Image.read(image); // whether it runs, and only then what it has
    const isOver = holder === undefined;
    const newest = isResumable(header) ? header.epoch : 0;
    if (newest === done || newest === 0) {
      if (isOver || holder.pid !== first?.pid) return;
      await sleep(LOOK_MILLISECONDS);
      continue;
    }
    try {
      const pushed = await pushEpoch(image, store, newest);
      done = newest;
      failures = 0;
      isTold = false;
      events.pushed?.(pushed);
    } catch (error) {
      if (!(error instanceof VermilionError) || error.code === "STORE_CONFLICT") throw error;
      const wasDropped = error.code === "NO_SUCH_EPOCH" || error.code === "IMAGE_BUSY";
      if (++failures >= LAST_TRIES && isOver) throw error;
      if (!isTold && !wasDropped) {
        isTold = true;
        events.failing?.(error);
      }
      await sleep(wasDropped ? 0 : Math.min(LONGEST_WAIT_MILLISECONDS, FIRST_WAIT_MILLISECONDS * 2 ** failures));
    }
  }
}
