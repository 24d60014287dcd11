/**
 * Chains of failures of a program that manages persistent memory itself: the guests that go on from each, and what comes of them.
 *
 * Q2  Between two fences the possible states only grow, so under `adr` and `none` it is enough to look before a fence, before
 *     a promise and at the end. Under `eadr` it is behind every store.
 *     For files it is before each flush of one, in any domain.
 * Q3  The run is the same each time: points are named by their event's number, and a state by its choice.
 */
import { CacheModel, type PersistenceDomain } from "../../pmem/cache-model.js";
import type { Preopen } from "../process/command.js";
import type { Outcome } from "../process/outcome.js";
import { type AtEvent, type RestartPointKind, RestartRun, type RestartSubject } from "./restart-run.js";
import { type Survived, survivedNamed } from "./restart-states.js";
import { type Checker, checkerOf, checkFiles, ENTRY_EXPORT, type FilesChecker, judge } from "./restart-verdict.js";

/** Of each guest. */
export interface ChainOptions {
  readonly domain: PersistenceDomain;
  /** For the guests' files, in folders of their own; it exists. */
  readonly folder: string;
  /** A guest that has crossed so many safepoints does not end. */
  readonly safepointLimit: number;
  /** The checker's name, CHECKER_EXPORT by default; without such an export the program itself is run, if that will do. */
  readonly checkExport?: string;
  readonly checkerNeeded?: boolean;
  /** After a failure the checker alone is run, not the program again, too. */
  readonly checkOnly?: boolean;
  /** Besides, run on the directories that a guest which went on has left; it exits with 0 if they are right. */
  readonly checkProgram?: FilesChecker | undefined;
}

/** One failure: where, and which of the states that are possible there. */
export interface RestartFailure {
  readonly event: number;
  readonly choice: string;
  /** Behind another failure: it strikes the program, begun again, and not its checker. */
  readonly goesOn?: boolean;
}

/** Failures in a row, and what the last of them has left. */
export interface Chain {
  readonly failures: readonly RestartFailure[];
  readonly survived: Survived | undefined;
  readonly promised: number;
}

export const BEGINNING: Chain = { failures: [], survived: undefined, promised: 0 };

/** Shown a failure at the moment it strikes. */
export type Strike = (run: RestartRun, kind: RestartPointKind, failure: RestartFailure) => void;

/** Each guest is a new one, with a folder of its own. */
export class ChainRuns {
  readonly #subject: RestartSubject;
  readonly #options: ChainOptions;
  readonly #checker: Checker;
  #count = 0;

  /** CHECKER_INVALID, BAD_ARGUMENT. */
  constructor(subject: RestartSubject, options: ChainOptions) {
    this.#subject = subject;
    this.#options = options;
    this.#checker = checkerOf(subject.program, options);
  }

  /** Guests started. */
  get count(): number {
    return this.#count;
  }

  /** Without any failure. The result: what is wrong with it; undefined: nothing. */
  reference(): string | undefined {
    return this.#judged(BEGINNING, ENTRY_EXPORT, () => undefined);
  }

  /** The same, to look at its events; it is known to end well. */
  begin(atEvent: AtEvent): void {
    this.#run(BEGINNING, ENTRY_EXPORT, atEvent);
  }

  #run(
    chain: Chain,
    exportName: string,
    atEvent: AtEvent,
    keepsStacks = false,
    ended?: (files: readonly Preopen[]) => void,
  ): Outcome {
    this.#count++;
    const model = new CacheModel(this.#options.domain);
    const folder = `${this.#options.folder}/${this.#count}`;
    const run = new RestartRun(this.#subject, model, { ...chain, folder }, atEvent, keepsStacks);
    const takesPromise = exportName === this.#checker.exportName && this.#checker.takesPromise;
    return run.start(exportName, takesPromise ? [chain.promised] : [], this.#options.safepointLimit, ended);
  }

  /** Recovers after a failure, in the checker if there is one; undefined: as it should. */
  recover(chain: Chain, atEvent: AtEvent, keepsStacks = false): string | undefined {
    return this.#judged(chain, this.#checker.exportName, atEvent, keepsStacks);
  }

  /** Whether there is more to do after a failure than `recover` does. */
  get goesOn(): boolean {
    return this.#options.checkOnly !== true && this.#checker.exportName !== ENTRY_EXPORT;
  }

  /** Begins the program again after a failure; undefined: it ends as it should. */
  goOn(chain: Chain, atEvent: AtEvent, keepsStacks = false): string | undefined {
    const wrong = this.#judged(chain, ENTRY_EXPORT, atEvent, keepsStacks);
    return wrong && `is content with its state, but the program, begun again, ${wrong}`;
  }

  /** Both, one after the other. */
  outcomeOf(chain: Chain): string | undefined {
    return this.recover(chain, () => undefined) ?? (this.goesOn ? this.goOn(chain, () => undefined) : undefined);
  }

  #judged(chain: Chain, exportName: string, atEvent: AtEvent, keepsStacks = false): string | undefined {
    const { checkProgram, domain, folder, safepointLimit } = this.#options;
    let wrong: string | undefined;
    const outcome = this.#run(chain, exportName, atEvent, keepsStacks, (preopens) => {
      wrong = checkProgram && checkFiles(checkProgram, preopens, { domain, folder: `${folder}/check`, safepointLimit });
    });
    return judge(outcome, exportName !== ENTRY_EXPORT) ?? wrong;
  }

  /** Lets the power fail as told, and shows each failure as it strikes. Undefined: a run has no such point. */
  follow(failures: readonly RestartFailure[], strike: Strike, keepsStacks = false): Chain | undefined {
    let chain: Chain | undefined = BEGINNING;
    for (const failure of failures) {
      const before: Chain = chain;
      let next: Chain | undefined;
      const atEvent: AtEvent = (run, kind) => {
        if (next !== undefined || run.eventCount !== failure.event || !isPoint(this.#options.domain, kind)) return;
        const survived = survivedNamed(run, failure.choice);
        strike(run, kind, failure);
        next = { failures: [...before.failures, failure], survived, promised: run.promised };
      };
      if (before.failures.length === 0) this.#run(before, ENTRY_EXPORT, atEvent, keepsStacks);
      else if (failure.goesOn === true) this.goOn(before, atEvent, keepsStacks);
      else this.recover(before, atEvent, keepsStacks);
      chain = next;
      if (chain === undefined) return undefined;
    }
    return chain;
  }
}

/** Q2. */
export function isPoint(domain: PersistenceDomain, kind: RestartPointKind): boolean {
  if (kind === "flush" || kind === "write") return false;
  return kind !== "store" || domain === "eadr";
}
