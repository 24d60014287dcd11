/**
 * A guest and its image in the worker that runs it: prepared, run once, closed.
 *
 *     prepared --run--> exited | trapped | powerFailed (saved)          prepared --cancelled--> powerFailed (epoch as before), or closed
 *     prepared --run, of an instance--> returned (saved): prepared for the next call
 *
 * G1  No guest code runs before the image is marked running. Whatever can be wrong with a saved state is found before
 *     that, by the constructor.
 * G2  Whatever fails after G1 leaves the image running: it goes on from the epoch before, or, if that is gone (no save
 *     yet, or memory written in place), not at all. Never from a mix.
 *
 * How it is put together, and G3: guest-assembly.ts.
 */
import { VermilionError } from "../../pmem/error.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { assembleGuest, type ThreadParts } from "./guest-assembly.js";
import type { GuestEpochs } from "./guest-epochs.js";
import { injectionOf } from "./guest-preparation.js";
import { HostFunctionFailure, type HostFunctions } from "./host-functions.js";
import type { TrapRecord } from "./image/epoch-record.js";
import type { Image } from "./image/image.js";
import type { ImageState } from "./image/state-file.js";
import { checkPlannedCall } from "./imports.js";
import { formatResults } from "./invocation.js";
import type { OpenedLog } from "./log/opened-log.js";
import { describeFollowed } from "./log-following.js";
import type { Machine } from "./machine.js";
import { nextCall } from "./next-call.js";
import { abandonImage } from "./opened-image.js";
import type { Outcome as MachineOutcome } from "./outcome.js";
import { makesPoints, nextPolicy } from "./persistence-policy.js";
import type { PointSchedule } from "./point-schedule.js";
import type { Program } from "./program.js";
import type { CallOrder, Followed, Outcome, PrepareOrder, Resumption, RunOrder } from "./protocol.js";
import type { EntryCall } from "./stacks.js";
import type { SystemInterface } from "./system-interface.js";
import { trapFrames } from "./trap-frames.js";

type Disturbances = Pick<RunOrder, "plan" | "eintr">;

export class Guest {
  readonly command: Command;
  /** What goes on; undefined: a clean start, or an instance that waits for a call. */
  readonly resumes: Resumption | undefined;
  readonly #control: ControlBlock;
  readonly #program: Program;
  readonly #image: Image;
  readonly #state: ImageState | undefined;
  readonly #system: SystemInterface;
  /** What the guest's calls are answered from, to begin with. */
  readonly #log: OpenedLog | undefined;
  readonly #machine: Machine;
  readonly #hostFunctions: HostFunctions;
  readonly #points: PointSchedule;
  readonly #epochs: GuestEpochs;
  /** Guest code has run in this machine, or may have. */
  #begun = false;

  /** Everything short of running. Whatever it opened is closed again if it throws: StackTooShort, too. */
  constructor(order: PrepareOrder, thread: ThreadParts) {
    const parts = assembleGuest(order, thread);
    this.command = parts.command;
    this.resumes = parts.resumes;
    this.#control = parts.control;
    this.#program = parts.program;
    this.#image = parts.image;
    this.#state = parts.state;
    this.#system = parts.system;
    this.#log = parts.log;
    this.#machine = parts.machine;
    this.#hostFunctions = parts.hostFunctions;
    this.#points = parts.points;
    this.#epochs = parts.epochs;
  }

  /** As of Program. */
  get largestBody(): number {
    return this.#program.largestBody;
  }

  get imagePath(): string {
    return this.#image.path;
  }

  /**
   * Runs until the guest ends or a failure is saved, and closes everything, unless the guest is an instance whose call has
   * returned. `running` is called once the guest may store. IN_PLACE, CALL_NEEDED, CALL_UNFINISHED, NO_INSTANCE, NO_SUCH_EXPORT,
   * BAD_ARGUMENT: nothing has changed.
   */
  run(order: RunOrder, running: (period: number | undefined) => void): Outcome {
    let returned = false;
    try {
      const policy = nextPolicy(order.wishes, this.#epochs.policy);
      if (makesPoints(policy.points)) this.#epochs.checkPoints();
      checkPlannedCall(this.#program.module, order.plan);
      const entry = this.#nextCall(order.call);
      if (!this.#control.beginRunning()) return this.#cancelled();
      this.#epochs.beginLog(
        { policy, eintr: order.eintr, call: this.command.instance ? order.call : undefined },
        this.#hostFunctions.unreplayable(this.#program.module),
      );
      if (order.keep !== undefined) this.#image.keep = order.keep;
      this.#image.markRunning(); // G1
      this.#points.begin(policy.points, this.#epochs.recoveryTarget);
      running(policy.points.milliseconds);
      const outcome = this.#ended(this.#executeGuarded(entry, order));
      returned = outcome.kind === "returned";
      return outcome;
    } finally {
      if (returned) this.#control.endRunning();
      else this.discard();
    }
  }

  /** What to call now; undefined: go on with what was under way. */
  #nextCall(call: CallOrder | undefined): EntryCall | undefined {
    const waits = this.resumes === undefined || this.#begun;
    return nextCall(call, {
      ...{ module: this.#program.module, command: this.command, image: this.#image.path },
      logged: this.#begun ? undefined : this.#log?.beginning.call,
      underWay: waits ? undefined : this.#machine.entry,
      begins: this.#state === undefined,
    });
  }

  /** Instead of a run: follows the log of the last one and tells where the program was. The image stays as it is. */
  follow(toCall: number | undefined): Followed {
    try {
      this.#system.follow(toCall);
      const entry = this.#nextCall(undefined);
      const outcome = this.#executeGuarded(entry, { plan: {}, eintr: false });
      const place = { system: this.#system, program: this.#program };
      const { moduleBytes, path } = this.#image;
      const followed = describeFollowed(outcome, { ...place, moduleBytes, image: path });
      if (followed === undefined) throw this.#diverged(outcome);
      return followed;
    } finally {
      this.discard();
    }
  }

  /** Lets go of everything. Instead of a run: leaves it as it was found. */
  discard(): void {
    this.#system.close();
    if (this.#begun) this.#image.close();
    else abandonImage({ image: this.#image, state: this.#state, log: this.#log });
  }

  #executeGuarded(entry: EntryCall | undefined, order: Disturbances): MachineOutcome {
    try {
      return this.#execute(entry, order);
    } catch (error) {
      if (error instanceof HostFunctionFailure) return { kind: "trapped", error };
      throw error;
    }
  }

  #execute(entry: EntryCall | undefined, { plan, eintr }: Disturbances): MachineOutcome {
    const injection = injectionOf(plan, this.#image.header.epoch);
    const instantiated = this.#begun || this.#state !== undefined;
    this.#begun = true;
    if (entry !== undefined) {
      if (instantiated) return this.#machine.call(entry, injection);
      return this.#machine.start(entry.exportName, entry.args, injection);
    }
    const how = this.#log?.beginning ?? { callback: true, eintr };
    return this.#machine.resume({
      callback: how.callback,
      ...(how.eintr ? { interruptedResult: (name, args) => this.#system.interruptedResult(name, args) } : {}),
      injection,
    });
  }

  #ended(outcome: MachineOutcome): Outcome {
    if (this.#system.isBehindLog()) return this.#endedInReplay(outcome);
    switch (outcome.kind) {
      case "returned": {
        const { results: values } = outcome;
        const called = this.command.instance || this.command.invoke !== null;
        const results = called ? formatResults(this.#program.module, this.#machine.entry.exportName, values) : [];
        if (this.command.instance) return this.#keep(values, results);
        this.#epochs.finish(0);
        return { kind: "exited", status: 0, results };
      }
      case "exited":
        this.#epochs.finish(outcome.status);
        return { kind: "exited", status: outcome.status, results: [] };
      case "trapped":
        this.#epochs.trap(this.#trapOf(outcome.error));
        return { kind: "trapped", message: outcome.error.message };
      case "suspended":
        this.#checkAlive("the guest was killed");
        return this.#epochs.save(outcome.state, outcome.frames);
    }
  }

  /**
   * Everything is in the image already, its log included. What the program did when the log was written it did without
   * ending, but a stack may be deeper in other code of the engine's.
   */
  #endedInReplay(outcome: MachineOutcome): Outcome {
    const { epoch } = this.#image.header;
    if (outcome.kind === "suspended") {
      this.#checkAlive("the guest was killed");
      return { kind: "powerFailed", reason: "failure", epoch, frames: outcome.frames, saveMilliseconds: 0 };
    }
    throw this.#diverged(outcome);
  }

  #diverged(outcome: MachineOutcome): VermilionError {
    const how = outcome.kind === "trapped" ? `traps (${outcome.error.message})` : "ends";
    return new VermilionError(
      "LOG_DIVERGED",
      `${this.#image.path}: the program ${how} before its log does, so it does not repeat what it did; nothing was changed: ` +
        "go on from the last persistence point instead (--no-replay), or start again (--fresh)",
    );
  }

  #trapOf(error: Error): TrapRecord {
    return { message: error.message, frames: trapFrames(error, this.#program.module.functionTypes.length) };
  }

  /** An instance between two calls has no frames. */
  #keep(values: readonly (number | bigint)[], results: readonly string[]): Outcome {
    this.#epochs.commit(this.#machine.idleState(), 0, "return");
    return { kind: "returned", values, results, epoch: this.#image.header.epoch };
  }

  /** PROCESS_CLOSED, with what has happened. */
  #checkAlive(what: string): void {
    if (this.#control.killed) throw new VermilionError("PROCESS_CLOSED", `${this.#image.path}: ${what}`);
  }

  #cancelled(): Outcome {
    this.#checkAlive("closed before the guest had begun");
    const { epoch, frames } = this.resumes ?? { epoch: 0, frames: 0 };
    return { kind: "powerFailed", reason: "failure", epoch, frames, saveMilliseconds: 0 };
  }
}
