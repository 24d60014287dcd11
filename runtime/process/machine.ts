/**
 * The machine: one instance of a program, run until it ends, traps, or is stopped at a safepoint with its frames saved.
 *
 * running -> unwinding -> quiescent. While it unwinds, handlers fill the frame stack; once the exception has left the
 * outermost activation, the state can be taken. A machine is not used again after that: a resume builds a new one.
 * A call that has returned leaves it idle: its state can be taken, without frames, and another function be called.
 * Other stops, after which the guest goes on in the same machine, are those of its tasks (task-runner.ts).
 *
 * M1  No guest code runs before memory, globals, tables and dropped segments are as saved.
 * M2  The frame stack is empty whenever guest code runs (its records are consumed on the way in).
 * M3  Exceptions of the host never meet a guest's handlers: they cross guest frames as the exit tag.
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
import { MachineInstance } from "./machine-instance.js";
import { DroppedSegments, restoreInstance, saveMachine } from "./machine-state.js";
import { NO_REPLACEMENT, type Replacement } from "./on-stack-replacement.js";
import type { BackgroundCompiler } from "./optimizing-compiler.js";
import type { Outcome } from "./outcome.js";
import { PointMoments } from "./point-moments.js";
import type { Program } from "./program.js";
import { decodeStacks, type EntryCall, type Task } from "./stacks.js";
import { type Stop, StopReasons } from "./stop-reasons.js";
import { TaskRunner } from "./task-runner.js";

export interface ResumeOptions {
  /** Tell the program, if it asked to be told, before it goes on. */
  readonly callback: boolean;
  /** What a host call that was waiting returns instead of going on; undefined: it goes on. */
  readonly interruptedResult?: InterruptedResult;
  readonly injection?: Injection;
}

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
  readonly #tasks: TaskRunner;
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
        this.#tasks.stopFor(reason);
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
    const continuations = this.#continuations;
    const moments = background && new PointMoments({ program, continuations, compiler: background });
    this.#stopReasons = new StopReasons({ program, host, fuel: this.#fuel, replacement, moments, continuations });
    this.#tasks = new TaskRunner({
      instance: this.#instance,
      host,
      continuations: this.#continuations,
      dropped: this.#dropped,
      fuel: this.#fuel,
      replacement,
    });
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
    this.#tasks.entry = { exportName, args };
    const tasks: Task[] = [{ kind: "entry", frames: undefined }];
    if (isReactor(this.#program.module) && exportName !== INITIALIZER) {
      tasks.push({ kind: "initialize", frames: undefined });
    }
    if (this.#program.module.start !== undefined) tasks.push({ kind: "start", frames: undefined });
    this.#arm(injection);
    return this.#tasks.run(tasks, () => this.#instance.callHelper("initialiseData"));
  }

  /**
   * Takes a saved state over, short of running: afterwards nothing about it can be wrong any more.
   *
   * @throws VermilionError IMAGE_DAMAGED when the state does not fit the program.
   */
  restore(state: MachineState): void {
    const { entry, tasks } = decodeStacks(state.stacks);
    this.#tasks.entry = entry;
    this.#restored = tasks;
    restoreInstance(this.#instance, state);
    for (const { frames } of tasks) if (frames !== undefined) this.#continuations.enterable(frames);
  }

  /** The call that is under way, or was the last. */
  get entry(): EntryCall {
    return this.#tasks.entry;
  }

  /** Whether the state that was taken over has nothing to go on with: no call was under way. */
  get restoredIdle(): boolean {
    return this.#restored.length === 0;
  }

  /** Calls an export of an idle machine. */
  call(entry: EntryCall, injection: Injection): Outcome {
    this.#tasks.entry = entry;
    this.#arm(injection);
    return this.#tasks.run([{ kind: "entry", frames: undefined }]);
  }

  /** The state of an idle machine. @throws VermilionError CANNOT_SAVE */
  idleState(): MachineState {
    this.#instance.emptyFrameStack();
    const { state } = saveMachine(this.#instance, this.#dropped, { entry: this.entry, tasks: [] });
    this.#instance.emptyFrameStack(); // M2: the globals went over the frame stack
    return state;
  }

  /** Goes on with the state that was taken over. */
  resume(options: ResumeOptions): Outcome {
    const { interruptedResult } = options;
    const pending = this.#restored.map((task) =>
      interruptedResult === undefined ? task : this.#interruptWaiting(task, interruptedResult),
    );
    if (options.callback && this.#tasks.wantsCallback) {
      // As a signal would: a handler that is running is finished first, then told again.
      const running = pending[pending.length - 1]?.kind === "callback";
      pending.splice(running ? pending.length - 1 : pending.length, 0, { kind: "callback", frames: undefined });
    }
    this.#arm(options.injection ?? {});
    return this.#tasks.run(pending);
  }

  /** A host call that was waiting has returned instead. */
  #interruptWaiting({ kind, frames }: Task, resultOf: InterruptedResult): Task {
    if (frames === undefined) return { kind, frames };
    const innermost = this.#continuations.enterable(frames).at(-1);
    return { kind, frames: returnInterrupted(frames, innermost, this.#program.module, resultOf) };
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
    this.#tasks.stopFor(stop);
    this.#instance.beginUnwinding();
  }

  #grow(memory: number, pages: number): boolean {
    const bytes = this.memory(memory).buffer.byteLength + (pages >>> 0) * 65536;
    const maximum = this.#program.module.memories[memory]?.maximum ?? MOST_MEMORY_PAGES;
    if (pages === 0) return true;
    if (bytes > maximum * 65536) return false;
    return this.#host.growMemory(memory, bytes);
  }
}
