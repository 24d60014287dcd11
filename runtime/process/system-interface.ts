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
import { LogWindow, MappedLog } from "../../pmem/mapped-log.js";
import {
  GuestMemory,
  type Observer,
  parseState,
  type SavedDescriptor,
  type SavedState,
  type SaveOptions,
  WASI_SIGNATURES,
  WASI_STATE_VERSION,
  Wasi,
  type WasiEnvironment,
  type WasiOptions,
} from "../wasi/index.js";
import { Arrival, happened } from "./log/arrival.js";
import { type ProcessSizes, shapeOf } from "./log/calls.js";
import { DescriptorModel } from "./log/descriptor-model.js";
import { bootId, logPath, syncNames } from "./log/files.js";
import { Kind } from "./log/format.js";
import { decodeResults, encodeResults } from "./log/host-results.js";
import type { Beginning, OpenedLog } from "./log/opened-log.js";
import { Recorder, type SystemCall } from "./log/recorder.js";
import { type OpenEnd, Replayer } from "./log/replayer.js";
import { LogWriter } from "./log/writer.js";
import { type HostResult, RESTART, TELL } from "./machine-host.js";
import { keptFilesOf, removeUnusedFiles } from "./open-files.js";
import type { Durability, Uncertain } from "./protocol.js";

export interface LogSettings {
  readonly uncertain: Uncertain;
  readonly durability: Durability;
}

/** One import, which is called through it, so that what it does can change while the guest runs. */
interface Cell {
  call: SystemCall;
}

type Cells = Readonly<Record<string, Cell>>;

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
  /** Asked now and then during a replay; `progress` is from 0 to 1. */
  readonly replaying: (calls: number, progress: number) => void;
}

/** Calls between two reports of a replay's progress. */
const REPORT_CALLS = 1024;

export class SystemInterface {
  readonly functions: Readonly<Record<string, SystemCall>>;
  readonly unstableFunctions: Readonly<Record<string, SystemCall>>;
  readonly #parts: SystemInterfaceParts;
  readonly #sizes: ProcessSizes;
  readonly #preview1: Cells = makeCells();
  readonly #unstable: Cells = makeCells();
  #settings: LogSettings = { uncertain: "repeat", durability: "process" };
  #wasi: Wasi | undefined;
  #environment: WasiEnvironment | undefined;
  #memory: GuestMemory | undefined;
  #replayer: Replayer | undefined;
  #recorder: Recorder | undefined;
  #log: MappedLog | undefined;
  #window: LogWindow | undefined;
  /** That of the log before: two are used by turns. */
  #spareWindow: LogWindow | undefined;
  #number = 0;
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
    this.functions = callsThrough(this.#preview1);
    this.unstableFunctions = callsThrough(this.#unstable);
    const { log, state, options } = parts;
    if (log === undefined) {
      this.#wasi = state === undefined ? Wasi.create(options) : Wasi.restore(options, state);
      this.#install(this.#wasi.functions, this.#wasi.unstableFunctions);
      return;
    }
    this.#replayer = new Replayer(log, new DescriptorModel(parseState(state ?? log.beginning.wasi)), this.#sizes);
    for (const [cells, unstable] of this.#tables()) {
      for (const [name, cell] of Object.entries(cells)) cell.call = this.#replaying(name, cell, unstable);
    }
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
    return this.#number;
  }

  /**
   * Between two calls: whether the log has ended, with no call under way in it. Then everything is as the log has left it,
   * and live. A program that computes for long, or ends, without another call so does not replay for ever.
   */
  endReplay(): boolean {
    if (this.#replayer?.ended !== true || this.#followTo !== undefined) return false;
    const { intent, append, begun } = this.#replayer.openEnd();
    if (intent !== undefined || append !== undefined || begun !== undefined) return false;
    this.#arrive(undefined);
    return true;
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
    this.#toTell = tell && this.isReplaying;
  }

  /** From here on the calls are recorded, in a new log. */
  beginLog(number: number, epoch: number, beginning: Beginning): void {
    const wasi = this.#live();
    const state = parseState(wasi.save({ flush: false }));
    this.#window ??= new LogWindow();
    const first: Beginning = this.#parts.state === undefined ? { ...beginning, wasi: state } : beginning;
    const writer = this.#newLog(number, epoch, first);
    this.#record(writer, new DescriptorModel(state));
  }

  /**
   * At a persistence point, before it is made: the calls from here on belong to the next log, whose number the state must
   * name. The log until here says so, so that whoever goes on from the epoch before follows both.
   */
  continueLog(epoch: number): number {
    const recorder = this.#recorder;
    const before = this.#log;
    if (recorder === undefined || before === undefined) return this.#number;
    const { writer } = recorder;
    const window = this.#window;
    this.#window = this.#spareWindow ?? new LogWindow();
    this.#spareWindow = window;
    recorder.writer = this.#newLog(this.#number + 1, epoch, { callback: false, eintr: false });
    if (this.#moved.length > 0) recorder.descriptors(this.#moved);
    writer.text(Kind.CONTINUED, 0);
    if (this.#settings.durability === "system") writer.flush();
    before.close();
    return this.#number;
  }

  /** From here on nothing is recorded. A state that was saved since the last call says what comes next. */
  endLog(): void {
    const wasi = this.#live();
    this.#install(wasi.functions, wasi.unstableFunctions);
    this.#recorder = undefined;
    this.#log?.close();
    this.#log = undefined;
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
    this.#log?.close();
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

  #tables(): readonly (readonly [Cells, boolean])[] {
    return [
      [this.#preview1, false],
      [this.#unstable, true],
    ];
  }

  #install(functions: Readonly<Record<string, SystemCall>>, unstable: Readonly<Record<string, SystemCall>>): void {
    for (const [cells, isUnstable] of this.#tables()) {
      for (const [name, cell] of Object.entries(cells)) {
        cell.call = (isUnstable ? unstable : functions)[name] as SystemCall;
      }
    }
  }

  #newLog(number: number, epoch: number, beginning: Beginning): LogWriter {
    const { image } = this.#parts;
    const { durability } = this.#settings;
    invariant(this.#window !== undefined, "a log has a window");
    this.#log = MappedLog.create(logPath(image, number), this.#window);
    this.#number = number;
    const writer = LogWriter.begin(this.#log, { number, epoch, boot: bootId(), durability });
    writer.text(Kind.BEGIN, 0, JSON.stringify(beginning));
    if (durability === "system") {
      writer.flush();
      syncNames(image);
    }
    return writer;
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
    this.#install(this.#recorder.wrap(wasi.functions, false), this.#recorder.wrap(wasi.unstableFunctions, true));
  }

  #replaying(name: string, cell: Cell, unstable: boolean): SystemCall {
    const shape = shapeOf(name, unstable);
    return (...args) => {
      const replayer = this.#replayer;
      if (replayer === undefined) return cell.call(...args);
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
      const made = arrival.make(name, unstable, args, live, cell.call);
      if (this.#toTell) this.#tellNext();
      return made;
    };
  }

  /** The program is told before its next call, which is then made. */
  #tellNext(): void {
    this.#toTell = false;
    for (const [cells] of this.#tables()) {
      for (const cell of Object.values(cells)) {
        const next = cell.call;
        cell.call = () => {
          this.#restoreCells();
          this.#recorder?.writer.text(Kind.CALLBACK, 0);
          return TELL;
        };
        this.#afterTelling.set(cell, next);
      }
    }
  }

  readonly #afterTelling = new Map<Cell, SystemCall>();

  #restoreCells(): void {
    for (const [cell, call] of this.#afterTelling) cell.call = call;
    this.#afterTelling.clear();
  }

  /** Y1: the end of the log. `args`: of the call that comes now, if it is one of the system's. */
  #arrive(args: readonly (number | bigint)[] | undefined): Arrival {
    const { image, options, notice, log } = this.#parts;
    const replayer = this.#replayer;
    invariant(replayer !== undefined && log !== undefined, "there is a log to arrive from");
    const { model } = replayer;
    const end = replayer.openEnd();
    const intent = args === undefined ? undefined : this.#hasHappened(end, args, model.state(WASI_STATE_VERSION));
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
    const { log: file, window, reader, number } = log.current;
    this.#log = file;
    this.#window = window;
    this.#number = number;
    this.#record(LogWriter.goOn(file, reader.here), model);
    const recorder = this.#recorder;
    invariant(recorder !== undefined, "the calls are recorded from here on");
    const { uncertain } = this.#settings;
    const parts = { path: image, observer: wasi.observer, memory: this.#memoryOf(), recorder, uncertain, notice };
    return new Arrival(end, intent, parts);
  }

  /** Asked of a system interface with nothing open but directories: the rest may be where the intent has put it. */
  #hasHappened(end: OpenEnd, args: readonly (number | bigint)[], state: SavedState): ReturnType<typeof happened> {
    if (end.intent === undefined) return undefined;
    const directories = state.descriptors.filter(({ kind }) => kind === "preopen" || kind === "directory");
    const quiet = { ...this.#parts.options, onChangedFile: "ignore" as const, warn: () => {} };
    const wasi = Wasi.restore(quiet, { ...state, descriptors: directories });
    try {
      if (this.#environment !== undefined) wasi.bind(this.#environment);
      return happened(end, args, wasi.observer);
    } finally {
      wasi.close();
    }
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

function makeCells(): Cells {
  const unset: SystemCall = () => {
    throw new Error("the system interface is not ready");
  };
  return Object.fromEntries(Object.keys(WASI_SIGNATURES).map((name) => [name, { call: unset }]));
}

function callsThrough(cells: Cells): Readonly<Record<string, SystemCall>> {
  return Object.fromEntries(
    Object.entries(cells).map(([name, cell]): [string, SystemCall] => [name, (...args) => cell.call(...args)]),
  );
}

function sizesOf({ args, env }: WasiOptions): ProcessSizes {
  const bytes = (texts: readonly string[]) => texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
  return {
    argPointers: args.length * 4,
    args: bytes(args),
    envPointers: env.length * 4,
    env: bytes(env.map(([name, value]) => `${name}=${value}`)),
  };
}
