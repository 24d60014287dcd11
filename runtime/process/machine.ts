/**
 * The machine: one instance of a program, run until it ends, traps, or is stopped at a safepoint with its frames saved.
 *
 * running -> unwinding -> quiescent. While it unwinds, handlers fill the frame stack; once the exception has left the
 * outermost activation, the state can be taken. A machine is not used again after that: a resume builds a new one.
 *
 * M1  No guest code runs before memory, globals, tables and dropped segments are as saved.
 * M2  The frame stack is empty whenever guest code runs (its records are consumed on the way in).
 * M3  Exceptions of the host never meet a guest's handlers: they cross guest frames as the exit tag.
 */
import { invariant, VermilionError } from "../../pmem/error.js";
import {
  BLOCKED_HOST_CALL,
  CONTINUATION_IMPORTS,
  continuationExport,
  HOST_CALL,
  HOST_RETURN,
} from "../instrument/continuation.js";
import { buildFrameStack, FRAME_STACK_FUNCTIONS } from "../instrument/frame-stack.js";
import { accessorName, REFUSALS } from "../instrument/helpers.js";
import { EXPORT } from "../instrument/instrument.js";
import { ExternalKind, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import type { MachineState } from "./image/state-file.js";
import { findPowerCallback } from "./power-callback.js";
import type { Program } from "./program.js";
import {
  decodeStacks,
  type EntryCall,
  encodeStacks,
  type Frame,
  RECORD_TRAILER,
  readFrames,
  type Task,
} from "./stacks.js";

export type HostFunction = (...args: (number | bigint)[]) => number | bigint | undefined;

/** Returned by a host function that was interrupted before it did anything: the same call is made again on resume. */
export const RESTART = -1;

/** What a machine needs from the process around it. */
export interface MachineHost {
  readonly functions: Readonly<Record<string, Readonly<Record<string, HostFunction>>>>;
  /** Maps the region of a memory, after making the memory as long as the region. Before any guest code. */
  attachMemory(index: number, memory: WebAssembly.Memory): void;
  /** Makes room in the region; false: the guest's memory.grow returns -1. */
  growMemory(index: number, byteLength: number): boolean;
  /** Whether a power failure is pending. Cheap: asked at every host call and some ten thousand times a second. */
  failurePending(): boolean;
  /** The exit status that an error thrown by a host function stands for, or undefined when it stands for none. */
  exitStatus(error: unknown): number | undefined;
}

/** A failure to cause, for tests. Safepoints are counted from the start of this run, host calls included. */
export interface Injection {
  readonly atSafepoint?: number;
  readonly atCall?: { readonly name: string; readonly ordinal: number; readonly when: "before" | "after" };
}

export type Outcome =
  | { readonly kind: "returned"; readonly results: readonly (number | bigint)[] }
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "suspended"; readonly state: MachineState; readonly frames: number }
  | { readonly kind: "trapped"; readonly error: Error };

export interface ResumeOptions {
  /** Tell the program, if it asked to be told, before it goes on. */
  readonly callback: boolean;
  /** A host call that was waiting returns this errno instead of going on. */
  readonly interruptedErrno?: number;
  readonly injection?: Injection;
}

type Exports = Record<string, unknown>;
type Fn = (...args: unknown[]) => unknown;

/**
 * Fuel between two polls follows what it bought last time, so that polls come about every hundred microseconds: often
 * enough for a save to begin at once, seldom enough to cost nothing. The limit bounds the wait when a program that was
 * in small loops begins to do heavy work in each turn.
 */
const POLL_INTERVAL_MS = 0.1;
const LEAST_FUEL = 64;
const MOST_FUEL = 8192;
/** What the engine says when a call finds no stack left. */
const STACK_EXHAUSTED = "Maximum call stack size exceeded";

let frameStackModule: WebAssembly.Module | undefined;

export class Machine {
  readonly #program: Program;
  readonly #host: MachineHost;
  readonly #exports: Exports;
  readonly #stack: Exports;
  readonly #fuel: WebAssembly.Global<"i32">;
  readonly #top: WebAssembly.Global<"i32">;
  readonly #record: WebAssembly.Global<"i32">;
  readonly #unwind: WebAssembly.Exception;
  readonly #exit: WebAssembly.Exception;
  readonly #continuations = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
  readonly #slots = new Map<number, number>();
  readonly #dropped = new Map<string, readonly [sub: number, segment: number]>();
  #functionIndices: Map<unknown, number> | undefined;
  #functionsFilled = false;
  #entry: EntryCall = { exportName: "", args: [] };
  #restored: readonly Task[] = [];
  /** The error that crosses guest frames as the exit tag. */
  #leaving: unknown;
  #injection: Injection = {};
  #callsLeft = 0;
  /** Fuel used up before it was last set, and what it was set to then. */
  #consumed = 0;
  #fuelSet = 0;
  /** Fuel for one interval, and when the last one began (milliseconds). */
  #ration = LEAST_FUEL;
  #fuelledAt = 0;
  /** Safepoint at which to fail. */
  #failAt = Number.POSITIVE_INFINITY;
  /** 1 when a resume crosses the loop header again at which it was stopped; that does not count. */
  #recrossed = 0;

  /**
   * @throws VermilionError UNKNOWN_IMPORT for an import that the host does not have, MODULE_INVALID when the engine
   * cannot instantiate the module.
   */
  constructor(program: Program, host: MachineHost) {
    this.#program = program;
    this.#host = host;
    frameStackModule ??= new WebAssembly.Module(buildFrameStack());
    const hostFunctions: Record<string, Fn> = {
      poll: () => this.#poll(),
      grow: (memory, pages) => this.#grow(memory as number, pages as number),
      dropped: (sub, segment) => {
        this.#dropped.set(`${sub}:${segment}:0`, [sub as number, segment as number]);
      },
      refuse: (reason) => this.#refuse(reason as number),
      functionIndex: (fn) => this.#functionIndex(fn),
      functionAt: (index) => this.#functionAt(index as number),
    };
    this.#stack = new WebAssembly.Instance(frameStackModule, {
      host: hostFunctions as WebAssembly.ModuleImports,
    }).exports;
    this.#top = this.#stack["top"] as WebAssembly.Global<"i32">;
    this.#record = this.#stack["record"] as WebAssembly.Global<"i32">;
    this.#exports = this.#instantiate();
    this.#fuel = this.#exports[EXPORT.fuel] as WebAssembly.Global<"i32">;
    this.#unwind = new WebAssembly.Exception(this.#exports[EXPORT.unwind] as WebAssembly.Tag, []);
    this.#exit = new WebAssembly.Exception(this.#exports[EXPORT.exit] as WebAssembly.Tag, []);
    const dispatch = this.#exports[EXPORT.dispatch] as WebAssembly.Table;
    FRAME_STACK_FUNCTIONS.forEach((fn, slot) => {
      dispatch.set(slot, this.#stack[fn.name]);
    });
    program.module.memories.forEach((_, index) => {
      host.attachMemory(index, this.memory(index));
    });
  }

  /** A guest's memory. */
  memory(index: number): WebAssembly.Memory {
    return this.#exports[EXPORT.memory(index)] as WebAssembly.Memory;
  }

  /** Safepoints crossed since this run began; exact programs only. */
  get safepointsCrossed(): number {
    return this.#consumed + this.#fuelSet - this.#fuel.value - this.#recrossed;
  }

  /** Runs the program from its beginning: data, the start function, then an export. */
  start(exportName: string, args: readonly (number | bigint)[] = [], injection: Injection = {}): Outcome {
    if (typeof this.#exports[exportName] !== "function") {
      throw new VermilionError("NO_SUCH_EXPORT", `the module exports no function named "${exportName}"`);
    }
    this.#entry = { exportName, args };
    const tasks: Task[] = [{ kind: "entry", frames: undefined }];
    if (this.#program.module.start !== undefined) tasks.push({ kind: "start", frames: undefined });
    this.#arm(injection, 0);
    return this.#run(tasks, () => (this.#exports[EXPORT.helper("initialiseData")] as Fn)());
  }

  /**
   * Takes a saved state over, short of running: afterwards nothing about it can be wrong any more.
   *
   * @throws VermilionError IMAGE_DAMAGED when the state does not fit the program.
   */
  restore(state: MachineState): void {
    const { entry, tasks } = decodeStacks(state.stacks);
    this.#entry = entry;
    this.#restored = tasks;
    (this.#exports[EXPORT.helper("dropActiveData")] as Fn)();
    this.#dropSegments(state.segments);
    this.#loadTables(state.tables);
    this.#loadGlobals(state.globals);
    for (const { frames } of tasks) if (frames !== undefined) this.#enterable(frames);
  }

  /** Goes on with the state that was taken over. */
  resume(options: ResumeOptions): Outcome {
    const { interruptedErrno } = options;
    const pending = this.#restored.map((task) =>
      interruptedErrno === undefined ? task : this.#interruptWaiting(task, interruptedErrno),
    );
    if (options.callback && findPowerCallback(this.#program, this.#exports) !== undefined) {
      // As a signal would: a handler that is running is finished first, then told again.
      const running = pending[pending.length - 1]?.kind === "callback";
      pending.splice(running ? pending.length - 1 : pending.length, 0, { kind: "callback", frames: undefined });
    }
    const top = pending[pending.length - 1]?.frames;
    const innermost = top === undefined ? undefined : readFrames(top, this.#program.continuations).at(-1);
    this.#arm(options.injection ?? {}, innermost?.place.recrossed === true ? 1 : 0);
    return this.#run(pending, () => undefined);
  }

  #instantiate(): Exports {
    const { module, compiled } = this.#program;
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
    let functionIndex = 0;
    let memoryIndex = 0;
    for (const { module: from, name, kind } of module.imports) {
      imports[from] ??= {};
      const namespace = imports[from];
      if (kind === ExternalKind.function) {
        const fn = this.#host.functions[from]?.[name];
        if (fn === undefined) {
          throw new VermilionError(
            "UNKNOWN_IMPORT",
            `the module needs the function "${from}"."${name}", which nobody gives`,
          );
        }
        namespace[name] = this.#wrap(functionIndex++, name, fn);
      } else if (kind === ExternalKind.memory) {
        const limits = module.memories[memoryIndex++];
        namespace[name] = new WebAssembly.Memory({
          initial: limits?.minimum ?? 0,
          maximum: limits?.maximum ?? 65536,
          shared: limits?.shared ?? false,
        });
      } else {
        throw new VermilionError("UNKNOWN_IMPORT", `the module needs "${from}"."${name}", which is not a function`);
      }
    }
    try {
      return new WebAssembly.Instance(compiled, imports as WebAssembly.Imports).exports;
    } catch (cause) {
      throw new VermilionError("MODULE_INVALID", `cannot instantiate: ${(cause as Error).message}`, { cause });
    }
  }

  // Host calls.

  #wrap(index: number, name: string, fn: HostFunction): HostFunction {
    const exact = this.#program.mode === "exact";
    return (...args) => {
      if (exact) this.#burnFuel(index, args);
      else if (this.#host.failurePending()) this.#suspendBefore(HOST_CALL, index, args);
      const injected = this.#injection.atCall !== undefined && this.#countCall(name);
      if (injected && this.#injection.atCall?.when === "before") this.#suspendBefore(HOST_CALL, index, args);
      let result: number | bigint | undefined;
      try {
        result = fn(...args);
      } catch (error) {
        this.#leaving = error;
        throw this.#exit;
      }
      if (result === RESTART) this.#suspendBefore(BLOCKED_HOST_CALL, index, args);
      if (injected) this.#suspendAfter(index, result);
      return result;
    };
  }

  #burnFuel(index: number, args: readonly (number | bigint)[]): void {
    const left = this.#fuel.value - 1;
    this.#fuel.value = left;
    if ((left <= 0 && this.#fuelIsGone()) || this.#host.failurePending()) this.#suspendBefore(HOST_CALL, index, args);
  }

  #countCall(name: string): boolean {
    if (this.#injection.atCall?.name !== name) return false;
    this.#callsLeft--;
    return this.#callsLeft === 0;
  }

  #suspendBefore(place: number, index: number, args: readonly (number | bigint)[]): never {
    this.#beginUnwinding();
    this.#pushValues(typeOfFunction(this.#program.module, index).params, args);
    this.#pushRecord(place | index);
    throw this.#unwind;
  }

  #suspendAfter(index: number, result: number | bigint | undefined): never {
    this.#beginUnwinding();
    const { results } = typeOfFunction(this.#program.module, index);
    this.#pushValues(results, results.length === 0 || result === undefined ? [] : [result]);
    this.#pushRecord(HOST_RETURN | index);
    throw this.#unwind;
  }

  #pushValues(types: readonly ValueType[], values: readonly unknown[]): void {
    types.forEach((type, i) => {
      if (type === ValueType.externref && values[i] !== null) this.#refuse(REFUSALS.indexOf("externref"));
      const name = type === ValueType.funcref || type === ValueType.externref ? "putI32" : accessorName("put", type);
      const value = type === ValueType.funcref ? this.#functionIndex(values[i]) : values[i];
      (this.#stack[name] as Fn)(type === ValueType.externref ? -1 : value);
    });
  }

  #pushRecord(name: number): void {
    (this.#stack["frame0"] as Fn)(name | 0);
  }

  #beginUnwinding(): void {
    this.#top.value = 0;
    this.#record.value = 0;
  }

  /** A value that no image can hold: the run ends with an error that names it, past every guest handler (M3). */
  #refuse(reason: number): never {
    this.#leaving = new VermilionError(
      "CANNOT_SAVE",
      `the program holds a live ${REFUSALS[reason] ?? "value"} that is not null, which no image can hold; it was stopped`,
    );
    throw this.#exit;
  }

  // Safepoints.

  #arm(injection: Injection, recrossed: number): void {
    this.#injection = injection;
    this.#callsLeft = injection.atCall?.ordinal ?? 0;
    this.#recrossed = recrossed;
    this.#failAt = (injection.atSafepoint ?? Number.POSITIVE_INFINITY) + recrossed;
    this.#consumed = 0;
    this.#fuelledAt = performance.now();
    this.#setFuel();
  }

  #setFuel(): void {
    this.#fuelSet = Math.min(this.#ration, this.#failAt - this.#consumed);
    this.#fuel.value = this.#fuelSet;
  }

  /** The fuel is gone: says whether the wanted safepoint is reached, else fills it again. */
  #fuelIsGone(): boolean {
    this.#consumed += this.#fuelSet;
    if (this.#consumed >= this.#failAt) return true;
    const now = performance.now();
    const fitting = (this.#ration * POLL_INTERVAL_MS) / Math.max(now - this.#fuelledAt, POLL_INTERVAL_MS / MOST_FUEL);
    this.#ration = Math.floor(Math.min(MOST_FUEL, this.#ration * 2, Math.max(LEAST_FUEL, fitting)));
    this.#fuelledAt = now;
    this.#setFuel();
    return false;
  }

  #poll(): number {
    if (!this.#fuelIsGone() && !this.#host.failurePending()) return 0;
    this.#beginUnwinding();
    return 1;
  }

  #grow(memory: number, pages: number): number {
    const bytes = this.memory(memory).buffer.byteLength + (pages >>> 0) * 65536;
    const maximum = this.#program.module.memories[memory]?.maximum ?? 65536;
    if (pages === 0) return 1;
    if (bytes > maximum * 65536) return 0;
    return this.#host.growMemory(memory, bytes) ? 1 : 0;
  }

  // Running.

  #run(pending: readonly Task[], prepare: () => unknown): Outcome {
    const tasks = [...pending];
    let results: unknown;
    let current: Task | undefined;
    try {
      prepare();
      for (;;) {
        current = tasks.pop();
        if (current === undefined) break;
        results = this.#runTask(current);
      }
    } catch (error) {
      return this.#stopped(error, tasks, current);
    }
    const list = results === undefined ? [] : Array.isArray(results) ? results : [results];
    return { kind: "returned", results: list as (number | bigint)[] };
  }

  #runTask({ kind, frames }: Task): unknown {
    if (frames !== undefined) return this.#reenter(frames);
    if (kind === "entry") return (this.#exports[this.#entry.exportName] as Fn)(...this.#entry.args);
    if (kind === "start") return this.#functionAt(this.#program.module.start as number)?.();
    findPowerCallback(this.#program, this.#exports, (index) => this.#functionAt(index))?.();
    return undefined;
  }

  /** What an exception that left the outermost activation means. */
  #stopped(error: unknown, tasks: readonly Task[], current: Task | undefined): Outcome {
    if (this.#is(error, EXPORT.unwind) && current !== undefined) {
      const frames = this.#stackBytes(0, this.#top.value);
      return this.#take([...tasks, { kind: current.kind, frames }]);
    }
    if (this.#is(error, EXPORT.exit)) {
      const status = this.#host.exitStatus(this.#leaving);
      if (status === undefined) throw this.#leaving;
      return { kind: "exited", status };
    }
    if (error instanceof WebAssembly.Exception) {
      return { kind: "trapped", error: new Error("an exception that the program throws is caught by nobody") };
    }
    if (error instanceof WebAssembly.RuntimeError) return { kind: "trapped", error };
    if (error instanceof RangeError && error.message === STACK_EXHAUSTED) {
      return { kind: "trapped", error: new Error("call stack exhausted") };
    }
    throw error;
  }

  #is(error: unknown, tag: string): boolean {
    return error instanceof WebAssembly.Exception && error.is(this.#exports[tag] as WebAssembly.Tag);
  }

  // Saving.

  #stackMemory(): Uint8Array {
    return new Uint8Array((this.#stack["memory"] as WebAssembly.Memory).buffer);
  }

  #stackBytes(from: number, to: number): Uint8Array {
    return this.#stackMemory().slice(from, to);
  }

  #take(tasks: readonly Task[]): Outcome {
    const from = this.#top.value;
    let state: MachineState;
    try {
      (this.#exports[EXPORT.helper("saveGlobals")] as Fn)();
      const globals = this.#stackBytes(from, this.#top.value);
      const segments = Uint32Array.from([...this.#dropped.values()].flat());
      state = {
        globals,
        tables: this.#saveTables(),
        segments: new Uint8Array(segments.buffer),
        stacks: encodeStacks({ entry: this.#entry, tasks }),
      };
    } catch (error) {
      throw this.#is(error, EXPORT.exit) ? this.#leaving : error;
    }
    const frames = tasks.reduce((sum, task) => sum + countRecords(task.frames), 0);
    return { kind: "suspended", state, frames };
  }

  /** Tables as u32: for each its length, then an index per entry (all ones: null). Empty when code changes none. */
  #saveTables(): Uint8Array {
    const { module, graph } = this.#program;
    if (!graph.features.changesTables) return new Uint8Array(0);
    const words: number[] = [];
    module.tables.forEach(({ element }, index) => {
      const table = this.#exports[EXPORT.table(index)] as WebAssembly.Table;
      words.push(table.length);
      for (let i = 0; i < table.length; i++) {
        const entry: unknown = table.get(i);
        if (element !== ValueType.funcref && entry !== null) this.#refuse(REFUSALS.indexOf("externref"));
        words.push(element === ValueType.funcref ? this.#functionIndex(entry) : -1);
      }
    });
    return new Uint8Array(Uint32Array.from(words).buffer);
  }

  // Restoring.

  #loadTables(bytes: Uint8Array): void {
    const { module, graph } = this.#program;
    if (!graph.features.changesTables) return;
    const words = toWords(bytes);
    let at = 0;
    module.tables.forEach((_, index) => {
      const table = this.#exports[EXPORT.table(index)] as WebAssembly.Table;
      const length = words[at++] ?? 0;
      if (at + length > words.length) damaged("the tables are cut off");
      try {
        if (length > table.length) table.grow(length - table.length);
      } catch (cause) {
        damaged(`table ${index} cannot have ${length} entries (${(cause as Error).message})`);
      }
      for (let i = 0; i < length; i++) table.set(i, this.#functionAt(words[at++] as number));
    });
  }

  #loadGlobals(bytes: Uint8Array): void {
    const { globals } = this.#program.module;
    const expected = globals.reduce((sum, { type, mutable }) => sum + (mutable ? byteLengthOf(type) : 0), 0);
    if (bytes.length !== expected) damaged(`globals take ${expected} bytes, the image has ${bytes.length}`);
    const record = new Uint8Array(bytes.length + 8);
    record.set(bytes);
    new DataView(record.buffer).setUint32(bytes.length, bytes.length, true);
    this.#placeRecords(record);
    (this.#stack["next"] as Fn)();
    (this.#exports[EXPORT.helper("loadGlobals")] as Fn)();
  }

  #dropSegments(bytes: Uint8Array): void {
    const words = toWords(bytes);
    for (let i = 0; i + 1 < words.length; i += 2) {
      const key = `${words[i]}:${words[i + 1]}:0`;
      if (!this.#program.graph.features.segmentOperations.has(key)) damaged(`segment ${key} cannot be dropped`);
      this.#functionAt(this.#program.helperIndex(`segment:${key}`))?.();
    }
  }

  /** Puts records into the frame stack, ready to be entered from their end. */
  #placeRecords(records: Uint8Array): void {
    const memory = this.#stack["memory"] as WebAssembly.Memory;
    const missing = records.length - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    this.#stackMemory().set(records);
    this.#record.value = records.length;
  }

  /** A host call that was waiting has returned an errno instead. */
  #interruptWaiting(task: Task, errno: number): Task {
    if (task.frames === undefined) return task;
    const innermost = this.#enterable(task.frames).at(-1);
    const { name } = innermost ?? { name: 0 };
    if (innermost === undefined || name >= HOST_RETURN || name < BLOCKED_HOST_CALL) return task;
    const record = new Uint8Array(4 + RECORD_TRAILER);
    const view = new DataView(record.buffer);
    view.setUint32(0, errno, true);
    view.setUint32(4, 4, true);
    view.setUint32(8, (HOST_RETURN | (name & ~BLOCKED_HOST_CALL)) >>> 0, true);
    return { kind: task.kind, frames: Buffer.concat([record, task.frames.subarray(innermost.nameOffset + 4)]) };
  }

  /** The frames of a stack, checked, with a continuation for each place. */
  #enterable(bytes: Uint8Array): Frame[] {
    const frames = readFrames(bytes, this.#program.continuations);
    this.#provide(frames.map((frame) => frame.name));
    return frames;
  }

  /** Calls the outermost continuation, which calls the next, and so on. */
  #reenter(bytes: Uint8Array): unknown {
    const frames = this.#enterable(bytes);
    const records = new Uint8Array(bytes);
    const view = new DataView(records.buffer);
    for (const frame of frames) view.setUint32(frame.nameOffset, this.#slots.get(frame.name) as number, true);
    this.#placeRecords(records);
    const slot = (this.#stack["next"] as Fn)() as number;
    return (this.#continuations.get(slot) as Fn)();
  }

  #provide(names: readonly number[]): void {
    const missing = [...new Set(names)].filter((name) => !this.#slots.has(name)).sort((a, b) => a - b);
    if (missing.length === 0) return;
    const { bytes, importedFunctions } = this.#program.continuations.build(missing, this.#program.mode);
    const functions: Record<string, WebAssembly.ImportValue> = {};
    for (const index of importedFunctions) functions[`${index}`] = this.#functionAt(index) as Fn;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), {
      [CONTINUATION_IMPORTS.main]: this.#exports as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.stack]: this.#stack as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.function]: functions,
      [CONTINUATION_IMPORTS.table]: { continuations: this.#continuations },
    });
    const first = this.#continuations.grow(missing.length);
    missing.forEach((name, i) => {
      this.#continuations.set(first + i, instance.exports[continuationExport(i)]);
      this.#slots.set(name, first + i);
    });
  }

  // Functions by index.

  #functions(): WebAssembly.Table {
    if (!this.#functionsFilled) {
      (this.#exports[EXPORT.helper("fillFunctionTable")] as Fn)();
      this.#functionsFilled = true;
    }
    return this.#exports[EXPORT.functions] as WebAssembly.Table;
  }

  #functionAt(index: number): Fn | null {
    if (index >>> 0 === 0xffffffff) return null;
    const table = this.#functions();
    if (index >>> 0 >= table.length) damaged(`no function ${index >>> 0}`);
    return table.get(index >>> 0) as Fn;
  }

  #functionIndex(fn: unknown): number {
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
}

function damaged(reason: string): never {
  throw new VermilionError("IMAGE_DAMAGED", `the saved state does not fit the program: ${reason}; nothing was resumed`);
}

function toWords(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(bytes).buffer, 0, bytes.length >> 2);
}

function byteLengthOf(type: number): number {
  if (type === ValueType.v128) return 16;
  return type === ValueType.i64 || type === ValueType.f64 ? 8 : 4;
}

function countRecords(frames: Uint8Array | undefined): number {
  if (frames === undefined) return 0;
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  let count = 0;
  for (let end = frames.length; end >= RECORD_TRAILER; count++)
    end -= RECORD_TRAILER + view.getUint32(end - RECORD_TRAILER, true);
  return count;
}
