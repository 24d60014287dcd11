/**
 * Which of a program's functions are running, by the engine's own stack trace: cheaper than to unwind and look.
 *
 * V8 writes a wasm frame as `wasm://wasm/<module>:wasm-function[<index>]:0x<offset>`. An engine that writes it otherwise
 * shows no functions.
 */
const WASM_FRAME = /(wasm:\/\/wasm\/[^:\s]*):wasm-function\[(\d+)\]:(0x[0-9a-f]+)/g;
const MOST_FRAMES = 100;

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
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = MOST_FRAMES;
    const { stack } = new Error();
    Error.stackTraceLimit = limit;
    const seen = new Set<string>();
    const functions: number[] = [];
    for (const [, module, index, offset] of `${stack}`.matchAll(WASM_FRAME)) {
      if (Number(index) === this.#pollHelper) this.#module ??= module;
      else if (module === this.#module && !seen.has(`${index}:${offset}`)) {
        seen.add(`${index}:${offset}`);
        functions.push(Number(index));
      }
    }
    return functions;
  }
}
