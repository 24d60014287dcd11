/**
 * `--supervise`: a parent that starts the same command again when it dies without having said so: by a signal that was not
 * passed on to it, as the kernel's out-of-memory killer or a crash of the engine. A guest that exits, traps or is saved has ended.
 *
 *     run --> exits: so do we
 *         --> killed, its program over or saved: as if it had said so
 *         --> killed: wait, run again; the wait doubles, and starts over when a run has lasted
 *         --> run again, and could not (status 74): likewise
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { type Command, Option } from "commander";
import { type ImageSummary, Process, VermilionError } from "../index.js";
import { countingNumber } from "./guest-options.js";
import type { Messages } from "./messages.js";
import { EXIT } from "./status.js";

const USUAL_PERIOD = "1s";
const USUAL_RESTARTS = 10;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** A run of that length was no failure of the restart before it. */
const LASTING_MS = 10_000;
/** What the shell adds to a signal's number. */
const KILLED = 128;

const PASSED_ON = ["SIGHUP", "SIGTERM", "SIGPWR", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGINT", "SIGQUIT"] as const;
/** A terminal sends them to all of its processes; somebody else, to us only, and then the child lives on after this time. */
const FROM_TERMINAL: ReadonlySet<string> = new Set(["SIGINT", "SIGQUIT"]);
const FROM_TERMINAL_MS = 100;
/** Of those passed on, the ones that do not ask for an end. */
const HARMLESS: ReadonlySet<string> = new Set(["SIGUSR1", "SIGUSR2", "SIGCONT"]);

export interface SuperviseOptions {
  readonly supervise?: boolean;
  readonly restarts?: number;
  readonly fresh?: boolean;
  readonly inPlace?: boolean;
  readonly log?: boolean;
  readonly persistEvery?: number | "none";
  readonly persistEveryCalls?: number;
}

export function addSuperviseOptions(command: Command): Command {
  return command
    .option(
      "--supervise",
      `start it again whenever it is killed; with --persist-every ${USUAL_PERIOD}, unless something else is said`,
    )
    .addOption(
      new Option("--restarts <n>", `how often in a row --supervise does that (default: ${USUAL_RESTARTS})`).argParser(
        countingNumber,
      ),
    );
}

/** USAGE. */
export function checkSupervision({ supervise: isOn, restarts }: SuperviseOptions): void {
  if (isOn === true || restarts === undefined) return;
  throw new VermilionError(
    "USAGE",
    "--restarts: says how often --supervise starts again; add --supervise, or leave it out",
  );
}

/**
 * @param argv of this program.
 * @param image that the program has or will have.
 * @returns the exit status.
 */
export async function supervise(
  argv: readonly string[],
  image: string,
  options: SuperviseOptions,
  messages: Messages,
): Promise<number> {
  const { restarts = USUAL_RESTARTS } = options;
  const { first, again } = commandLines(argv, options);
  const signals = new PassedOn();
  let wait = FIRST_WAIT_MS;
  for (let failures = 0, args = first, isFirst = true; ; isFirst = false) {
    const startedAt = performance.now();
    const before = await summaryOf(image);
    const { status, signal } = await signals.whileRuns(
      spawn(process.execPath, [...process.execArgv, ...args], { stdio: "inherit" }),
    );
    const after = await summaryOf(image);
    const isChanged = after !== undefined && after.writtenAt !== before?.writtenAt;
    const over = isChanged ? statusOf(after) : undefined;
    // A restart may meet somebody who looks at the image, or a disk that is full for a while.
    const mayPass = !isFirst && status === EXIT.inputOutput && over === undefined;
    const said = status ?? over;
    if (said !== undefined && !mayPass) return said;
    const killed = status ?? KILLED + (signal === null ? 0 : constants.signals[signal]);
    if (signals.end !== undefined) return killed;
    if (isChanged) args = again; // else --fresh has not made its image yet
    if (performance.now() - startedAt >= LASTING_MS) {
      failures = 0;
      wait = FIRST_WAIT_MS;
    }
    const how = signal === null ? `ended with status ${status}` : `killed by ${signal}`;
    if (++failures > restarts) {
      messages.news("given-up", `${how}, ${failures} times in a row: given up`, { signal, status, failures });
      return killed;
    }
    messages.news("restarting", `${how}: starting again in ${wait / 1000} s`, { signal, status, wait });
    await signals.sleep(wait);
    if (signals.end !== undefined) return KILLED + constants.signals[signals.end];
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
}

async function summaryOf(image: string): Promise<ImageSummary | undefined> {
  try {
    return await Process.summary(image);
  } catch {
    return undefined;
  }
}

/** Of a program that has ended, though its process was killed before it could say so. */
function statusOf({ status, exitStatus }: ImageSummary): number | undefined {
  if (status === "finished") return exitStatus ?? 0;
  if (status === "trapped") return EXIT.trap;
  return status === "saved" ? EXIT.powerFailure : undefined;
}

/** Signals that are passed on to the child that runs. */
class PassedOn {
  #child: ChildProcess | undefined;
  readonly #waiting = new AbortController();
  /** The first one that asked for an end. */
  end: NodeJS.Signals | undefined;

  constructor() {
    const atTerminal = isatty(0);
    for (const name of PASSED_ON) {
      process.on(name, () => {
        if (!HARMLESS.has(name)) {
          this.end ??= name;
          this.#waiting.abort();
        }
        const child = this.#child;
        if (!(atTerminal && FROM_TERMINAL.has(name))) child?.kill(name);
        else setTimeout(() => isAlive(child) && child?.kill(name), FROM_TERMINAL_MS).unref();
      });
    }
  }

  async whileRuns(child: ChildProcess): Promise<{ status: number | null; signal: NodeJS.Signals | null }> {
    this.#child = child;
    try {
      return await new Promise((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (status, signal) => resolve({ status, signal }));
      });
    } finally {
      this.#child = undefined;
    }
  }

  /** Until the time is over, or somebody asks for an end. */
  async sleep(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#waiting.signal }).catch(() => {});
  }
}

function isAlive(child: ChildProcess | undefined): boolean {
  return child?.exitCode === null && child.signalCode === null;
}

/** Our options stand before the program's, so the first of a name is ours. */
function commandLines(
  argv: readonly string[],
  { fresh, inPlace, log, persistEvery, persistEveryCalls, restarts }: SuperviseOptions,
): { readonly first: readonly string[]; readonly again: readonly string[] } {
  const [, main = "", command = "", ...rest] = argv;
  const persists = persistEvery !== undefined || persistEveryCalls !== undefined || log !== undefined;
  const points = persists || inPlace === true ? [] : ["--persist-every", USUAL_PERIOD];
  const own = without(rest, "--supervise");
  const first = [main, command, ...points, ...(restarts === undefined ? own : without(own, "--restarts", 1))];
  return { first, again: fresh === true ? without(first, "--fresh") : first };
}

/** Without the first option of that name, and as many arguments behind it unless it has them as "--name=value". */
function without(args: readonly string[], name: string, values = 0): string[] {
  const index = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  return index < 0 ? [...args] : args.toSpliced(index, args[index] === name ? 1 + values : 1);
}
