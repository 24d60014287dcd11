/**
 * A guest and its image in the worker that runs it: prepared, run once, closed.
 *
 *     prepared --run--> exited | trapped | powerFailed (saved)          prepared --cancelled--> powerFailed (epoch as before)
 *     prepared --run, of an instance--> returned (saved): prepared for the next call
 *
 * G1  No guest code runs before the image is marked running. Whatever can be wrong with a saved state is found before
 *     that, by the constructor.
 * G2  Whatever fails after G1 leaves the image running: it goes on from the epoch before, or, if that is gone (no save
 *     yet, or memory written in place), not at all. Never from a mix.
 * G3  Where the engine leaves no room for a flag, the program is loaded again in the form that counts; nothing has been
 *     attached to the first by then.
 */
import { VermilionError } from "../../pmem/error.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { GuestEpochs } from "./guest-epochs.js";
import { type GuestParts, machineHostOf } from "./guest-host.js";
import { GuestMemories, NO_FLAG } from "./guest-memories.js";
import { type OpenedGuest, type OpeningParts, openGuest } from "./guest-opening.js";
import { createWakeDescriptor, injectionOf, misfit } from "./guest-preparation.js";
import { HostFunctionFailure, type HostFunctions } from "./host-functions.js";
import type { TrapRecord } from "./image/epoch-record.js";
import { Image } from "./image/image.js";
import type { ImageState } from "./image/state-file.js";
import { checkPlannedCall } from "./imports.js";
import { formatResults } from "./invocation.js";
import type { OpenedLog } from "./log/opened-log.js";
import { describeFollowed } from "./log-following.js";
import { Machine } from "./machine.js";
import { nextCall } from "./next-call.js";
import { NO_REPLACEMENT, ReplacementSchedule } from "./on-stack-replacement.js";
import type { RemoteCompiler } from "./optimizing-compiler.js";
import type { Outcome as MachineOutcome } from "./outcome.js";
import { PointSchedule } from "./point-schedule.js";
import { frameCountOf, logNumberOf } from "./process-state.js";
import type { Program } from "./program.js";
import type { CallOrder, Followed, Outcome, PrepareOrder, Resumption, RunOrder } from "./protocol.js";
import { remoteCommitter } from "./remote-commit.js";
import { remoteKeeper } from "./remote-log-keeper.js";
import type { EntryCall } from "./stacks.js";
import { SystemInterface } from "./system-interface.js";
import { trapFrames } from "./trap-frames.js";

/** What the thread of a guest has for it. */
export interface ThreadParts extends OpeningParts {
  readonly compiler: RemoteCompiler;
}

export class Guest {
  readonly command: Command;
  /** What goes on; undefined: a clean start, or an instance that waits for a call. */
  readonly resumes: Resumption | undefined;
  readonly #control: ControlBlock;
  #program: Program;
  readonly #image: Image;
  readonly #state: ImageState | undefined;
  readonly #system: SystemInterface;
  /** What the guest's calls are answered from, to begin with. */
  readonly #log: OpenedLog | undefined;
  readonly #machine: Machine;
  readonly #hostFunctions: HostFunctions;
  readonly #points: PointSchedule;
  readonly #memories: GuestMemories;
  readonly #epochs: GuestEpochs;
  /** Guest code has run in this machine, or may have. */
  #begun = false;

  /** Everything short of running. Whatever it opened is closed again if it throws: StackTooShort, too. */
  constructor(order: PrepareOrder, thread: ThreadParts) {
    const { control, tell, hostFunctions, compiler } = thread;
    const { opened, holdup, wasiOptions, loadCounting } = openGuest(order, thread);
    this.#control = control;
    this.#hostFunctions = hostFunctions;
    this.#points = new PointSchedule(control);
    this.#program = opened.program;
    this.#image = opened.image;
    this.#state = opened.state;
    this.command = opened.command;
    this.#log = opened.log;
    const closers: (() => void)[] = [() => opened.log?.close(), () => this.#discardImage()];
    try {
      const wakeDescriptor = createWakeDescriptor();
      control.setWakeDescriptor(wakeDescriptor); // stays open: the main thread may be about to write to it
      this.#system = new SystemInterface({
        ...{ options: wasiOptions, image: opened.image.path, state: opened.state?.wasi, log: opened.log },
        notice: (message) => tell({ kind: "notice", message }),
        keptFiles: () => opened.image.keptFiles(),
        fill: (address, byteLength) => tell({ kind: "fill", address, byteLength }),
        keeper: remoteKeeper(control, (chores) => tell({ kind: "log", chores })),
        replaying: (calls, progress) => tell({ kind: "replaying", calls, progress }),
      });
      closers.push(() => this.#system.close());
      this.#epochs = new GuestEpochs({
        ...{ image: opened.image, system: this.#system, points: this.#points, holdup, tell },
        committer: remoteCommitter(control, (commit) => tell({ kind: "commit", commit })),
        firstLog: logNumberOf(opened.state, opened.image.path),
      });
      this.#memories = new GuestMemories({
        ...{ image: opened.image, saved: opened.state !== undefined, control },
        limit: opened.command.maxMemoryByteLength,
        bind: (memory, memoryAddress) => {
          const failurePending = () => control.failurePending || this.#points.isRequested;
          this.#system.bind({ memory, memoryAddress, failurePending, wakeDescriptor });
          hostFunctions.attach(memory);
        },
        ask: (index, byteLength, grow) => this.#system.grow(index, byteLength, grow),
      });
      const [system, points, memories, epochs] = [this.#system, this.#points, this.#memories, this.#epochs];
      const parts: GuestParts = { control, points, system, hostFunctions, memories, epochs };
      this.#machine = this.#createMachine(parts, compiler, loadCounting);
      this.#memories.check(this.#program.module);
      this.resumes = opened.state === undefined ? this.#fromBeginning() : this.#restore(opened.state);
      if (!opened.image.header.inPlace) opened.image.announce(order.persistOn);
    } catch (error) {
      for (const close of closers.reverse()) close();
      throw error;
    }
  }

  /** G3. */
  #createMachine(parts: GuestParts, compiler: RemoteCompiler, loadCounting: OpenedGuest["loadCounting"]): Machine {
    const replacement = compiler.optimizes ? new ReplacementSchedule(compiler.compile) : NO_REPLACEMENT;
    const create = () => new Machine(this.#program, machineHostOf(this.#program, parts), replacement, compiler);
    try {
      return create();
    } catch (error) {
      if (error !== NO_FLAG) throw error;
      this.#program = loadCounting();
      return create();
    }
  }

  #restore(state: ImageState): Guest["resumes"] {
    this.#machine.restore(state.machine);
    if (!this.#machine.restoredIdle || this.#log?.beginning.call !== undefined) {
      const frames = frameCountOf(state, this.#image.path);
      return { epoch: this.#image.header.epoch, frames, loggedCalls: this.#log?.callCount ?? null };
    }
    if (this.command.instance) return undefined;
    throw misfit(this.#image.path, "it has no stack to go on with");
  }

  /** A log leads on from there. */
  #fromBeginning(): Guest["resumes"] {
    return this.#log && { epoch: 0, frames: 0, loggedCalls: this.#log.callCount };
  }

  get imagePath(): string {
    return this.#image.path;
  }

  /**
   * Runs until the guest ends or a failure is saved, and closes everything, unless the guest is an instance whose call has
   * returned. `running` is called once the guest may store. IN_PLACE, CALL_NEEDED, CALL_UNFINISHED, NO_INSTANCE, NO_SUCH_EXPORT,
   * BAD_ARGUMENT: nothing has changed.
   */
  run(order: RunOrder, running: () => void): Outcome {
    let returned = false;
    try {
      const { milliseconds, hostCalls } = order.persistEvery;
      if (milliseconds !== undefined || hostCalls !== undefined) this.#epochs.checkPoints();
      checkPlannedCall(this.#program.module, order.plan);
      const entry = this.#nextCall(order.call);
      if (!this.#control.beginRunning()) return this.#cancelled();
      this.#epochs.beginLog(
        this.command.instance ? order : { ...order, call: undefined },
        this.#hostFunctions.unreplayable(this.#program.module),
      );
      if (order.keep !== undefined) this.#image.keep = order.keep;
      this.#image.markRunning(); // G1
      this.#points.begin(order.persistEvery, this.#epochs.recoveryTarget);
      running();
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
      const outcome = this.#executeGuarded(entry, {
        ...{ call: undefined, plan: {}, persistEvery: {}, log: undefined, eintr: false },
      } as RunOrder);
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
    this.#discardImage();
  }

  #discardImage(): void {
    this.#image.close();
    if (this.#state === undefined && this.#log === undefined && !this.#begun) Image.remove(this.#image.path); // made for this guest
  }

  #executeGuarded(entry: EntryCall | undefined, order: RunOrder): MachineOutcome {
    try {
      return this.#execute(entry, order);
    } catch (error) {
      if (error instanceof HostFunctionFailure) return { kind: "trapped", error };
      throw error;
    }
  }

  #execute(entry: EntryCall | undefined, { plan, eintr }: RunOrder): MachineOutcome {
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
        if (this.#control.killed)
          throw new VermilionError("PROCESS_CLOSED", `${this.#image.path}: the guest was killed`);
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
      if (this.#control.killed) throw new VermilionError("PROCESS_CLOSED", `${this.#image.path}: the guest was killed`);
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

  #cancelled(): Outcome {
    const { epoch, frames } = this.resumes ?? { epoch: 0, frames: 0 };
    return { kind: "powerFailed", reason: "failure", epoch, frames, saveMilliseconds: 0 };
  }
}
