/**
 * The machine: one instance of a program, run until it ends, traps, or is stopped at a safepoint with its frames saved.
 *
 * running -> unwinding -> quiescent. While it unwinds, handlers fill the frame stack; once the exception has left the
 * outermost activation, the state can be taken. A machine is not used again after that: a resume builds a new one.
 * A call that has returned leaves it idle: its state can be taken, without frames, and another function be called.
 *
 * M1  No guest code runs before memory, globals, tables and dropped segments are as saved.
 * M2  The frame stack is empty whenever guest code runs (its records are consumed on the way in).
 * M3  Exceptions of the host never meet a guest's handlers: they cross guest frames as the exit tag.
 * M4  A stop to replace code ends where it began: nothing is saved, no other task runs, and the host hears nothing of it.
 * M5  So does a stop for a persistence point, but the state of all tasks goes to the host in between. One stop has one
 *     reason; should a failure come during a point's unwinding, the stop is the failure's.
 * M6  A stop to tell the program that the power had failed puts its callback on top of the task that was stopped.
 */
import { VermilionError } from "../../pmem/error.js";
import { MOST_MEMORY_PAGES } from "../wasm/module.js";
import { ContinuationRegistry } from "./continuation-registry.js";
import { Fuel } from "./fuel.js";
import { HostCalls, importsOf } from "./host-calls.js";
import type { MachineState } from "./image/state-file.js";
import { type InterruptedResult, returnInterrupted } from "./interrupted-calls.js";
import { INITIALIZER, isReactor } from "./invocation.js";
import type { Injection, MachineHost } from "./machine-host.js";
import { type Fn, MachineInstance } from "./machine-instance.js";
import { DroppedSegments, restoreInstance, saveInstance } from "./machine-state.js";
import { NO_REPLACEMENT, type Replacement } from "./on-stack-replacement.js";
import type { BackgroundCompiler } from "./optimizing-compiler.js";
import { PointMoments } from "./point-moments.js";
import { findPowerCallback } from "./power-callback.js";
import type { Program } from "./program.js";
import { countFrames, decodeStacks, type EntryCall, encodeStacks, type Task } from "./stacks.js";
import { type Stop, StopReasons } from "./stop-reasons.js";

export type Outcome =
  | { readonly kind: "returned"; readonly results: readonly (number | bigint)[] }
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "suspended"; readonly state: MachineState; readonly frames: number }
  | { readonly kind: "trapped"; readonly error: Error };

export interface ResumeOptions {
  /** Tell the program, if it asked to be told, before it goes on. */
  readonly callback: boolean;
  /** What a host call that was waiting returns instead of going on; undefined: it goes on. */
  readonly interruptedResult?: InterruptedResult;
  readonly injection?: Injection;
}

/** What the engine says when a call finds no stack left. */
const STACK_EXHAUSTED = "Maximum call stack size exceeded";

export class Machine {
  readonly #program: Program;
  readonly #host: MachineHost;
  readonly #instance: MachineInstance;
  readonly #fuel: Fuel;
  readonly #hostCalls: HostCalls;
  readonly #continuations: ContinuationRegistry;
  readonly #dropped = new DroppedSegments();
  readonly #replacement: Replacement;
  readonly #stopReasons: StopReasons;
  /** Why the last unwinding was begun: M4, M5. */
  #stop: Stop = "failure";
  #entry: EntryCall = { exportName: "", args: [] };
  #restored: readonly Task[] = [];

  /**
   * `background`: compiles what the guest will need at its next persistence points.
   *
   * @throws VermilionError UNKNOWN_IMPORT for an import that the host does not have, MODULE_INVALID when the engine
   * cannot instantiate the module.
   */
  constructor(
    program: Program,
    host: MachineHost,
    replacement: Replacement = NO_REPLACEMENT,
    background?: BackgroundCompiler,
  ) {
    this.#program = program;
    this.#replacement = replacement;
    this.#host = host;
    this.#hostCalls = new HostCalls(program, host, {
      isPointsMoment: (index) => this.#stopReasons.isPointsMoment(index),
      burnFuel: () => this.#fuel.burn(),
      suspend: (reason, place, types, values) => {
        this.#stop = reason;
        return this.#instance.suspend(place, types, values);
      },
      leave: (error) => this.#instance.leave(error),
    });
    const imports = importsOf(program, host, (...wanted) => this.#hostCalls.wrap(...wanted));
    this.#instance = new MachineInstance(program, imports, {
      poll: () => this.#poll(),
      grow: (memory, pages) => this.#grow(memory, pages),
      dropped: (sub, segment) => this.#dropped.add(sub, segment),
      stored: (address, byteLength) => host.stored?.(address, byteLength),
    });
    this.#fuel = new Fuel(this.#instance.fuel);
    this.#continuations = new ContinuationRegistry(this.#instance);
    const wasResumed = () => this.#restored.length > 0;
    const moments =
      background && new PointMoments({ program, continuations: this.#continuations, compiler: background });
    this.#stopReasons = new StopReasons({ program, host, fuel: this.#fuel, replacement, moments, wasResumed });
    program.module.memories.forEach((_, index) => {
      host.attachMemory(index, this.memory(index));
    });
  }

  /** A guest's memory. */
  memory(index: number): WebAssembly.Memory {
    return this.#instance.memory(index);
  }

  /** Safepoints crossed since this run began; exact programs only. */
  get safepointsCrossed(): number {
    return this.#fuel.safepointsCrossed;
  }

  /**
   * Exact programs only: asks the host's points at that safepoint of the run, besides whenever it does. To be called before a
   * run, and again while the guest stands still.
   */
  askAtSafepoint(safepoint: number): void {
    this.#fuel.askAt(safepoint);
  }

  /** Runs the program from its beginning: data, the start function, a reactor's initializer, then an export. */
  start(exportName: string, args: readonly (number | bigint)[] = [], injection: Injection = {}): Outcome {
    if (typeof this.#instance.exports[exportName] !== "function") {
      throw new VermilionError("NO_SUCH_EXPORT", `the module exports no function named "${exportName}"`);
    }
    this.#entry = { exportName, args };
    const tasks: Task[] = [{ kind: "entry", frames: undefined }];
    if (isReactor(this.#program.module) && exportName !== INITIALIZER) {
      tasks.push({ kind: "initialize", frames: undefined });
    }
    if (this.#program.module.start !== undefined) tasks.push({ kind: "start", frames: undefined });
    this.#arm(injection);
    return this.#run(tasks, () => this.#instance.callHelper("initialiseData"));
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
    restoreInstance(this.#instance, state);
    for (const { frames } of tasks) if (frames !== undefined) this.#continuations.enterable(frames);
  }

  /** The call that is under way, or was the last. */
  get entry(): EntryCall {
    return this.#entry;
  }

  /** Whether the state that was taken over has nothing to go on with: no call was under way. */
  get restoredIdle(): boolean {
    return this.#restored.length === 0;
  }

  /** Calls an export of an idle machine. */
  call(entry: EntryCall, injection: Injection): Outcome {
    this.#entry = entry;
    this.#arm(injection);
    return this.#run([{ kind: "entry", frames: undefined }], () => undefined);
  }

  /** The state of an idle machine. @throws VermilionError CANNOT_SAVE */
  idleState(): MachineState {
    this.#instance.emptyFrameStack();
    const outcome = this.#take([]);
    this.#instance.emptyFrameStack(); // M2: the globals went over the frame stack
    return outcome.state;
  }

  /** Goes on with the state that was taken over. */
  resume(options: ResumeOptions): Outcome {
    const { interruptedResult } = options;
    const pending = this.#restored.map((task) =>
      interruptedResult === undefined ? task : this.#interruptWaiting(task, interruptedResult),
    );
    if (options.callback && this.#wantsCallback()) {
      // As a signal would: a handler that is running is finished first, then told again.
      const running = pending[pending.length - 1]?.kind === "callback";
      pending.splice(running ? pending.length - 1 : pending.length, 0, { kind: "callback", frames: undefined });
    }
    this.#arm(options.injection ?? {});
    return this.#run(pending, () => undefined);
  }

  #wantsCallback(): boolean {
    return findPowerCallback(this.#program, this.#instance.exports) !== undefined;
  }

  #arm(injection: Injection): void {
    this.#hostCalls.arm(injection.atCall);
    this.#fuel.arm(injection.atSafepoint);
    this.#replacement.begin();
  }

  // What guest code asks.

  #poll(): void {
    let stop: Stop | undefined;
    try {
      stop = this.#stopReasons.ask();
    } catch (error) {
      this.#instance.leave(error); // M3
    }
    if (stop === undefined) return;
    this.#stop = stop;
    this.#instance.beginUnwinding();
  }

  #grow(memory: number, pages: number): boolean {
    const bytes = this.memory(memory).buffer.byteLength + (pages >>> 0) * 65536;
    const maximum = this.#program.module.memories[memory]?.maximum ?? MOST_MEMORY_PAGES;
    if (pages === 0) return true;
    if (bytes > maximum * 65536) return false;
    return this.#host.growMemory(memory, bytes);
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
        results = this.#runOn(current, tasks);
      }
    } catch (error) {
      return this.#stopped(error, tasks, current);
    }
    const list = results === undefined ? [] : Array.isArray(results) ? results : [results];
    return { kind: "returned", results: list as (number | bigint)[] };
  }

  /** M4, M5: goes on with its frames whenever it was stopped for nothing that ends the run. `below`: the other tasks. */
  #runOn(task: Task, below: Task[]): unknown {
    let stopped: Uint8Array | undefined;
    for (;;) {
      try {
        return stopped === undefined ? this.#runTask(task) : this.#goOn(stopped);
      } catch (error) {
        // What has unwound already is a failure's stop as well as any other's.
        if (!this.#instance.isUnwinding(error) || this.#isFailing()) throw error;
        this.#instance.endUnwinding();
        stopped = this.#instance.saved(0);
        if (this.#stop === "callback" && this.#wantsCallback()) {
          below.push({ kind: task.kind, frames: stopped }, { kind: "callback", frames: undefined });
          return undefined;
        }
        if (this.#stop === "point") {
          const result = this.#persist([...below, { kind: task.kind, frames: stopped }]);
          // The innermost record is that of the call, and the only value in it the result.
          if (result !== undefined) new DataView(stopped.buffer, stopped.byteOffset).setBigInt64(0, result, true);
        }
        if (this.#replaces()) this.#continuations.optimize(stopped, this.#replacement);
        if (this.#isFailing()) throw error;
      }
    }
  }

  /** A stop for another reason is used for that as well, if one would be due. */
  #replaces(): boolean {
    return this.#program.mode !== "exact" && (this.#stop === "replacement" || this.#replacement.isDue());
  }

  #isFailing(): boolean {
    return this.#stop === "failure" || this.#host.failurePending();
  }

  #persist(tasks: readonly Task[]): bigint | undefined {
    const { state, frames } = this.#take(tasks);
    return this.#host.points?.persist(state, frames);
  }

  /** In the same instance; in better code if it is there. */
  #goOn(frames: Uint8Array): unknown {
    if (this.#program.mode !== "exact") return this.#continuations.enterOptimized(frames);
    return this.#enter(frames);
  }

  /** A host call in which the frames were left is made again, and its safepoint crossed again: that does not count. */
  #enter(frames: Uint8Array): unknown {
    if (this.#continuations.enterable(frames).at(-1)?.place.recrossed === true) this.#fuel.recross();
    return this.#continuations.enter(frames);
  }

  #runTask({ kind, frames }: Task): unknown {
    const instance = this.#instance;
    if (frames !== undefined) return this.#enter(frames);
    if (kind === "entry") return (instance.exports[this.#entry.exportName] as Fn)(...this.#entry.args);
    if (kind === "initialize") return (instance.exports[INITIALIZER] as Fn)();
    if (kind === "start") return instance.functionAt(this.#program.module.start as number)?.();
    findPowerCallback(this.#program, instance.exports, (index) => instance.functionAt(index))?.();
    return undefined;
  }

  /** What an exception that left the outermost activation means. */
  #stopped(error: unknown, tasks: readonly Task[], current: Task | undefined): Outcome {
    if (this.#instance.isUnwinding(error) && current !== undefined) {
      return this.#take([...tasks, { kind: current.kind, frames: this.#instance.saved(0) }]);
    }
    if (this.#instance.isLeaving(error)) {
      const { leaving } = this.#instance;
      const status = this.#host.exitStatus(leaving);
      if (status === undefined) throw leaving;
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

  #take(tasks: readonly Task[]): Extract<Outcome, { kind: "suspended" }> {
    let state: MachineState;
    try {
      state = {
        ...saveInstance(this.#instance, this.#dropped),
        stacks: encodeStacks({ entry: this.#entry, tasks }),
      };
    } catch (error) {
      throw this.#instance.isLeaving(error) ? this.#instance.leaving : error;
    }
    const frames = tasks.reduce((sum, task) => sum + countFrames(task.frames), 0);
    return { kind: "suspended", state, frames };
  }

  /** A host call that was waiting has returned instead. */
  #interruptWaiting({ kind, frames }: Task, resultOf: InterruptedResult): Task {
    if (frames === undefined) return { kind, frames };
    const innermost = this.#continuations.enterable(frames).at(-1);
    return { kind, frames: returnInterrupted(frames, innermost, this.#program.module, resultOf) };
  }
}
