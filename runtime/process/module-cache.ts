/**
 * What is made of a module once and kept, below a directory of the user's, under the hash of the module:
 *
 *     instrumented-<version>/<hash>-<mode>.wasm   the instrumented form, and the CRC-32 of it
 *     modules/<hash>.wasm                         the module itself, durable: images link it instead of copying it
 *
 * The cache is a convenience: what cannot be written or read costs time, not the run. Nothing in it is trusted: forms have
 * a checksum, and a copy is compared.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { CODE_VERSION, INSTRUMENTER_VERSION } from "../instrument/metadata.js";
import { contentHash } from "./image/content-hash.js";
import { makeDirectories } from "./image/directories.js";

const TRAILER_BYTES = 4;
/** Smaller modules are copied into their images as fast as they are linked. */
const LEAST_LINKED_BYTES = 1 << 20;
const PIECE_BYTES = 1 << 20;

export class ModuleCache {
  readonly #directory: string;
  readonly #bytes: Uint8Array;
  readonly #hash: string;

  constructor(directory: string, bytes: Uint8Array) {
    this.#directory = directory;
    this.#bytes = bytes;
    this.#hash = contentHash(bytes);
  }

  #formPath(mode: string): string {
    return join(this.#directory, `instrumented-${INSTRUMENTER_VERSION}.${CODE_VERSION}`, `${this.#hash}-${mode}.wasm`);
  }

  /** The instrumented form; undefined if there is none, or a damaged one. */
  readForm(mode: string): Uint8Array | undefined {
    const file = read(this.#formPath(mode));
    const end = (file?.length ?? 0) - TRAILER_BYTES;
    if (file === undefined || end < 8 || file.readUInt32LE(end) !== crc32(file.subarray(0, end))) return undefined;
    return file.subarray(0, end);
  }

  writeForm(mode: string, form: Uint8Array): void {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32LE(crc32(form));
    write(this.#formPath(mode), [form, trailer], false);
  }

  /** Path of a file with the module's bytes, durable and never written again; undefined: not worth it, or not possible. */
  durableCopy(): string | undefined {
    if (this.#bytes.length < LEAST_LINKED_BYTES) return undefined;
    const path = join(this.#directory, "modules", `${this.#hash}.wasm`);
    if (holds(path, this.#bytes)) return path;
    return write(path, [this.#bytes], true) ? path : undefined;
  }
}

function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Whether a file has these bytes, compared in pieces: a second copy of a large module would double its share of memory. */
function holds(path: string, bytes: Uint8Array): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    if (fstatSync(descriptor).size !== bytes.length) return false;
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; at < bytes.length; ) {
      const length = readSync(descriptor, piece);
      if (length === 0 || !piece.subarray(0, length).equals(bytes.subarray(at, at + length))) return false;
      at += length;
    }
    return true;
  } catch {
    return false;
  } finally {
    closeSync(descriptor);
  }
}

/** Whole or not at all. */
function write(path: string, parts: readonly Uint8Array[], durable: boolean): boolean {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
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
    if (durable) syncDirectory(dirname(path));
    return true;
  } catch {
    try {
      unlinkSync(temporary);
    } catch {} // it is not there, or stays
    return false;
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
