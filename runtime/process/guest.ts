/**
 * A guest and its image in the worker that runs it: prepared, run once, closed.
 *
 *     prepared --run--> exited | trapped | powerFailed (saved)          prepared --cancelled--> powerFailed (epoch as before)
 *     prepared --run, of an instance--> returned (saved): prepared for the next call
 *
 * G1  No guest code runs before the image is marked running. Whatever can be wrong with a saved state is found before
 *     that, by the constructor.
 * G2  A save is, in this order: frames spilled (machine), open files flushed and described (wasi), image committed. Each
 *     step only adds what nothing names yet; the commit's last write is the persistence point.
 * G3  A persistence point is the same while the guest stands still, but for the image, which stays "running", of the new
 *     epoch. One that fails leaves the guest as it was, and the epoch before in place.
 * G4  A log begins, or one that does not belong to this run is removed, before the image is marked running; and the log of
 *     an epoch is there before the epoch. So a killed process without a log ran without one.
 * G5  Whatever fails after G1 leaves the image running: it goes on from the epoch before, or, if that is gone (no save
 *     yet, or memory written in place), not at all. Never from a mix.
 * G6  Where the engine leaves no room for a flag, the program is loaded again in the form that counts; nothing has been
 *     attached to the first by then.
 */
import { closeSync } from "node:fs";
import { invariant, VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import type { MemoryBacking } from "../../pmem/memory-backing.js";
import { mapSharedWord } from "../../pmem/shared-word.js";
import { describeState, ProcessExit, Wasi, type WasiEnvironment, type WasiOptions } from "../wasi/index.js";
import type { Module } from "../wasm/module.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { type FailurePlan, plannedSafepoint } from "./failure-source.js";
import { describeFrames } from "./frame-inspection.js";
import { HostFunctionFailure, type HostFunctions } from "./host-functions.js";
import type { Committer } from "./image/commit.js";
import type { EpochReason, TrapRecord } from "./image/epoch-record.js";
import { Holdup } from "./image/holdup.js";
import { Image, type PointFacts } from "./image/image.js";
import type { ImageState, MachineState } from "./image/state-file.js";
import { checkImports, checkPlannedCall } from "./imports.js";
import { callOf, describeCall, entryOf, formatResults, sameCall } from "./invocation.js";
import { removeLogs } from "./log/files.js";
import type { OpenedLog } from "./log/opened-log.js";
import { Machine, type Outcome as MachineOutcome } from "./machine.js";
import type { HostFunction, HostResult, Injection, MachineHost } from "./machine-host.js";
import { ReplacementSchedule } from "./on-stack-replacement.js";
import { keptFilesOf, openFiles, removeUnusedFiles } from "./open-files.js";
import { type OpenedImage, openImage } from "./opened-image.js";
import { type Compile, compileOptimized } from "./optimizing-compiler.js";
import { pmemCalls, VERMILION_MODULE } from "./pmem-calls.js";
import { type PointCalls, pointCalls } from "./point-calls.js";
import { PointSchedule } from "./point-schedule.js";
import { frameCountOf, logNumberOf } from "./process-state.js";
import { Program } from "./program.js";
import type { CallOrder, Followed, LogOrder, Outcome, PrepareOrder, Report, Resumption, RunOrder } from "./protocol.js";
import { remoteCommitter } from "./remote-commit.js";
import { serializeError } from "./serialized-error.js";
import { decodeStacks, type EntryCall } from "./stacks.js";
import { SystemInterface } from "./system-interface.js";
import { trapFrames } from "./trap-frames.js";

const PAGE_BYTE_LENGTH = 65_536;
const MEMORY32_MAXIMUM_PAGES = 65_536;

/** The engine has no guard region behind memories, so that there is no room for the flag. */
const NO_FLAG = new Error("no room for the flag");
/** Of frames of which only the function is known. */
const NOWHERE = { stack: "entry", offset: null, source: null } as const;
const LONG_LOG = 2 ** 28;

/** A failure, or the end, came before anything on the disk was touched. */
export class StartCancelled extends Error {
  override readonly name = "StartCancelled";
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
  readonly #wakeDescriptor: number;
  readonly #hostFunctions: HostFunctions;
  readonly #points: PointSchedule;
  readonly #holdup: Holdup | undefined;
  readonly #tell: (report: Report) => void;
  readonly #hostCallsBefore: number;
  readonly #committer: Committer;
  /** The user knows that points fail at the moment. */
  #pointsFail = false;
  #logOrder: LogOrder | undefined;
  /** A log of more bytes asks for a persistence point. */
  #longLog = LONG_LOG;
  /** The number of the log that belongs to the state saved last; undefined: nothing was saved by this guest. */
  #savedLog: number | undefined;
  /** The same of a point whose commit is in flight. */
  #laterLog: number | undefined;
  /** The program has asked for a point, and it will have this number. */
  #guestPoint: bigint | undefined;
  /** Guest code has run in this machine, or may have. */
  #begun = false;

  /** Everything short of running. Whatever it opened is closed again if it throws. */
  constructor(
    order: PrepareOrder,
    control: ControlBlock,
    tell: (report: Report) => void,
    hostFunctions: HostFunctions,
    compile: Compile = compileOptimized,
  ) {
    const notice = (message: string) => tell({ kind: "notice", message });
    const told = new Set<string>();
    /** Each point looks at the same open files. */
    const warn = (message: string) => {
      if (!told.has(message)) notice(message);
      told.add(message);
    };
    const load = (bytes: Uint8Array, path: string, command: Command | undefined, flags = true): Program =>
      naming(path, () => {
        const program = interruptibly(control, () =>
          Program.load(bytes, {
            cacheDirectory: order.cacheDirectory,
            exact: order.exact,
            flags,
            onInstrument: (byteLength) => tell({ kind: "instrumenting", byteLength }),
          }),
        );
        checkImports(program.module, hostFunctions);
        if (command?.instance === false) entryOf(program.module, command); // throws
        if (command !== undefined) checkFirstMemory(program.module, command);
        return program;
      });
    const wasiOptions = (command: Command, image: string): WasiOptions => ({
      args: command.args,
      env: command.env,
      preopens: command.preopens,
      listen: command.listen,
      ...limitsOf(command),
      stdio: order.stdio,
      keepAliveDirectory: openFiles(image),
      onChangedFile: order.onChangedFile,
      warn,
    });
    const creating = (command: Command, image: string): void => {
      if (control.cancelled) throw new StartCancelled();
      // Tried before an older image makes room: a directory that cannot be opened must not cost it.
      Wasi.create(wasiOptions(command, image)).close();
    };
    this.#holdup = order.holdup && new Holdup(order.holdup);
    const opened: OpenedImage = openImage(order, { load, notice, creating, storage: this.#holdup?.wrap });
    this.#control = control;
    this.#hostFunctions = hostFunctions;
    this.#points = new PointSchedule(control);
    this.#tell = tell;
    this.#committer = remoteCommitter(control, (commit) => tell({ kind: "commit", commit }));
    this.#program = opened.program;
    this.#image = opened.image;
    this.#state = opened.state;
    this.#hostCallsBefore = opened.image.record?.hostCalls ?? 0;
    this.command = opened.command;
    this.#log = opened.log;
    const closers: (() => void)[] = [() => opened.log?.close(), () => this.#discardImage()];
    try {
      this.#wakeDescriptor = createWakeDescriptor();
      control.setWakeDescriptor(this.#wakeDescriptor); // stays open: the main thread may be about to write to it
      const options = wasiOptions(opened.command, opened.image.path);
      this.#system = new SystemInterface({
        ...{ options, image: opened.image.path, state: opened.state?.wasi, log: opened.log, notice },
        keptFiles: () => opened.image.keptFiles(),
        replaying: (calls, progress) => tell({ kind: "replaying", calls, progress }),
      });
      closers.push(() => this.#system.close());
      this.#machine = this.#createMachine(new ReplacementSchedule(compile), () =>
        load(opened.program.bytes, opened.command.module, opened.command, false),
      );
      this.#checkMemories();
      this.resumes = opened.state === undefined ? this.#fromBeginning() : this.#restore(opened.state);
      if (!opened.image.header.inPlace) opened.image.announce(order.persistOn);
    } catch (error) {
      for (const close of closers.reverse()) close();
      throw error;
    }
  }

  /** G6. */
  #createMachine(replacement: ReplacementSchedule, loadCounting: () => Program): Machine {
    try {
      return new Machine(this.#program, this.#machineHost(), replacement);
    } catch (error) {
      if (error !== NO_FLAG) throw error;
      this.#program = loadCounting();
      return new Machine(this.#program, this.#machineHost(), replacement);
    }
  }

  #restore(state: ImageState): Guest["resumes"] {
    this.#machine.restore(state.machine);
    if (!this.#machine.restoredIdle || this.#log?.beginning.call !== undefined) {
      const frames = frameCountOf(state, this.#image.path);
      return { epoch: this.#image.header.epoch, frames, loggedCalls: this.#log?.callCount ?? null };
    }
    if (this.command.instance) return undefined;
    throw this.#misfit("it has no stack to go on with");
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
      if (milliseconds !== undefined || hostCalls !== undefined) this.#checkPoints();
      checkPlannedCall(this.#program.module, order.plan);
      const entry = this.#nextCall(order.call);
      if (!this.#control.beginRunning()) return this.#cancelled();
      this.#beginLog(order);
      if (order.keep !== undefined) this.#image.keep = order.keep;
      this.#image.markRunning(); // G1
      this.#points.begin(order.persistEvery, this.#logOrder?.recoveryTarget);
      running();
      const outcome = this.#ended(this.#executeGuarded(entry, order));
      returned = outcome.kind === "returned";
      return outcome;
    } finally {
      if (returned) this.#control.endRunning();
      else this.discard();
    }
  }

  /**
   * G4. LOG_UNREPLAYABLE, IN_PLACE: a log that is asked for by name cannot be kept. DISK_FULL and others: nothing has changed.
   */
  #beginLog({ log, eintr, call }: RunOrder): void {
    this.#logOrder = log;
    const { path, header } = this.#image;
    if (this.#system.isReplaying) {
      this.#system.configure(log ?? { uncertain: "repeat", durability: "process" }, true);
      return;
    }
    const refusal = log && this.#logRefusal();
    if (refusal !== undefined && log?.required === true) throw refusal;
    if (log === undefined || refusal !== undefined) {
      if (refusal !== undefined) this.#tell({ kind: "notice", message: `no log: ${refusal.message}` });
      this.#logOrder = undefined;
      removeLogs(path);
      return;
    }
    this.#system.configure(log, false);
    const beginning = { callback: header.epoch > 0, eintr, call: this.command.instance ? call : undefined };
    this.#system.beginLog(this.#nextLog, header.epoch, beginning);
  }

  /** A log that was followed, in a run that shall have none: it is needed until the next persistence point. */
  get #logIsOver(): boolean {
    return this.#logOrder === undefined && this.#system.isRecording && !this.#pointsFail;
  }

  get #logWantsPoint(): boolean {
    return this.#system.logByteLength > this.#longLog || this.#logIsOver;
  }

  #logRefusal(): VermilionError | undefined {
    const { path, header } = this.#image;
    if (header.inPlace) {
      const reason = "its memory is written in place, so that there is no state for a log to go on from";
      return new VermilionError("IN_PLACE", `${path}: ${reason}; make it without --in-place`);
    }
    const unmarked = this.#hostFunctions.unreplayable(this.#program.module);
    if (unmarked === undefined) return undefined;
    return new VermilionError(
      "LOG_UNREPLAYABLE",
      `${path}: the host function ${unmarked} is not marked replayable, so a log cannot stand in for it; mark it ` +
        "(docs/host-functions.md), or run without a log (--no-log)",
    );
  }

  /** The number of the log that begins at the state that was saved last. */
  get #nextLog(): number {
    return this.#savedLog ?? logNumberOf(this.#state, this.#image.path);
  }

  /** What to call now; undefined: go on with what was under way. */
  #nextCall(call: CallOrder | undefined): EntryCall | undefined {
    const { module } = this.#program;
    const replayed = this.#begun ? undefined : this.#log?.beginning.call;
    if (replayed !== undefined) {
      const entry = callOf(module, replayed.name, replayed.args);
      if (call === undefined || sameCall(callOf(module, call.name, call.args), entry)) return entry;
      throw this.#otherCall(entry);
    }
    if (!this.command.instance) {
      if (call === undefined) return this.#state === undefined ? entryOf(module, this.command) : undefined;
      throw new VermilionError("NO_INSTANCE", `${this.#image.path}: this is a program of one run and takes no calls`);
    }
    const wanted = call && callOf(module, call.name, call.args);
    if (this.resumes === undefined || this.#begun) {
      if (wanted !== undefined) return wanted;
      throw new VermilionError(
        "CALL_NEEDED",
        `${this.#image.path}: this instance waits for a call; say which function`,
      );
    }
    if (wanted === undefined || sameCall(wanted, this.#machine.entry)) return undefined;
    throw this.#otherCall(this.#machine.entry);
  }

  #otherCall(entry: EntryCall): VermilionError {
    return new VermilionError(
      "CALL_UNFINISHED",
      `${this.#image.path}: the power failed during another call, ${describeCall(entry)}; ` +
        "end it first: call it again, or vermilion resume",
    );
  }

  /** Instead of a run: follows the log of the last one and tells where the program was. The image stays as it is. */
  follow(toCall: number | undefined): Followed {
    try {
      this.#system.follow(toCall);
      const entry = this.#nextCall(undefined);
      const outcome = this.#executeGuarded(entry, {
        ...{ call: undefined, plan: {}, persistEvery: {}, log: undefined, eintr: false },
      } as RunOrder);
      const { calls, ended, state } = this.#system.followed;
      const descriptors = describeState(state).map((one) => ({ ...one, offset: one.offset?.toString() ?? null }));
      const told = { calls, descriptors, next: this.#system.stoppedBefore ?? null, trap: null };
      if (outcome.kind === "trapped" && ended) {
        const { module, names } = this.#program;
        const frames = trapFrames(outcome.error, module.functionTypes.length).map(({ functionIndex }) => ({
          ...{ functionIndex, name: names.get(functionIndex) ?? null, ...NOWHERE },
        }));
        return { ...told, stopped: "trap", trap: outcome.error.message, frames };
      }
      if (outcome.kind === "suspended" && this.#system.stoppedBefore !== undefined) {
        const { tasks } = decodeStacks(outcome.state.stacks);
        const frames = describeFrames(this.#image.moduleBytes, tasks, this.#image.path);
        return { ...told, stopped: ended ? "end" : "call", frames };
      }
      if (outcome.kind !== "returned" || !ended) throw this.#diverged(outcome);
      return { ...told, stopped: "end", frames: [] };
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
    if (this.#isBehindLog()) return this.#endedInReplay(outcome);
    switch (outcome.kind) {
      case "returned": {
        const { results: values } = outcome;
        const called = this.command.instance || this.command.invoke !== null;
        const results = called ? formatResults(this.#program.module, this.#machine.entry.exportName, values) : [];
        if (this.command.instance) return this.#keep(values, results);
        this.#finish(0);
        return { kind: "exited", status: 0, results };
      }
      case "exited":
        this.#finish(outcome.status);
        return { kind: "exited", status: outcome.status, results: [] };
      case "trapped":
        this.#image.trap(this.#trapOf(outcome.error), this.#hostCalls);
        return { kind: "trapped", message: outcome.error.message };
      case "suspended":
        if (this.#control.killed)
          throw new VermilionError("PROCESS_CLOSED", `${this.#image.path}: the guest was killed`);
        return this.#save(outcome);
    }
  }

  #finish(status: number): void {
    this.#image.finish(status);
    removeLogs(this.#image.path);
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

  /** What the program does now it has done already, as its log says. */
  #isBehindLog(): boolean {
    return this.#system.isReplaying && !this.#system.endReplay();
  }

  #trapOf(error: Error): TrapRecord {
    return { message: error.message, frames: trapFrames(error, this.#program.module.functionTypes.length) };
  }

  /** G2. */
  #save({ state, frames }: Extract<MachineOutcome, { kind: "suspended" }>): Outcome {
    const startedAt = performance.now();
    this.#settleCommit(); // a point that was being made is older than the failure
    const { epoch } = this.#image.header;
    this.#holdup?.begin();
    this.#commit(state, frames, "failure");
    const saveMilliseconds = performance.now() - startedAt;
    const cut = this.#holdup?.cut;
    if (cut !== undefined) return { kind: "powerFailed", reason: "failure", epoch, frames, saveMilliseconds, cut };
    const { path, newPath } = this.#image;
    if (newPath !== undefined) {
      const next = `go on with it there (vermilion resume), or name it back: ${path} is not what was saved`;
      this.#tell({ kind: "notice", message: `${newPath}: the image was renamed while its program ran; ${next}` });
    }
    return { kind: "powerFailed", reason: "failure", epoch: this.#image.header.epoch, frames, saveMilliseconds };
  }

  /** An instance between two calls has no frames. */
  #keep(values: readonly (number | bigint)[], results: readonly string[]): Outcome {
    this.#commit(this.#machine.idleState(), 0, "return");
    return { kind: "returned", values, results, epoch: this.#image.header.epoch };
  }

  #commit(machine: MachineState, frames: number, why: EpochReason): void {
    this.#points.take(); // the outcome tells whoever waits
    this.#settleCommit();
    const wasi = this.#system.save();
    const log = this.#system.isRecording ? this.#system.logNumber + 1 : this.#nextLog;
    this.#image.commit({ machine, wasi, process: { frames, log } }, this.#facts(why, wasi));
    if (this.#holdup?.cut !== undefined) return; // the disk knows nothing of it, and needs what is there
    this.#savedLog = log;
    this.#removeUnusedFiles();
    removeLogs(this.#image.path);
  }

  #facts(why: EpochReason, wasi: unknown): PointFacts {
    return { why, hostCalls: this.#hostCalls, keptFiles: keptFilesOf(wasi) };
  }

  /** Since the program's beginning. */
  get #hostCalls(): number {
    return this.#hostCallsBefore + this.#points.hostCalls;
  }

  #removeUnusedFiles(): void {
    // Also what the calls since the point need, which the log tells of.
    removeUnusedFiles(this.#image.path, () => new Set([...this.#image.keptFiles(), ...this.#system.keptFiles()]));
  }

  /** G3. */
  #persist(machine: MachineState, frames: number): bigint | undefined {
    const asked = this.#guestPoint;
    this.#guestPoint = undefined;
    const waited = this.#points.isRequested;
    const why = asked === undefined ? this.#points.reason : "guest";
    const synchronous = asked !== undefined || this.#points.isSynchronous;
    const ticket = this.#points.take();
    try {
      this.#checkPoints();
      this.#settleCommit();
      if (synchronous) this.#persistNow(machine, frames, why);
      else this.#persistLater(machine, frames, why);
      this.#pointsFail = false;
      this.#longLog = LONG_LOG;
      if (waited) this.#tell({ kind: "persisted", ticket, epoch: this.#image.header.epoch });
      return asked;
    } catch (error) {
      if (!(error instanceof VermilionError) || this.#image.poisoned) throw error;
      if (waited) this.#tell({ kind: "notPersisted", ticket, error: serializeError(error) });
      if (!this.#pointsFail) this.#tell({ kind: "notice", message: `no persistence point: ${error.message}` });
      this.#pointsFail = true;
      this.#longLog = this.#system.logByteLength + LONG_LOG;
      return asked === undefined ? undefined : 0n;
    } finally {
      this.#points.done();
    }
  }

  #pointCalls(): Readonly<Record<string, HostFunction>> {
    const calls: PointCalls = {
      persist: () => {
        this.#settleCommit();
        this.#guestPoint = BigInt(this.#image.header.highestEpoch + 1);
        return this.#guestPoint;
      },
      epoch: () => BigInt(this.#image.header.epoch),
    };
    return pointCalls(calls, (label, call) => this.#system.hostFunction(label, call));
  }

  /** What was begun at the last point is done; the logs of before it are not needed any more. */
  #settleCommit(): void {
    this.#image.settleCommit();
    if (this.#laterLog === undefined) return;
    this.#pointMade(this.#laterLog);
    this.#laterLog = undefined;
  }

  #pointMade(log: number): void {
    this.#savedLog = log;
    this.#removeUnusedFiles();
    if (this.#logIsOver) this.#system.endLog();
    removeLogs(this.#image.path, this.#system.isRecording ? log : undefined);
  }

  #persistNow(machine: MachineState, frames: number, why: EpochReason): void {
    const wasi = this.#system.save();
    const log = this.#continuedLog();
    this.#image.persist({ machine, wasi, process: { frames, log } }, this.#facts(why, wasi));
    this.#pointMade(log);
  }

  /** The guest goes on while the point is made durable. */
  #persistLater(machine: MachineState, frames: number, why: EpochReason): void {
    const flushLater: number[] = [];
    try {
      const wasi = this.#system.save({ flushLater });
      const log = this.#continuedLog();
      const state = { machine, wasi, process: { frames, log } };
      this.#image.persistLater(state, this.#facts(why, wasi), flushLater, this.#committer);
      this.#laterLog = log;
    } catch (error) {
      for (const descriptor of flushLater) closeSync(descriptor);
      throw error;
    }
  }

  /** The number of the log that begins at the point that is being made. */
  #continuedLog(): number {
    return this.#system.isRecording ? this.#system.continueLog(this.#image.header.highestEpoch + 1) : this.#nextLog;
  }

  #checkPoints(): void {
    if (!this.#image.header.inPlace) return;
    throw new VermilionError(
      "IN_PLACE",
      `${this.#image.path}: its memory is written in place, so that no point of a run can be kept; make it without --in-place`,
    );
  }

  #cancelled(): Outcome {
    const { epoch, frames } = this.resumes ?? { epoch: 0, frames: 0 };
    return { kind: "powerFailed", reason: "failure", epoch, frames, saveMilliseconds: 0 };
  }

  #machineHost(): MachineHost {
    const logged = (label: string, call: () => HostResult) => this.#system.hostFunction(label, call);
    const given = this.#hostFunctions.boundTo(this.#program.module, logged);
    return {
      functions: {
        ...given,
        [VERMILION_MODULE]: { ...pmemCalls(), ...this.#pointCalls(), ...given[VERMILION_MODULE] },
        wasi_snapshot_preview1: this.#system.functions,
        wasi_unstable: this.#system.unstableFunctions,
      },
      unrestartable: new Set(Object.keys(given)),
      attachMemory: (index, memory) => this.#attachMemory(index, memory),
      growMemory: (index, byteLength) => this.#growMemory(index, byteLength),
      failurePending: () => this.#control.failurePending || this.#system.stoppedBefore !== undefined,
      lowerFlag: () => this.#control.lowerFlag(),
      points: {
        isDue: () => (this.#points.isDue() || this.#logWantsPoint) && !this.#isBehindLog(),
        isDueAtCall: () => (this.#points.isDueAtCall() || this.#logWantsPoint) && !this.#system.isReplaying,
        isDueAfterCall: () => this.#guestPoint !== undefined,
        persist: (state, frames) => this.#persist(state, frames),
      },
      exitStatus: (error) => (error instanceof ProcessExit ? error.status : undefined),
    };
  }

  #attachMemory(index: number, memory: WebAssembly.Memory): void {
    const { flag } = this.#program;
    if (index === 0 && flag !== undefined) {
      const descriptor = mapSharedWord(memory, flag.distance);
      if (descriptor === undefined) throw NO_FLAG;
      this.#control.setFlagDescriptor(descriptor); // stays open, as the wake descriptor does
    }
    const backing = this.#state === undefined ? this.#createMemory(memory) : this.#savedMemory(index, memory);
    const maximum = this.#program.module.memories[index]?.maximum ?? MEMORY32_MAXIMUM_PAGES;
    backing.attach(memory, Math.min(maximum, MEMORY32_MAXIMUM_PAGES) * PAGE_BYTE_LENGTH);
    if (index !== 0) return;
    this.#system.bind(this.#environment(memory, backing.address));
    this.#hostFunctions.attach(memory);
  }

  #createMemory(memory: WebAssembly.Memory): MemoryBacking {
    const { byteLength } = memory.buffer;
    const backing = this.#image.createMemory();
    if (!backing.grow(byteLength))
      throw backing.growthRefusal ?? new VermilionError("DISK_FULL", `${backing.path}: no room`);
    return backing;
  }

  #savedMemory(index: number, memory: WebAssembly.Memory): MemoryBacking {
    const backing = this.#image.memories[index];
    const missing = (backing?.byteLength ?? 0) - memory.buffer.byteLength;
    if (backing === undefined || missing < 0) throw this.#misfit(`memory ${index} is shorter than the module's`);
    try {
      if (missing > 0) memory.grow(missing / PAGE_BYTE_LENGTH);
    } catch (cause) {
      throw this.#misfit(`memory ${index} is longer than the module allows`, cause);
    }
    return backing;
  }

  #growMemory(index: number, byteLength: number): boolean {
    const backing = this.#image.memories[index];
    invariant(backing !== undefined, `memory ${index} has a backing`);
    const ask = () => !this.#exceedsLimit(byteLength - backing.byteLength) && backing.grow(byteLength);
    return this.#system.grow(index, byteLength, ask);
  }

  #exceedsLimit(moreBytes: number): boolean {
    const limit = this.command.maxMemoryByteLength;
    if (limit === null) return false;
    return this.#image.memories.reduce((sum, { byteLength }) => sum + byteLength, moreBytes) > limit;
  }

  #environment(memory: WebAssembly.Memory, memoryAddress: number): WasiEnvironment {
    return {
      memory,
      memoryAddress,
      failurePending: () => this.#control.failurePending || this.#points.isRequested,
      wakeDescriptor: this.#wakeDescriptor,
    };
  }

  #checkMemories(): void {
    const expected = this.#program.module.memories.length;
    if (this.#image.memories.length !== expected) {
      throw this.#misfit(`it has ${this.#image.memories.length} memories and the module ${expected}`);
    }
  }

  #misfit(reason: string, cause?: unknown): VermilionError {
    const next = "the image cannot be used: restore it from a copy, or start again with --fresh";
    return new VermilionError("IMAGE_DAMAGED", `${this.#image.path}: ${reason}; ${next}`, { cause });
  }
}

/** Something that takes long and calls nothing through the FFI: C6 in control-block.ts. */
function interruptibly<Result>(control: ControlBlock, action: () => Result): Result {
  let stopped: boolean;
  let result: Result;
  control.enterInterruptible();
  try {
    result = action();
  } finally {
    stopped = control.leaveInterruptible();
  }
  if (stopped) throw new StartCancelled();
  return result;
}

/** What is wrong with a module is said by layers that do not know its name. */
function naming<Result>(path: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof VermilionError)) throw error;
    throw new VermilionError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

function createWakeDescriptor(): number {
  const descriptor = libc().createEvent();
  if (descriptor >= 0) return descriptor;
  throw new VermilionError(
    "TOO_MANY_OPEN_FILES",
    `cannot create an event descriptor (errno ${-descriptor}); raise ulimit -n`,
  );
}

function limitsOf({ maximumDescriptors }: Command): { maximumDescriptors?: number } {
  return maximumDescriptors === null ? {} : { maximumDescriptors };
}

function injectionOf(plan: FailurePlan, epoch: number): Injection {
  const atSafepoint = plannedSafepoint(plan, epoch);
  return {
    ...(atSafepoint === undefined ? {} : { atSafepoint }),
    ...(plan.atCall === undefined ? {} : { atCall: plan.atCall }),
  };
}

/** MEMORY_LIMIT, while nothing has been touched. */
function checkFirstMemory({ memories }: Module, { maxMemoryByteLength: limit }: Command): void {
  const byteLength = memories.reduce((sum, { minimum }) => sum + minimum, 0) * PAGE_BYTE_LENGTH;
  if (limit === null || byteLength <= limit) return;
  throw new VermilionError(
    "MEMORY_LIMIT",
    `the module begins with ${byteLength} bytes of memory, more than max-memory-size=${limit} allows; raise it`,
  );
}
