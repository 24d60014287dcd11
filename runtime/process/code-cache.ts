/**
 * What the engine has compiled of a bundle of ours, kept for the next start of the same program: parsing and compiling the
 * guest's thread takes 25 ms otherwise. docs/rationale.md#code-cache
 *
 *     code/<what was compiled, for what>     V8's code cache; after how many runs of each end it was kept, a byte each; the
 *                                            CRC-32 of the bundle
 *
 * The engine refuses what another version of it has made, or the same one under other flags, which is why those are in the
 * name. It does not look at the source beyond its length, nor for damage, and takes the code as it is: so the checksums, and
 * nothing is read that somebody else may have written.
 *
 * What a run has compiled depends on how it ended, and a power failure must not wait for a compiler: so the code is kept again
 * after the first runs that ended in another way. And of two runs that end alike, one needs what the other does not.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { crc32 } from "node:zlib";
import { cacheDirectory } from "./cache-directory.js";
import { contentOf, withChecksum, writeCacheFile } from "./cache-files.js";

const TRAILER = { ends: 0, checksum: 4, byteLength: 8 } as const;
/** How a run may end that keeps its code. */
const ENDS = ["over", "saved"] as const;
export type End = (typeof ENDS)[number];
/** Of V8's code cache, the same for any code of one source: magic number, version, length of the source, flags of the engine. */
const HEADER_BYTES = 16;
/** Of runs that end in the same way. */
const RUNS_KEPT = 3;
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
  /** For the flags of the start. */
  readonly #header: Buffer;
  #ends: number;

  /** `cachePath`: see `codeCachePath`; undefined: compiled as if nothing were kept. */
  constructor(path: string, cachePath: string | undefined) {
    const source = readFileSync(path);
    this.#path = path;
    this.#cachePath = cachePath;
    this.#checksum = crc32(source);
    const kept = cachePath === undefined ? undefined : readCode(cachePath, this.#checksum);
    const before = `(function (${PARAMETERS.join(", ")}) {`;
    this.#script = new Script(`${before}${source.toString("utf8")}\n})`, {
      filename: path,
      columnOffset: -before.length,
      cachedData: kept?.code,
    });
    const isUsed = kept !== undefined && this.#script.cachedDataRejected === false;
    this.#ends = isUsed ? kept.ends : 0;
    const code = isUsed || cachePath === undefined ? kept?.code : this.#script.createCachedData();
    this.#header = Buffer.from(code?.subarray(0, HEADER_BYTES) ?? []);
  }

  /** As Node runs a CommonJS file. Its import() is this file's: Node 20 has none for code that was kept. */
  run(module: { readonly exports: unknown }, require: NodeJS.Require): void {
    const importModule = (specifier: string): Promise<unknown> => import(specifier);
    const body = this.#script.runInThisContext() as (...parameters: unknown[]) => void;
    body(module.exports, require, module, this.#path, dirname(this.#path), importModule);
  }

  /** How many runs that ended so have left their code in what was kept. */
  runsKept(end: End): number {
    return (this.#ends >>> shiftOf(end)) & 0xff;
  }

  /**
   * To be called when a run has ended so, and all that it needs is compiled. The code is kept for the flags of the start: those
   * that are set later are for compiling wasm, and the bytecode of our JavaScript is the same under them all; but V8 refuses it, in
   * Node 20 and 22 even if they are set back.
   */
  keep(end: End): void {
    if (this.#cachePath === undefined || this.runsKept(end) >= RUNS_KEPT) return;
    this.#ends += 1 << shiftOf(end);
    const trailer = Buffer.alloc(TRAILER.byteLength);
    trailer.writeUInt32LE(this.#ends, TRAILER.ends);
    trailer.writeUInt32LE(this.#checksum, TRAILER.checksum);
    const code = this.#script.createCachedData();
    this.#header.copy(code);
    writeCacheFile(this.#cachePath, withChecksum(Buffer.concat([code, trailer])), false);
  }
}

function shiftOf(end: End): number {
  return 8 * ENDS.indexOf(end);
}

interface KeptCode {
  readonly code: Buffer;
  readonly ends: number;
}

/** Undefined: there is none for this source, it is damaged, or not safe to take. */
function readCode(path: string, checksum: number): KeptCode | undefined {
  const content = contentOf(readOwn(path) ?? Buffer.alloc(0));
  const end = (content?.length ?? 0) - TRAILER.byteLength;
  if (content === undefined || end < 0 || content.readUInt32LE(end + TRAILER.checksum) !== checksum) return undefined;
  return { code: content.subarray(0, end), ends: content.readUInt32LE(end + TRAILER.ends) };
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
