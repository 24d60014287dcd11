import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Where an image keeps the content of files that the guest has open and that have no name any more. */
export function openFiles(image: string): string {
  return join(image, "open-files");
}

/** After a commit: what the committed state does not name belonged to earlier ones. Failing is harmless. */
export function removeUnusedFiles(image: string, wasiState: unknown): void {
  const directory = openFiles(image);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return; // most programs never have such a file
  }
  const state = JSON.stringify(wasiState);
  for (const name of names) if (!state.includes(JSON.stringify(name))) rmSync(join(directory, name), { force: true });
}
