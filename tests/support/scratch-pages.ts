import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A file of 1 MiB, each byte 5, for the tests of one file: its path, and its descriptor for reading and writing. */
export function scratchPages(): { readonly path: string; readonly descriptor: number } {
  const folder = mkdtempSync(join(tmpdir(), "vermilion-pages-"));
  const path = join(folder, "pages");
  const descriptor = openSync(path, "w+");
  ftruncateSync(descriptor, 2 ** 20);
  writeSync(descriptor, Buffer.alloc(2 ** 20, 5), 0, 2 ** 20, 0);
  afterAll(() => {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });
  return { path, descriptor };
}
