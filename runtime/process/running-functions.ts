/** Which of a program's functions are running in code that better code could replace, by the engine's own stack trace. */
import { builtModule } from "../instrument/continuation-names.js";
import type { ContinuationRegistry } from "./continuation-registry.js";
import type { Program } from "./program.js";
import { wasmStack } from "./wasm-stack.js";

export class RunningFunctions {
  readonly #program: Program;
  readonly #continuations: ContinuationRegistry;
  /** The program's helper that polls: the frame of it tells which module is the program's. */
  readonly #pollHelper: number;
  #module: string | undefined;

  constructor(program: Program, continuations: ContinuationRegistry) {
    this.#program = program;
    this.#continuations = continuations;
    this.#pollHelper = program.helperIndex("poll");
  }

  /**
   * To be called in a poll. Indices of the functions of the main instance, and of those that go on in loops of continuations that
   * were compiled quickly, once for each place where one of the innermost activations stands.
   */
  list(): number[] {
    const seen = new Set<string>();
    const functions: number[] = [];
    for (const { module, functionIndex, offset } of wasmStack()) {
      if (functionIndex === this.#pollHelper) this.#module ??= module;
      const running = module === this.#module ? functionIndex : this.#continuedQuickly(module, offset);
      const key = `${module}:${functionIndex}:${offset}`;
      if (running === undefined || running === this.#pollHelper || seen.has(key)) continue;
      seen.add(key);
      functions.push(running);
    }
    return functions;
  }

  #continuedQuickly(module: string, offset: number): number | undefined {
    const built = builtModule(module);
    if (built === undefined || this.#continuations.isOptimized(built)) return undefined;
    const { continuations } = this.#program;
    const name = continuations.siteIn(built, offset);
    const place = name === undefined ? undefined : continuations.place(name);
    return place === undefined || place.loops.length === 0 ? undefined : place.functionIndex;
  }
}
