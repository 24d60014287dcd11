/** The options that `run` and `resume` share, and how their values read. */
import { constants } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type {
  FailureAtCall,
  FailurePlan,
  HoldupEnergy,
  LogOptions,
  PersistEvery,
  Preopen,
  SignalName,
} from "../index.js";
import { DURATION_FORM, parseMilliseconds } from "./duration.js";
import { addKeepOptions, type KeepOptions } from "./keep-options.js";
import type { ReplicateOptions } from "./replicate.js";

export interface GuestOptions extends KeepOptions, ReplicateOptions {
  readonly dir?: readonly Preopen[];
  readonly imports?: string;
  readonly eintr?: boolean;
  readonly onChangedFile: "fail" | "warn" | "ignore";
  readonly saveOn?: readonly SignalName[];
  readonly persistEvery?: number | "none";
  readonly persistEveryCalls?: number;
  readonly log?: boolean;
  readonly replay: boolean;
  readonly uncertain?: "repeat" | "skip";
  readonly durability?: "process" | "system";
  readonly recoveryTarget?: number | "none";
  readonly persistSync?: boolean;
  readonly failAt?: number;
  readonly failAfter?: number;
  readonly failAtCall?: FailureAtCall;
  readonly failRate?: number;
  readonly failSeed: number;
  readonly holdup?: number;
  readonly flushBandwidth?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export function addGuestOptions(command: Command): Command {
  return addKeepOptions(command)
    .option("--dir <host[::guest]>", "grant a directory, under its own or another name; repeatable", collect(preopen))
    .option("--imports <file>", "a JavaScript module with the functions that the program imports beyond WASI")
    .option("--eintr", "host calls that a power failure interrupted return EINTR instead of going on")
    .addOption(
      new Option("--on-changed-file <what>", "when an open file was changed by others since the save")
        .choices(["fail", "warn", "ignore"])
        .default("warn"),
    )
    .option("--save-on <signals>", "signals that are power failures too, such as SIGTERM,SIGINT", signalNames)
    .option(
      "--persist-every <duration>",
      "a persistence point after each such time, as 100ms; none: no more",
      periodOrNone,
    )
    .option("--persist-every-calls <n>", "a persistence point at every nth host call", countingNumber)
    .option(
      "--log",
      "log the host calls, so that a killed process goes on behind its last one (with --persist-every: on)",
    )
    .option("--no-log", "log no host calls")
    .addOption(
      new Option("--uncertain <what>", "output to a pipe or terminal during which the process was killed").choices([
        "repeat",
        "skip",
      ]),
    )
    .addOption(new Option("--durability <of>", "the log survives the death of").choices(["process", "system"]))
    .option(
      "--recovery-target <duration>",
      "at most so much work is repeated after a kill, 1s by default; none: no limit",
      periodOrNone,
    )
    .option("--no-replay", "go on from the last persistence point, and forget the log of what came later")
    .option("--persist-sync", "the program waits until each of these points is durable, instead of going on meanwhile")
    .option("--replicate <store>", "copy each persistence point to a store, by another process (see push)")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages on stderr as JSON, one a line")
    .option("--verbose", "print stack traces with errors")
    .optionsGroup("Failures to cause, for tests:")
    .option("--fail-at <n>", "at the nth safepoint crossed in this run", countingNumber)
    .option("--fail-after <duration>", "after a time, such as 250ms or 1.5s", milliseconds)
    .option(
      "--fail-at-call <name[:n][:when]>",
      "at the nth host call of a name, or of any ('*'), before it or after",
      failureAtCall,
    )
    .option("--fail-rate <p>", "with this probability at each safepoint", probability)
    .option("--holdup <duration>", "a save is cut when the energy ends that is left for so long, as 16ms", milliseconds)
    .option("--flush-bandwidth <rate>", "how fast it is written with --holdup, as 500MB/s (default: 2GB/s)", bandwidth)
    .addOption(new Option("--fail-seed <n>", "chooses the safepoints of --fail-rate").argParser(seed).default(1));
}

export function failurePlan(options: GuestOptions): FailurePlan {
  const { failAt, failAfter, failAtCall, failRate, failSeed } = options;
  return {
    atSafepoint: failAt,
    afterMilliseconds: failAfter,
    atCall: failAtCall,
    rate: failRate === undefined ? undefined : { probability: failRate, seed: failSeed },
  };
}

/** What PC power supplies promise between telling that the power fails and failing (ATX: at least 1 ms). */
const SHORTEST_HOLDUP_MILLISECONDS = 1;
const USUAL_BYTES_PER_SECOND = 2e9;

export function holdup({ holdup, flushBandwidth }: GuestOptions): HoldupEnergy | undefined {
  if (holdup === undefined && flushBandwidth === undefined) return undefined;
  return {
    milliseconds: holdup ?? SHORTEST_HOLDUP_MILLISECONDS,
    bytesPerSecond: flushBandwidth ?? USUAL_BYTES_PER_SECOND,
  };
}

/** Undefined: as the image was told before; null: none. */
export function persistEvery(options: GuestOptions): PersistEvery | null | undefined {
  const { persistEvery, persistEveryCalls: hostCalls, persistSync: synchronous } = options;
  if (persistEvery === "none" && hostCalls === undefined) return null;
  if (persistEvery === undefined && hostCalls === undefined && synchronous === undefined) return undefined;
  return { milliseconds: persistEvery === "none" ? undefined : persistEvery, hostCalls, synchronous };
}

/** Undefined: as the image was told before; at first it is on with persistence points. */
export function logOptions({
  log,
  uncertain,
  durability,
  recoveryTarget,
}: GuestOptions): LogOptions | boolean | undefined {
  if (log === false) return false;
  if (log === undefined && uncertain === undefined && durability === undefined && recoveryTarget === undefined) {
    return undefined;
  }
  return { uncertain, durability, recoveryTargetMilliseconds: recoveryTarget === "none" ? null : recoveryTarget };
}

/** What asks for a persistence point. Taken like those of `savingSignals`. */
export function persistingSignals(): SignalName[] {
  process.on("SIGUSR1", () => {});
  return ["SIGUSR1"];
}

/**
 * SIGPWR always; a terminal's Ctrl-C only if asked. Taken from here to the end of this program, with or without a
 * guest: a signal that comes too late to save must not change the exit status.
 */
export function savingSignals({ saveOn }: GuestOptions): SignalName[] {
  const signals: SignalName[] = ["SIGPWR", ...(saveOn ?? [])];
  for (const signal of signals) process.on(signal as NodeJS.Signals, () => {});
  return signals;
}

/** A repeatable option gathers its values. */
export function collect<Value>(parse: (text: string) => Value) {
  return (text: string, previous: readonly Value[] | undefined): readonly Value[] => [...(previous ?? []), parse(text)];
}

export function preopen(text: string): Preopen {
  const split = text.indexOf("::");
  const [host, guest] = split < 0 ? [text, text] : [text.slice(0, split), text.slice(split + 2)];
  if (host === "" || guest === "") throw new InvalidArgumentError("It is HOST or HOST::GUEST.");
  return { host, guest };
}

function signalNames(text: string): readonly SignalName[] {
  return text.split(",").map((part) => {
    const name = part.trim().toUpperCase();
    const signal = name.startsWith("SIG") ? name : `SIG${name}`;
    if (!isSignal(signal)) throw new InvalidArgumentError(`There is no signal "${part}".`);
    if (signal === "SIGKILL" || signal === "SIGSTOP") throw new InvalidArgumentError(`${signal} cannot be caught.`);
    return signal;
  });
}

function isSignal(name: string): name is SignalName {
  return Object.hasOwn(constants.signals, name);
}

export function countingNumber(text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < 1 || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError("It is a whole number from 1.");
  }
  return value;
}

export function seed(text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError("It is a whole number.");
  return value;
}

function probability(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("It is above 0 and at most 1.");
  return value;
}

export function milliseconds(text: string): number {
  const value = parseMilliseconds(text);
  if (value === undefined) throw new InvalidArgumentError(`It is ${DURATION_FORM}.`);
  return value;
}

/** Not null: commander takes that for an option without a value. */
function periodOrNone(text: string): number | "none" {
  return text === "none" ? text : period(text);
}

function bandwidth(text: string): number {
  const [, amount, unit = ""] = /^([0-9]*\.?[0-9]+)(k|M|G)?B\/s$/.exec(text) ?? [];
  if (amount === undefined) throw new InvalidArgumentError("It is bytes in a second, as 500MB/s or 2GB/s.");
  const factors: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 };
  return Number(amount) * (factors[unit] ?? 1);
}

function period(text: string): number {
  const value = milliseconds(text);
  if (value === 0) throw new InvalidArgumentError("It is longer than nothing.");
  return value;
}

function failureAtCall(text: string): FailureAtCall {
  const [, name, ordinal, when] = /^(\*|[A-Za-z_][\w.-]*)(?::([0-9]+))?(?::(before|after))?$/.exec(text) ?? [];
  if (name === undefined)
    throw new InvalidArgumentError("It is a host call's name, or '*' for any, as fd_write, fd_write:3, '*:3:after'.");
  return { name, ordinal: countingNumber(ordinal ?? "1"), when: when === "after" ? "after" : "before" };
}
