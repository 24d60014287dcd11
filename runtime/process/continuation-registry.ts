/**
 * The continuations of a machine, built when a stack needs them, and kept for the next.
 *
 * A frame's record names the place where it was left. Before a stack is entered, each name is replaced by the slot of
 * its continuation in a table; a continuation takes the slot of the next inner frame from the frame stack and calls it.
 *
 * A place may have two continuations: one that was compiled quickly, for a resume, and one that was compiled well, for
 * on-stack replacement, or ahead of a persistence point. The engine knows compiled code by the bytes of its module, so those of
 * the two differ, if only by the hints.
 */
import { CONTINUATION_IMPORTS, continuationExport } from "../instrument/continuation.js";
import { withOptimizingHints } from "../wasm/compilation-hints.js";
import { bodyByteLength } from "../wasm/module.js";
import type { CompiledContinuations } from "./continuation-modules.js";
import type { Fn, MachineInstance } from "./machine-instance.js";
import type { Replacement } from "./on-stack-replacement.js";
import type { Compile } from "./optimizing-compiler.js";
import { type Frame, readFrames } from "./stacks.js";

/** By place. */
type Slots = Map<number, number>;

export class ContinuationRegistry {
  readonly #instance: MachineInstance;
  readonly #table = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
  readonly #quick: Slots = new Map();
  readonly #optimized: Slots = new Map();
  /** The stack that was read last: it is asked about several times on its way in. */
  #last: { readonly bytes: Uint8Array; readonly frames: Frame[] } | undefined;

  constructor(instance: MachineInstance) {
    this.#instance = instance;
  }

  /**
   * The frames of a stack, outermost first, with a continuation for each place.
   *
   * @throws VermilionError IMAGE_DAMAGED when they do not fit the program.
   */
  enterable(bytes: Uint8Array): Frame[] {
    const frames = this.#framesOf(bytes);
    this.#provide(frames, this.#quick);
    return frames;
  }

  /** Calls the outermost continuation, which calls the next, and so on. */
  enter(bytes: Uint8Array): unknown {
    return this.#enter(bytes, this.enterable(bytes), (name) => this.#quick.get(name));
  }

  /** Whether a frame that is left there would need a continuation that is not there, or, if `optimized`, not in good code. */
  lacks(name: number, optimized: boolean): boolean {
    if (this.#optimized.has(name)) return false;
    if (!this.#quick.has(name)) return true;
    return optimized && this.#instance.program.continuations.place(name)?.inLoop === true;
  }

  /** Continuations for these places, to be compiled by somebody else; `adopt` takes them over. */
  build(
    places: readonly number[],
    optimized: boolean,
  ): { readonly bytes: Uint8Array; adopt(module: WebAssembly.Module): void } {
    const { program } = this.#instance;
    const { bytes, importedFunctions } = program.continuations.build(places, program.mode);
    const adopt = (module: WebAssembly.Module) =>
      this.#add(places, { module, importedFunctions }, optimized ? this.#optimized : this.#quick);
    return { bytes: optimized ? withOptimizingHints(bytes) : bytes, adopt };
  }

  /** Optimised code for the frames of a stack that are in loops, as far as the replacement affords it. */
  optimize(bytes: Uint8Array, replacement: Replacement): void {
    const frames = this.#framesOf(bytes);
    const loops = frames.filter(({ place, name }) => place.inLoop && !this.#optimized.has(name));
    const byteLength = this.#bodyByteLength(loops);
    if (!replacement.affords(byteLength)) return;
    const startedAt = performance.now();
    this.#provide(loops, this.#optimized, (module) => replacement.compile(withOptimizingHints(module)));
    replacement.done(byteLength, performance.now() - startedAt);
  }

  /** As `enter`, in optimised code where there is any. */
  enterOptimized(bytes: Uint8Array): unknown {
    const frames = this.#framesOf(bytes);
    this.#provide(
      frames.filter(({ name }) => !this.#optimized.has(name)),
      this.#quick,
    );
    return this.#enter(bytes, frames, (name) => this.#optimized.get(name) ?? this.#quick.get(name));
  }

  /** Bytes that were read do not change but for values. */
  #framesOf(bytes: Uint8Array): Frame[] {
    if (this.#last?.bytes !== bytes) {
      this.#last = { bytes, frames: readFrames(bytes, this.#instance.program.continuations) };
    }
    return this.#last.frames;
  }

  #enter(bytes: Uint8Array, frames: readonly Frame[], slotOf: (name: number) => number | undefined): unknown {
    const records = new Uint8Array(bytes);
    const view = new DataView(records.buffer);
    for (const frame of frames) view.setUint32(frame.nameOffset, slotOf(frame.name) as number, true);
    this.#last = undefined;
    this.#instance.placeRecords(records);
    return (this.#table.get(this.#instance.nextRecord()) as Fn)();
  }

  /** Of the functions that continuations for these frames would be made from, each as often as it is needed. */
  #bodyByteLength(frames: readonly Frame[]): number {
    const { module } = this.#instance.program;
    const functions = new Map(frames.map(({ place, name }) => [name, place.functionIndex]));
    return [...functions.values()].reduce((sum, index) => sum + bodyByteLength(module, index), 0);
  }

  /** `compile` instead of the quick compilation; it may refuse. */
  #provide(frames: readonly Frame[], slots: Slots, compile?: Compile): void {
    const names = new Set(frames.map(({ name }) => name));
    const missing = [...names].filter((name) => !slots.has(name)).sort((a, b) => a - b);
    if (missing.length === 0) return;
    const compiled = this.#compiled(missing, compile);
    if (compiled !== undefined) this.#add(missing, compiled, slots);
  }

  #add(places: readonly number[], { module, importedFunctions }: CompiledContinuations, slots: Slots): void {
    const { exports, stack } = this.#instance;
    const functions: Record<string, WebAssembly.ImportValue> = {};
    for (const index of importedFunctions) functions[`${index}`] = this.#instance.functionAt(index) as Fn;
    const continuations = new WebAssembly.Instance(module, {
      [CONTINUATION_IMPORTS.main]: exports as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.stack]: stack as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.function]: functions,
      [CONTINUATION_IMPORTS.table]: { continuations: this.#table },
    });
    const first = this.#table.grow(places.length);
    places.forEach((name, i) => {
      this.#table.set(first + i, continuations.exports[continuationExport(i)]);
      slots.set(name, first + i);
    });
  }

  #compiled(places: readonly number[], compile: Compile | undefined): CompiledContinuations | undefined {
    const { program } = this.#instance;
    if (compile === undefined) return program.continuationModules.compiled(places);
    const { bytes, importedFunctions } = program.continuations.build(places, program.mode);
    const module = compile(bytes);
    return module && { module, importedFunctions };
  }
}
