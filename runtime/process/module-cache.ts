/**
 * What is made of a module once and kept, below a directory of the user's, under the hash of the module:
 *
 *     instrumented-<version>/<hash>-<mode>.wasm   the instrumented form, where its function bodies lie, the CRC-32 of both
 *     ...<hash>-<mode>.wasm.<engine's version>    nothing: this engine has found the form valid
 *     ...<engine's version>.<start or resume>     which functions that begins with: start-profile.ts
 *     seen/...                                    which module a file held: seen-module.ts
 *     modules/<hash>.wasm                         the module itself, durable: images link it instead of copying it
 *     trimmed                                     nothing; its age: see cache-trimming.ts
 *
 * Beside them is the code of our own that the engine has compiled: code-cache.ts.
 *
 * The cache is a convenience: what cannot be written or read costs time, not the run. Nothing in it is trusted: forms have
 * a checksum, and a copy is compared.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { writeCacheFile } from "./cache-files.js";
import { trimCache } from "./cache-trimming.js";
import { FormCache } from "./form-cache.js";
import { contentHash } from "./image/content-hash.js";
import type { ReadAhead } from "./read-ahead.js";

/** Smaller modules are copied into their images as fast as they are linked. */
const LEAST_LINKED_BYTES = 1 << 20;
const PIECE_BYTES = 1 << 20;

export class ModuleCache {
  readonly #directory: string;
  readonly #bytes: Uint8Array;
  readonly #hash: string;
  readonly forms: FormCache;
  readonly #ahead: ReadAhead | undefined;

  /** `ahead`: what the main thread has taken out of it already, if it is of this module. */
  constructor(directory: string, bytes: Uint8Array, ahead?: ReadAhead) {
    this.#directory = directory;
    this.#bytes = bytes;
    this.#hash = contentHash(bytes);
    this.forms = new FormCache(directory, this.#hash);
    this.#ahead = ahead?.hash === this.#hash ? ahead : undefined;
  }

  /** Path of a file with the module's bytes, durable and never written again; undefined: not worth it, or not possible. */
  durableCopy(): string | undefined {
    const existing = this.existingCopy();
    if (existing !== undefined || this.#bytes.length < LEAST_LINKED_BYTES) return existing;
    return writeCacheFile(this.#copyPath, [this.#bytes], true) ? this.#copyPath : undefined;
  }

  /** The same, if it is there. */
  existingCopy(): string | undefined {
    if (this.#ahead?.copy !== undefined) return this.#ahead.copy;
    return this.#bytes.length >= LEAST_LINKED_BYTES && holds(this.#copyPath, this.#bytes) ? this.#copyPath : undefined;
  }

  /** Lets go of what was not used for long. */
  trim(): void {
    trimCache(this.#directory);
  }

  get #copyPath(): string {
    return join(this.#directory, "modules", `${this.#hash}.wasm`);
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
