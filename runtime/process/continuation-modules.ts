import type { PollMode } from "../instrument/code-target.js";
import type { ContinuationBuilder, Pieces } from "../instrument/continuation.js";

/** Compiled continuations, exported in the order of the pieces. */
export interface CompiledContinuations {
  readonly module: WebAssembly.Module;
  /** As of `ContinuationModule`. */
  readonly importedFunctions: readonly number[];
}

/** A test makes thousands of machines, and they stop at few places in few ways. */
const MOST_KEPT = 256;

/** Of one program: its machines share what was compiled for one of them, as they share the program's code. */
export class ContinuationModules {
  readonly #builder: ContinuationBuilder;
  readonly #mode: PollMode;
  /** By pieces; the least recently used first. */
  readonly #kept = new Map<string, CompiledContinuations>();

  constructor(builder: ContinuationBuilder, mode: PollMode) {
    this.#builder = builder;
    this.#mode = mode;
  }

  /** Compiled quickly, for a resume. */
  compiled(pieces: Pieces): CompiledContinuations {
    const key = [pieces.turns, pieces.places, [...pieces.apart]].join(";");
    const known = this.#kept.get(key) ?? this.#compile(pieces);
    this.#kept.delete(key);
    this.#kept.set(key, known);
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    return known;
  }

  #compile(pieces: Pieces): CompiledContinuations {
    const { bytes, importedFunctions } = this.#builder.build(pieces, this.#mode);
    return { module: new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), importedFunctions };
  }
}
