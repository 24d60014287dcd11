import type { Random } from "./random.js";

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

/** Whether a turn, from 0, is in a share. */
export function isInShare(turn: number, { index, count }: Share): boolean {
  return Math.floor(turn / NEIGHBOURS) % count === index;
}

export function* shareOf(numbers: Iterable<number>, share: Share): Generator<number> {
  let turn = 0;
  for (const number of numbers) if (isInShare(turn++, share)) yield number;
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
export function* stratified(range: Range, count: number, random: Random): Generator<number> {
  if (count >= range.to - range.from + 1) {
    for (let value = range.from; value <= range.to; value++) yield value;
    return;
  }
  for (const { from, to } of splitRange(range, count)) yield from + random.below(to - from + 1);
}
