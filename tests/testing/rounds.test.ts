import fc from "fast-check";
import { expect, test } from "vitest";
import type { Reference, WalkOrder } from "../../runtime/testing/explorer.js";
import { rounds } from "../../runtime/testing/rounds.js";
import { callsOf, safepointsOf } from "../../runtime/testing/strata.js";

function pointsOf({ safepoints, calls }: WalkOrder): number[] {
  return [
    ...(safepoints === undefined ? [] : safepointsOf(safepoints)),
    ...(calls === undefined ? [] : callsOf(calls)),
  ];
}

test("however many search, each round looks at the same points, each once", () => {
  const size = fc.nat({ max: 300 });
  fc.assert(
    fc.property(
      size,
      size,
      fc.integer({ min: 1, max: 400 }),
      fc.integer({ min: 1, max: 9 }),
      (safepoints, calls, points, jobs) => {
        const reference = { safepoints, calls } as Reference;
        const options = { seed: 7, points, mostFindings: 1, keepsEnds: false, endless: false };
        const looked = (count: number) =>
          [...rounds(reference, { ...options, jobs: count })].map(({ walks }) =>
            walks.flatMap(pointsOf).sort((a, b) => a - b),
          );
        const [first = [], second = []] = looked(1);
        if (calls <= points / 3) expect(first).toEqual(Array.from({ length: calls }, (_, index) => index + 1));
        if (safepoints <= points) expect(second).toEqual(Array.from({ length: safepoints }, (_, index) => index + 1));
        expect(second.length).toBe(Math.min(safepoints, points));
        expect(looked(jobs).slice(0, 2)).toEqual([first, second]);
        for (const round of looked(jobs)) expect(new Set(round).size).toBe(round.length);
      },
    ),
  );
});
