import { resolve } from "node:path";
import { isatty } from "node:tty";
import { VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import type { GuestThread } from "./guest-thread.js";
import type { ImageSummary, Inspection } from "./inspect.js";
import { checkRunOptions } from "./option-checks.js";
import { checkPersistEvery } from "./point-schedule.js";
import {
  argumentText,
  type CreateOptions,
  creationOrder,
  type OpenOptions,
  openingOrder,
  type ProcessOptions,
  type RunOptions,
} from "./process-options.js";
import { exitProgram, followLog, keepThread, ProcessSessions } from "./process-sessions.js";
import type { CallOrder, Followed, Outcome, PrepareOrder, Resumption } from "./protocol.js";
import { SignalSource } from "./signals.js";

/** Of the standard streams, when this program began. */
const TERMINALS = [0, 1, 2].filter((descriptor) => isatty(descriptor));

/**
 * A persistent process: a WASI program whose whole state belongs to an image, a directory on disk.
 *
 *     ready --run, call--> running --> powerFailed: ready again, in the image
 *                                  --> returned (instances): ready again, and saved
 *                                  --> exited, trapped: over
 *
 * Each run has a thread of its own; the guest blocks only that one. Errors are `VermilionError`s: their `code` says what
 * kind, their message names the file and the next step.
 */
export class Process {
  /** The image directory, absolute. */
  readonly image: string;
  readonly #options: ProcessOptions;
  readonly #sessions: ProcessSessions;
  readonly #signals: readonly SignalSource[];
  #running = false;
  #over = false;

  private constructor(order: PrepareOrder, options: ProcessOptions) {
    this.image = order.image;
    this.#options = options;
    this.#sessions = new ProcessSessions(order, options);
    this.#signals = [
      new SignalSource(options.saveOn ?? [], () => this.powerFail()),
      new SignalSource(options.persistOn ?? [], () => this.#running && this.#sessions.requestPoint()),
    ];
  }

  /** The thread of the next process, which was started while its options were not known yet: saves some 25 ms. */
  static useThread(thread: GuestThread): void {
    keepThread(thread);
  }

  /**
   * A process for a program: a new one, or the saved one, if the image holds it unfinished (see `ifUnfinished`).
   *
   * Codes: NOT_FOUND (no module), MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT, IMPORTS_INVALID, NO_SUCH_EXPORT,
   * BAD_ARGUMENT, COMMAND_CHANGED, MODULE_CHANGED, MEMORY_LIMIT, LISTEN_ADDRESS, INSTANCE_OVER, IMAGE_EXISTS,
   * IMAGE_BUSY, IMAGE_DAMAGED and the other IMAGE_ codes, DISK_FULL, READ_ONLY, PERMISSION_DENIED, MMAP_UNSUPPORTED, FFI_MISSING.
   */
  static async create(options: CreateOptions): Promise<Process> {
    return Process.#make(creationOrder(options), options);
  }

  /** The image directory that `create` would use, absolute. BAD_ARGUMENT. */
  static imageOf(options: CreateOptions): string {
    return creationOrder(options).image;
  }

  /**
   * The saved process of an image.
   *
   * Codes: BAD_ARGUMENT, IMAGE_MISSING, NO_SUCH_EPOCH (`at`), IMAGE_NOT_SAVED (it is over), IMAGE_INTERRUPTED (it was killed before its first save), IMAGE_BUSY,
   * IMAGE_DAMAGED and the other IMAGE_ codes, GRANT_NEEDED (the image is not yours, see `preopens`), NOT_FOUND (a granted
   * directory is gone), PREOPEN_MISSING, LISTEN_MISSING, LISTEN_ADDRESS, FILE_CHANGED,
   * UNKNOWN_IMPORT, IMPORTS_INVALID.
   */
  static async open(image: string, options: OpenOptions = {}): Promise<Process> {
    return Process.#make(openingOrder(image, options), options);
  }

  /**
   * What an image holds, or held `at` an epoch of its history, without running or locking it.
   * Codes: NO_SUCH_EPOCH, IMAGE_MISSING, IMAGE_DAMAGED and the other IMAGE_ codes.
   */
  static async inspect(image: string, { at }: { readonly at?: number | undefined } = {}): Promise<Inspection> {
    const { inspectImage } = await import("./inspect.js"); // decoders and FFI: not needed to run
    return inspectImage(resolve(image), at);
  }

  /** What the header of an image says: soon read, however large it is. Codes: IMAGE_MISSING, IMAGE_DAMAGED and the other IMAGE_ codes. */
  static async summary(image: string): Promise<ImageSummary> {
    const { summarizeImage } = await import("./inspect.js");
    return summarizeImage(resolve(image));
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

  /**
   * A persistence point of the process that holds an image, in whatever program it runs: sends the signal that the
   * program takes for it, and waits for an epoch that is higher than before.
   * Codes: IMAGE_NOT_HELD; SIGNAL_NOT_TAKEN (it has no `persistOn`); TIMEOUT (no new epoch after `timeoutMilliseconds`, by
   * default 10,000; the guest may make it later); PROCESS_OVER (it ended first); PERMISSION_DENIED.
   */
  static async persistHolder(
    image: string,
    { timeoutMilliseconds = 10_000 }: { readonly timeoutMilliseconds?: number | undefined } = {},
  ): Promise<{ readonly pid: number; readonly epoch: number }> {
    const { persistHolder } = await import("./holder.js");
    return persistHolder(resolve(image), timeoutMilliseconds);
  }

  /**
   * Follows the log of an image's last run, which was killed or trapped, up to a number of host calls, or to its end, and
   * tells where the program was then. Nothing is run live, and nothing changed. Takes the image's lock meanwhile.
   * Codes: LOG_MISSING; LOG_ENDED; LOG_DIVERGED; those of `open`.
   */
  static async follow(
    image: string,
    options: OpenOptions & { readonly toCall?: number | undefined } = {},
  ): Promise<Followed> {
    return followLog({ ...openingOrder(image, options), at: undefined, follow: true }, options, options.toCall);
  }

  /** Ends this program at once: see `ProcessOptions.endsProgram`. */
  static async exit(status: number): Promise<never> {
    await exitProgram(status);
    // Node 20 aborts at its end if a terminal is gone that it began with.
    if (TERMINALS.some((descriptor) => !isatty(descriptor))) libc().exit(status);
    return process.exit(status);
  }

  static async #make(order: PrepareOrder, options: ProcessOptions): Promise<Process> {
    const made = new Process(order, options);
    try {
      await made.#sessions.prepare();
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  /** Where the next run goes on; undefined: at the program's beginning, or nowhere: an instance waits for a call. */
  get resumes(): Resumption | undefined {
    return this.#sessions.resumes;
  }

  /**
   * Runs the guest until it exits, traps, or a power failure is saved; after the latter `run` goes on with it. With
   * `options` for this run only. An instance goes on with the call during which the power failed.
   * Codes: USAGE (`persistEvery` or `log` makes no sense), BAD_ARGUMENT (`failure` names a host call that the program does not have),
   * IN_PLACE (there are no points in place), PROCESS_OVER, PROCESS_RUNNING, PROCESS_CLOSED (see `close`); CANNOT_SAVE (the
   * guest holds what no image can); CALL_NEEDED (no call is unfinished: use `call`).
   */
  run(options: RunOptions = {}): Promise<Outcome> {
    return this.#begin(undefined, options);
  }

  /**
   * Calls an exported function of an instance (see `CreateOptions.instance`), whose first call instantiates the module and
   * initializes a reactor. The arguments are numbers, for i64 bigints, or their texts. After a power failure the same
   * call goes on with it; until that is done there can be no other.
   * Codes: those of `run`, and NO_SUCH_EXPORT, BAD_ARGUMENT, CALL_UNFINISHED, NO_INSTANCE, after which the process is
   * as before.
   */
  call(name: string, args: readonly (number | bigint | string)[] = [], options: RunOptions = {}): Promise<Outcome> {
    return this.#begin({ name, args: args.map(argumentText) }, options);
  }

  async #begin(call: CallOrder | undefined, options: RunOptions): Promise<Outcome> {
    if (this.#running) throw new VermilionError("PROCESS_RUNNING", `${this.image}: this process is running already`);
    if (this.#over)
      throw new VermilionError("PROCESS_OVER", `${this.image}: this process has ended; create another one`);
    checkRunOptions(options);
    checkPersistEvery(options.persistEvery ?? this.#options.persistEvery ?? {});
    this.#running = true;
    try {
      const outcome = await this.#sessions.run(call, { ...this.#options, ...options });
      if (outcome.kind === "exited" || outcome.kind === "trapped") await this.close();
      return outcome;
    } catch (error) {
      if (isRefusedCall(error)) await this.#sessions.end();
      else await this.close();
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
    this.#sessions.powerFail();
  }

  /**
   * A persistence point, now, of a guest that runs and goes on running; the result is its epoch. If the run ends in a save
   * first, that is the epoch. Codes: PROCESS_IDLE (nothing runs, and so everything is saved), PROCESS_OVER (the guest
   * ended first), PROCESS_CLOSED, IN_PLACE, DISK_FULL and the other codes of the disk: the epoch before stays.
   */
  async persist(): Promise<number> {
    const point = this.#running ? this.#sessions.persist() : undefined;
    if (point !== undefined) return point;
    throw new VermilionError("PROCESS_IDLE", `${this.image}: this process does not run now; persist needs a run`);
  }

  inspect(): Promise<Inspection> {
    return Process.inspect(this.image);
  }

  /** Ends the process's thread and lets go of the image. A running guest is killed: what it did since its last save is lost. */
  async close(): Promise<void> {
    this.#over = true;
    for (const source of this.#signals) source.close();
    await this.#sessions.end();
  }
}

/** Errors that come before the guest runs, and that another call need not meet. */
function isRefusedCall(error: unknown): boolean {
  const codes = ["NO_SUCH_EXPORT", "BAD_ARGUMENT", "CALL_NEEDED", "CALL_UNFINISHED", "NO_INSTANCE"];
  return error instanceof VermilionError && codes.includes(error.code);
}
