/**
 * A guest's module made ready to run: instrumented, compiled, and able to build continuations.
 *
 * The instrumented form is cached under the content hash, so that it is made once. A cache file ends with a checksum;
 * one that is damaged or of another version is made again, never trusted.
 */
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { VermilionError } from "../../pmem/error.js";
import { buildCallGraph, type CallGraph } from "../instrument/call-graph.js";
import type { PollMode } from "../instrument/code-target.js";
import { ContinuationBuilder } from "../instrument/continuation.js";
import { Appendix } from "../instrument/helpers.js";
import { instrument } from "../instrument/instrument.js";
import { decodeMetadata, encodeMetadata, INSTRUMENTER_VERSION, readMetadata } from "../instrument/metadata.js";
import { TypeTable } from "../instrument/type-table.js";
import { MalformedModule, UnsupportedModule } from "../wasm/byte-reader.js";
import { decodeModule, type Module } from "../wasm/module.js";
import { readFunctionNames } from "../wasm/names.js";

export { INSTRUMENTER_VERSION };

export interface ProgramOptions {
  /** Where instrumented modules are kept; undefined: nowhere. */
  readonly cacheDirectory: string | undefined;
  /** Count every safepoint, for deterministic failures; otherwise hot loops count in steps. */
  readonly exact: boolean;
  /** Told when instrumenting starts, which can take seconds for big modules. */
  readonly onInstrument?: (byteLength: number) => void;
}

const TRAILER_BYTES = 4;

export class Program {
  readonly bytes: Uint8Array;
  readonly mode: PollMode;
  readonly compiled: WebAssembly.Module;
  readonly #metadata: Uint8Array;
  #module: Module | undefined;
  #graph: CallGraph | undefined;
  #continuations: ContinuationBuilder | undefined;
  #names: ReadonlyMap<number, string> | undefined;

  private constructor(bytes: Uint8Array, mode: PollMode, compiled: WebAssembly.Module, metadata: Uint8Array) {
    this.bytes = bytes;
    this.mode = mode;
    this.compiled = compiled;
    this.#metadata = metadata;
  }

  /**
   * @throws VermilionError MODULE_INVALID (no valid module, or one that this engine does not take),
   * MODULE_UNSUPPORTED (needs a feature that we do not carry; it is named).
   */
  static load(bytes: Uint8Array, options: ProgramOptions): Program {
    const mode: PollMode = options.exact ? "exact" : "fast";
    const path = cachePath(bytes, options.cacheDirectory, mode);
    const cached = path === undefined ? undefined : readCached(path);
    if (cached !== undefined) {
      const program = fromInstrumented(bytes, mode, cached);
      if (program !== undefined) return new Program(bytes, mode, program.compiled, program.metadata);
    }
    options.onInstrument?.(bytes.length);
    validate(bytes);
    const instrumented = instrumentBytes(bytes, mode);
    if (path !== undefined) writeCached(path, instrumented);
    const made = fromInstrumented(bytes, mode, instrumented);
    if (made === undefined) throw new Error("an instrumented module has no metadata");
    return new Program(bytes, mode, made.compiled, made.metadata);
  }

  get module(): Module {
    this.#module ??= decodeModule(this.bytes);
    return this.#module;
  }

  get graph(): CallGraph {
    this.#graph ??= decodeMetadata(this.module, this.#metadata);
    return this.#graph;
  }

  get continuations(): ContinuationBuilder {
    this.#continuations ??= new ContinuationBuilder(this.module, this.graph);
    return this.#continuations;
  }

  /** Index of a helper function that the instrumenter appended. */
  helperIndex(name: string): number {
    return new Appendix(this.module, this.graph.features, new TypeTable(this.module.types)).index(name);
  }

  /** Function names of the name section. */
  get names(): ReadonlyMap<number, string> {
    this.#names ??= readFunctionNames(this.bytes);
    return this.#names;
  }
}

function cachePath(bytes: Uint8Array, directory: string | undefined, mode: PollMode): string | undefined {
  if (directory === undefined) return undefined;
  const hash = createHash("sha256").update(bytes).digest("hex");
  return join(directory, `instrumented-${INSTRUMENTER_VERSION}`, `${hash}-${mode}.wasm`);
}

function readCached(path: string): Uint8Array | undefined {
  try {
    const file = readFileSync(path);
    const end = file.length - TRAILER_BYTES;
    if (end < 8 || file.readUInt32LE(end) !== crc32(file.subarray(0, end))) return undefined;
    return file.subarray(0, end);
  } catch {
    return undefined;
  }
}

/** The cache is a convenience: a directory that cannot be written costs time, not the run. */
function writeCached(path: string, instrumented: Uint8Array): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32LE(crc32(instrumented));
    writeFileSync(temporary, instrumented, { mode: 0o600 });
    appendFileSync(temporary, trailer);
    renameSync(temporary, path);
  } catch {
    rmSync(temporary, { force: true });
  }
}

function fromInstrumented(
  bytes: Uint8Array,
  mode: PollMode,
  instrumented: Uint8Array,
): { compiled: WebAssembly.Module; metadata: Uint8Array } | undefined {
  const metadata = readMetadata(instrumented);
  if (metadata === undefined) return undefined;
  const compiled = compile(instrumented, `the instrumented form (${mode}, of ${bytes.length} bytes)`);
  return { compiled, metadata: metadata.slice() };
}

function compile(bytes: Uint8Array, what: string): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    throw new VermilionError("MODULE_INVALID", `${what} does not compile: ${(cause as Error).message}`, { cause });
  }
}

/** The engine's word on the guest's bytes, before our decoder sees them. */
function validate(bytes: Uint8Array): void {
  if (WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) return;
  refuseUnsupported(() => decodeModule(bytes));
  compile(bytes, "the module");
}

function instrumentBytes(bytes: Uint8Array, mode: PollMode): Uint8Array {
  return refuseUnsupported(() => {
    const module = decodeModule(bytes);
    const graph = buildCallGraph(module);
    return instrument(module, graph, mode, encodeMetadata(graph));
  });
}

function refuseUnsupported<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof MalformedModule) throw new VermilionError("MODULE_INVALID", cause.message, { cause });
    if (!(cause instanceof UnsupportedModule)) throw cause;
    throw new VermilionError("MODULE_UNSUPPORTED", cause.message, { cause });
  }
}
