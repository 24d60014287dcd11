/**
 * What was not used for thirty days goes out of the cache, and so does what versions of ours have left that are not run any more.
 * Looked at when a program is new to the cache, once a day at most.
 *
 * When a file was read last is what the kernel notes of it, to the day (relatime). On a disk that notes nothing, what is kept is made
 * anew every thirty days.
 */
import { lstatSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { writeCacheFile } from "./cache-files.js";

const DAY_MILLISECONDS = 86_400_000;
const KEPT_DAYS = 30;
const MARKER = "trimmed";
/** See module-cache.ts and code-cache.ts; nothing else is ever removed. */
const FOLDERS = /^(?:code|modules|seen|instrumented-\d+\.\d+)$/;

/** Never throws: what cannot be removed stays. `now`: milliseconds since 1970. */
export function trimCache(directory: string, now: number = Date.now()): void {
  try {
    const marker = join(directory, MARKER);
    if (now - (lstatSync(marker, { throwIfNoEntry: false })?.mtimeMs ?? 0) < DAY_MILLISECONDS) return;
    writeCacheFile(marker, [], false);
    for (const folder of readdirSync(directory, { withFileTypes: true })) {
      if (folder.isDirectory() && FOLDERS.test(folder.name)) trimFolder(join(directory, folder.name), now);
    }
  } catch {} // another process may be at it
}

function trimFolder(folder: string, now: number): void {
  const groups = new Map<string, string[]>();
  for (const file of readdirSync(folder, { withFileTypes: true })) {
    if (!file.isFile()) continue;
    const group = groupOf(file.name);
    groups.set(group, [...(groups.get(group) ?? []), join(folder, file.name)]);
  }
  for (const [group, paths] of groups) {
    if (Math.max(...paths.map(usedAt)) > now - KEPT_DAYS * DAY_MILLISECONDS) continue;
    for (const path of paths) unlinkSync(path);
    groups.delete(group);
  }
  if (groups.size === 0) rmdirSync(folder);
}

/** A form and what is known of it are one: only the form is read at each start. */
function groupOf(name: string): string {
  return name.replace(/\.wasm.*$/s, "");
}

function usedAt(path: string): number {
  const { atimeMs, mtimeMs } = lstatSync(path);
  return Math.max(atimeMs, mtimeMs);
}
