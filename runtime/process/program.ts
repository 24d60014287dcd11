/**
 * A guest's module made ready to run: instrumented, compiled, and able to build continuations.
 *
 * The instrumented form is cached, so that it is made once; one that is damaged or of another version is made again.
 */
import { setFlagsFromString } from "node:v8";
import { VermilionError } from "../../pmem/error.js";
import { buildCallGraph, type CallGraph } from "../instrument/call-graph.js";
import type { Form, PollMode } from "../instrument/code-target.js";
import { ContinuationBuilder } from "../instrument/continuation.js";
import { bodyOffsets, FunctionSites } from "../instrument/function-sites.js";
import { Appendix } from "../instrument/helpers.js";
import { instrument } from "../instrument/instrument.js";
import { decodeMetadata, encodeMetadata, INSTRUMENTER_VERSION, readMetadata } from "../instrument/metadata.js";
import { type FlagPlace, flagPlace } from "../instrument/poll-flag.js";
import { PositionMap } from "../instrument/position-map.js";
import { TypeTable } from "../instrument/type-table.js";
import { MalformedModule, UnsupportedModule } from "../wasm/byte-reader.js";
import { decodeModule } from "../wasm/decode.js";
import type { Module } from "../wasm/module.js";
import { readFunctionNames } from "../wasm/names.js";
import { ContinuationModules } from "./continuation-modules.js";
import { HEED_HINTS, PASS_OVER_HINTS } from "./engine-flags.js";
import type { CachedForm } from "./form-cache.js";
import { formFor, nameOfForm, RUNS_EXNREF, USUAL_MODE } from "./forms.js";
import { contentHash } from "./image/content-hash.js";
import { ModuleCache } from "./module-cache.js";
import type { FormAhead, ReadAhead } from "./read-ahead.js";
import { hint } from "./start-profile.js";

export { INSTRUMENTER_VERSION };

export interface ProgramOptions {
  /** Where instrumented modules are kept; undefined: nowhere. */
  readonly cacheDirectory: string | undefined;
  /** Count every safepoint, for deterministic failures; otherwise hot loops count in steps. */
  readonly exact: boolean;
  /** Tell the host of every store: for simulated failures of persistent memory. */
  readonly tracking?: boolean;
  /** The host sets a flag when it is to be asked; unless every safepoint is counted. */
  readonly flags?: boolean;
  /** Refuses, by throwing, a module that is no program for here, before it is instrumented. */
  readonly accept?: (module: Module) => void;
  /** What the main thread has read; undefined: nothing. */
  readonly ahead?: ReadAhead | undefined;
  /** Used if it is of this module and form. */
  readonly compiled?: CompiledForm | undefined;
  /** For tests: as of ContinuationBuilder. */
  readonly largestRepeated?: number;
  /** Told when instrumenting starts, which can take seconds for big modules. */
  readonly onInstrument?: (byteLength: number) => void;
}

export class Program {
  readonly bytes: Uint8Array;
  readonly mode: PollMode;
  readonly tracking: boolean;
  readonly compiled: WebAssembly.Module;
  readonly #metadata: Uint8Array;
  readonly #bodies: Uint32Array;
  readonly #cache: ModuleCache | undefined;
  readonly #largestRepeated: number | undefined;
  #module: Module | undefined;
  #graph: CallGraph | undefined;
  #continuations: ContinuationBuilder | undefined;
  #continuationModules: ContinuationModules | undefined;
  #positions: PositionMap | undefined;
  #sites: FunctionSites | undefined;
  #names: ReadonlyMap<number, string> | undefined;

  private constructor(
    bytes: Uint8Array,
    { mode, tracking }: Form,
    made: Made,
    cache: ModuleCache | undefined,
    { largestRepeated }: ProgramOptions,
  ) {
    this.bytes = bytes;
    this.#largestRepeated = largestRepeated;
    this.mode = mode;
    this.tracking = tracking;
    this.compiled = made.compiled;
    this.#metadata = made.metadata;
    this.#bodies = made.bodies;
    this.#cache = cache;
  }

  /**
   * @throws VermilionError MODULE_INVALID (no valid module, or one that this engine does not take),
   * MODULE_UNSUPPORTED (needs a feature that we do not carry; it is named).
   */
  static load(bytes: Uint8Array, options: ProgramOptions): Program {
    const { cacheDirectory } = options;
    const form = formOf(options);
    const name = nameOfForm(form);
    const cache = cacheDirectory === undefined ? undefined : new ModuleCache(cacheDirectory, bytes, options.ahead);
    const { compiled } = options;
    if (compiled?.mode === name && compiled.hash === contentHash(bytes)) {
      return accepted(new Program(bytes, form, compiled, cache, options), options);
    }
    const cached = cache?.forms.readForm(name);
    if (cached !== undefined) {
      const made = fromInstrumented(bytes, name, cached, cache);
      if (made !== undefined) return accepted(new Program(bytes, form, made, cache, options), options);
    }
    validate(bytes);
    options.accept?.(refuseUnsupported(() => decodeModule(bytes)));
    options.onInstrument?.(bytes.length);
    const instrumented = instrumentBytes(bytes, form);
    const made = fromInstrumented(bytes, name, { bytes: instrumented, bodies: bodyOffsets(instrumented) }, cache);
    if (made === undefined) throw new Error("an instrumented module has no metadata");
    return checked(new Program(bytes, form, made, cache, options));
  }

  /** Whether the program need not be instrumented: its form is in the cache, if it is not damaged there, or compiled. */
  static isAtHand(bytes: Uint8Array, options: ProgramOptions): boolean {
    const { cacheDirectory, compiled } = options;
    const name = nameOfForm(formOf(options));
    if (compiled?.mode === name && compiled.hash === contentHash(bytes)) return true;
    return cacheDirectory !== undefined && new ModuleCache(cacheDirectory, bytes).forms.holds(name);
  }

  /** Path of a durable copy of the module that an image may link; undefined: there is none. */
  durableCopy(): string | undefined {
    return this.#cache?.durableCopy();
  }

  get module(): Module {
    this.#module ??= decodeModule(this.bytes);
    return this.#module;
  }

  get graph(): CallGraph {
    this.#graph ??= decodeMetadata(this.module, this.#metadata);
    return this.#graph;
  }

  /** Where this form's polls look; undefined: they count. */
  get flag(): FlagPlace | undefined {
    return this.mode === "flag" ? flagPlace(this.module, this.graph.features) : undefined;
  }

  get continuations(): ContinuationBuilder {
    this.#continuations ??= new ContinuationBuilder(this.module, this.graph, {
      ...{ tracking: this.tracking, exnref: RUNS_EXNREF },
      largestRepeated: this.#largestRepeated,
    });
    return this.#continuations;
  }

  get continuationModules(): ContinuationModules {
    this.#continuationModules ??= new ContinuationModules(this.continuations, this.mode);
    return this.#continuationModules;
  }

  /** Index of a helper function that the instrumenter appended. */
  helperIndex(name: string): number {
    return new Appendix(this.module, this.graph.features, new TypeTable(this.module.types), this.tracking).index(name);
  }

  /** Where the instrumented module's code comes from: it is written once more to find out. */
  get positions(): PositionMap {
    if (this.#positions === undefined) {
      this.#positions = new PositionMap();
      const form = formFor(this.mode, this.tracking);
      instrument(this.module, this.graph, form, this.#metadata, this.#positions);
    }
    return this.#positions;
  }

  /** Bytes of the longest function of the instrumented module. */
  get largestBody(): number {
    return this.#bodies.reduce((most, from, index) => Math.max(most, from - (this.#bodies[index - 1] ?? from)), 0);
  }

  /** Where the sites of the instrumented module's functions stand. */
  get sites(): FunctionSites {
    const form = formFor(this.mode, this.tracking);
    this.#sites ??= new FunctionSites(this.module, this.graph, form, this.#bodies);
    return this.#sites;
  }

  /** Function names of the name section. */
  get names(): ReadonlyMap<number, string> {
    this.#names ??= readFunctionNames(this.bytes);
    return this.#names;
  }
}

function formOf({ exact, flags = false, tracking = false }: ProgramOptions): Form {
  return formFor(exact ? "exact" : flags ? USUAL_MODE : "fast", tracking);
}

interface Made {
  readonly compiled: WebAssembly.Module;
  readonly metadata: Uint8Array;
  /** As of CachedForm: the bytes themselves are kept by the engine only. */
  readonly bodies: Uint32Array;
}

/** Before it is known for which module; see precompile. */
export interface CompiledForm extends Made {
  /** Of the module, as of contentHash. */
  readonly hash: string;
  readonly mode: string;
}

/**
 * Compiles a form that this engine has found valid, and at once what starts of the program need, which takes flags of the engine:
 * for programs of our own. Undefined: it is no form.
 */
export function precompile({ hash, mode, content, needed }: FormAhead): CompiledForm | undefined {
  let isHinted = false;
  try {
    const metadata = readMetadata(content.bytes);
    if (metadata === undefined) return undefined;
    isHinted = needed !== undefined && hint(content.bytes, needed);
    if (isHinted) HEED_HINTS.forEach(setFlagsFromString);
    const compiled = new WebAssembly.Module(content.bytes as Uint8Array<ArrayBuffer>);
    return { hash, mode, compiled, metadata: metadata.slice(), bodies: content.bodies };
  } catch {
    return undefined; // said by whoever loads it
  } finally {
    if (isHinted) PASS_OVER_HINTS.forEach(setFlagsFromString);
  }
}

/** What this engine has validated once is compiled as it is, by programs with the flag: it takes longer than all the rest. */
function fromInstrumented(
  bytes: Uint8Array,
  name: string,
  form: CachedForm,
  cache: ModuleCache | undefined,
): Made | undefined {
  const metadata = readMetadata(form.bytes);
  if (metadata === undefined) return undefined;
  const isValid = form.isValid === true || WebAssembly.validate(form.bytes as Uint8Array<ArrayBuffer>);
  const compiled = compile(form.bytes, `the instrumented form (${name}, of ${bytes.length} bytes)`, isValid, () =>
    validate(bytes),
  );
  if (form.isValid !== true) cache?.forms.writeForm(name, form);
  if (form.isValid === undefined) cache?.trim();
  return { compiled, metadata: metadata.slice(), bodies: form.bodies };
}

/** `explain` may throw a better reason: the cache is shared by engines of all versions. */
function compile(
  bytes: Uint8Array,
  what: string,
  isValid: boolean,
  explain: () => void = () => undefined,
): WebAssembly.Module {
  if (!isValid) setFlagsFromString("--no-wasm-lazy-validation"); // for the reason
  try {
    return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    explain();
    throw new VermilionError("MODULE_INVALID", `${what} does not compile: ${(cause as Error).message}`, { cause });
  }
}

/** The engine's word on the guest's bytes, before our decoder sees them. */
function validate(bytes: Uint8Array): void {
  if (WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) return;
  try {
    const module = refuseUnsupported(() => decodeModule(bytes));
    refuseExnref(() => refuseUnsupported(() => buildCallGraph(module)));
  } catch (error) {
    // Only the engine checks what our decoder takes for granted: anything may happen in a module that is not valid.
    if (error instanceof VermilionError) throw error;
  }
  compile(bytes, "the module", false);
}

function accepted(program: Program, { accept }: ProgramOptions): Program {
  accept?.(program.module);
  return checked(program);
}

function checked(program: Program): Program {
  refuseExnref(() => program.graph);
  return program;
}

/** What this engine would run wrongly does not run. */
function refuseExnref(graph: () => CallGraph): void {
  if (RUNS_EXNREF || !graph().features.exnref) return;
  throw new VermilionError(
    "MODULE_UNSUPPORTED",
    `the module uses the newer exception instructions (try_table, exnref), which Node ${process.versions.node} does not run ` +
      "or runs wrongly; use Node 24 or later, or build it with the older ones",
  );
}

function instrumentBytes(bytes: Uint8Array, form: Form): Uint8Array {
  return refuseUnsupported(() => {
    const module = decodeModule(bytes);
    const graph = buildCallGraph(module);
    return instrument(module, graph, form, encodeMetadata(graph));
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
