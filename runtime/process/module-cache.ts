/**
 * What is made of a module once and kept, below a directory of the user's, under the hash of the module:
 *
 *     instrumented-<version>/<hash>-<mode>.wasm   the instrumented form, where its function bodies lie, the CRC-32 of both
 *     ...<hash>-<mode>.wasm.<engine's version>    nothing: this engine has found the form valid
 *     modules/<hash>.wasm                         the module itself, durable: images link it instead of copying it
 *
 * Beside them is the code of our own that the engine has compiled: code-cache.ts.
 *
 * The cache is a convenience: what cannot be written or read costs time, not the run. Nothing in it is trusted: forms have
 * a checksum, and a copy is compared.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { CODE_VERSION, INSTRUMENTER_VERSION } from "../instrument/metadata.js";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";
import { contentHash } from "./image/content-hash.js";
import type { ReadAhead } from "./read-ahead.js";

/** Smaller modules are copied into their images as fast as they are linked. */
const LEAST_LINKED_BYTES = 1 << 20;
const PIECE_BYTES = 1 << 20;

const COUNT_BYTES = 4;

export interface CachedForm {
  readonly bytes: Uint8Array;
  /** As of bodyOffsets. */
  readonly bodies: Uint32Array;
  /** Whether this engine has found it valid before; undefined: it was just made. */
  readonly isValid?: boolean;
}

export class ModuleCache {
  readonly #directory: string;
  readonly #bytes: Uint8Array;
  readonly #hash: string;

  readonly #ahead: ReadAhead | undefined;

  /** `ahead`: what the main thread has taken out of it already, if it is of this module. */
  constructor(directory: string, bytes: Uint8Array, ahead?: ReadAhead) {
    this.#directory = directory;
    this.#bytes = bytes;
    this.#hash = contentHash(bytes);
    this.#ahead = ahead?.hash === this.#hash ? ahead : undefined;
  }

  #formPath(mode: string): string {
    return join(this.#directory, `instrumented-${INSTRUMENTER_VERSION}.${CODE_VERSION}`, `${this.#hash}-${mode}.wasm`);
  }

  #proofPath(mode: string): string {
    return `${this.#formPath(mode)}.${process.versions.v8}`;
  }

  /** The instrumented form; undefined if there is none, or a damaged one. */
  readForm(mode: string): CachedForm | undefined {
    if (this.#ahead?.form?.mode === mode) return this.#ahead.form.content;
    const content = contentOf(read(this.#formPath(mode)) ?? Buffer.alloc(0));
    const end = (content?.length ?? 0) - COUNT_BYTES;
    if (content === undefined || end < 0) return undefined;
    const from = end - Uint32Array.BYTES_PER_ELEMENT * content.readUInt32LE(end);
    if (from < 0) return undefined;
    const bodies = new Uint32Array(Uint8Array.from(content.subarray(from, end)).buffer);
    return { bytes: content.subarray(0, from), bodies, isValid: existsSync(this.#proofPath(mode)) };
  }

  /** Of a form that this engine has found valid. */
  writeForm(mode: string, { bytes, bodies, isValid }: CachedForm): void {
    if (isValid === undefined) {
      const trailer = Buffer.alloc(bodies.byteLength + COUNT_BYTES);
      trailer.set(new Uint8Array(bodies.buffer, bodies.byteOffset, bodies.byteLength));
      trailer.writeUInt32LE(bodies.length, bodies.byteLength);
      writeCacheFile(this.#formPath(mode), withChecksum(bytes, trailer), false);
    }
    writeCacheFile(this.#proofPath(mode), [], false);
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

  get #copyPath(): string {
    return join(this.#directory, "modules", `${this.#hash}.wasm`);
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
