/** Files of the cache: whole or not there, with the CRC-32 of what they hold behind it. */
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { flushDirectory, makeDirectories } from "./image/directories.js";

const TRAILER_BYTES = 4;

/** What a file of the cache holds; undefined: it is damaged. */
export function contentOf(file: Buffer): Buffer | undefined {
  const end = file.length - TRAILER_BYTES;
  if (end < 0 || file.readUInt32LE(end) !== crc32(file.subarray(0, end))) return undefined;
  return file.subarray(0, end);
}

/** For `contentOf`. */
export function withChecksum(...content: readonly Uint8Array[]): readonly Uint8Array[] {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(content.reduce((sum, part) => crc32(part, sum), 0));
  return [...content, trailer];
}

/** Whole or not at all; false: what cannot be written costs time, not the run. */
export function writeCacheFile(path: string, parts: readonly Uint8Array[], durable: boolean): boolean {
  const temporary = `${path}.${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}`;
  try {
    makeDirectories(dirname(path));
    const descriptor = openSync(temporary, "wx", 0o400);
    try {
      for (const part of parts) for (let at = 0; at < part.length; ) at += writeSync(descriptor, part, at);
      if (durable) fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
    if (durable) flushDirectory(dirname(path));
    return true;
  } catch {
    try {
      unlinkSync(temporary);
    } catch {} // it is not there, or stays
    return false;
  }
}
