/**
 * Instrumented forms of a module and what is known of them, in the cache: see module-cache.ts. Nothing in it is trusted; what
 * cannot be read is made again.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CODE_VERSION, INSTRUMENTER_VERSION } from "../instrument/metadata.js";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";
import { type Beginning, StartProfile } from "./start-profile.js";

const COUNT_BYTES = 4;

export interface CachedForm {
  readonly bytes: Uint8Array;
  /** As of bodyOffsets. */
  readonly bodies: Uint32Array;
  /** Whether this engine has found it valid before; undefined: it was just made. */
  readonly isValid?: boolean;
}

export class FormCache {
  readonly #directory: string;
  readonly #hash: string;

  /** `hash`: of the module, as of contentHash. */
  constructor(directory: string, hash: string) {
    this.#directory = join(directory, `instrumented-${INSTRUMENTER_VERSION}.${CODE_VERSION}`);
    this.#hash = hash;
  }

  #formPath(mode: string): string {
    return join(this.#directory, `${this.#hash}-${mode}.wasm`);
  }

  #proofPath(mode: string): string {
    return `${this.#formPath(mode)}.${process.versions.v8}`;
  }

  #profilePath(mode: string, beginning: Beginning): string {
    return `${this.#proofPath(mode)}.${beginning}`;
  }

  /** The instrumented form; undefined if there is none, or a damaged one. */
  readForm(mode: string): CachedForm | undefined {
    const content = contentOf(read(this.#formPath(mode)));
    const end = (content?.length ?? 0) - COUNT_BYTES;
    if (content === undefined || end < 0) return undefined;
    const from = end - Uint32Array.BYTES_PER_ELEMENT * content.readUInt32LE(end);
    if (from < 0) return undefined;
    const bodies = new Uint32Array(Uint8Array.from(content.subarray(from, end)).buffer);
    return { bytes: content.subarray(0, from), bodies, isValid: existsSync(this.#proofPath(mode)) };
  }

  /** Whether there is a form that this engine has found valid. It may be damaged. */
  holds(mode: string): boolean {
    return existsSync(this.#formPath(mode)) && existsSync(this.#proofPath(mode));
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

  /** What was learned of that form; nothing, if it cannot be read. */
  readProfile(mode: string, beginning: Beginning): StartProfile {
    return StartProfile.decode(read(this.#profilePath(mode, beginning)));
  }

  writeProfile(mode: string, beginning: Beginning, profile: StartProfile): void {
    writeCacheFile(this.#profilePath(mode, beginning), profile.encode(), false);
  }
}

/** Empty: there is none. */
function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
