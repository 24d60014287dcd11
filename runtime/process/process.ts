import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import { type Command, defaultImageDirectory, type Preopen } from "./command.js";
import type { FailurePlan } from "./failure-source.js";
import type { ImageSummary, Inspection } from "./inspect.js";
import type { IfUnfinished, Outcome, PrepareOrder, Surroundings } from "./protocol.js";
import { type Prepared, Session, type SessionEvents } from "./session.js";
import { type SignalName, SignalSource } from "./signals.js";
import { STACK_MEGABYTES } from "./stack-size.js";

/** How a process is run, here and now; none of it is part of the image. */
export interface RunOptions {
  /** Failures to cause on purpose. */
  readonly failure?: FailurePlan | undefined;
  /** A blocking host call that the failure struck returns EINTR on resume, instead of going on with the time left. */
  readonly eintr?: boolean | undefined;
}

export interface ProcessOptions extends RunOptions {
  /** Host descriptors that the guest gets as 0, 1 and 2, -1 for none. Default: this program's own, [0, 1, 2]. */
  readonly stdio?: readonly [number, number, number] | undefined;
  /**
   * Signals to this program that are power failures, from the call that takes these options until the process has
   * ended or is closed. Default: none; the command line always has SIGPWR.
   */
  readonly saveOn?: readonly SignalName[] | undefined;
  /** An open file that somebody else changed between failure and resume. Default: "warn" (through `onNotice`). */
  readonly onChangedFile?: "fail" | "warn" | "ignore" | undefined;
  /** Where instrumented modules are kept. Default: `$XDG_CACHE_HOME/vermilion`; null: nowhere. */
  readonly cacheDirectory?: string | null | undefined;
  /** Receives one line for whatever is not as one would expect. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** A module of that many bytes is about to be instrumented, which takes about a second for 20 MB. */
  readonly onInstrument?: ((byteLength: number) => void) | undefined;
}

export interface CreateOptions extends ProcessOptions {
  /** Path of the WASI program, a .wasm file. */
  readonly module: string;
  /** Its bytes, if they are not those of the file. */
  readonly moduleBytes?: Uint8Array | undefined;
  /** The guest's arguments, without argv[0]. */
  readonly args?: readonly string[] | undefined;
  /** Default: the module's file name. */
  readonly argv0?: string | undefined;
  /** The guest's environment; nothing is inherited. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Directories that the guest may use, and their names for it. */
  readonly preopens?: readonly Preopen[] | undefined;
  /** Call this export, with `args` as numbers, instead of `_start`. */
  readonly invoke?: string | undefined;
  /** Bytes that the guest's memories may have together; growing past them fails in the guest. */
  readonly maxMemoryByteLength?: number | undefined;
  /** The image directory. Default: `.vermilion/<name>-<hash>` in the working directory, the hash over the command. */
  readonly image?: string | undefined;
  /** What to do when the image holds this process, saved and unfinished. Default: "resume". */
  readonly ifUnfinished?: IfUnfinished | undefined;
  /**
   * A new image keeps linear memory in mapped files that the guest writes in place: a save copies nothing. For tmpfs and
   * DAX. The price: a process that is killed while it runs is lost. Default: false, a page store that a kill leaves whole.
   */
  readonly inPlace?: boolean | undefined;
}

export interface OpenOptions extends ProcessOptions {
  /** Directories to grant. Default: those of the image, if this user created it on this machine. */
  readonly preopens?: readonly Preopen[] | undefined;
}

/** A session started ahead, before anyone knows for what. */
let spare: Session | undefined;

/**
 * A persistent process: a WASI program whose whole state belongs to an image, a directory on disk.
 *
 *     ready --run--> running --> powerFailed: ready again, in the image
 *                            --> exited, trapped: over
 *
 * Each run has a thread of its own; the guest blocks only that one. Errors are `VermilionError`s: their `code` says what
 * kind, their message names the file and the next step.
 */
export class Process {
  /** The image directory, absolute. */
  readonly image: string;
  readonly #options: ProcessOptions;
  readonly #signals: SignalSource;
  /** How to get the process again, for a run without a session. */
  #order: PrepareOrder;
  #session: Session | undefined;
  #prepared: Prepared | undefined;
  /** A failure came before the session could begin. */
  #cancelled = false;
  #running = false;
  #over = false;

  private constructor(order: PrepareOrder, options: ProcessOptions) {
    this.image = order.image;
    this.#order = order;
    this.#options = options;
    this.#signals = new SignalSource(options.saveOn ?? [], () => this.powerFail());
  }

  /** Starts the thread of the next process now, while its options are not known yet: saves some 25 ms. */
  static prepareThread(): void {
    spare ??= new Session();
    spare.hold(false);
  }

  /**
   * A process for a program: a new one, or the saved one, if the image holds it unfinished (see `ifUnfinished`).
   *
   * Codes: NOT_FOUND (no module), MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT, NO_SUCH_EXPORT, BAD_ARGUMENT,
   * COMMAND_CHANGED, MODULE_CHANGED, MEMORY_LIMIT, IMAGE_EXISTS, IMAGE_BUSY, IMAGE_DAMAGED and the other IMAGE_ codes,
   * DISK_FULL, READ_ONLY, PERMISSION_DENIED, MMAP_UNSUPPORTED, FFI_MISSING.
   */
  static create(options: CreateOptions): Promise<Process> {
    const command = commandOf(options);
    const order: PrepareOrder = {
      kind: "create",
      command,
      moduleBytes: options.moduleBytes,
      image: resolve(options.image ?? defaultImageDirectory(process.cwd(), command)),
      ifUnfinished: options.ifUnfinished ?? "resume",
      inPlace: options.inPlace ?? false,
      ...surroundings(options),
    };
    return Process.#make(order, options);
  }

  /**
   * The saved process of an image.
   *
   * Codes: IMAGE_MISSING, IMAGE_NOT_SAVED (it is over), IMAGE_INTERRUPTED (it was killed before its first save), IMAGE_BUSY,
   * IMAGE_DAMAGED and the other IMAGE_ codes, GRANT_NEEDED (the image is not yours, see `preopens`), NOT_FOUND (a granted
   * directory is gone), PREOPEN_MISSING, FILE_CHANGED.
   */
  static open(image: string, options: OpenOptions = {}): Promise<Process> {
    const preopens = options.preopens?.map(absolutePreopen);
    return Process.#make({ kind: "open", image: resolve(image), preopens, ...surroundings(options) }, options);
  }

  /** What an image holds, without running or locking it. Codes: IMAGE_MISSING, IMAGE_DAMAGED and the other IMAGE_ codes. */
  static async inspect(image: string): Promise<Inspection> {
    const { inspectImage } = await import("./inspect.js"); // decoders and FFI: not needed to run
    return inspectImage(resolve(image));
  }

  /** The images in a directory, by name; default: where `create` puts them. Codes: NOT_FOUND, PERMISSION_DENIED. */
  static async list(directory: string = ".vermilion"): Promise<ImageSummary[]> {
    const { listImages } = await import("./inspect.js");
    return listImages(resolve(directory));
  }

  /**
   * A power failure for the process that holds an image, in whatever program it runs: sends SIGPWR and returns the pid.
   * Codes: IMAGE_NOT_HELD; SIGNAL_NOT_TAKEN (the program would die of SIGPWR, so it was not sent); PERMISSION_DENIED.
   */
  static async powerFailHolder(image: string): Promise<number> {
    const { signalHolder } = await import("./holder.js");
    return signalHolder(resolve(image));
  }

  static async #make(order: PrepareOrder, options: ProcessOptions): Promise<Process> {
    const made = new Process(order, options);
    try {
      await made.#prepare();
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  /** Where the next run goes on; undefined: at the program's beginning. */
  get resumes(): { readonly epoch: number; readonly frames: number } | undefined {
    return this.#prepared?.resumes;
  }

  /**
   * Runs the guest until it exits, traps, or a power failure is saved; after the latter `run` goes on with it. With
   * `options` for this run only. Codes: PROCESS_OVER, PROCESS_RUNNING, PROCESS_CLOSED (see `close`); CANNOT_SAVE (the guest holds what no image can).
   */
  async run(options: RunOptions = {}): Promise<Outcome> {
    if (this.#running) throw new VermilionError("PROCESS_RUNNING", `${this.image}: this process is running already`);
    if (this.#over)
      throw new VermilionError("PROCESS_OVER", `${this.image}: this process has ended; create another one`);
    this.#running = true;
    try {
      const outcome = await this.#runOnce({ ...this.#options, ...options });
      if (outcome.kind !== "powerFailed") await this.close();
      return outcome;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      this.#running = false;
    }
  }

  /**
   * A power failure, now: the guest stops at its next safepoint or in the host call that blocks it, its state is saved,
   * and `run` returns. Before `run`: that run ends at once. Does nothing between two runs.
   */
  powerFail(): void {
    this.#session?.powerFail();
  }

  inspect(): Promise<Inspection> {
    return Process.inspect(this.image);
  }

  /** Ends the process's thread and lets go of the image. A running guest is killed: what it did since its last save is lost. */
  async close(): Promise<void> {
    this.#over = true;
    this.#signals.close();
    await this.#endSession();
  }

  async #runOnce(options: ProcessOptions): Promise<Outcome> {
    const plan = options.failure ?? {};
    const exact = needsExactCounts(plan);
    if (this.#order.exact !== exact) {
      await this.#endSession();
      this.#order = { ...this.#order, exact };
    }
    if (this.#session === undefined && !this.#cancelled) await this.#prepare();
    const session = this.#session;
    let timer: NodeJS.Timeout | undefined;
    this.#onRunning = () => {
      if (plan.afterMilliseconds !== undefined) timer = setTimeout(() => this.powerFail(), plan.afterMilliseconds);
    };
    session?.hold(true);
    const end = this.#cancelled ? undefined : await session?.run({ plan, eintr: options.eintr ?? false });
    clearTimeout(timer);
    const { resumes } = this;
    this.#cancelled = false;
    if (end?.kind === "ended") {
      void this.#endSession(); // the worker is idle
      this.#order = reopening(this.#order, this.#options);
      return end.outcome;
    }
    await this.#endSession();
    return { kind: "powerFailed", epoch: resumes?.epoch ?? 0, frames: resumes?.frames ?? 0, saveMilliseconds: 0 };
  }

  #onRunning: () => void = () => {};

  async #prepare(): Promise<void> {
    const events: SessionEvents = {
      notice: this.#options.onNotice,
      instrumenting: this.#options.onInstrument,
      running: () => this.#onRunning(),
    };
    this.#session = takeSpare() ?? new Session();
    this.#session.hold(true);
    let report = await this.#session.prepare(this.#order, events);
    if (report.kind === "needsStack") {
      await this.#endSession();
      this.#session = new Session(STACK_MEGABYTES.deepResume);
      report = await this.#session.prepare(this.#order, events);
    }
    if (report.kind === "prepared") this.#prepared = report;
    else this.#cancelled = true;
    this.#session.hold(false); // a process that is never run does not keep the program alive
  }

  async #endSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#prepared = undefined;
    await session?.end();
  }
}

function takeSpare(): Session | undefined {
  const session = spare;
  spare = undefined;
  return session;
}

/** The order that brings back what the first one created. */
function reopening(order: PrepareOrder, options: ProcessOptions): PrepareOrder {
  if (order.kind === "open") return order;
  const { image, exact, command } = order;
  return { kind: "open", image, preopens: command.preopens, ...surroundings(options), exact };
}

function commandOf(options: CreateOptions): Command {
  const module = resolve(options.module);
  return {
    module,
    args: [options.argv0 ?? (module.split("/").at(-1) as string), ...(options.args ?? [])],
    env: Object.entries(options.env ?? {}),
    preopens: (options.preopens ?? []).map(absolutePreopen),
    invoke: options.invoke ?? null,
    maxMemoryByteLength: options.maxMemoryByteLength ?? null,
  };
}

function absolutePreopen({ host, guest }: Preopen): Preopen {
  return { host: resolve(host), guest };
}

function surroundings(options: ProcessOptions): Surroundings {
  return {
    stdio: options.stdio ?? [0, 1, 2],
    onChangedFile: options.onChangedFile ?? "warn",
    cacheDirectory: options.cacheDirectory === null ? undefined : (options.cacheDirectory ?? defaultCacheDirectory()),
    exact: needsExactCounts(options.failure ?? {}),
  };
}

function needsExactCounts({ atSafepoint, rate }: FailurePlan): boolean {
  return atSafepoint !== undefined || rate !== undefined;
}

function defaultCacheDirectory(): string {
  const { XDG_CACHE_HOME: cache } = process.env;
  return join(cache === undefined || cache === "" ? join(homedir(), ".cache") : cache, "vermilion");
}
