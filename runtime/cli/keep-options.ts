/** Which epochs stay: options that several commands have. */
import { type Command, InvalidArgumentError } from "commander";
import type { KeepPolicy } from "../index.js";
import { DURATION_FORM, parseMilliseconds } from "./duration.js";

export interface KeepOptions {
  readonly keep?: number;
  readonly keepFor?: number;
}

export function addKeepOptions(command: Command, without = "as before; at first 1"): Command {
  return command
    .option("--keep <n>", `keep the last n epochs (default: ${without})`, count)
    .option("--keep-for <duration>", "and those that are not older than this, such as 1h", duration);
}

/** Undefined: as the image has been told before. */
export function keepPolicy({ keep, keepFor }: KeepOptions): KeepPolicy | undefined {
  if (keep === undefined && keepFor === undefined) return undefined;
  return { epochs: keep ?? 1, milliseconds: keepFor ?? null };
}

function count(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value > 0 && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It is a whole number from 1.");
}

function duration(text: string): number {
  const value = parseMilliseconds(text);
  if (value === undefined) throw new InvalidArgumentError(`It is ${DURATION_FORM}.`);
  return Math.round(value);
}
