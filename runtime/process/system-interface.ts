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
import { invariant, VermilionError } from "../../pmem/error.js";
import type { Fill } from "../../pmem/mapped-log.js";
import {
  GuestMemory,
  type Observer,
  parseState,
  type SavedDescriptor,
  type SavedState,
  type SaveOptions,
  WASI_STATE_VERSION,
  Wasi,
  type WasiEnvironment,
  type WasiOptions,
} from "../wasi/index.js";
import { ImportCells } from "./import-cells.js";
import { Arrival, happened } from "./log/arrival.js";
import { type ProcessSizes, type SystemCall, type SystemCalls, shapeOf, sizesOf } from "./log/calls.js";
import { DescriptorModel } from "./log/descriptor-model.js";
import { bootId } from "./log/files.js";
import { Kind } from "./log/format.js";
import { decodeResults, encodeResults } from "./log/host-results.js";
import type { Beginning, OpenedLog } from "./log/opened-log.js";
import { Recorder } from "./log/recorder.js";
import { Replayer } from "./log/replayer.js";
import { type LogKeeper, RunLog } from "./log/run-log.js";
import type { LogWriter } from "./log/writer.js";
import { type HostResult, RESTART, TELL } from "./machine-host.js";
import { keptFilesOf, removeUnusedFiles } from "./open-files.js";
import type { Durability, Uncertain } from "./protocol.js";

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
  /** Files in the keep-alive directory that saved states need. */
  readonly keptFiles: () => ReadonlySet<string>;
  /** For the log's pages. */
  readonly fill?: Fill;
  readonly keeper?: LogKeeper;
  /** Asked now and then during a replay; `progress` is from 0 to 1. */
  readonly replaying: (calls: number, progress: number) => void;
}

/** Calls between two reports of a replay's progress. */
const REPORT_CALLS = 1024;

export class SystemInterface {
  readonly #parts: SystemInterfaceParts;
  readonly #sizes: ProcessSizes;
  readonly #cells = new ImportCells();
  readonly #log: RunLog;
  #settings: LogSettings = { uncertain: "repeat", durability: "process" };
  #wasi: Wasi | undefined;
  #environment: WasiEnvironment | undefined;
  #memory: GuestMemory | undefined;
  #replayer: Replayer | undefined;
  #recorder: Recorder | undefined;
  /** Calls after which following ends; undefined: the log leads on to a live process. */
  #followTo: number | undefined;
  #stoppedBefore: string | undefined;
  /** Descriptors whose files lie elsewhere since they were saved. */
  #moved: readonly SavedDescriptor[] = [];
  /** The program wants to be told that the power failed, at its next call. */
  #toTell = false;

  /** What Wasi.create and Wasi.restore throw. */
  constructor(parts: SystemInterfaceParts) {
    this.#parts = parts;
    this.#sizes = sizesOf(parts.options);
    this.#log = new RunLog(parts.image, parts);
    const { log, state, options } = parts;
    if (log === undefined) {
      this.#wasi = state === undefined ? Wasi.create(options) : Wasi.restore(options, state);
      this.#cells.install(this.#wasi.functions, this.#wasi.unstableFunctions);
      return;
    }
    this.#replayer = new Replayer(log, new DescriptorModel(parseState(state ?? log.beginning.wasi)), this.#sizes);
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
    return this.#replayer !== undefined;
  }

  /** Whether the calls are appended to a log. */
  get isRecording(): boolean {
    return this.#recorder !== undefined && !this.#recorder.writer.isBroken;
  }

  /** Of the log that is being written. */
  get logNumber(): number {
    return this.#log.number;
  }

  /**
   * Between two calls: whether the program has done what it does now, as its log says. Where the log has ended, with no call
   * under way in it, everything is as the log has left it, and live from here on. A program that computes for long, or ends,
   * without another call so does not replay for ever.
   */
  isBehindLog(): boolean {
    const replayer = this.#replayer;
    if (replayer === undefined) return false;
    if (!replayer.ended || this.#followTo !== undefined) return true;
    const { intent, append, begun } = replayer.openEnd();
    if (intent !== undefined || append !== undefined || begun !== undefined) return true;
    this.#arrive(undefined);
    return false;
  }

  /** From here on the log is only followed: up to a number of calls, or to its end. */
  follow(toCall: number | undefined): void {
    this.#followTo = toCall ?? Number.POSITIVE_INFINITY;
  }

  /** Following the log has ended in front of this host call; undefined: not yet. */
  get stoppedBefore(): string | undefined {
    return this.#stoppedBefore;
  }

  /** How far the log has been followed, and what it says of the system interface there. */
  get followed(): { readonly calls: number; readonly ended: boolean; readonly state: SavedState } {
    const replayer = this.#replayer;
    invariant(replayer !== undefined, "a log is followed to its end only");
    const { calls, ended, model } = replayer;
    return { calls, ended, state: model.state(WASI_STATE_VERSION) };
  }

  /** Files in the keep-alive directory that the guest has open, as far as the log tells. */
  keptFiles(): readonly string[] {
    return this.#recorder?.keptFiles() ?? [];
  }

  /** Bytes in the log so far. */
  get logByteLength(): number {
    return this.#recorder?.writer.byteLength ?? 0;
  }

  /** How the run is logged that begins now, or that a log is replayed for. `tell`: of the power failure, when it is over. */
  configure(settings: LogSettings, tell: boolean): void {
    this.#settings = settings;
    this.#log.durability = settings.durability;
    this.#toTell = tell && this.isReplaying;
  }

  /** From here on the calls are recorded, in a new log. */
  beginLog(number: number, epoch: number, beginning: Beginning): void {
    const wasi = this.#live();
    const state = parseState(wasi.save({ flush: false }));
    const first: Beginning = this.#parts.state === undefined ? { ...beginning, wasi: state } : beginning;
    this.#record(this.#log.begin(number, epoch, first), new DescriptorModel(state));
  }

  /**
   * At a persistence point, before it is made: the calls from here on belong to the next log, whose number the state must
   * name. The log until here says so, so that whoever goes on from the epoch before follows both.
   */
  continueLog(epoch: number): number {
    const recorder = this.#recorder;
    if (recorder === undefined) return this.#log.number;
    const before = recorder.writer;
    recorder.writer = this.#log.next(epoch);
    if (this.#moved.length > 0) recorder.descriptors(this.#moved);
    this.#log.leave(before);
    return this.#log.number;
  }

  /** Behind a persistence point: what the log before took is let go. */
  tidyLog(): void {
    this.#log.tidy();
  }

  /** From here on nothing is recorded. A state that was saved since the last call says what comes next. */
  endLog(): void {
    const wasi = this.#live();
    this.#cells.install(wasi.functions, wasi.unstableFunctions);
    this.#recorder = undefined;
    this.#log.end();
  }

  /** What Wasi.save saves. */
  save(options: SaveOptions = {}): unknown {
    const wasi = this.#live();
    const state = wasi.save(options);
    if (this.#recorder !== undefined) this.#moved = movedFiles(parseState(state), wasi.observer);
    return state;
  }

  /** A function of the embedder's: its results come from the log, or go there. */
  hostFunction(label: string, call: () => HostResult): HostResult {
    const replayer = this.#replayer;
    if (replayer !== undefined) {
      const text = replayer.hostFunction(label);
      if (text === undefined && this.#followTo !== undefined) {
        throw new VermilionError(
          "LOG_ENDED",
          `${this.#parts.image}: the log ends at a call of ${label}, after all host calls`,
        );
      }
      if (text !== undefined) return decodeResults(text, this.#parts.image);
      this.#arrive(undefined);
    }
    const results = call();
    this.#recorder?.writer.text(Kind.HOST_FUNCTION, 0, JSON.stringify([label, encodeResults(results)]));
    return results;
  }

  /** Whether a memory may grow; `ask` asks the host. */
  grow(memory: number, byteLength: number, ask: () => boolean): boolean {
    const replayer = this.#replayer;
    if (replayer !== undefined) {
      const logged = replayer.grow(memory, byteLength);
      if (logged === false) return false;
      if (logged === undefined && this.#followTo !== undefined) return ask();
      if (logged === true) {
        if (ask()) return true;
        throw new VermilionError(
          "OUT_OF_MEMORY",
          `${this.#parts.image}: its memory had ${byteLength} bytes and cannot have them now; make room and resume again`,
        );
      }
      this.#arrive(undefined);
    }
    const allowed = ask();
    this.#recorder?.grow(memory, byteLength, allowed);
    return allowed;
  }

  /** What a call that a failure had interrupted returns instead of being made again. */
  interruptedResult(name: string, args: readonly (number | bigint)[]): number {
    const result = this.#replayer?.interrupted(name, args, this.#memoryOf());
    if (result !== undefined) return result;
    const own = this.#live().interruptedResult(name, args);
    this.#recorder?.interrupted(name, args, own);
    return own;
  }

  close(): void {
    this.#wasi?.close();
    this.#parts.log?.close();
    this.#log.end();
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

  #record(writer: LogWriter, model: DescriptorModel): void {
    const wasi = this.#live();
    this.#recorder = new Recorder(writer, {
      model,
      observer: wasi.observer,
      memory: this.#memoryOf(),
      sizes: this.#sizes,
      flushBeforeOutput: this.#settings.durability === "system",
    });
    this.#cells.install(this.#recorder.wrap(wasi.functions, false), this.#recorder.wrap(wasi.unstableFunctions, true));
  }

  #replaying(name: string, unstable: boolean, through: SystemCall): SystemCall {
    const shape = shapeOf(name, unstable);
    return (...args) => {
      const replayer = this.#replayer;
      if (replayer === undefined) return through(...args);
      if (this.#followTo !== undefined && (replayer.calls >= this.#followTo || replayer.ended)) {
        this.#stoppedBefore = name;
        return RESTART;
      }
      if (replayer.takeCallback()) return TELL;
      const result = replayer.call(name, shape, args, this.#memoryOf());
      if (result !== undefined) {
        if (replayer.calls % REPORT_CALLS === 0) this.#parts.replaying(replayer.calls, replayer.progress);
        return result;
      }
      const arrival = this.#arrive(args);
      const wasi = this.#live();
      const live = (unstable ? wasi.unstableFunctions : wasi.functions)[name] as SystemCall;
      const made = arrival.make(name, unstable, args, live, through);
      if (this.#toTell) {
        this.#toTell = false;
        this.#cells.tellNext(() => this.#recorder?.writer.text(Kind.CALLBACK, 0)); // the call behind it is then made
      }
      return made;
    };
  }

  /** Y1: the end of the log. `args`: of the call that comes now, if it is one of the system's. */
  #arrive(args: readonly (number | bigint)[] | undefined): Arrival {
    const { image, options, notice, log } = this.#parts;
    const replayer = this.#replayer;
    invariant(replayer !== undefined && log !== undefined, "there is a log to arrive from");
    const { model } = replayer;
    const end = replayer.openEnd();
    const before = { state: model.state(WASI_STATE_VERSION), options, environment: this.#environment };
    const intent = args === undefined ? undefined : happened(end, args, before);
    if (intent?.after !== undefined) model.change(JSON.stringify(intent.after), image);
    const state = model.state(WASI_STATE_VERSION);
    removeUnusedFiles(image, () => new Set([...this.#parts.keptFiles(), ...keptFilesOf(state)]));
    const wasi = Wasi.restore({ ...options, inputGoesBack: true }, state);
    this.#wasi = wasi;
    if (this.#environment !== undefined) wasi.bind(this.#environment);
    if (replayer.isBroken) {
      notice(
        `${image}: the disk was full, so the log of its host calls is not complete: what came later may come again`,
      );
    } else if (log.header.boot !== bootId()) {
      notice(`${image}: the machine was started anew since: the log may lack its last calls, and they may come again`);
    }
    this.#replayer = undefined;
    this.#record(this.#log.goOn(log.current), model);
    const recorder = this.#recorder;
    invariant(recorder !== undefined, "the calls are recorded from here on");
    const { uncertain } = this.#settings;
    const parts = { path: image, observer: wasi.observer, memory: this.#memoryOf(), recorder, uncertain, notice };
    return new Arrival(end, intent, parts);
  }
}

/** Files that have been copied because they have no name: the guest goes on in the copy, or, after a kill, without it. */
function movedFiles({ descriptors }: SavedState, observer: Observer): SavedDescriptor[] {
  return descriptors.flatMap((descriptor): SavedDescriptor[] => {
    if (descriptor.kind !== "file" || !("kept" in descriptor.place)) return [];
    const { kept } = descriptor.place;
    if (observer.moveToKept(descriptor.number, kept)) return [descriptor];
    const { number, rights, inheriting, fdflags } = descriptor;
    return [{ number, rights, inheriting, fdflags, kind: "lost", path: kept }];
  });
}
