/** The directory of an image before it is one: whether it may become one, and making it durable. */
import { closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { attempt, errorName } from "../../../pmem/error.js";
import { imageError } from "./damage.js";
import { type ImageDirectory, OPEN_FILES_NAME } from "./image-directory.js";
import { LOCK_NAME } from "./lock.js";
import { HEADER_NAME, isImageName } from "./names.js";

/** Returns the files that an unfinished creation left; throws if the directory holds anything else. */
export function checkVacant(directory: ImageDirectory): string[] {
  checkOnlyImageFiles(directory);
  const names = directory.names();
  if (names.includes(HEADER_NAME)) {
    const reason = "there is an image already";
    throw imageError(
      "IMAGE_EXISTS",
      directory.path,
      reason,
      "resume it, replace it with vermilion run --fresh, or name another",
    );
  }
  return names.filter((name) => name !== LOCK_NAME && name !== OPEN_FILES_NAME);
}

export function checkOnlyImageFiles(directory: ImageDirectory): void {
  const stranger = directory.names().find((name) => !isImageName(name));
  if (stranger === undefined) return;
  const reason = `the directory holds files that are not an image's: ${JSON.stringify(stranger)}`;
  throw imageError("IMAGE_FOREIGN", directory.path, reason, "name another directory");
}

/**
 * Returns the outermost directory that was missing. Not mkdir's own recursion, which never ends where a parent is there
 * and says ENOENT all the same, as /proc does.
 */
export function makeDirectories(path: string): string | undefined {
  const missing: string[] = [];
  for (let parent = path; !existsSync(parent); parent = dirname(parent)) missing.push(parent);
  for (const directory of [...missing].reverse()) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      if (errorName(error) !== "EEXIST") throw error; // another process was faster
    }
  }
  return missing.at(-1);
}

/** The entry of each directory that mkdir made is durable once its parent is flushed. */
export function syncParents(path: string, firstCreated: string | undefined): void {
  if (firstCreated === undefined) return;
  for (let child = path; ; child = dirname(child)) {
    const parent = dirname(child);
    attempt("flush the directory", parent, () => flushDirectory(parent));
    if (child === firstCreated || parent === child) return;
  }
}

/** Names that were made, changed or removed in it before are durable once this returns. @throws what node:fs does. */
export function flushDirectory(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
