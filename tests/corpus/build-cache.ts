/**
 * Outputs of slow steps (compilations, downloads), kept below .cache/corpus under a hash of everything they depend on.
 *
 * B1  An output that exists is complete: it is made under another name and renamed into place.
 * B2  Two processes that make the same output at the same time both succeed; one of the results stays.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder } from "./paths.js";

/** What an output depends on: words (options, versions), and the contents of the files at these paths. */
export interface Inputs {
  readonly words: readonly string[];
  readonly files: readonly string[];
}

function hashOf({ words, files }: Inputs): string {
  const hash = createHash("sha256");
  for (const word of words) hash.update(`${word.length}:${word}`);
  for (const file of files) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex").slice(0, 16);
}

/** The path of the output; `make` writes it (a file, or a folder) where it is told, if it is not there yet. */
export function cached(folder: string, name: string, inputs: Inputs, make: (output: string) => void): string {
  const output = join(cacheFolder, folder, hashOf(inputs), name);
  if (existsSync(output)) return output;
  mkdirSync(dirname(output), { recursive: true });
  const workplace = mkdtempSync(join(dirname(output), "making-"));
  try {
    const unfinished = join(workplace, name);
    make(unfinished);
    try {
      renameSync(unfinished, output); // B1
    } catch (error) {
      // B2: a folder cannot replace a folder that is not empty.
      if (!existsSync(output) || !statSync(output).isDirectory()) throw error;
    }
  } finally {
    rmSync(workplace, { recursive: true, force: true });
  }
  return output;
}
