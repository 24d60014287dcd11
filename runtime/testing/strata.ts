import { Random } from "./random.js";

/** Whole numbers from `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** One of so many searchers' share of what comes one after the other. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

export const WHOLE: Share = { index: 0, count: 1 };

/** Neighbours cost less one after the other, and what is far apart may cost one searcher more than another. */
const NEIGHBOURS = 8;

/** Up to so many searchers for so many turns. */
export function splitTurns(turns: number, count: number): Share[] {
  const shares = Math.min(count, Math.ceil(turns / NEIGHBOURS));
  return Array.from({ length: shares }, (_, index) => ({ index, count: shares }));
}

function* shareOf(numbers: Iterable<number>, { index, count }: Share): Generator<number> {
  let turn = 0;
  for (const number of numbers) if (Math.floor(turn++ / NEIGHBOURS) % count === index) yield number;
}

/** A share of so many safepoints of a range, chosen by a seed; all, if it has no more. */
export type SafepointChoice = Range & { readonly count: number; readonly seed: number; readonly share: Share };

/** A share of every nth host call of a range, from its first. */
export type CallChoice = Range & { readonly every: number; readonly share: Share };

/** Their ordinals, ascending. */
export function safepointsOf({ seed, count, share, ...range }: SafepointChoice): Generator<number> {
  return shareOf(stratified(range, count, new Random(seed)), share);
}

export function callsOf({ from, to, every, share }: CallChoice): Generator<number> {
  return shareOf(steps(from, to, every), share);
}

function* steps(from: number, to: number, every: number): Generator<number> {
  for (let value = from; value <= to; value += every) yield value;
}

/** `count` parts of a range that differ in length by at most 1; fewer when it is shorter than that. */
function splitRange({ from, to }: Range, count: number): Range[] {
  const length = Math.max(0, to - from + 1);
  const parts = Math.min(count, length);
  return Array.from({ length: parts }, (_, index) => ({
    from: from + Math.floor((index * length) / parts),
    to: from + Math.floor(((index + 1) * length) / parts) - 1,
  }));
}

/** Ascending: every number of a range, or one at random out of each of `count` parts of it. */
function* stratified(range: Range, count: number, random: Random): Generator<number> {
  if (count >= range.to - range.from + 1) {
    for (let value = range.from; value <= range.to; value++) yield value;
    return;
  }
  for (const { from, to } of splitRange(range, count)) yield from + random.below(to - from + 1);
}
