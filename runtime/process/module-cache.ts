/**
 * What is made of a module once and kept, below a directory of the user's, under the hash of the module:
 *
 *     instrumented-<version>/<hash>-<mode>.wasm   the instrumented form, and the CRC-32 of it
 *     modules/<hash>.wasm                         the module itself, durable: images link it instead of copying it
 *
 * Beside them is the code of our own that the engine has compiled: code-cache.ts.
 *
 * The cache is a convenience: what cannot be written or read costs time, not the run. Nothing in it is trusted: forms have
 * a checksum, and a copy is compared.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { CODE_VERSION, INSTRUMENTER_VERSION } from "../instrument/metadata.js";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";
import { contentHash } from "./image/content-hash.js";

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
    return file && contentOf(file);
  }

  writeForm(mode: string, form: Uint8Array): void {
    writeCacheFile(this.#formPath(mode), withChecksum(form), false);
  }

  /** Path of a file with the module's bytes, durable and never written again; undefined: not worth it, or not possible. */
  durableCopy(): string | undefined {
    if (this.#bytes.length < LEAST_LINKED_BYTES) return undefined;
    const path = join(this.#directory, "modules", `${this.#hash}.wasm`);
    if (holds(path, this.#bytes)) return path;
    return writeCacheFile(path, [this.#bytes], true) ? path : undefined;
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
