import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import type { Preopen } from "../process/command.js";
import type { FrameInspection } from "../process/frame-inspection.js";
import { readModuleFile } from "../process/module-file.js";
import type { Reference } from "./explorer.js";
import type { Finding, ForkCounts } from "./forks.js";
import type { Aspect, Difference, Ending } from "./observation.js";
import { rounds } from "./rounds.js";
import { inParallel, type Searchers, withSearchers } from "./searchers.js";
import { shrink } from "./shrink.js";
import type { Subject } from "./subject.js";
import type { Tally } from "./tally.js";
import { parseTrace, type Trace } from "./trace.js";
import { runOf, UserChecks } from "./user-checks.js";

/** A program to explore, and how. */
export interface ExploreOptions {
  /** Path of the module. */
  readonly module: string;
  /** Instead of the file's content. */
  readonly moduleBytes?: Uint8Array | undefined;
  /** Without argv[0]. */
  readonly args?: readonly string[] | undefined;
  readonly argv0?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Directories for the guest. They stay as they are: every run has copies. */
  readonly preopens?: readonly Preopen[] | undefined;
  /** A file for the guest's standard input. */
  readonly stdin?: string | undefined;
  /** What must be as without a failure: all three by default. */
  readonly compare?: readonly Aspect[] | undefined;
  /** An export of the guest that is called at the end of each run and returns 0 if all is well. */
  readonly checkExport?: string | undefined;
  /** Another program, run on the directories that each run leaves; it exits with 0 if all is well. */
  readonly checkProgram?: { readonly module: string; readonly args?: readonly string[] | undefined } | undefined;
  /**
   * Told of every run that ended, once for each kind of end; that of the run without a failure comes first. Throws, or
   * returns what is wrong, if it is not to be so.
   */
  readonly check?: ((run: ExploredRun) => unknown) | undefined;
  /** Chooses everything that is chosen at random. */
  readonly seed?: number | undefined;
  /** Processes that search; one per processor by default. */
  readonly jobs?: number | undefined;
  /** Safepoints in a round; 10,000 by default. */
  readonly points?: number | undefined;
  /** Goes on with other points and chains for so long, and stops when it is over. */
  readonly budgetMilliseconds?: number | undefined;
  /** Goes on until so many failures were caused. */
  readonly failures?: number | undefined;
  /** Findings to look for; 1 by default. */
  readonly mostFindings?: number | undefined;
  readonly onProgress?: ((progress: ExploreProgress) => void) | undefined;
}

export interface ExploreProgress {
  readonly label: string;
  readonly points: number;
}

/** What a whole run showed, however often its power failed. */
export interface ExploredRun {
  /** The failures; "": none. */
  readonly at: string;
  readonly ending: Ending;
  readonly stdout: Uint8Array;
  /** What is in the guest's directories, by the guest's path: for each file its length and a hash. */
  readonly files: ReadonlyMap<string, string>;
  /** The files themselves. For `check` and `powerFailAt` only. */
  readonly contents: ReadonlyMap<string, Uint8Array> | undefined;
}

/** A way to break the program. */
export interface ExploreFinding {
  /** For `--at` and `repeatFailure`: the shortest chain of failures that was found. */
  readonly at: string;
  readonly differences: readonly Difference[];
  /** For each failure of the chain the guest's stack, innermost frame first. */
  readonly where: readonly (readonly FrameInspection[])[];
  readonly run: ExploredRun;
}

/** What became of a run with failures; without differences, it was as it should be. */
export interface PowerFailedRun extends ExploreFinding {
  /** The run without a failure. */
  readonly reference: ExploredRun;
}

export interface Exploration {
  readonly module: string;
  readonly seed: number;
  readonly jobs: number;
  /** The run without a failure. */
  readonly reference: ExploredRun & { readonly safepoints: number; readonly calls: number };
  /** Crash points that were looked at. */
  readonly points: number;
  /** Failures that were caused; more than points when there were chains. */
  readonly failures: number;
  /** Points whose run came back to a known state, and those that left the same as another. */
  readonly converged: number;
  readonly equivalent: number;
  /** Whether every point of the kind was looked at. */
  readonly complete: { readonly calls: boolean; readonly safepoints: boolean };
  readonly milliseconds: number;
  readonly findings: readonly ExploreFinding[];
}

const DEFAULT_POINTS = 10_000;
const PROGRESS_MILLISECONDS = 250;
const ASPECTS: readonly Aspect[] = ["stdout", "exit", "files"];

/**
 * Causes power failures all over a program's run and finds those after which it does not end as it should.
 *
 * NOT_FOUND and its like: a file cannot be read. MODULE_INVALID, MODULE_UNSUPPORTED, UNKNOWN_IMPORT, NO_SUCH_EXPORT.
 * CHECK_FAILED: a checker is not content even without a failure. BUDGET_ENDED: before any crash point was looked at.
 */
export async function explore(options: ExploreOptions): Promise<Exploration> {
  const startedAt = performance.now();
  const { seed = 1, jobs = availableParallelism(), mostFindings = 1 } = options;
  const { budgetMilliseconds, failures: mostFailures = Number.POSITIVE_INFINITY, onProgress } = options;
  const keepsEnds = options.check !== undefined;
  // A round is spread over the whole run, so it must not be longer than what is wanted.
  const points = Math.min(options.points ?? DEFAULT_POINTS, mostFailures);
  const endless = budgetMilliseconds !== undefined || options.failures !== undefined;
  return withSearchersOf(options, jobs, async (searchers, tally) => {
    const counts: ForkCounts = { failures: 0, points: 0, converged: 0, equivalent: 0 };
    const found: Finding[] = [];
    let label = "the run without a failure";
    const progress = setInterval(() => onProgress?.({ label, points: tally.points }), PROGRESS_MILLISECONDS);
    const deadline = budgetMilliseconds === undefined ? undefined : setTimeout(() => tally.stop(), budgetMilliseconds);
    const unfinished = new Map<string, number>();
    try {
      const reference = await refer(searchers, options);
      const checks = new UserChecks(options, reference.observation);
      await checks.begin();
      const walks = function* () {
        for (const round of rounds(reference, { seed, jobs, points, mostFindings, endless, keepsEnds })) {
          label = round.label;
          unfinished.set(label, round.walks.length);
          for (const order of round.walks) {
            if (tally.isStopped) return;
            yield { round: round.label, order };
          }
        }
      };
      await inParallel(searchers, walks(), async (searcher, { round, order }) => {
        const { report } = await searcher.ask({ kind: "walk", order }, "walked");
        for (const name of ["failures", "points", "converged", "equivalent"] as const) {
          counts[name] += report.counts[name];
        }
        found.push(...report.findings, ...(await checks.wrong(report.ends)));
        if (report.whole) unfinished.set(round, (unfinished.get(round) ?? 0) - 1);
        if (found.length >= mostFindings || counts.failures >= mostFailures) tally.stop();
      });
      if (counts.points === 0 && tally.isStopped && found.length === 0) throw nothingSeen(options.module);
      const milliseconds = performance.now() - startedAt;
      const findings = await explain(searchers, checks, found, mostFindings);
      const { observation, safepoints, calls } = reference;
      return {
        module: options.module,
        seed,
        jobs,
        reference: { ...runOf([], observation), safepoints, calls },
        ...counts,
        complete: { calls: unfinished.get("all host calls") === 0, safepoints: unfinished.get("all safepoints") === 0 },
        milliseconds,
        findings,
      };
    } finally {
      clearInterval(progress);
      clearTimeout(deadline);
    }
  });
}

/** A search that saw nothing must not be taken for one that found nothing. */
export function nothingSeen(module: string): VermilionError {
  return new VermilionError(
    "BUDGET_ENDED",
    `${module}: the budget ended before any crash point was looked at; give it more time or less to do`,
  );
}

/**
 * Runs a program with these failures alone, in the notation of findings: "safepoint:120", "call:3:after",
 * "call:3:inside+safepoint:2". Undefined: the program ended before the last of them. TRACE_INVALID, and as `explore`.
 */
export async function powerFailAt(options: ExploreOptions, at: string): Promise<PowerFailedRun | undefined> {
  const trace = parseTrace(at);
  return withSearchersOf({ ...options, check: options.check ?? (() => {}) }, 1, async (searchers) => {
    const { observation } = await refer(searchers, options);
    const checks = new UserChecks(options, observation);
    const { repetition } = await searchers[0].ask({ kind: "repeat", trace }, "repeated");
    if (repetition === undefined || repetition.where.length < trace.length) return undefined;
    return { ...(await checks.finding(trace, repetition)), reference: runOf([], observation) };
  });
}

function withSearchersOf<Result>(
  options: ExploreOptions,
  jobs: number,
  action: (searchers: Searchers, tally: Tally) => Promise<Result>,
): Promise<Result> {
  const { checkProgram } = options;
  const data = {
    subject: subjectOf(options),
    aspects: options.compare ?? ASPECTS,
    checkerExport: options.checkExport,
    keepsContents: options.check !== undefined,
    checker: checkProgram && subjectOf({ ...checkProgram, preopens: options.preopens }),
    mostFailures: options.failures,
  };
  return withSearchers(jobs, data, action);
}

function subjectOf(options: ExploreOptions): Subject {
  const module = resolve(options.module);
  const moduleBytes = options.moduleBytes ?? readModuleFile(module);
  return {
    module,
    moduleBytes: new Uint8Array(moduleBytes),
    args: [options.argv0 ?? basename(module), ...(options.args ?? [])],
    env: Object.entries(options.env ?? {}),
    preopens: (options.preopens ?? []).map(({ host, guest }) => ({ host: resolve(host), guest })),
    stdin: options.stdin === undefined ? undefined : resolve(options.stdin),
    seed: options.seed ?? 1,
  };
}

async function refer([first, ...others]: Searchers, { module }: ExploreOptions): Promise<Reference> {
  const { reference } = await first.ask({ kind: "refer" }, "reference");
  const [difference] = reference.differences;
  if (difference !== undefined) {
    throw new VermilionError(
      "CHECK_FAILED",
      `${module}: even without a failure the checker is not content (${difference.message}); mend the program or the checker`,
    );
  }
  await Promise.all(others.map((searcher) => searcher.ask({ kind: "reference", reference }, "ready")));
  return reference;
}

async function explain(
  [searcher]: Searchers,
  checks: UserChecks,
  found: readonly Finding[],
  most: number,
): Promise<ExploreFinding[]> {
  const findings = new Map<string, ExploreFinding>();
  const repeat = async (trace: Trace) => (await searcher.ask({ kind: "repeat", trace }, "repeated")).repetition;
  const explained = async (trace: Trace) => {
    const repetition = await repeat(trace);
    return repetition && checks.finding(trace, repetition);
  };
  for (const finding of [...found].sort(shortestFirst).slice(0, most)) {
    const least = await shrink(finding.trace, async (trace) => isWrong(await explained(trace)));
    const again = await explained(least);
    const known = again !== undefined && isWrong(again) ? again : await checks.finding(finding.trace, finding);
    findings.set(known.at, known);
  }
  return [...findings.values()];
}

function isWrong(finding: ExploreFinding | undefined): boolean {
  return finding !== undefined && finding.differences.length > 0;
}

function shortestFirst(a: Finding, b: Finding): number {
  return a.trace.length - b.trace.length || (a.trace[0]?.ordinal ?? 0) - (b.trace[0]?.ordinal ?? 0);
}
