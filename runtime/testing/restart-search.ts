/**
 * Failures of a program that manages persistent memory itself: at each it loses everything but what the persistence domain
 * leaves of the ranges it announced, and begins again.
 *
 * The program runs twice. The first run is the reference: it must end well, and its events are counted. In the second each
 * event is a point where the power may fail, and for each state of memory that may be left there another guest is started,
 * in the middle of this one's call: its checker, an export that recovers and says whether all is as it should be, and the
 * program itself, which recovers, goes on, and must then end as the first run did. These are runs like any other: with a depth
 * above one, failures strike there too.
 *
 * Q1  States with the same bytes and the same promise are looked at once, to the greatest depth asked for; and so are instants
 *     that leave the same states (of programs without files: these are compared state by state).
 * Q2, Q3: which events are points, and how they are named, in restart-chains.ts.
 * Q4  However many search at once, they find the same: of the shortest chains the one that strikes first. Whoever has something
 *     tells the others, and these go on until they are past it.
 */
import { VermilionError } from "../../pmem/error.js";
import { instantDigest } from "../../pmem/surviving-states.js";
import { BEGINNING, type Chain, type ChainOptions, ChainRuns, isPoint, type RestartFailure } from "./restart-chains.js";
import { explained, type Found, type RestartFinding, shrunk } from "./restart-finding.js";
import type { AtEvent, RestartRun, RestartSubject } from "./restart-run.js";
import { isWhole, survivedNow } from "./restart-states.js";
import { type Share, WHOLE } from "./strata.js";
import type { Tally } from "./tally.js";

export interface RestartOptions extends ChainOptions {
  readonly seed: number;
  /** Failures in a row: 2 strikes recovery too. */
  readonly depth: number;
  /** At most so many states are looked at for each point. */
  readonly statesPerPoint: number;
  /** Guests to start at most. */
  readonly executions: number;
  /** Milliseconds after which no other guest is started. */
  readonly milliseconds: number;
  /** Of the points of the first run only each `count`th, from `index` on: for several searches at once. */
  readonly part?: Share;
  /** What the others have found: a chain of so many failures, the first of them at this event. */
  readonly others?: Pick<Tally, "tellFinding" | "isBehindFinding">;
  /** Only this chain of failures, instead of all. */
  readonly only?: readonly RestartFailure[];
}

export interface RestartReport {
  /** Looked at, also by way of a failure before. */
  readonly points: number;
  /** Guests started. */
  readonly executions: number;
  /** Those that could leave more states than were looked at. */
  readonly sampled: number;
  /** States that were not looked at again because equal ones were (Q1). */
  readonly pruned: number;
  readonly milliseconds: number;
  /** The program announces no memory and has no directories, so that nothing of it could be left or lost. */
  readonly keepsNothing: boolean;
  readonly finding: RestartFinding | undefined;
  /** False: the budget ended first. */
  readonly complete: boolean;
}

/** Looks for a failure that the program does not survive, until the first. REFERENCE_FAILED, CHECKER_INVALID, BAD_ARGUMENT. */
export function searchRestarts(subject: RestartSubject, options: RestartOptions): RestartReport {
  return new RestartSearch(subject, options).search();
}

class RestartSearch {
  readonly #subject: RestartSubject;
  readonly #options: RestartOptions;
  readonly #runs: ChainRuns;
  readonly #startedAt = performance.now();
  /** By digest and promise, the depth to which it was looked at. */
  readonly #seen = new Map<string, number>();
  /** The same of instants. */
  readonly #seenInstants = new Map<string, number>();
  #points = 0;
  #sampled = 0;
  #keepsNothing = false;
  #pruned = 0;
  #complete = true;
  #found: Found | undefined;
  /** Failures in a row that are looked for now, and the event of the first run at which the first of them strikes. */
  #depth = 0;
  #event = 0;

  constructor(subject: RestartSubject, options: RestartOptions) {
    this.#subject = subject;
    this.#options = options;
    this.#runs = new ChainRuns(subject, options);
  }

  search(): RestartReport {
    const { only, depth } = this.#options;
    const failure = this.#runs.reference();
    if (failure !== undefined) {
      throw new VermilionError(
        "REFERENCE_FAILED",
        `without any failure the program ${failure}; it must end well before failures can be tried`,
      );
    }
    if (only !== undefined) this.#repeat(only);
    else {
      // The shortest chain says most: one failure everywhere, before two.
      for (let failures = 1; failures <= depth && this.#found === undefined; failures++) {
        this.#depth = failures;
        this.#event = 0;
        this.#runs.begin(this.#exploring(BEGINNING, failures, false));
      }
    }
    const report = {
      points: this.#points,
      sampled: this.#sampled,
      keepsNothing: this.#keepsNothing,
      executions: this.#runs.count,
      pruned: this.#pruned,
      milliseconds: performance.now() - this.#startedAt,
      complete: this.#complete,
    };
    if (this.#found === undefined) return { ...report, finding: undefined };
    const found = only === undefined ? shrunk(this.#runs, this.#found) : this.#found;
    return { ...report, finding: explained(this.#runs, this.#subject.program, found) };
  }

  /** Looks at every point of a run from which `depth` failures in a row may begin. `goesOn`: of the program, begun again. */
  #exploring(chain: Chain, depth: number, goesOn: boolean): AtEvent {
    if (depth === 0) return () => undefined;
    const { index, count } = chain.failures.length === 0 ? (this.#options.part ?? WHOLE) : WHOLE;
    let reached = 0;
    let changed = true;
    return (run, kind) => {
      if (kind === "end" && chain === BEGINNING) {
        this.#keepsNothing = run.model.ranges.length === 0 && run.files === undefined;
      }
      if (kind === "store" || kind === "write" || kind === "promise") changed = true; // a promise is judged from the next point on, too
      if (chain === BEGINNING) this.#event = run.eventCount;
      if (!isPoint(this.#options.domain, kind) || !changed || this.#isOver()) return;
      if (kind !== "promise") changed = false;
      if (reached++ % count !== index) return;
      this.#points++;
      if (this.#wasThere(run, depth)) return;
      const { statesPerPoint, seed } = this.#options;
      if (!isWhole(run, statesPerPoint)) this.#sampled++;
      for (const survived of survivedNow(run, statesPerPoint, seed + run.eventCount)) {
        if (this.#isOver()) return;
        const failure = { event: run.eventCount, choice: survived.choice, ...(goesOn ? { goesOn } : {}) };
        this.#look({ failures: [...chain.failures, failure], survived, promised: run.promised }, depth - 1);
      }
    };
  }

  /** Q1. */
  #wasThere(run: RestartRun, depth: number): boolean {
    if (run.files !== undefined) return false;
    const key = `${instantDigest(run.model)} ${run.promised}`;
    if ((this.#seenInstants.get(key) ?? 0) >= depth) {
      this.#pruned++;
      return true;
    }
    this.#seenInstants.set(key, depth);
    return false;
  }

  #isOver(): boolean {
    if (this.#found !== undefined) return true;
    const { executions, milliseconds, others } = this.#options;
    if (others?.isBehindFinding(this.#depth, this.#event) === true) return true;
    this.#complete &&= this.#runs.count < executions && performance.now() - this.#startedAt < milliseconds;
    return !this.#complete;
  }

  #find(found: Found): void {
    if (this.#found !== undefined) return;
    this.#found = found;
    this.#options.others?.tellFinding(this.#depth, this.#event);
  }

  #look(chain: Chain, depth: number): void {
    const key = `${chain.survived?.digest} ${chain.promised}`;
    if ((this.#seen.get(key) ?? -1) >= depth) {
      this.#pruned++;
      return;
    }
    this.#seen.set(key, depth); // Q1
    const result = this.#runs.recover(chain, this.#exploring(chain, depth, false));
    // A failure of the recovery may have been found meanwhile.
    if (result !== undefined) this.#find({ chain, result });
    if (!this.#runs.goesOn || this.#isOver()) return;
    const wrong = this.#runs.goOn(chain, this.#exploring(chain, depth, true));
    if (wrong !== undefined) this.#find({ chain, result: wrong });
  }

  /** One chain of failures again. */
  #repeat(only: readonly RestartFailure[]): void {
    const chain = this.#runs.follow(only, () => this.#points++);
    if (chain === undefined) {
      throw new VermilionError(
        "BAD_ARGUMENT",
        `the run has no point ${only.map(({ event }) => event).join("+")} where the power could fail; take the point from a ` +
          "report of the same program",
      );
    }
    const result = this.#runs.outcomeOf(chain);
    if (result !== undefined) this.#found = { chain, result };
  }
}
