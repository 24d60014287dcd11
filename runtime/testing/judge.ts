/** The oracles: what must be true of a run with failures, once it has ended. */
import { join } from "node:path";
import type { Outcome } from "../process/outcome.js";
import type { Program } from "../process/program.js";
import { type Aspect, compare, type Difference, describeEnding, endingOf, type Observation } from "./observation.js";
import type { Subject } from "./subject.js";
import { Vessel } from "./vessel.js";

export interface Checkers {
  /** What must be as in the run without a failure. */
  readonly aspects: ReadonlySet<Aspect>;
  /** An export without parameters that returns 0 if the program's memory is right. */
  readonly exportName: string | undefined;
  /** Observations hold the files themselves. */
  readonly keepsContents: boolean;
  /** Another program, run on the files that were left; it exits with 0 if they are right. */
  readonly program: { readonly program: Program; readonly subject: Subject } | undefined;
}

/** What a run showed, and what is wrong with that. */
export interface Verdict {
  readonly observation: Observation;
  readonly differences: readonly Difference[];
}

const MOST_CHECKER_SAFEPOINTS = 1e9;

export class Judge {
  readonly #checkers: Checkers;
  readonly #folder: string;
  #reference: Observation | undefined;

  constructor(checkers: Checkers, folder: string) {
    this.#checkers = checkers;
    this.#folder = folder;
  }

  set reference(reference: Observation) {
    this.#reference = reference;
  }

  /** `knownByteLength`: so much of stdout was written before the first failure, and is zeros in the vessel. */
  judge(vessel: Vessel, outcome: Outcome, safepoints: number, knownByteLength: number): Verdict {
    const observation = this.observe(vessel, outcome, safepoints);
    const reference = this.#reference;
    if (reference === undefined) return { observation, differences: this.check(vessel, observation) };
    observation.stdout.set(reference.stdout.subarray(0, Math.min(knownByteLength, observation.stdout.length)));
    const differences = compare(reference, observation, this.#checkers.aspects, knownByteLength);
    if (observation.ending.kind === "endless") return { observation, differences };
    return { observation, differences: [...differences, ...this.check(vessel, observation)] };
  }

  observe(vessel: Vessel, outcome: Outcome, safepoints: number): Observation {
    return {
      ending: endingOf(outcome, safepoints),
      stdout: vessel.stdio.readOutput("stdout"),
      files: vessel.sandbox.listing,
      contents: this.#checkers.keepsContents ? vessel.sandbox.contents() : undefined,
    };
  }

  /** What the guest's own checkers say of the state that is left. */
  check(vessel: Vessel, { ending }: Observation): Difference[] {
    const { exportName, program } = this.#checkers;
    const differences: Difference[] = [];
    if (exportName !== undefined && ending.kind !== "trapped") {
      const outcome = vessel.call({ exportName, args: [] });
      const good = outcome.kind === "returned" && outcome.results[0] === 0;
      if (!good) differences.push({ aspect: "checker", message: `${exportName} ${describeResult(outcome)}` });
    }
    if (program !== undefined) differences.push(...this.#checkFiles(vessel, program));
    return differences;
  }

  #checkFiles(vessel: Vessel, { program, subject }: NonNullable<Checkers["program"]>): Difference[] {
    const checker = new Vessel(program, subject, join(this.#folder, "checker"));
    try {
      checker.sandbox.copyFrom(vessel.sandbox);
      const outcome = checker.startHere({ exportName: "_start", args: [] }, { atSafepoint: MOST_CHECKER_SAFEPOINTS });
      const ending = endingOf(outcome, MOST_CHECKER_SAFEPOINTS);
      if (ending.kind === "returned" || (ending.kind === "exited" && ending.status === 0)) return [];
      const said =
        `${checker.stdio.readOutput("stdout")}${checker.stdio.readOutput("stderr")}`.trim().split("\n").at(-1) ?? "";
      const message = `${subject.module} ${describeEnding(ending)}${said === "" ? "" : `, saying ${JSON.stringify(said)}`}`;
      return [{ aspect: "checker", message }];
    } finally {
      checker.close();
    }
  }
}

function describeResult(outcome: Outcome): string {
  if (outcome.kind === "returned") return `returns ${outcome.results.join(", ") || "nothing"}, not 0`;
  return describeEnding(endingOf(outcome, 0));
}
