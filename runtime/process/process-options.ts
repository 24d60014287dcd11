/** What a process is made and run with, and the orders that its thread gets from that. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheDirectory } from "./cache-directory.js";
import { type Command, defaultImageDirectory, type Preopen } from "./command.js";
import type { FailurePlan } from "./failure-source.js";
import type { KeepPolicy } from "./image/epoch-record.js";
import type { HoldupEnergy } from "./image/holdup-energy.js";
import { checkCreateOptions, checkProcessOptions } from "./option-checks.js";
import type { LogOptions } from "./persistence-policy.js";
import type { PersistEvery } from "./point-schedule.js";
import type { CallOrder, IfUnfinished, PrepareOrder, RunOrder, Surroundings } from "./protocol.js";
import type { SignalName } from "./signals.js";

/** How a process is run, here and now. The image remembers `persistEvery`, `log` and `keep`, and nothing else of it. */
export interface RunOptions {
  /** Failures to cause on purpose. */
  readonly failure?: FailurePlan | undefined;
  /**
   * A blocking host call that the failure struck returns EINTR on resume, instead of going on with the time left; a write
   * that was partly done returns what it has written.
   */
  readonly eintr?: boolean | undefined;
  /**
   * Persistence points, so that a process which is killed goes on from the last one, for this run and those that follow it.
   * Null: none but those that are asked for (`persist`, `persistOn`). Default: what the image has been told before; at first
   * none. docs/persistence-model.md#persistence-points
   */
  readonly persistEvery?: PersistEvery | null | undefined;
  /**
   * Log the host calls, so that a process which is killed goes on behind its last one, with nothing repeated or lost that
   * anybody outside saw; for this run and those that follow it. Default: what the image has been told before; at first
   * with `persistEvery`. docs/persistence-model.md#the-log
   */
  readonly log?: boolean | LogOptions | undefined;
  /**
   * Which epochs the image keeps when there are new ones, for this run and those that follow it. Default: what the image has
   * been told before; at first only the last one. docs/persistence-model.md#history
   */
  readonly keep?: KeepPolicy | undefined;
  /**
   * Wall time for this run, from the guest's first instruction. When it is over, the guest is saved as by a power
   * failure (`reason` of the outcome), so that nothing is lost and the next run goes on.
   */
  readonly timeLimitMilliseconds?: number | undefined;
}

export interface ProcessOptions extends RunOptions {
  /**
   * For tests: the energy that is left when the power fails. A save that would write more is cut where the energy ends; the
   * outcome says so (`cut`), and the next run goes on from the persistence point before. Default: it lasts.
   */
  readonly holdup?: HoldupEnergy | undefined;
  /** Host descriptors that the guest gets as 0, 1 and 2, -1 for none. Default: this program's own, [0, 1, 2]. */
  readonly stdio?: readonly [number, number, number] | undefined;
  /**
   * Signals to this program that are power failures, from the call that takes these options until the process has
   * ended or is closed. Default: none; the command line always has SIGPWR.
   */
  readonly saveOn?: readonly SignalName[] | undefined;
  /**
   * Signals to this program that ask for a persistence point, for as long as with `saveOn`. Default: none; the command line
   * always has SIGUSR1.
   */
  readonly persistOn?: readonly SignalName[] | undefined;
  /** An open file that somebody else changed between failure and resume. Default: "warn" (through `onNotice`). */
  readonly onChangedFile?: "fail" | "warn" | "ignore" | undefined;
  /**
   * A JavaScript module with the functions that the guest imports beyond WASI: its path, or its URL, as in
   * `new URL("./my-imports.js", import.meta.url)`. The guest's thread loads it. docs/host-functions.md
   */
  readonly imports?: string | URL | undefined;
  /** Go on from the log of a process that was killed. Default: true; false: from its last persistence point. */
  readonly replay?: boolean | undefined;
  /** Where instrumented modules are kept. Default: `$XDG_CACHE_HOME/vermilion`; null: nowhere. */
  readonly cacheDirectory?: string | null | undefined;
  /**
   * This program ends when the guest does, by `Process.exit`: the guest's thread, which the engine's compilers may keep
   * busy for seconds, is not waited for. Default: false.
   */
  readonly endsProgram?: boolean | undefined;
  /** The log of a process that was killed is being replayed, `progress` of it, from 0 to 1. */
  readonly onReplay?: ((calls: number, progress: number) => void) | undefined;
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
  /**
   * A persistent instance, to be used with `call`: its functions are called one after another, each call saves it, and
   * nothing of it is lost between two calls or two programs. Default: false.
   */
  readonly instance?: boolean | undefined;
  /** Default: the module's file name. */
  readonly argv0?: string | undefined;
  /** The guest's environment; nothing is inherited. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Directories that the guest may use, and their names for it. */
  readonly preopens?: readonly Preopen[] | undefined;
  /**
   * Sockets that listen for the guest, "127.0.0.1:8080", "[::1]:8080" or "unix:/path": descriptors 3 and up, before the
   * directories. On a resume they listen again, on the same port.
   */
  readonly listen?: readonly string[] | undefined;
  /** Call this export, with `args` as numbers, instead of `_start`. */
  readonly invoke?: string | undefined;
  /** Bytes that the guest's memories may have together; growing past them fails in the guest. */
  readonly maxMemoryByteLength?: number | undefined;
  /** Descriptors that the guest may have open at once; beyond that, calls return MFILE. Default: 4096. */
  readonly maximumDescriptors?: number | undefined;
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
  /** Go on from this epoch of the image's history, also when the program has finished or trapped. Default: the current one. */
  readonly at?: number | undefined;
  /** Directories to grant. Default: those of the image, if this user created it on this machine. */
  readonly preopens?: readonly Preopen[] | undefined;
  /** Addresses to listen on again. Default: likewise. */
  readonly listen?: readonly string[] | undefined;
}

/** BAD_ARGUMENT. */
export function creationOrder(options: CreateOptions): PrepareOrder {
  checkCreateOptions(options);
  const command = commandOf(options);
  return {
    kind: "create",
    command,
    moduleBytes: options.moduleBytes,
    image: resolve(options.image ?? defaultImageDirectory(process.cwd(), command)),
    ifUnfinished: options.ifUnfinished ?? "resume",
    inPlace: options.inPlace ?? false,
    ...surroundings(options),
  };
}

/** BAD_ARGUMENT. */
export function openingOrder(image: string, options: OpenOptions): Extract<PrepareOrder, { kind: "open" }> {
  checkProcessOptions(options);
  const preopens = options.preopens?.map(absolutePreopen);
  const { listen, at } = options;
  return { kind: "open", image: resolve(image), at, preopens, listen, ...surroundings(options) };
}

/** The order that brings back what the first one created. */
export function reopening(order: PrepareOrder, options: ProcessOptions): PrepareOrder {
  if (order.kind === "open") return { ...order, at: undefined };
  const { image, exact, command } = order;
  return {
    kind: "open",
    image,
    at: undefined,
    preopens: command.preopens,
    listen: command.listen,
    ...surroundings(options),
    exact,
  };
}

function commandOf(options: CreateOptions): Command {
  const module = resolve(options.module);
  return {
    module,
    args: [options.argv0 ?? (module.split("/").at(-1) as string), ...(options.args ?? [])],
    env: Object.entries(options.env ?? {}),
    preopens: (options.preopens ?? []).map(absolutePreopen),
    listen: options.listen ?? [],
    instance: options.instance ?? false,
    invoke: options.invoke ?? null,
    maxMemoryByteLength: options.maxMemoryByteLength ?? null,
    maximumDescriptors: options.maximumDescriptors ?? null,
  };
}

export function orderOf(call: CallOrder | undefined, options: ProcessOptions): RunOrder {
  const { failure, eintr, persistEvery, keep, log } = options;
  return { call, plan: failure ?? {}, eintr: eintr ?? false, wishes: { persistEvery, log }, keep };
}

/** As invocation.ts reads it. */
export function argumentText(value: number | bigint | string): string {
  if (Object.is(value, -0)) return "-0";
  return typeof value === "number" ? String(value).replace("Infinity", "inf") : String(value);
}

function absolutePreopen({ host, guest }: Preopen): Preopen {
  return { host: resolve(host), guest };
}

function surroundings(options: ProcessOptions): Surroundings {
  return {
    stdio: options.stdio ?? [0, 1, 2],
    onChangedFile: options.onChangedFile ?? "warn",
    imports: moduleUrl(options.imports),
    cacheDirectory: options.cacheDirectory === null ? undefined : (options.cacheDirectory ?? cacheDirectory()),
    exact: needsExactCounts(options.failure ?? {}),
    replay: options.replay ?? true,
    holdup: options.holdup,
    persistOn: options.persistOn ?? [],
  };
}

function moduleUrl(imports: string | URL | undefined): string | undefined {
  return typeof imports === "string" ? pathToFileURL(imports).href : imports?.href;
}

export function needsExactCounts({ atSafepoint, rate }: FailurePlan): boolean {
  return atSafepoint !== undefined || rate !== undefined;
}
