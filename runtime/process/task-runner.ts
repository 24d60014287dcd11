/**
 * Runs the tasks of a machine, from the uppermost down: each until it returns, ends the run, or is stopped at a safepoint.
 *
 * A stop leaves the frames of one task in the frame stack; the others are saved already, or have not begun. One stop has
 * one reason.
 *
 * T1  A stop to replace code ends where it began: nothing is saved, no other task runs, and the host hears nothing of it.
 * T2  So does a stop for a persistence point, but the state of all tasks goes to the host in between. Should a failure come
 *     during a point's unwinding, the stop is the failure's.
 * T3  A stop to tell the program that the power had failed puts its callback on top of the task that was stopped.
 */
import type { ContinuationRegistry } from "./continuation-registry.js";
import type { Fuel } from "./fuel.js";
import { INITIALIZER } from "./invocation.js";
import type { MachineHost } from "./machine-host.js";
import type { Fn, MachineInstance } from "./machine-instance.js";
import { type DroppedSegments, type SavedMachine, saveMachine } from "./machine-state.js";
import type { Replacement } from "./on-stack-replacement.js";
import { type Outcome, trapOf } from "./outcome.js";
import { findPowerCallback } from "./power-callback.js";
import type { EntryCall, Task } from "./stacks.js";
import type { Stop } from "./stop-reasons.js";

interface RunnerParts {
  readonly instance: MachineInstance;
  readonly host: MachineHost;
  readonly continuations: ContinuationRegistry;
  readonly dropped: DroppedSegments;
  readonly fuel: Fuel;
  readonly replacement: Replacement;
}

export class TaskRunner {
  /** What the entry task calls. */
  entry: EntryCall = { exportName: "", args: [] };
  readonly #parts: RunnerParts;
  /** Why the last unwinding was begun. */
  #stop: Stop = "failure";

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  /** To be told before an unwinding begins. */
  stopFor(reason: Stop): void {
    this.#stop = reason;
  }

  /** Whether the program asked to be told of power failures. */
  get wantsCallback(): boolean {
    const { program, exports } = this.#parts.instance;
    return findPowerCallback(program, exports) !== undefined;
  }

  /** `pending`: bottom first. `prepare`: guest code that comes before all of them. */
  run(pending: readonly Task[], prepare: () => unknown = () => undefined): Outcome {
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

  /** T1, T2: goes on with its frames whenever it was stopped for nothing that ends the run. `below`: the other tasks. */
  #runOn(task: Task, below: Task[]): unknown {
    const { instance, continuations, replacement } = this.#parts;
    let stopped: Uint8Array | undefined;
    for (;;) {
      try {
        return stopped === undefined ? this.#runTask(task) : this.#goOn(stopped);
      } catch (error) {
        // What has unwound already is a failure's stop as well as any other's.
        if (!instance.isUnwinding(error) || this.#isFailing()) throw error;
        instance.endUnwinding();
        stopped = instance.saved(0);
        if (this.#stop === "callback" && this.wantsCallback) {
          below.push({ kind: task.kind, frames: stopped }, { kind: "callback", frames: undefined }); // T3
          return undefined;
        }
        if (this.#stop === "point") {
          const result = this.#persist([...below, { kind: task.kind, frames: stopped }]);
          // The innermost record is that of the call, and the only value in it the result.
          if (result !== undefined) new DataView(stopped.buffer, stopped.byteOffset).setBigInt64(0, result, true);
        }
        if (this.#replaces()) continuations.optimize(stopped, replacement);
        if (this.#isFailing()) throw error;
      }
    }
  }

  /** A stop for another reason is used for that as well, if one would be due. */
  #replaces(): boolean {
    const { instance, replacement } = this.#parts;
    return instance.program.mode !== "exact" && (this.#stop === "replacement" || replacement.isDue());
  }

  #isFailing(): boolean {
    return this.#stop === "failure" || this.#parts.host.failurePending();
  }

  #persist(tasks: readonly Task[]): bigint | undefined {
    const { state, frames } = this.#save(tasks);
    return this.#parts.host.points?.persist(state, frames);
  }

  /** In the same instance; in better code if it is there. */
  #goOn(frames: Uint8Array): unknown {
    const { instance, continuations } = this.#parts;
    if (instance.program.mode !== "exact") return continuations.enter(frames);
    return this.#enter(frames);
  }

  /** A host call in which the frames were left is made again, and its safepoint crossed again: that does not count. */
  #enter(frames: Uint8Array): unknown {
    const { continuations, fuel } = this.#parts;
    if (continuations.enterable(frames).at(-1)?.place.recrossed === true) fuel.recross();
    return continuations.enter(frames);
  }

  #runTask({ kind, frames }: Task): unknown {
    const { instance } = this.#parts;
    const { program, exports } = instance;
    if (frames !== undefined) return this.#enter(frames);
    if (kind === "entry") return (exports[this.entry.exportName] as Fn)(...this.entry.args);
    if (kind === "initialize") return (exports[INITIALIZER] as Fn)();
    if (kind === "start") return instance.functionAt(program.module.start as number)?.();
    findPowerCallback(program, exports, (index) => instance.functionAt(index))?.();
    return undefined;
  }

  /** What an exception that left the outermost activation means. */
  #stopped(error: unknown, tasks: readonly Task[], current: Task | undefined): Outcome {
    const { instance, host } = this.#parts;
    if (instance.isUnwinding(error) && current !== undefined) {
      return { kind: "suspended", ...this.#save([...tasks, { kind: current.kind, frames: instance.saved(0) }]) };
    }
    if (instance.isLeaving(error)) {
      const { leaving } = instance;
      const status = host.exitStatus(leaving);
      if (status === undefined) throw leaving;
      return { kind: "exited", status };
    }
    const trap = trapOf(error);
    if (trap === undefined) throw error;
    return { kind: "trapped", error: trap };
  }

  #save(tasks: readonly Task[]): SavedMachine {
    return saveMachine(this.#parts.instance, this.#parts.dropped, { entry: this.entry, tasks });
  }
}
