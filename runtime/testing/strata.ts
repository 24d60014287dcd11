import type { Random } from "./random.js";

/** Whole numbers from `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** `count` parts of a range that differ in length by at most 1; fewer when it is shorter than that. */
export function splitRange({ from, to }: Range, count: number): Range[] {
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
