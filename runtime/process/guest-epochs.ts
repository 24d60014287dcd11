/**
 * The epochs that a running guest leaves in its image, and the logs between them.
 *
 * E1  A save is, in this order: frames spilled (machine), open files flushed and described (wasi), image committed. Each
 *     step only adds what nothing names yet; the commit's last write is the persistence point.
 * E2  A persistence point is the same while the guest stands still, but for the image, which stays "running", of the new
 *     epoch. One that fails leaves the guest as it was, and the epoch before in place.
 * E3  A log begins, or one that does not belong to this run is removed, before the image is marked running; and the log of
 *     an epoch is there before the epoch. So a killed process without a log ran without one.
 */
import { closeSync } from "node:fs";
import { VermilionError } from "../../pmem/error.js";
import type { Committer } from "./image/commit.js";
import type { EpochReason, TrapRecord } from "./image/epoch-record.js";
import type { PointFacts } from "./image/epoch-writing.js";
import type { Holdup } from "./image/holdup.js";
import type { Image } from "./image/image.js";
import type { MachineState } from "./image/state-file.js";
import { keptFilesOf, removeUnusedFiles } from "./kept-files.js";
import { logName, removeLogs, removeLogsBetween } from "./log/files.js";
import type { HostFunction } from "./machine-host.js";
import type { LogOrder, PersistencePolicy } from "./persistence-policy.js";
import { type PointCalls, pointCalls } from "./point-calls.js";
import type { PointSchedule } from "./point-schedule.js";
import type { CallOrder, Outcome, Report } from "./protocol.js";
import { serializeError } from "./serialized-error.js";
import type { SystemInterface } from "./system-interface.js";

const LONG_LOG = 2 ** 28;

interface Parts {
  readonly image: Image;
  readonly system: SystemInterface;
  readonly points: PointSchedule;
  readonly holdup: Holdup | undefined;
  readonly committer: Committer;
  readonly tell: (report: Report) => void;
  /** The number of the log that goes with the state that the guest goes on from. */
  readonly firstLog: number;
  /** How the run before was kept. */
  readonly policy: PersistencePolicy;
}

/** What a log says first. */
interface RunBeginning {
  readonly policy: PersistencePolicy;
  readonly eintr: boolean;
  /** Of an instance. */
  readonly call: CallOrder | undefined;
}

export class GuestEpochs {
  readonly #image: Image;
  readonly #system: SystemInterface;
  readonly #points: PointSchedule;
  readonly #holdup: Holdup | undefined;
  readonly #committer: Committer;
  readonly #tell: (report: Report) => void;
  readonly #firstLog: number;
  readonly #hostCallsBefore: number;
  /** The user knows that points fail at the moment. */
  #pointsFail = false;
  #policy: PersistencePolicy;
  #logOrder: LogOrder | undefined;
  /** A log of more bytes asks for a persistence point. */
  #longLog = LONG_LOG;
  /** The number of the log that belongs to the state saved last; undefined: nothing was saved by this guest. */
  #savedLog: number | undefined;
  /** The same of a point whose commit is in flight. */
  #laterLog: number | undefined;
  /** There are no logs before that number; undefined: nobody has looked. */
  #logsFrom: number | undefined;
  /** The program has asked for a point, and it will have this number. */
  #guestPoint: bigint | undefined;

  constructor({ image, system, points, holdup, committer, tell, firstLog, policy }: Parts) {
    this.#image = image;
    this.#system = system;
    this.#points = points;
    this.#holdup = holdup;
    this.#committer = committer;
    this.#tell = tell;
    this.#firstLog = firstLog;
    this.#policy = policy;
    this.#hostCallsBefore = image.record?.hostCalls ?? 0;
  }

  get guestAsks(): boolean {
    return this.#guestPoint !== undefined;
  }

  /** How this run is kept, which each state says; before it begins, how the one before was. */
  get policy(): PersistencePolicy {
    return this.#policy;
  }

  get recoveryTarget(): number | undefined {
    return this.#logOrder?.recoveryTarget;
  }

  /** IN_PLACE. */
  checkPoints(): void {
    if (!this.#image.header.inPlace) return;
    throw new VermilionError(
      "IN_PLACE",
      `${this.#image.path}: its memory is written in place, so that no point of a run can be kept; make it without --in-place`,
    );
  }

  /**
   * E3. `unreplayable`: a function of the host that a log cannot stand in for. LOG_UNREPLAYABLE, IN_PLACE: a log that is
   * asked for by name cannot be kept. DISK_FULL and others: nothing has changed.
   */
  beginLog({ policy, eintr, call }: RunBeginning, unreplayable: string | undefined): void {
    const { log } = policy;
    this.#policy = policy;
    this.#logOrder = log;
    const { header } = this.#image;
    if (this.#system.isReplaying) {
      this.#system.configure(log ?? { uncertain: "repeat", durability: "process" }, true);
      this.#removeLogs(this.#firstLog);
      return;
    }
    const refusal = log && this.#logRefusal(unreplayable);
    if (refusal !== undefined && log?.required === true) throw refusal;
    if (log === undefined || refusal !== undefined) {
      if (refusal !== undefined) this.#tell({ kind: "notice", message: `no log: ${refusal.message}` });
      this.#logOrder = undefined;
      this.#removeLogs();
      return;
    }
    this.#system.configure(log, false);
    const beginning = { callback: header.epoch > 0, eintr, call, policy };
    this.#system.beginLog(this.#nextLog, header.epoch, beginning);
    this.#removeLogs(this.#nextLog);
  }

  /**
   * Those before log `end`; without it, all. With many epochs the directory is long, so it is looked at only once, for what others
   * have left.
   */
  #removeLogs(end?: number): void {
    const { path } = this.#image;
    if (this.#logsFrom === undefined) removeLogs(path, end);
    else removeLogsBetween(path, this.#logsFrom, end ?? Math.max(this.#nextLog, this.#system.recording.number) + 1);
    this.#logsFrom = end ?? this.#nextLog;
  }

  /** A log that was followed, in a run that shall have none: it is needed until the next persistence point. */
  get #logIsOver(): boolean {
    return this.#logOrder === undefined && this.#system.recording.isOn && !this.#pointsFail;
  }

  get logWantsPoint(): boolean {
    return this.#system.recording.byteLength > this.#longLog || this.#logIsOver;
  }

  #logRefusal(unreplayable: string | undefined): VermilionError | undefined {
    const { path, header } = this.#image;
    if (header.inPlace) {
      const reason = "its memory is written in place, so that there is no state for a log to go on from";
      return new VermilionError("IN_PLACE", `${path}: ${reason}; make it without --in-place`);
    }
    if (unreplayable === undefined) return undefined;
    return new VermilionError(
      "LOG_UNREPLAYABLE",
      `${path}: the host function ${unreplayable} is not marked replayable, so a log cannot stand in for it; mark it ` +
        "(docs/host-functions.md), or run without a log (--no-log)",
    );
  }

  /** The number of the log that begins at the state that was saved last. */
  get #nextLog(): number {
    return this.#savedLog ?? this.#firstLog;
  }

  /** E1. For the last time: the power fails. */
  save(machine: MachineState, frames: number): Outcome {
    const startedAt = performance.now();
    this.#settleCommit(); // a point that was being made is older than the failure
    const { epoch } = this.#image.header;
    this.#holdup?.begin();
    this.commit(machine, frames, "failure");
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

  /** E1. */
  commit(machine: MachineState, frames: number, why: EpochReason): void {
    this.#points.take(); // the outcome tells whoever waits
    this.#settleCommit();
    const wasi = this.#system.save();
    const log = this.#system.recording.isOn ? this.#system.recording.number + 1 : this.#nextLog;
    this.#image.commit({ machine, wasi, process: this.#process(frames, log) }, this.#facts(why, wasi));
    if (this.#holdup?.cut !== undefined) return; // the disk knows nothing of it, and needs what is there
    this.#savedLog = log;
    this.#removeUnusedFiles();
    this.#removeLogs();
  }

  /** As process-state.ts reads it. */
  #process(frames: number, log: number): unknown {
    return { frames, log, policy: this.#policy };
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
    const { recording } = this.#system;
    removeUnusedFiles(this.#image.path, () => new Set([...this.#image.keptFiles(), ...recording.keptFiles()]));
  }

  /** E2. What the guest is told that asked for it: the epoch, 0 for none. */
  persist(machine: MachineState, frames: number): bigint | undefined {
    const asked = this.#guestPoint;
    this.#guestPoint = undefined;
    const waited = this.#points.isRequested;
    const why = asked === undefined ? this.#points.reason : "guest";
    const synchronous = asked !== undefined || this.#points.isSynchronous;
    const ticket = this.#points.take();
    try {
      this.checkPoints();
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
      this.#longLog = this.#system.recording.byteLength + LONG_LOG;
      return asked === undefined ? undefined : 0n;
    } finally {
      this.#system.recording.tidy();
      this.#points.done();
    }
  }

  /** What a program may call to have a point. */
  get calls(): Readonly<Record<string, HostFunction>> {
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
    this.#removeLogs(this.#system.recording.isOn ? log : undefined);
  }

  #persistNow(machine: MachineState, frames: number, why: EpochReason): void {
    const wasi = this.#system.save();
    const log = this.#continuedLog();
    this.#image.persist({ machine, wasi, process: this.#process(frames, log) }, this.#facts(why, wasi));
    this.#pointMade(log);
  }

  /** The guest goes on while the point is made durable. */
  #persistLater(machine: MachineState, frames: number, why: EpochReason): void {
    const flushLater: number[] = [];
    try {
      const wasi = this.#system.save({ flushLater });
      const log = this.#continuedLog();
      const state = { machine, wasi, process: this.#process(frames, log) };
      const first = this.#logsFrom ?? log;
      const remove = Array.from({ length: log - first }, (_, index) => logName(first + index));
      this.#image.persistLater(state, this.#facts(why, wasi), { guestFiles: flushLater, remove }, this.#committer);
      this.#laterLog = log;
      this.#logsFrom = log; // the commit removes those before
    } catch (error) {
      for (const descriptor of flushLater) closeSync(descriptor);
      throw error;
    }
  }

  /** The number of the log that begins at the point that is being made. */
  #continuedLog(): number {
    const { recording } = this.#system;
    return recording.isOn ? recording.next(this.#image.header.highestEpoch + 1) : this.#nextLog;
  }

  finish(status: number): void {
    this.#image.finish(status);
    removeLogs(this.#image.path);
  }

  trap(record: TrapRecord): void {
    this.#image.trap(record, this.#hostCalls);
  }
}
