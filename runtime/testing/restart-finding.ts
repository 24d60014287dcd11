/**
 * A chain of failures that a program does not survive: as mild as can be, and told in terms of the program.
 *
 * For both, its guests are run again; they do the same each time (Q3 in restart-chains.ts).
 */
import { VermilionError } from "../../pmem/error.js";
import { lostFiles } from "../../pmem/surviving-files.js";
import { lostStores } from "../../pmem/surviving-states.js";
import type { FrameInspection } from "../process/frame-inspection.js";
import type { Program } from "../process/program.js";
import { GuestStacks, guestStack } from "./guest-stack.js";
import type { Chain, ChainRuns, RestartFailure, Strike } from "./restart-chains.js";
import type { RestartPointKind } from "./restart-run.js";
import { choicesOf, milderChoices } from "./restart-states.js";

interface LostStore {
  readonly address: number;
  readonly byteLength: number;
  /** The host made it, for a call of the guest; or nobody tracked it. */
  readonly byHost: boolean;
  /** The guest's stack, innermost frame first. */
  readonly where: readonly FrameInspection[];
}

export interface RestartFinding {
  readonly failures: readonly (RestartFailure & {
    readonly kind: RestartPointKind;
    /** The guest's stack at the failure, innermost frame first. */
    readonly where: readonly FrameInspection[];
    /** What was stored and did not survive, oldest first. */
    readonly lost: readonly LostStore[];
    /** What of files and directories did not, as text. */
    readonly lostFiles: readonly string[];
  })[];
  readonly promised: number;
  /** What the guest that went on from there did. */
  readonly result: string;
}

/** As the search comes upon it. */
export interface Found {
  readonly chain: Chain;
  /** What the guest that went on did. */
  readonly result: string;
}

/** Guests that are started to make a finding smaller. */
const MOST_TRIES = 100;

/** The chain that was found, with as little lost as still breaks the program: what remains is what is missing. */
export function shrunk(runs: ChainRuns, found: Found): Found {
  let best = found;
  let tries = 0;
  for (let better: Found | undefined = found; better !== undefined; ) {
    best = better;
    better = undefined;
    for (const failures of milder(runs, best.chain.failures)) {
      if (++tries > MOST_TRIES) return best;
      better = failing(runs, failures);
      if (better !== undefined) break;
    }
  }
  return best;
}

/** Chains that lose a little less in one of their failures. */
function milder(runs: ChainRuns, failures: readonly RestartFailure[]): (readonly RestartFailure[])[] {
  const chains: (readonly RestartFailure[])[] = [];
  let index = 0;
  runs.follow(failures, (run, _, failure) => {
    const at = index++;
    for (const choice of milderChoices(run, failure.choice)) chains.push(failures.with(at, { ...failure, choice }));
  });
  return chains;
}

/** Undefined: the program survives the chain, or what comes later in it does not happen any more. */
function failing(runs: ChainRuns, failures: readonly RestartFailure[]): Found | undefined {
  try {
    const chain = runs.follow(failures, () => undefined);
    const result = chain && runs.outcomeOf(chain);
    return chain && result !== undefined ? { chain, result } : undefined;
  } catch (error) {
    if (error instanceof VermilionError && error.code === "BAD_ARGUMENT") return undefined;
    throw error;
  }
}

/** Where each failure struck and what it took. */
export function explained(runs: ChainRuns, program: Program, { chain, result }: Found): RestartFinding {
  const failures: RestartFinding["failures"][number][] = [];
  const stacks = new GuestStacks(program);
  const strike: Strike = (run, kind, failure) => {
    const { memory, files } = choicesOf(failure.choice);
    const lost = lostStores(run.model, memory).map(({ sequence, address, byteLength }) => {
      const { byHost = false, frames = [] } = run.storedBy.get(sequence) ?? {};
      return { address, byteLength, byHost, where: stacks.describe(frames) };
    });
    const lostOfFiles = run.files === undefined ? [] : lostFiles(run.files.model, files);
    failures.push({ ...failure, kind, where: stacks.describe(guestStack()), lost, lostFiles: lostOfFiles });
  };
  runs.follow(chain.failures, strike, true);
  return { failures, promised: chain.promised, result };
}
