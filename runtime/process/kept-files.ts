import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Observer, SavedDescriptor, SavedState } from "../wasi/index.js";
import { isKeptFile } from "./image/epoch-record.js";

/** Where an image keeps the content of files that the guest has open and that have no name any more. */
export function keptFilesDirectory(image: string): string {
  return join(image, "open-files");
}

/** The names of such files that a saved state of the system interface needs. */
export function keptFilesOf(wasiState: unknown): string[] {
  const text = JSON.stringify(wasiState ?? null);
  if (!text.includes('"kept":')) return []; // nearly always; and at the end of a power's hold-up an expression costs 0.1 ms
  const names = text.matchAll(/"kept":"([^"\\]+)"/g);
  return [...new Set([...names].flatMap(([, name]) => (isKeptFile(name) ? [name] : [])))];
}

/** After a commit: what no kept epoch needs belonged to earlier ones. Failing is harmless. */
export function removeUnusedFiles(image: string, needed: () => ReadonlySet<string>): void {
  const directory = keptFilesDirectory(image);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return;
  }
  if (names.length === 0) return; // most programs never have such a file
  const kept = needed();
  for (const name of names) if (!kept.has(name)) rmSync(join(directory, name), { force: true });
}

/**
 * The descriptors whose files a save has copied because they have no name: the guest goes on in the copy or, after a kill,
 * without it.
 */
export function movedFiles({ descriptors }: SavedState, observer: Observer): SavedDescriptor[] {
  return descriptors.flatMap((descriptor): SavedDescriptor[] => {
    if (descriptor.kind !== "file" || !("kept" in descriptor.place)) return [];
    const { kept } = descriptor.place;
    if (observer.moveToKept(descriptor.number, kept)) return [descriptor];
    const { number, rights, inheriting, fdflags } = descriptor;
    return [{ number, rights, inheriting, fdflags, kind: "lost", path: kept }];
  });
}
