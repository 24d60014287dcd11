/**
 * Which module a file held when it was last read: a large one takes as long to read and to hash as the guest's thread to boot.
 * A file may be changed without showing it, so whoever goes by it compares the hash afterwards.
 *
 *     seen/<device>-<inode>-<size>-<last change>     in the cache: the hash of the module that was there
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";

const HASH = /^[0-9a-f]{64}$/;

export class SeenModule {
  readonly #path: string;

  /** Throws if there is no such file. */
  constructor(cacheDirectory: string, module: string) {
    const { dev, ino, size, ctimeNs } = statSync(module, { bigint: true });
    this.#path = join(cacheDirectory, "seen", `${dev}-${ino}-${size}-${ctimeNs}`);
  }

  /** As of contentHash; undefined: it was not seen before. */
  get hash(): string | undefined {
    try {
      const hash = contentOf(readFileSync(this.#path))?.toString("latin1");
      return hash !== undefined && HASH.test(hash) ? hash : undefined;
    } catch {
      return undefined;
    }
  }

  remember(hash: string): void {
    writeCacheFile(this.#path, withChecksum(Buffer.from(hash, "latin1")), false);
  }
}
