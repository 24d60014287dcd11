/** Which of a program's functions are running in code that better code could replace, by the engine's own stack trace. */
import type { ContinuationRegistry } from "./continuation-registry.js";
import type { Program } from "./program.js";
import { type EngineFrame, wasmStack } from "./wasm-stack.js";

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
    for (const frame of wasmStack()) {
      const { module, functionIndex, offset } = frame;
      if (functionIndex === this.#pollHelper) this.#module ??= module;
      const running = module === this.#module ? functionIndex : this.#continuedQuickly(frame);
      const key = `${module}:${functionIndex}:${offset}`;
      if (running === undefined || running === this.#pollHelper || seen.has(key)) continue;
      seen.add(key);
      functions.push(running);
    }
    return functions;
  }

  #continuedQuickly(frame: EngineFrame): number | undefined {
    const continued = this.#continuations.continuedAt(frame);
    if (continued?.name === undefined || !continued.isQuick) return undefined;
    const place = this.#program.continuations.place(continued.name);
    return place === undefined || place.loops.length === 0 ? undefined : place.functionIndex;
  }
}
