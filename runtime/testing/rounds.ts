/** In which order an exploration looks at crash points: first every one once, then chains, then both again at random. */
import type { Reference, WalkOrder } from "./explorer.js";
import { Random } from "./random.js";
import { splitTurns } from "./strata.js";

export interface Round {
  /** For people: what is looked at. */
  readonly label: string;
  /** One walk each; they can be made at once. */
  readonly walks: readonly WalkOrder[];
}

export interface RoundOptions {
  readonly seed: number;
  readonly jobs: number;
  /** Safepoints to stop at in a round; all, if the program crosses no more. */
  readonly points: number;
  readonly mostFindings: number;
  readonly keepsEnds: boolean;
  /** After every point has been looked at once, go on with others, without end. */
  readonly endless: boolean;
}

/** Host calls to stop at in the first round; each has up to three points. */
const MOST_CALLS = 5000;
const POINTS_OF_CALL = 3;
/** A chain costs several times as much as a point. */
const CHAINS_PER_POINT = 0.1;
const LEAST_CHAINS = 200;
const LONGEST_CHAIN = 4;
/** Runs to the end must not take more than a fifth of the walk: one of so many, by what the program does. */
const SAFEPOINTS_PER_POINT = 16_000;
const CALLS_PER_POINT = 16;
const MOST_OFTEN_TO_END = 16;

export function* rounds({ safepoints, calls }: Reference, options: RoundOptions): Generator<Round> {
  const { points } = options;
  const random = new Random(options.seed);
  const chains = Math.max(LEAST_CHAINS, Math.floor(points * CHAINS_PER_POINT));
  const toEndEvery = MOST_OFTEN_TO_END + Math.ceil(safepoints / SAFEPOINTS_PER_POINT + calls / CALLS_PER_POINT);
  const usual = { toEndEvery, mostFindings: options.mostFindings, keepsEnds: options.keepsEnds };
  const callWalks = (every: number): WalkOrder[] => {
    const seed = random.below(2 ** 31);
    return splitTurns(Math.ceil(calls / every), options.jobs).map((share) => ({
      ...{ ...usual, seed: seed + share.index, furtherFailures: 0, safepoints: undefined },
      calls: { from: 1, to: calls, every, share },
    }));
  };
  const safepointWalks = (most: number, furtherFailures: number): WalkOrder[] => {
    const seed = random.below(2 ** 31); // the points are the same for any number of searchers
    const count = Math.min(most, safepoints);
    return splitTurns(count, options.jobs).map((share) => ({
      ...{ ...usual, seed: seed + share.index, furtherFailures, calls: undefined },
      safepoints: { from: 1, to: safepoints, count, seed, share },
    }));
  };

  const every = Math.max(1, Math.ceil(calls / Math.min(MOST_CALLS, Math.ceil(points / POINTS_OF_CALL))));
  yield {
    label: every === 1 ? "all host calls" : `one of ${every} host calls`,
    walks: callWalks(every),
  };
  const whole = safepoints <= points;
  yield { label: whole ? "all safepoints" : `${points} safepoints`, walks: safepointWalks(points, 0) };
  yield { label: "pairs of failures", walks: safepointWalks(chains, 1) };
  while (options.endless) {
    if (!whole) yield { label: "other safepoints", walks: safepointWalks(points, 0) };
    yield { label: "chains of failures", walks: safepointWalks(chains, 1 + random.below(LONGEST_CHAIN)) };
  }
}
