/**
 * The continuations of a machine, built when a stack needs them, and kept for the next.
 *
 * A frame's record names the place where it was left. Before a stack is entered, each name is replaced by the slot of
 * its continuation in a table; a continuation takes the slot of the next inner frame from the frame stack and calls it.
 */
import { CONTINUATION_IMPORTS, continuationExport } from "../instrument/continuation.js";
import type { Fn, MachineInstance } from "./machine-instance.js";
import { type Frame, readFrames } from "./stacks.js";

export class ContinuationRegistry {
  readonly #instance: MachineInstance;
  readonly #table = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
  /** By place. */
  readonly #slots = new Map<number, number>();

  constructor(instance: MachineInstance) {
    this.#instance = instance;
  }

  /**
   * The frames of a stack, outermost first, with a continuation for each place.
   *
   * @throws VermilionError IMAGE_DAMAGED when they do not fit the program.
   */
  enterable(bytes: Uint8Array): Frame[] {
    const frames = readFrames(bytes, this.#instance.program.continuations);
    this.#provide(frames.map((frame) => frame.name));
    return frames;
  }

  /** Calls the outermost continuation, which calls the next, and so on. */
  enter(bytes: Uint8Array): unknown {
    const frames = this.enterable(bytes);
    const records = new Uint8Array(bytes);
    const view = new DataView(records.buffer);
    for (const frame of frames) view.setUint32(frame.nameOffset, this.#slots.get(frame.name) as number, true);
    this.#instance.placeRecords(records);
    return (this.#table.get(this.#instance.nextRecord()) as Fn)();
  }

  #provide(names: readonly number[]): void {
    const missing = [...new Set(names)].filter((name) => !this.#slots.has(name)).sort((a, b) => a - b);
    if (missing.length === 0) return;
    const { program, exports, stack } = this.#instance;
    const { bytes, importedFunctions } = program.continuations.build(missing, program.mode);
    const functions: Record<string, WebAssembly.ImportValue> = {};
    for (const index of importedFunctions) functions[`${index}`] = this.#instance.functionAt(index) as Fn;
    const continuations = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), {
      [CONTINUATION_IMPORTS.main]: exports as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.stack]: stack as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.function]: functions,
      [CONTINUATION_IMPORTS.table]: { continuations: this.#table },
    });
    const first = this.#table.grow(missing.length);
    missing.forEach((name, i) => {
      this.#table.set(first + i, continuations.exports[continuationExport(i)]);
      this.#slots.set(name, first + i);
    });
  }
}
