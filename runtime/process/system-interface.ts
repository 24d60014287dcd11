/**
 * The system interface of one process, with or without a log of its calls.
 *
 *     live: the guest's calls are made                                     live, recording: and appended to the log
 *     replaying: they are answered from the log  --the log ends-->  live, recording
 *
 * Y1  While it replays, nothing of the system is touched: no descriptor of the guest is open. At the end of the log they are
 *     opened once, as the log has left them.
 * Y2  The record of a call is appended before the guest goes on (R1 in log/recorder.ts), so a log that exists is complete but
 *     for one call, and can be followed. A run without a log has none in its image (Guest.run).
 */
import { invariant } from "../../pmem/error.js";
import type { Fill } from "../../pmem/mapped-log.js";
import {
  GuestMemory,
  parseState,
  type SaveOptions,
  Wasi,
  type WasiEnvironment,
  type WasiOptions,
} from "../wasi/index.js";
import { ImportCells } from "./import-cells.js";
import { Arrival } from "./log/arrival.js";
import { type Arguments, type ProcessSizes, type SystemCall, type SystemCalls, shapeOf, sizesOf } from "./log/calls.js";
import { DescriptorModel } from "./log/descriptor-model.js";
import { Kind } from "./log/format.js";
import { decodeResults, encodeResults } from "./log/host-results.js";
import type { Beginning, OpenedLog } from "./log/opened-log.js";
import type { Recorder } from "./log/recorder.js";
import { type Recorded, Recording } from "./log/recording.js";
import { reopen } from "./log/reopening.js";
import { Replay, type ReportReplay } from "./log/replay.js";
import type { LogKeeper } from "./log/run-log.js";
import type { HostResult } from "./machine-host.js";
import type { Durability, Uncertain } from "./persistence-policy.js";

export interface LogSettings {
  readonly uncertain: Uncertain;
  readonly durability: Durability;
}

export interface SystemInterfaceParts {
  readonly options: WasiOptions;
  readonly image: string;
  /** The saved state; undefined: a clean start. */
  readonly state: unknown;
  /** What to answer the guest's calls from, to begin with. */
  readonly log: OpenedLog | undefined;
  readonly notice: (message: string) => void;
  /** Files in the directory of kept files that saved states need. */
  readonly keptFiles: () => ReadonlySet<string>;
  /** For the log's pages. */
  readonly fill?: Fill;
  readonly keeper?: LogKeeper;
  readonly replaying: ReportReplay;
}

export class SystemInterface {
  /** Begun and ended here only, since the guest's calls have to go through it or past it. */
  readonly recording: Recording;
  readonly #parts: SystemInterfaceParts;
  readonly #sizes: ProcessSizes;
  readonly #cells = new ImportCells();
  #settings: LogSettings = { uncertain: "repeat", durability: "process" };
  #wasi: Wasi | undefined;
  #environment: WasiEnvironment | undefined;
  #memory: GuestMemory | undefined;
  #replay: Replay | undefined;
  /** The program wants to be told that the power failed, at its next call. */
  #toTell = false;

  /** What Wasi.create and Wasi.restore throw. */
  constructor(parts: SystemInterfaceParts) {
    this.#parts = parts;
    this.#sizes = sizesOf(parts.options);
    this.recording = new Recording(parts.image, parts);
    const { log, state, options, replaying } = parts;
    if (log === undefined) {
      this.#wasi = state === undefined ? Wasi.create(options) : Wasi.restore(options, state);
      this.#cells.install(this.#wasi.functions, this.#wasi.unstableFunctions);
      return;
    }
    const model = new DescriptorModel(parseState(state ?? log.beginning.wasi));
    this.#replay = new Replay(log, model, this.#sizes, replaying);
    this.#cells.installEach((name, unstable, through) => this.#replaying(name, unstable, through));
  }

  /** What the guest imports. */
  get functions(): SystemCalls {
    return this.#cells.functions;
  }

  get unstableFunctions(): SystemCalls {
    return this.#cells.unstableFunctions;
  }

  /** Before the guest runs. */
  bind(environment: WasiEnvironment): void {
    this.#environment = environment;
    this.#memory = new GuestMemory(environment.memory, environment.memoryAddress);
    this.#wasi?.bind(environment);
  }

  /** The calls that are made come from a log: nothing can be saved, and nothing need be. */
  get isReplaying(): boolean {
    return this.#replay !== undefined;
  }

  /**
   * Between two calls: whether the program has done what it does now, as its log says. Where the log has ended, with no call
   * under way in it, everything is as the log has left it, and live from here on. A program that computes for long, or ends,
   * without another call so does not replay for ever.
   */
  isBehindLog(): boolean {
    if (this.#replay === undefined) return false;
    if (!this.#replay.hasArrived) return true;
    this.#arrive(undefined);
    return false;
  }

  /** From here on the log is only followed: up to a number of calls, or to its end. */
  follow(toCall: number | undefined): void {
    this.#replay?.follow(toCall);
  }

  /** Following the log has ended in front of this host call; undefined: not yet. */
  get stoppedBefore(): string | undefined {
    return this.#replay?.stoppedBefore;
  }

  /** How far the log has been followed, and what it says of the system interface there. */
  get followed(): Replay["followed"] {
    invariant(this.#replay !== undefined, "a log is followed to its end only");
    return this.#replay.followed;
  }

  /** How the run is logged that begins now, or that a log is replayed for. `tell`: of the power failure, when it is over. */
  configure(settings: LogSettings, tell: boolean): void {
    this.#settings = settings;
    this.recording.durability = settings.durability;
    this.#toTell = tell && this.isReplaying;
  }

  /** From here on the calls are recorded, in a new log. */
  beginLog(number: number, epoch: number, beginning: Beginning): void {
    const wasi = this.#live();
    const state = parseState(wasi.save({ flush: false }));
    const first: Beginning = this.#parts.state === undefined ? { ...beginning, wasi: state } : beginning;
    this.#install(this.recording.begin(number, epoch, first, this.#recorded(new DescriptorModel(state))));
  }

  /** From here on nothing is recorded. A state that was saved since the last call says what comes next. */
  endLog(): void {
    const wasi = this.#live();
    this.#cells.install(wasi.functions, wasi.unstableFunctions);
    this.recording.end();
  }

  /** What Wasi.save saves. */
  save(options: SaveOptions = {}): unknown {
    const wasi = this.#live();
    const state = wasi.save(options);
    this.recording.stateSaved(state, wasi.observer);
    return state;
  }

  /** A function of the embedder's: its results come from the log, or go there. */
  hostFunction(label: string, call: () => HostResult): HostResult {
    if (this.#replay !== undefined) {
      const text = this.#replay.hostFunction(label);
      if (text !== undefined) return decodeResults(text, this.#parts.image);
      this.#arrive(undefined);
    }
    const results = call();
    this.recording.recorder?.writer.text(Kind.HOST_FUNCTION, 0, JSON.stringify([label, encodeResults(results)]));
    return results;
  }

  /** Whether a memory may grow; `ask` asks the host. */
  grow(memory: number, byteLength: number, ask: () => boolean): boolean {
    if (this.#replay !== undefined) {
      const logged = this.#replay.grow(memory, byteLength, ask);
      if (logged !== undefined) return logged;
      this.#arrive(undefined);
    }
    const allowed = ask();
    this.recording.recorder?.grow(memory, byteLength, allowed);
    return allowed;
  }

  /** What a call that a failure had interrupted returns instead of being made again. */
  interruptedResult(name: string, args: Arguments): number {
    const result = this.#replay?.interrupted(name, args, this.#memoryOf());
    if (result !== undefined) return result;
    const own = this.#live().interruptedResult(name, args);
    this.recording.recorder?.interrupted(name, args, own);
    return own;
  }

  close(): void {
    this.#wasi?.close();
    this.#parts.log?.close();
    this.recording.end();
  }

  #live(): Wasi {
    invariant(this.#wasi !== undefined, "the system interface is used only when no log is replayed");
    return this.#wasi;
  }

  /** A program without a memory makes no call that needs one. */
  #memoryOf(): GuestMemory {
    this.#memory ??= new GuestMemory(new WebAssembly.Memory({ initial: 0 }), 0);
    return this.#memory;
  }

  /** Live from here on; the model has what the calls until here have left. */
  #recorded(model: DescriptorModel): Recorded {
    return { model, observer: this.#live().observer, memory: this.#memoryOf(), sizes: this.#sizes };
  }

  #install(recorder: Recorder): void {
    const { functions, unstableFunctions } = this.#live();
    this.#cells.install(recorder.wrap(functions, false), recorder.wrap(unstableFunctions, true));
  }

  #replaying(name: string, unstable: boolean, through: SystemCall): SystemCall {
    const shape = shapeOf(name, unstable);
    return (...args) => {
      const replay = this.#replay;
      if (replay === undefined) return through(...args);
      const result = replay.call(name, shape, args, this.#memoryOf());
      if (result !== undefined) return result;
      const arrival = this.#arrive(args);
      const wasi = this.#live();
      const live = (unstable ? wasi.unstableFunctions : wasi.functions)[name] as SystemCall;
      const made = arrival.make(name, unstable, args, live, through);
      if (this.#toTell) {
        this.#toTell = false;
        this.#cells.tellNext(() => this.recording.recorder?.writer.text(Kind.CALLBACK, 0)); // the call behind it is then made
      }
      return made;
    };
  }

  /** Y1: the end of the log. `args`: of the call that comes now, if it is one of the system's. */
  #arrive(args: Arguments | undefined): Arrival {
    const replay = this.#replay;
    invariant(replay !== undefined, "there is a log to arrive from");
    const { image, notice } = this.#parts;
    const { log, model, shortfall } = replay;
    const end = replay.openEnd();
    const { wasi, intent } = reopen(end, args, model, { ...this.#parts, environment: this.#environment });
    this.#wasi = wasi;
    if (this.#environment !== undefined) wasi.bind(this.#environment);
    if (shortfall !== undefined) notice(shortfall);
    this.#replay = undefined;
    const recorder = this.recording.goOn(log.current, this.#recorded(model));
    this.#install(recorder);
    const { uncertain } = this.#settings;
    const parts = { path: image, observer: wasi.observer, memory: this.#memoryOf(), recorder, uncertain, notice };
    return new Arrival(end, intent, parts);
  }
}
