/** How epochs are named on the command line. */
import { existsSync } from "node:fs";
import { InvalidArgumentError } from "commander";

export interface ImageAndEpoch {
  readonly image: string;
  /** Undefined: the current one. */
  readonly epoch: number | undefined;
}

/** IMAGE or IMAGE@EPOCH; a directory whose name ends like that is meant itself. */
export function imageAndEpoch(text: string): ImageAndEpoch {
  const [, image = "", digits] = /^(.+)@(\d{1,15})$/.exec(text) ?? [];
  if (digits === undefined || existsSync(text)) return { image: text, epoch: undefined };
  return { image, epoch: Number(digits) };
}

export function epochNumber(text: string): number {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError("It is the number of an epoch; vermilion history lists them.");
}
