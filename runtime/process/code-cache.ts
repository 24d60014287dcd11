/**
 * What the engine has compiled of a bundle of ours, kept for the next start of the same program: parsing and compiling the
 * guest's thread takes 25 ms otherwise. docs/rationale.md#code-cache
 *
 *     code/<what was compiled, for what>     V8's code cache, and the CRC-32 of the bundle
 *
 * The engine refuses what another version of it has made, or the same one under other flags, which is why those are in the
 * name. It does not look at the source beyond its length, nor for damage, and takes the code as it is: so the checksums, and
 * nothing is read that somebody else may have written.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { crc32 } from "node:zlib";
import { cacheDirectory } from "./cache-directory.js";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";

const CHECKSUM_BYTES = 4;
const WRITABLE_BY_OTHERS = 0o022;
/** What Node's own loader gives a CommonJS file, and what rolldown.config.js makes of its import(). */
const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname", "importModule"];

/** The file for a program that does this: different commands need different functions of a bundle. */
export function codeCachePath(purpose: string, execArgv: readonly string[]): string {
  const flags = [...execArgv, process.env["NODE_OPTIONS"] ?? ""].join(" ").trim();
  const suffix = flags === "" ? "" : `-${crc32(flags).toString(16)}`;
  return join(cacheDirectory(), "code", `${purpose}-${process.version}-${process.arch}${suffix}`);
}

/** A CommonJS file, compiled with the help of an earlier run. */
export class CachedBundle {
  readonly #path: string;
  readonly #cachePath: string | undefined;
  readonly #script: Script;
  readonly #checksum: number;

  /** `cachePath`: see `codeCachePath`; undefined: compiled as if nothing were kept. */
  constructor(path: string, cachePath: string | undefined) {
    const source = readFileSync(path);
    this.#path = path;
    this.#cachePath = cachePath;
    this.#checksum = crc32(source);
    const before = `(function (${PARAMETERS.join(", ")}) {`;
    this.#script = new Script(`${before}${source.toString("utf8")}\n})`, {
      filename: path,
      columnOffset: -before.length,
      cachedData: cachePath === undefined ? undefined : readCode(cachePath, this.#checksum),
    });
  }

  /** As Node runs a CommonJS file. Its import() is this file's: Node 20 has none for code that was kept. */
  run(module: { readonly exports: unknown }, require: NodeJS.Require): void {
    const importModule = (specifier: string): Promise<unknown> => import(specifier);
    const body = this.#script.runInThisContext() as (...parameters: unknown[]) => void;
    body(module.exports, require, module, this.#path, dirname(this.#path), importModule);
  }

  /** Nothing of use was kept: it should be, when all that such a run needs is compiled, and under the flags of its start. */
  get isNew(): boolean {
    return this.#script.cachedDataRejected !== false;
  }

  keep(): void {
    if (this.#cachePath === undefined) return;
    const checksum = Buffer.alloc(CHECKSUM_BYTES);
    checksum.writeUInt32LE(this.#checksum);
    const content = Buffer.concat([this.#script.createCachedData(), checksum]);
    writeCacheFile(this.#cachePath, withChecksum(content), false);
  }
}

/** Undefined: there is none for this source, it is damaged, or not safe to take. */
function readCode(path: string, checksum: number): Buffer | undefined {
  const content = contentOf(readOwn(path) ?? Buffer.alloc(0));
  const end = (content?.length ?? 0) - CHECKSUM_BYTES;
  return end >= 0 && content?.readUInt32LE(end) === checksum ? content.subarray(0, end) : undefined;
}

/** Undefined: there is none, or somebody else could have written it. */
function readOwn(path: string): Buffer | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const { uid, mode } = fstatSync(descriptor);
    if (uid !== process.geteuid?.() || (mode & WRITABLE_BY_OTHERS) !== 0) return undefined;
    return readFileSync(descriptor);
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}
