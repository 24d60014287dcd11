/**
 * The two wasm instances of a machine, as the host sees them: the guest, and the frame stack beside it
 * (instrument/frame-stack.ts), which the guest's handlers reach through the dispatch table.
 *
 * Two exceptions cross guest frames. The unwinding fills the frame stack on its way; the exit tag carries an error of
 * the host past every handler of the guest (M3 in machine.ts).
 */
import { invariant, VermilionError } from "../../pmem/error.js";
import { buildFrameStack, dispatchedFunctions } from "../instrument/frame-stack.js";
import { accessorName, REFUSALS } from "../instrument/helpers.js";
import { EXPORT, type HOST_CALLED_HELPERS } from "../instrument/instrument.js";
import { ValueType } from "../wasm/value-types.js";
import type { Program } from "./program.js";

export type Fn = (...args: unknown[]) => unknown;
type Exports = Readonly<Record<string, unknown>>;

/** What guest code asks the host, besides its own imports. */
export interface InstanceHost {
  /** The guest is at a safepoint; begins the unwinding if it is to save its frames now. */
  poll(): void;
  /** Whether a memory may grow. */
  grow(memory: number, pages: number): boolean;
  /** A segment has been dropped. */
  dropped(sub: number, segment: number): void;
  /** The guest has stored into its first memory; asked of tracking programs only. */
  stored(address: number, byteLength: number): void;
}

let frameStackModule: WebAssembly.Module | undefined;

/** Compiled by another thread. */
export function useFrameStack(module: WebAssembly.Module): void {
  frameStackModule ??= module;
}

export class MachineInstance {
  readonly program: Program;
  /** The guest's exports and ours. */
  readonly exports: Exports;
  readonly stack: Exports;
  readonly #top: WebAssembly.Global<"i32">;
  readonly #record: WebAssembly.Global<"i32">;
  readonly #unwinding: WebAssembly.Global<"i32">;
  readonly #unwind: WebAssembly.Exception;
  readonly #exit: WebAssembly.Exception;
  #functionIndices: Map<unknown, number> | undefined;
  #functionsFilled = false;
  /** The error that crosses guest frames as the exit tag. */
  #leaving: unknown;

  /** @throws VermilionError MODULE_INVALID when the engine cannot instantiate the module. */
  constructor(program: Program, imports: WebAssembly.Imports, host: InstanceHost) {
    this.program = program;
    frameStackModule ??= new WebAssembly.Module(buildFrameStack());
    const hostFunctions: Record<string, Fn> = {
      poll: () => host.poll(),
      grow: (memory, pages) => (host.grow(memory as number, pages as number) ? 1 : 0),
      dropped: (sub, segment) => host.dropped(sub as number, segment as number),
      stored: (address, offset, byteLength) =>
        host.stored(((address as number) >>> 0) + ((offset as number) >>> 0), (byteLength as number) >>> 0),
      refuse: (reason) => this.refuse(REFUSALS[reason as number]),
      functionIndex: (fn) => this.functionIndex(fn),
      functionAt: (index) => this.functionAt(index as number),
    };
    this.stack = instantiate(frameStackModule, { host: hostFunctions as WebAssembly.ModuleImports });
    this.#top = this.stack["top"] as WebAssembly.Global<"i32">;
    this.#record = this.stack["record"] as WebAssembly.Global<"i32">;
    this.exports = instantiate(program.compiled, imports);
    this.#unwinding = this.exports[EXPORT.unwinding] as WebAssembly.Global<"i32">;
    this.#unwind = new WebAssembly.Exception(this.exports[EXPORT.unwind] as WebAssembly.Tag, []);
    this.#exit = new WebAssembly.Exception(this.exports[EXPORT.exit] as WebAssembly.Tag, []);
    const dispatch = this.exports[EXPORT.dispatch] as WebAssembly.Table;
    dispatchedFunctions(program.tracking).forEach((fn, slot) => {
      dispatch.set(slot, this.stack[fn.name]);
    });
  }

  memory(index: number): WebAssembly.Memory {
    return this.exports[EXPORT.memory(index)] as WebAssembly.Memory;
  }

  table(index: number): WebAssembly.Table {
    return this.exports[EXPORT.table(index)] as WebAssembly.Table;
  }

  get fuel(): WebAssembly.Global<"i32"> {
    return this.exports[EXPORT.fuel] as WebAssembly.Global<"i32">;
  }

  callHelper(name: (typeof HOST_CALLED_HELPERS)[number]): void {
    (this.exports[EXPORT.helper(name)] as Fn)();
  }

  // Exceptions across guest frames.

  /** Leaves a host call, and saves all frames: a record of the call, then those of the guest's activations. */
  suspend(place: number, types: readonly ValueType[], values: readonly unknown[]): never {
    this.beginUnwinding();
    this.#pushValues(types, values);
    (this.stack["frame0"] as Fn)(place | 0);
    throw this.#unwind;
  }

  /** Ends the run with an error, past every guest handler (M3). */
  leave(error: unknown): never {
    this.#unwinding.value = 0;
    this.#leaving = error;
    throw this.#exit;
  }

  /** Ends the run because of a value that no image can hold. */
  refuse(what: (typeof REFUSALS)[number] | undefined): never {
    this.leave(
      new VermilionError(
        "CANNOT_SAVE",
        `the program holds a live ${what ?? "value"} that is not null, which no image can hold; it was stopped`,
      ),
    );
  }

  isUnwinding(error: unknown): boolean {
    return error instanceof WebAssembly.Exception && error.is(this.exports[EXPORT.unwind] as WebAssembly.Tag);
  }

  isLeaving(error: unknown): boolean {
    return error instanceof WebAssembly.Exception && error.is(this.exports[EXPORT.exit] as WebAssembly.Tag);
  }

  get leaving(): unknown {
    return this.#leaving;
  }

  // The frame stack.

  emptyFrameStack(): void {
    this.#top.value = 0;
    this.#record.value = 0;
  }

  /** From here on, handlers that are passed save their frames. */
  beginUnwinding(): void {
    this.emptyFrameStack();
    this.#unwinding.value = 1;
  }

  /** The unwinding has left the outermost activation. */
  endUnwinding(): void {
    this.#unwinding.value = 0;
  }

  /** End of what has been saved, in bytes. */
  get savedByteLength(): number {
    return this.#top.value;
  }

  saved(from: number): Uint8Array {
    return this.#stackMemory().slice(from, this.#top.value);
  }

  #pushValues(types: readonly ValueType[], values: readonly unknown[]): void {
    types.forEach((type, i) => {
      if (type === ValueType.externref && values[i] !== null) this.refuse("externref");
      const name = type === ValueType.funcref || type === ValueType.externref ? "putI32" : accessorName("put", type);
      const value = type === ValueType.funcref ? this.functionIndex(values[i]) : values[i];
      (this.stack[name] as Fn)(type === ValueType.externref ? -1 : value);
    });
  }

  /** What has been saved behind `from` is not part of the frames. */
  forgetSaved(from: number): void {
    this.#top.value = from;
  }

  /** Puts records into the frame stack, ready to be entered from their end. */
  placeRecords(records: Uint8Array): void {
    const memory = this.stack["memory"] as WebAssembly.Memory;
    const missing = records.length - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    this.#stackMemory().set(records);
    this.#record.value = records.length;
  }

  /** Steps to the next record; returns its place or slot. */
  nextRecord(): number {
    return (this.stack["next"] as Fn)() as number;
  }

  #stackMemory(): Uint8Array {
    return new Uint8Array((this.stack["memory"] as WebAssembly.Memory).buffer);
  }

  // Functions by index: a reference travels as the index of its function, all ones for null.

  /** @throws VermilionError IMAGE_DAMAGED for an index that no function has. */
  functionAt(index: number): Fn | null {
    if (index >>> 0 === 0xffffffff) return null;
    const table = this.#functions();
    if (index >>> 0 >= table.length) stateDamaged(`no function ${index >>> 0}`);
    return table.get(index >>> 0) as Fn;
  }

  functionIndex(fn: unknown): number {
    if (fn === null) return -1;
    if (this.#functionIndices === undefined) {
      const table = this.#functions();
      this.#functionIndices = new Map();
      for (let i = table.length - 1; i >= 0; i--) this.#functionIndices.set(table.get(i), i);
    }
    const index = this.#functionIndices.get(fn);
    invariant(index !== undefined, "a function reference is one of the module's functions");
    return index;
  }

  #functions(): WebAssembly.Table {
    if (!this.#functionsFilled) {
      this.callHelper("fillFunctionTable");
      this.#functionsFilled = true;
    }
    return this.exports[EXPORT.functions] as WebAssembly.Table;
  }
}

function instantiate(compiled: WebAssembly.Module, imports: WebAssembly.Imports): Exports {
  try {
    return new WebAssembly.Instance(compiled, imports).exports;
  } catch (cause) {
    if (cause instanceof RangeError) {
      const reason = "the system has no memory or address space left for the program's memory";
      throw new VermilionError("OUT_OF_MEMORY", `${reason}; raise the limit (ulimit -v)`, { cause });
    }
    throw new VermilionError("MODULE_INVALID", `cannot instantiate: ${(cause as Error).message}`, { cause });
  }
}

export function stateDamaged(reason: string): never {
  throw new VermilionError("IMAGE_DAMAGED", `the saved state does not fit the program: ${reason}; nothing was resumed`);
}
