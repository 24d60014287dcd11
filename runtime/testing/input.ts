import { openSync } from "node:fs";
import { attempt } from "../../pmem/error.js";

/** A descriptor of the file that a guest reads as its standard input. NOT_FOUND and its like. */
export function openInput(path: string): number {
  return attempt("open the standard input", path, () => openSync(path, "r"));
}
