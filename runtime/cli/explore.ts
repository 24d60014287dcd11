import { type Command, InvalidArgumentError, Option } from "commander";
import { type Preopen, VermilionError } from "../index.js";
import type { Aspect, Exploration, ExploreFinding, ExploreOptions, PersistenceDomain } from "../testing/index.js";
import { exploreRestartsCommand } from "./explore-restarts.js";
import { collect, countingNumber, milliseconds, preopen, seed } from "./guest-options.js";
import { print } from "./listing.js";
import type { Messages } from "./messages.js";
import { quoted } from "./plain-text.js";
import { environment, variable } from "./program-options.js";
import { EXIT } from "./status.js";

interface ExploreCommandOptions {
  readonly dir?: readonly Preopen[];
  readonly env?: readonly (readonly [string, string | undefined])[];
  readonly argv0?: string;
  readonly stdin?: string;
  readonly compare?: readonly Aspect[];
  readonly checkExport?: string;
  readonly checkProgram?: string;
  readonly budget?: number;
  readonly failures?: number;
  readonly points?: number;
  readonly findings?: number;
  readonly seed: number;
  readonly jobs?: number;
  readonly at?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly domain: PersistenceDomain;
  readonly restart?: boolean;
  readonly inARow?: number;
  readonly states?: number;
  readonly approximate?: boolean;
  readonly checkOnly?: boolean;
}

/** Options for whole processes only, with what the user typed. */
const FOR_WHOLE_PROCESSES = {
  compare: "--compare",
  failures: "--failures",
  points: "--points",
  findings: "--findings",
} as const;
const FOR_RESTARTS = {
  inARow: "--in-a-row",
  states: "--states",
  approximate: "--approximate",
  checkOnly: "--check-only",
} as const;

const ASPECTS: readonly string[] = ["stdout", "exit", "files"] satisfies Aspect[];

export function defineExplore(command: Command, messages: Messages, finish: (status: number) => void): void {
  command
    .description("cause power failures all over a program's run, and find those that it does not survive")
    .argument("<module>", "the program: a .wasm file, or .wat text")
    .argument("[args...]", "everything after the module goes to the program")
    .passThroughOptions()
    .option(
      "--dir <host[::guest]>",
      "grant a copy of a directory, a fresh one to each run; repeatable",
      collect(preopen),
    )
    .option(
      "--env <name[=value]>",
      "an environment variable, with its value here by default; repeatable",
      collect(variable),
    )
    .option("--argv0 <name>", "the program's own name for it")
    .option("--stdin <file>", "what the program reads from standard input (default: nothing)")
    .optionsGroup("What must hold after a failure:")
    .option("--compare <what>", "as without a failure: stdout,exit,files or fewer, or none", aspects)
    .option("--check-export <function>", "an export of the program, called at the end of a run, returns 0")
    .option("--check-program <file>", "another program exits with 0, run on the directories that are left")
    .optionsGroup("How long, and where:")
    .option("--budget <duration>", "go on at random for so long, as 60s, and no longer", milliseconds)
    .option("--failures <n>", "go on at random until so many failures were caused", countingNumber)
    .option("--points <n>", "safepoints to look at in a round (default: 10000)", countingNumber)
    .option("--findings <n>", "ways to break the program to look for (default: 1)", countingNumber)
    .addOption(new Option("--seed <n>", "chooses everything that is chosen at random").argParser(seed).default(1))
    .option("--jobs <n>", "processes that search (default: one a processor)", countingNumber)
    .optionsGroup("Programs that manage persistent memory themselves (docs/programming-models.md):")
    .addOption(
      new Option(
        "--domain <domain>",
        "what a failure leaves: the whole process under eadr; else only what was made persistent",
      )
        .choices(["eadr", "adr", "none"])
        .default("eadr"),
    )
    .option("--restart", "under eadr, too, the program begins again at main with its persistent ranges")
    .option("--in-a-row <n>", "failures in a row (default: 2)", countingNumber)
    .option("--approximate", "find stores by comparing memory, not by tracking them: faster, and inexact")
    .option("--check-only", "after a failure run the program's checker alone, and not the program again, too")
    .option("--states <n>", "states to look at for each point at most (default: 64)", countingNumber)
    .optionsGroup("Options:")
    .option("--at <failures>", "only these failures, as a finding names them: safepoint:120+safepoint:3")
    .option("--json", "print the result as JSON, and messages too")
    .option("--quiet", "no progress")
    .option("--verbose", "print stack traces with errors")
    .action(async (module: string, args: string[], options: ExploreCommandOptions) => {
      const given = await exploreOptions(module, args[0] === "--" ? args.slice(1) : args, options);
      if (options.restart === true || options.domain !== "eadr") finish(await restarts(given, options));
      else {
        refuseOthers(options);
        finish(options.at === undefined ? await exploreAll(given, options, messages) : await repeat(given, options));
      }
    });
}

function refuseOthers(options: ExploreCommandOptions): void {
  const [unused] = typed(options, FOR_RESTARTS);
  if (unused === undefined) return;
  throw new VermilionError(
    "USAGE",
    `${unused}: only with --restart, --domain adr or --domain none; add one, or leave it out`,
  );
}

/** Those of some options that were given. */
function typed<Name extends keyof ExploreCommandOptions>(
  options: ExploreCommandOptions,
  names: Readonly<Record<Name, string>>,
): string[] {
  return (Object.keys(names) as Name[]).filter((name) => options[name] !== undefined).map((name) => names[name]);
}

async function restarts(given: ExploreOptions, options: ExploreCommandOptions): Promise<number> {
  const {
    module,
    moduleBytes,
    args,
    argv0,
    env,
    preopens,
    checkExport,
    checkProgram,
    stdin,
    seed: chosen,
    budgetMilliseconds,
    jobs,
  } = given;
  const { domain, inARow, states, approximate, checkOnly, at, json } = options;
  return exploreRestartsCommand(
    {
      ...{
        module,
        moduleBytes,
        args,
        argv0,
        env,
        preopens,
        checkExport,
        checkProgram,
        stdin,
        seed: chosen,
        budgetMilliseconds,
        jobs,
        domain,
        at,
      },
      failuresInARow: inARow,
      statesPerPoint: states,
      approximate,
      checkOnly,
    },
    { json, unused: typed(options, FOR_WHOLE_PROCESSES) },
    repeatCommand(),
  );
}

async function exploreAll(given: ExploreOptions, options: ExploreCommandOptions, messages: Messages): Promise<number> {
  const { describeExploration, explore } = await import("../testing/index.js");
  const shows = process.stderr.isTTY && options.quiet !== true && options.json !== true;
  const startedAt = performance.now();
  const onProgress = ({ label, points }: { readonly label: string; readonly points: number }): void => {
    const rate = Math.round((1000 * points) / (performance.now() - startedAt));
    messages.raw(`\r\x1b[K${points} crash points, ${rate}/s: ${label}`);
  };
  const exploration: Exploration = await explore(shows ? { ...given, onProgress } : given);
  if (shows) messages.raw("\r\x1b[K");
  const command = repeatCommand();
  const findings = exploration.findings.map((finding) => ({ ...finding, again: command(finding.at) }));
  if (options.json === true) print(jsonOf({ ...exploration, findings }));
  else print(describeExploration(exploration, command));
  return exploration.findings.length === 0 ? EXIT.success : EXIT.found;
}

async function repeat(given: ExploreOptions, { at = "", json }: ExploreCommandOptions): Promise<number> {
  const { describeFinding, powerFailAt } = await import("../testing/index.js");
  const repeated: ExploreFinding | undefined = await powerFailAt(given, at);
  if (repeated === undefined) {
    const reason =
      "the program ends before that; take the failures from a report of the same program and the same input";
    throw new VermilionError("BAD_ARGUMENT", `--at ${at}: ${reason}`);
  }
  if (json === true) print(jsonOf(repeated));
  else if (repeated.differences.length === 0) print(`${at}: the program survives it`);
  else print(describeFinding(repeated).join("\n"));
  return repeated.differences.length === 0 ? EXIT.success : EXIT.found;
}

/** Without output and files, which may be long: the same command shows them again. */
function jsonOf(result: unknown): string {
  const left = new Set(["stdout", "contents", "files"]);
  return JSON.stringify(result, (key, value: unknown) => (left.has(key) ? undefined : value), 2);
}

async function exploreOptions(
  module: string,
  args: readonly string[],
  options: ExploreCommandOptions,
): Promise<ExploreOptions> {
  return {
    module,
    moduleBytes: await bytesOfText(module),
    args,
    argv0: options.argv0,
    env: environment(false, options.env ?? []),
    preopens: options.dir,
    stdin: options.stdin,
    compare: options.compare,
    checkExport: options.checkExport,
    checkProgram: options.checkProgram === undefined ? undefined : { module: options.checkProgram },
    seed: options.seed,
    jobs: options.jobs,
    points: options.points,
    budgetMilliseconds: options.budget,
    failures: options.failures,
    mostFindings: options.findings,
  };
}

async function bytesOfText(module: string): Promise<Uint8Array | undefined> {
  if (!module.endsWith(".wat")) return undefined;
  const { assemble } = await import("./wat.js");
  return assemble(module);
}

/** What was typed, as a shell takes it, with room for what a finding adds. */
function repeatCommand(): (at: string) => string {
  const words = process.argv.slice(3).map(quoted);
  return (at) => ["vermilion explore", "--at", at, ...words].join(" ");
}

function aspects(text: string): readonly Aspect[] {
  if (text === "none") return [];
  return text.split(",").map((name) => {
    if (!ASPECTS.includes(name)) throw new InvalidArgumentError(`It is a list of ${ASPECTS.join(", ")}, or none.`);
    return name as Aspect;
  });
}
