/** The log files of an image, `log-<n>`; which of them belongs to a saved state is said there. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { attempt } from "../../../pmem/error.js";
import { flushDirectory } from "../image/directories.js";

const NAME = /^log-(\d{1,15})$/;
const NEW_NAME = "log.new";

export function logName(number: number): string {
  return `log-${number}`;
}

export function logPath(image: string, number: number): string {
  return join(image, logName(number));
}

/** Of a log that is made ahead. */
export function newLogPath(image: string): string {
  return join(image, NEW_NAME);
}

/** Whether an image has that log. A link or anything else in its place is none. */
export function hasLog(image: string, number: number): boolean {
  try {
    const descriptor = openSync(
      logPath(image, number),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      const stat = fstatSync(descriptor);
      return stat.isFile() && stat.size > 0;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return false;
  }
}

/** Those with a lower number than the oldest that is needed; all, without one, and one that was made ahead. Failing is harmless. */
export function removeLogs(image: string, oldestNeeded = Number.POSITIVE_INFINITY): void {
  let names: string[];
  try {
    names = readdirSync(image);
  } catch {
    return;
  }
  for (const name of names) {
    const number = name === NEW_NAME ? Number.MAX_VALUE : Number(NAME.exec(name)?.[1] ?? Number.NaN);
    if (number < oldestNeeded) removeLog(join(image, name));
  }
}

/** Those from one number on, up to another: without a look at the directory, which may be long. Failing is harmless. */
export function removeLogsBetween(image: string, first: number, end: number): void {
  for (let number = first; number < end; number++) removeLog(logPath(image, number));
}

/** Not by rmSync, for which Node 20 loads a module. */
function removeLog(path: string): void {
  try {
    unlinkSync(path);
  } catch {} // it is not there, or stays
}

/** Files that were made in the image's directory are there after a power cut. */
export function syncNames(image: string): void {
  attempt("flush the image", image, () => flushDirectory(image));
}

let boot: string | undefined;

/** Which start of the machine this is: after another one, what was not flushed is gone. */
export function bootId(): string {
  boot ??= readBootId();
  return boot;
}

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return "00000000-0000-0000-0000-000000000000";
  }
}
