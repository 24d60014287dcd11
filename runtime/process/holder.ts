import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { systemError, VermilionError } from "../../pmem/error.js";
import { Image } from "./image/image.js";

/** Sends SIGPWR to the live process that holds an image, if that process takes it; returns its pid. */
export function signalHolder(path: string): number {
  const pid = Image.read(path).holder?.pid;
  if (pid === undefined) {
    throw new VermilionError("IMAGE_NOT_HELD", `${path}: no process runs in this image; vermilion ps shows which do`);
  }
  if (!catchesSignal(pid, constants.signals.SIGPWR)) {
    throw new VermilionError(
      "SIGNAL_NOT_TAKEN",
      `${path}: process ${pid} does not take SIGPWR and would die of it; run it with saveOn: ["SIGPWR"]`,
    );
  }
  try {
    process.kill(pid, "SIGPWR");
  } catch (cause) {
    throw systemError(`signal process ${pid}`, path, cause);
  }
  return pid;
}

/** The mask of caught signals is a line of proc(5), 64 bits in hexadecimal. */
function catchesSignal(pid: number, signal: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return false;
  }
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
