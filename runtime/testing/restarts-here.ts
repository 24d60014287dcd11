import { basename, resolve } from "node:path";
import type { PersistenceDomain } from "../../pmem/cache-model.js";
import { VermilionError } from "../../pmem/error.js";
import { cacheDirectory } from "../process/cache-directory.js";
import type { Preopen } from "../process/command.js";
import { HostFunctions } from "../process/host-functions.js";
import { checkImports } from "../process/imports.js";
import { readModuleFile } from "../process/module-file.js";
import { Program } from "../process/program.js";
import { readTree } from "./guest-files.js";
import type { RestartFailure } from "./restart-chains.js";
import type { RestartFinding } from "./restart-finding.js";
import { type RestartOptions, searchRestarts } from "./restart-search.js";
import { CHECKER_EXPORT, type FilesChecker } from "./restart-verdict.js";

/** A program that manages persistent memory itself, and how to look for failures that it does not survive. */
export interface RestartExploreOptions {
  /** Path of the module. */
  readonly module: string;
  /** Instead of the file's content. */
  readonly moduleBytes?: Uint8Array | undefined;
  /** Without argv[0]. */
  readonly args?: readonly string[] | undefined;
  readonly argv0?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Directories for the guest. They stay as they are. A failure takes what was not flushed to files and directories. */
  readonly preopens?: readonly Preopen[] | undefined;
  readonly domain: PersistenceDomain;
  /** An export of type int(void) or int(unsigned promised), "vermilion_check" by default; without it the program itself. */
  readonly checkExport?: string | undefined;
  /** Besides, another program is run on the directories that a guest which went on has left; it exits with 0 if all is well. */
  readonly checkProgram?: { readonly module: string; readonly args?: readonly string[] | undefined } | undefined;
  /** A file for the guest's standard input, read from the beginning by every guest. */
  readonly stdin?: string | undefined;
  /** After a failure the checker alone is run, and not the program again, too. For a program that cannot begin again. */
  readonly checkOnly?: boolean | undefined;
  /** Finds stores by comparing memory instead of tracking them: faster for long runs, and inexact. */
  readonly approximate?: boolean | undefined;
  /** Failures in a row, 2 by default: the second strikes recovery. */
  readonly failuresInARow?: number | undefined;
  /** States to look at for each point at most, 64 by default. */
  readonly statesPerPoint?: number | undefined;
  /** Chooses among states where there are more. */
  readonly seed?: number | undefined;
  /** Guests to start at most in each process; 100,000 by default. */
  readonly guests?: number | undefined;
  readonly budgetMilliseconds?: number | undefined;
  /** Processes that search, one per processor by default. They find what one finds, unless a budget ends them. */
  readonly jobs?: number | undefined;
  /** Only this chain of failures, as a finding names it. */
  readonly at?: string | undefined;
}

export interface RestartExploration {
  readonly module: string;
  readonly domain: PersistenceDomain;
  readonly seed: number;
  /** Places where the power failed, those during recovery included. */
  readonly points: number;
  /** Those that could leave more states than were looked at; a larger `statesPerPoint` looks at more. */
  readonly sampled: number;
  /** Guests that were started. */
  readonly guests: number;
  /** States that were equal to another, and not looked at again. */
  readonly pruned: number;
  readonly milliseconds: number;
  /** The program announces no persistent memory and has no directories: there was nothing to look for. */
  readonly keepsNothing: boolean;
  /** False: the budget ended the search. */
  readonly complete: boolean;
  /** The first failure that was found; `at` names it. */
  readonly finding: (RestartFinding & { readonly at: string }) | undefined;
}

/** Before a failure that strikes the program, begun again, and not its checker. */
const GOES_ON = "main:";

/** A guest that goes on for so long does not end. */
const SAFEPOINT_LIMIT = 10_000_000;

/** `exploreRestarts` (restarts.ts) in this thread; `folder` exists. */
export function exploreRestartsHere(
  options: RestartExploreOptions,
  share: Pick<RestartOptions, "folder" | "part" | "others">,
): RestartExploration {
  const { domain, seed = 1, failuresInARow = 2, statesPerPoint = 64, guests = 100_000 } = options;
  const module = resolve(options.module);
  const bytes = options.moduleBytes ?? readModuleFile(module);
  const program = loadProgram(bytes, options.approximate !== true);
  const args = [options.argv0 ?? basename(module), ...(options.args ?? [])];
  const preopens = (options.preopens ?? []).map(({ host, guest }) => ({ host: resolve(host), guest }));
  const files = { guests: preopens.map(({ guest }) => guest), tree: readTree(preopens) };
  const report = searchRestarts(
    {
      ...{ program, args, env: Object.entries(options.env ?? {}), seed },
      stdin: options.stdin === undefined ? undefined : resolve(options.stdin),
      ...(preopens.length === 0 ? {} : { files }),
    },
    {
      ...share,
      ...{ domain, seed, statesPerPoint },
      depth: failuresInARow,
      executions: guests,
      checkProgram: options.checkProgram && filesCheckerOf(options.checkProgram),
      checkExport: options.checkExport ?? CHECKER_EXPORT,
      checkerNeeded: options.checkExport !== undefined,
      checkOnly: options.checkOnly === true,
      milliseconds: options.budgetMilliseconds ?? Number.POSITIVE_INFINITY,
      safepointLimit: SAFEPOINT_LIMIT,
      ...(options.at === undefined ? {} : { only: parseChain(options.at) }),
    },
  );
  const { points, sampled, keepsNothing, executions, pruned, milliseconds, complete, finding } = report;
  return {
    ...{
      module: options.module,
      domain,
      seed,
      points,
      sampled,
      keepsNothing,
      guests: executions,
      pruned,
      milliseconds,
      complete,
    },
    finding: finding && { ...finding, at: formatChain(finding.failures) },
  };
}

function loadProgram(bytes: Uint8Array, tracking: boolean): Program {
  const program = Program.load(new Uint8Array(bytes), { cacheDirectory: cacheDirectory(), exact: true, tracking });
  checkImports(program.module, new HostFunctions());
  return program;
}

function filesCheckerOf({ module, args = [] }: NonNullable<RestartExploreOptions["checkProgram"]>): FilesChecker {
  const path = resolve(module);
  const bytes = readModuleFile(path);
  return { program: loadProgram(bytes, false), module, args: [basename(path), ...args] };
}

function formatChain(failures: readonly RestartFailure[]): string {
  return failures.map(({ event, choice, goesOn }) => `${goesOn === true ? GOES_ON : ""}${event}:${choice}`).join("+");
}

function parseChain(text: string): RestartFailure[] {
  return text.split("+").map((part) => {
    const goesOn = part.startsWith(GOES_ON);
    const match = /^(\d+):([\w.-]+)$/.exec(goesOn ? part.slice(GOES_ON.length) : part);
    const [, event, choice] = match ?? [];
    if (event !== undefined && choice !== undefined) {
      return { event: Number(event), choice, ...(goesOn ? { goesOn } : {}) };
    }
    throw new VermilionError(
      "TRACE_INVALID",
      `"${part}" is no failure of persistent memory; write POINT:STATE, joined by "+", as a finding does: 20:1.1+4:all`,
    );
  });
}
