/** Where the corpus lives, from the sources and from dist alike. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package-lock.json"))) return folder;
    if (folder === dirname(folder)) throw new Error("the corpus needs the repository around it");
  }
}

export const root = findRoot();
export const corpusFolder = join(root, "tests", "corpus");
/** Everything fetched or built: git-ignored, may be deleted at any time. */
export const cacheFolder = join(root, ".cache", "corpus");
/** VERMILION_MAIN tests another build, for one that stays as it is while sources change. */
export const commandLine = process.env["VERMILION_MAIN"] ?? join(root, "dist", "runtime", "cli", "main.cjs");

export function source(name: string): string {
  return join(corpusFolder, "src", name);
}

export function support(name: string): string {
  return join(corpusFolder, "support", name);
}

export function script(name: string): string {
  return join(corpusFolder, "scripts", name);
}
