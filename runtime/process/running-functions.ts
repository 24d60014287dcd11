/** Which of a program's functions are running, by the engine's own stack trace. */
import { wasmStack } from "./wasm-stack.js";

export class RunningFunctions {
  /** The program's helper that polls: the frame of it tells which module is the program's. */
  readonly #pollHelper: number;
  #module: string | undefined;

  constructor(pollHelper: number) {
    this.#pollHelper = pollHelper;
  }

  /**
   * To be called in a poll. Indices of the functions of the main instance, once for each place where one of the innermost
   * activations stands; those that run in continuations are not among them.
   */
  list(): number[] {
    const seen = new Set<string>();
    const functions: number[] = [];
    for (const { module, functionIndex, offset } of wasmStack()) {
      if (functionIndex === this.#pollHelper) this.#module ??= module;
      else if (module === this.#module && !seen.has(`${functionIndex}:${offset}`)) {
        seen.add(`${functionIndex}:${offset}`);
        functions.push(functionIndex);
      }
    }
    return functions;
  }
}
