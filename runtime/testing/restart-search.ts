/**
 * Failures of a program that manages persistent memory itself: at each it loses everything but what the persistence domain
 * leaves of the ranges it announced, and begins again.
 *
 * The program runs twice. The first run is the reference: it must end well, and its events are counted. In the second each
 * event is a point where the power may fail, and for each state of memory that may be left there another guest is started,
 * in the middle of this one's call: its checker, an export that recovers and says whether all is as it should be, or, without
 * one, the program itself, which must then end as the first run did. Recovery is a run like any other: with a depth above
 * one, failures strike there too.
 *
 * Q1  States with the same bytes and the same promise are looked at once, to the greatest depth asked for.
 * Q2  Between two fences the possible states only grow, so under `adr` and `none` it is enough to look before a fence, before
 *     a promise and at the end. Under `eadr` it is behind every store.
 *     For files it is before each flush of one, in any domain.
 * Q3  The run is the same each time: points are named by their event's number, and a state by its choice.
 */
import { CacheModel, type PersistenceDomain } from "../../pmem/cache-model.js";
import { VermilionError } from "../../pmem/error.js";
import { lostFiles } from "../../pmem/surviving-files.js";
import { lostStores } from "../../pmem/surviving-states.js";
import type { Outcome } from "../process/machine.js";
import { ExternalKind, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import { type AtEvent, type RestartPointKind, RestartRun, type RestartSubject } from "./restart-run.js";
import { choicesOf, type Survived, survivedNamed, survivedNow } from "./restart-states.js";

export const CHECKER_EXPORT = "vermilion_check";
const ENTRY_EXPORT = "_start";

export interface RestartOptions {
  readonly domain: PersistenceDomain;
  readonly seed: number;
  /** Failures in a row: 2 strikes recovery too. */
  readonly depth: number;
  /** At most so many states are looked at for each point. */
  readonly statesPerPoint: number;
  /** Guests to start at most. */
  readonly executions: number;
  /** Milliseconds after which no other guest is started. */
  readonly milliseconds: number;
  /** For the guests' files, in folders of their own; it exists. */
  readonly folder: string;
  /** A guest that has crossed so many safepoints does not end. */
  readonly safepointLimit: number;
  /** The checker's name, CHECKER_EXPORT by default; without such an export the program itself is run, if that will do. */
  readonly checkExport?: string;
  readonly checkerNeeded?: boolean;
  /** Of the points of the first run only each `count`th, from `index` on: for several searches at once. */
  readonly part?: { readonly index: number; readonly count: number };
  /** Whether somebody else has ended the search. */
  readonly isStopped?: () => boolean;
  /** Only this chain of failures, instead of all. */
  readonly only?: readonly RestartFailure[];
}

/** One failure: where, and which of the states that are possible there. */
export interface RestartFailure {
  readonly event: number;
  readonly choice: string;
}

interface LostStore {
  readonly address: number;
  readonly byteLength: number;
  /** As in a finding. */
  readonly where: readonly string[];
}

export interface RestartFinding {
  readonly failures: readonly (RestartFailure & {
    readonly kind: RestartPointKind;
    /** The guest's functions at the failure, innermost first. */
    readonly where: readonly string[];
    /** What was stored and did not survive, oldest first. */
    readonly lost: readonly LostStore[];
    /** What of files and directories did not, as text. */
    readonly lostFiles: readonly string[];
  })[];
  readonly promised: number;
  /** What the guest that went on from there did. */
  readonly result: string;
}

export interface RestartReport {
  /** Looked at, also by way of a failure before. */
  readonly points: number;
  /** Guests started. */
  readonly executions: number;
  /** States that were not looked at again because equal ones were (Q1). */
  readonly pruned: number;
  readonly milliseconds: number;
  readonly finding: RestartFinding | undefined;
  /** False: the budget ended first. */
  readonly complete: boolean;
}

interface Chain {
  readonly failures: readonly RestartFailure[];
  readonly survived: Survived | undefined;
  readonly promised: number;
}

const WHOLE = { index: 0, count: 1 };
const BEGINNING: Chain = { failures: [], survived: undefined, promised: 0 };

/** Looks for a failure that the program does not survive, until the first. REFERENCE_FAILED, CHECKER_INVALID, BAD_ARGUMENT. */
export function searchRestarts(subject: RestartSubject, options: RestartOptions): RestartReport {
  return new RestartSearch(subject, options).search();
}

class RestartSearch {
  readonly #subject: RestartSubject;
  readonly #options: RestartOptions;
  readonly #checker: { readonly exportName: string; readonly takesPromise: boolean };
  readonly #startedAt = performance.now();
  /** By digest and promise, the depth to which it was looked at. */
  readonly #seen = new Map<string, number>();
  #points = 0;
  #executions = 0;
  #pruned = 0;
  #complete = true;
  #found: { readonly chain: Chain; readonly result: string } | undefined;

  constructor(subject: RestartSubject, options: RestartOptions) {
    this.#subject = subject;
    this.#options = options;
    this.#checker = checkerOf(subject, options);
  }

  search(): RestartReport {
    const { only, depth } = this.#options;
    const outcome = this.#run(BEGINNING, ENTRY_EXPORT, () => undefined);
    const failure = judge(outcome, false);
    if (failure !== undefined) {
      throw new VermilionError(
        "REFERENCE_FAILED",
        `without any failure the program ${failure}; it must end well before failures can be tried`,
      );
    }
    if (only !== undefined) this.#repeat(BEGINNING, only);
    else {
      // The shortest chain says most: one failure everywhere, before two.
      for (let failures = 1; failures <= depth && this.#found === undefined; failures++) {
        this.#run(BEGINNING, ENTRY_EXPORT, this.#exploring(BEGINNING, failures));
      }
    }
    return {
      points: this.#points,
      executions: this.#executions,
      pruned: this.#pruned,
      milliseconds: performance.now() - this.#startedAt,
      finding: this.#found && { ...this.#explain(this.#found.chain), result: this.#found.result },
      complete: this.#complete,
    };
  }

  #run(chain: Chain, exportName: string, atEvent: AtEvent, keepsStacks = false): Outcome {
    this.#executions++;
    const model = new CacheModel(this.#options.domain);
    const folder = `${this.#options.folder}/${this.#executions}`;
    const run = new RestartRun(this.#subject, model, { ...chain, folder }, atEvent, keepsStacks);
    const takesPromise = exportName === this.#checker.exportName && this.#checker.takesPromise;
    return run.start(exportName, takesPromise ? [chain.promised] : [], this.#options.safepointLimit);
  }

  /** Goes on after a failure; undefined: as it should. */
  #recover(chain: Chain, atEvent: AtEvent, keepsStacks = false): string | undefined {
    const { exportName } = this.#checker;
    return judge(this.#run(chain, exportName, atEvent, keepsStacks), exportName !== ENTRY_EXPORT);
  }

  /** Looks at every point of a run from which `depth` failures in a row may begin. */
  #exploring(chain: Chain, depth: number): AtEvent {
    const { index, count } = chain.failures.length === 0 ? (this.#options.part ?? WHOLE) : WHOLE;
    let reached = 0;
    let changed = true;
    return (run, kind) => {
      if (kind === "store" || kind === "write" || kind === "promise") changed = true; // a promise is judged from the next point on, too
      if (!isPoint(this.#options.domain, kind) || !changed || this.#isOver()) return;
      if (kind !== "promise") changed = false;
      if (reached++ % count !== index) return;
      this.#points++;
      const { statesPerPoint, seed } = this.#options;
      for (const survived of survivedNow(run, statesPerPoint, seed + run.eventCount)) {
        if (this.#isOver()) return;
        const failure = { event: run.eventCount, choice: survived.choice };
        this.#look({ failures: [...chain.failures, failure], survived, promised: run.promised }, depth - 1);
      }
    };
  }

  #isOver(): boolean {
    if (this.#found !== undefined) return true;
    const { executions, milliseconds, isStopped } = this.#options;
    if (this.#executions < executions && isStopped?.() !== true && performance.now() - this.#startedAt < milliseconds)
      return false;
    this.#complete = false;
    return true;
  }

  #look(chain: Chain, depth: number): void {
    const key = `${chain.survived?.digest} ${chain.promised}`;
    if ((this.#seen.get(key) ?? -1) >= depth) {
      this.#pruned++;
      return;
    }
    this.#seen.set(key, depth); // Q1
    const result = this.#recover(chain, depth === 0 ? () => undefined : this.#exploring(chain, depth));
    // A failure of the recovery may have been found meanwhile.
    if (result !== undefined) this.#found ??= { chain, result };
  }

  /** One chain of failures again. */
  #repeat(chain: Chain, only: readonly RestartFailure[]): void {
    const [next, ...rest] = only;
    if (next === undefined) {
      const result = this.#recover(chain, () => undefined);
      if (result !== undefined) this.#found = { chain, result };
      return;
    }
    let reached = false;
    const atEvent: AtEvent = (run, kind) => {
      if (reached || run.eventCount !== next.event || !isPoint(this.#options.domain, kind)) return;
      reached = true;
      this.#points++;
      const survived = survivedNamed(run, next.choice);
      this.#repeat({ failures: [...chain.failures, next], survived, promised: run.promised }, rest);
    };
    if (chain.failures.length === 0) this.#run(chain, ENTRY_EXPORT, atEvent);
    else this.#recover(chain, atEvent);
    if (reached) return;
    throw new VermilionError(
      "BAD_ARGUMENT",
      `the run has no point ${next.event} where the power could fail; take the point from a report of the same program`,
    );
  }

  /** Runs a chain again, to tell where each failure struck and what it took. */
  #explain({ failures, promised }: Chain): Omit<RestartFinding, "result"> {
    const explained: RestartFinding["failures"][number][] = [];
    let chain = BEGINNING;
    for (const failure of failures) {
      let next: Chain | undefined;
      const atEvent: AtEvent = (run, kind) => {
        if (next !== undefined || run.eventCount !== failure.event || !isPoint(this.#options.domain, kind)) return;
        const { memory, files } = choicesOf(failure.choice);
        const lost = lostStores(run.model, memory).map(({ sequence, address, byteLength }) => ({
          address,
          byteLength,
          where: run.storedBy.get(sequence) ?? [],
        }));
        const lostOfFiles = run.files === undefined ? [] : lostFiles(run.files.model, files);
        explained.push({ ...failure, kind, where: run.where(), lost, lostFiles: lostOfFiles });
        next = {
          failures: [...chain.failures, failure],
          survived: survivedNamed(run, failure.choice),
          promised: run.promised,
        };
      };
      if (chain.failures.length === 0) this.#run(chain, ENTRY_EXPORT, atEvent, true);
      else this.#recover(chain, atEvent, true);
      chain = next ?? chain;
    }
    return { failures: explained, promised };
  }
}

/** Q2. */
function isPoint(domain: PersistenceDomain, kind: RestartPointKind): boolean {
  if (kind === "flush" || kind === "write") return false;
  return kind !== "store" || domain === "eadr";
}

/** What is wrong with how a guest ended; undefined: nothing. */
function judge(outcome: Outcome, isCheck: boolean): string | undefined {
  switch (outcome.kind) {
    case "returned": {
      const [result] = outcome.results;
      return isCheck && result !== 0 ? `finds its state inconsistent: the checker returned ${result}` : undefined;
    }
    case "exited":
      return outcome.status === 0 ? undefined : `exits with status ${outcome.status}`;
    case "trapped":
      return `traps: ${outcome.error.message}`;
    case "suspended":
      return "does not end";
  }
}

/** The checker, or the program itself. */
function checkerOf(
  { program: { module } }: RestartSubject,
  { checkExport = CHECKER_EXPORT, checkerNeeded = false }: RestartOptions,
): { exportName: string; takesPromise: boolean } {
  const exported = module.exports.find(({ name, kind }) => name === checkExport && kind === ExternalKind.function);
  const index = exported?.index;
  if (index === undefined) {
    if (!checkerNeeded) return { exportName: ENTRY_EXPORT, takesPromise: false };
    throw new VermilionError("NO_SUCH_EXPORT", `the module exports no function named "${checkExport}"`);
  }
  const { params, results } = typeOfFunction(module, index);
  const fits = params.length <= 1 && [...params, ...results].every((type) => type === ValueType.i32);
  if (fits && results.length === 1) return { exportName: checkExport, takesPromise: params.length === 1 };
  throw new VermilionError(
    "CHECKER_INVALID",
    `the export ${checkExport} must be a function int(void) or int(unsigned promised) that returns 0 if all is well`,
  );
}
