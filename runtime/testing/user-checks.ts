import { VermilionError } from "../../pmem/error.js";
import type { FrameInspection } from "../process/frame-inspection.js";
import type { ExploredRun, ExploreFinding, ExploreOptions } from "./explore.js";
import type { Finding } from "./forks.js";
import type { Verdict } from "./judge.js";
import { type Difference, digestOf, type Observation } from "./observation.js";
import { formatTrace, type Trace } from "./trace.js";

/** The user's function as an oracle: asked once about each kind of end. It runs where it was given, as it is a closure. */
export class UserChecks {
  readonly #options: ExploreOptions;
  readonly #reference: Observation;
  /** What it said, by the digest of what it saw. */
  readonly #said = new Map<string, Difference | undefined>();

  constructor(options: ExploreOptions, reference: Observation) {
    this.#options = options;
    this.#reference = reference;
  }

  /** CHECK_FAILED: it is not content with the run without a failure. */
  async begin(): Promise<void> {
    const difference = await this.#ask([], this.#reference);
    if (difference === undefined) return;
    throw new VermilionError(
      "CHECK_FAILED",
      `${this.#options.module}: even without a failure the check is not content (${difference.message}); ` +
        "mend the program or the check",
    );
  }

  /** Those of the runs that it does not like. */
  async wrong(ends: readonly Finding[]): Promise<Finding[]> {
    const found: Finding[] = [];
    for (const end of ends) {
      const difference = await this.#ask(end.trace, end.observation);
      if (difference !== undefined) found.push({ ...end, differences: [difference] });
    }
    return found;
  }

  /** All that is wrong with a run. */
  async finding(
    trace: Trace,
    { observation, differences, where = [] }: Verdict & { readonly where?: readonly (readonly FrameInspection[])[] },
  ): Promise<ExploreFinding> {
    const known = differences.filter(({ aspect }) => aspect !== "check");
    const own = await this.#ask(trace, observation);
    const run = runOf(trace, observation);
    return { at: run.at, differences: own === undefined ? known : [...known, own], where, run };
  }

  async #ask(trace: Trace, observation: Observation): Promise<Difference | undefined> {
    const { check } = this.#options;
    if (check === undefined) return undefined;
    const digest = digestOf(observation);
    if (!this.#said.has(digest)) this.#said.set(digest, await judgement(check, runOf(trace, observation)));
    return this.#said.get(digest);
  }
}

async function judgement(check: (run: ExploredRun) => unknown, run: ExploredRun): Promise<Difference | undefined> {
  try {
    const said = await check(run);
    return typeof said === "string" ? { aspect: "check", message: said } : undefined;
  } catch (error) {
    return { aspect: "check", message: error instanceof Error ? error.message : String(error) };
  }
}

export function runOf(trace: Trace, { ending, stdout, files, contents }: Observation): ExploredRun {
  return { at: formatTrace(trace), ending, stdout, files, contents };
}
