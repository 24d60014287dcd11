/** `--replicate`: `vermilion push --follow` as a process of its own, which takes nothing of the guest's time. */
import { spawn } from "node:child_process";
import { VermilionError } from "../index.js";
import { isStore, STORE_FORM } from "./store-argument.js";

export interface ReplicateOptions {
  readonly replicate?: string;
  readonly inPlace?: boolean;
}

/** USAGE, IN_PLACE: before anything is run. */
export function checkReplication({ replicate, inPlace }: ReplicateOptions): void {
  if (replicate === undefined) return;
  if (!isStore(replicate)) throw new VermilionError("USAGE", `--replicate ${replicate}: a store is ${STORE_FORM}`);
  if (inPlace !== true) return;
  throw new VermilionError(
    "IN_PLACE",
    "--replicate: memory that is written in place cannot be pushed; leave out --in-place",
  );
}

/**
 * It outlives us: what a power failure has saved is still to be pushed, and it ends with that. A group of its own, so that
 * Ctrl-C does not reach it.
 */
export function startReplication(image: string, { replicate }: ReplicateOptions): void {
  const [, program] = process.argv;
  if (replicate === undefined || program === undefined) return;
  const args = [program, "push", "--follow", "--quiet", image, replicate];
  spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"], detached: true }).unref();
}
