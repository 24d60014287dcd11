import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FreePages, usedPages } from "../../pmem/free-pages.js";
import { appendRun, compaction, type Extent, joinedRuns, type PageRun, updated } from "../../pmem/page-map.js";

/** Sorted runs without overlap; some touch. */
const runs = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 6 })), { maxLength: 12 })
  .map((pairs) => {
    let page = 0;
    return pairs.map(([gap, count]): PageRun => {
      const run = { page: page + gap, count };
      page = run.page + count;
      return run;
    });
  });
const extents = fc
  .tuple(runs, fc.array(fc.nat(1000), { minLength: 12, maxLength: 12 }))
  .map(([list, places]): Extent[] => list.map((run, index) => ({ ...run, storePage: places[index] ?? 0 })));

/** Where each page lies, one by one. */
function pagesOf(map: readonly Extent[]): Map<number, number> {
  const pages = new Map<number, number>();
  for (const { page, count, storePage } of map) for (let i = 0; i < count; i++) pages.set(page + i, storePage + i);
  return pages;
}

function expectOrdered(list: readonly PageRun[]): void {
  let end = 0;
  for (const { page, count } of list) {
    expect(page).toBeGreaterThanOrEqual(end);
    expect(count).toBeGreaterThan(0);
    end = page + count;
  }
}

describe("updated", () => {
  test("page by page: written where it says, else gone if cleared, else where it was; sorted, joined where it can be", () => {
    fc.assert(
      fc.property(extents, runs, extents, (map, cleared, written) => {
        const expected = pagesOf(map);
        for (const { page, count } of cleared) for (let i = 0; i < count; i++) expected.delete(page + i);
        for (const [page, place] of pagesOf(written)) expected.set(page, place);
        const result = updated(map, cleared, written);
        expect(pagesOf(result)).toEqual(new Map([...expected].sort(([a], [b]) => a - b)));
        expectOrdered(result);
        result.slice(1).forEach((next, index) => {
          const last = result[index] as Extent;
          expect(last.page + last.count === next.page && last.storePage + last.count === next.storePage).toBe(false);
        });
      }),
      { numRuns: 1000 },
    );
  });
});

describe("joinedRuns", () => {
  test("a gap that is small enough is filled, no other", () => {
    const list = [1, 3, 7].map((page) => ({ page, count: 1 }));
    expect(joinedRuns(list, 0)).toEqual(list);
    expect(joinedRuns(list, 1)).toEqual([
      { page: 1, count: 3 },
      { page: 7, count: 1 },
    ]);
    expect(joinedRuns(list, 3)).toEqual([{ page: 1, count: 7 }]);
    expect(
      joinedRuns(
        [
          { page: 0, count: 9 },
          { page: 2, count: 1 },
        ],
        0,
      ),
    ).toEqual([{ page: 0, count: 9 }]);
  });

  test("appendRun: goes on with the last one, or is another", () => {
    const list: PageRun[] = [];
    for (const page of [0, 1, 2, 5]) appendRun(list, page, 1);
    expect(list).toEqual([
      { page: 0, count: 3 },
      { page: 5, count: 1 },
    ]);
  });
});

describe("compaction", () => {
  test("few extents: nothing to write", () => {
    expect(compaction([{ page: 1, count: 1, storePage: 9 }], 1)).toEqual([]);
  });

  test("too many: at most half of the limit is left, and the densest windows are written", () => {
    const scattered = Array.from({ length: 5000 }, (_, i) => ({ page: 2 * i, count: 1, storePage: 7 * i }));
    const far = Array.from({ length: 10 }, (_, i) => ({ page: 2 ** 20 + 2048 * i, count: 1, storePage: 10 ** 6 + i }));
    const map = [...scattered, ...far];
    const more = compaction(map, 1000);
    expectOrdered(more);
    expect(more.length).toBeLessThanOrEqual(10);
    const written = more.map((run, index) => ({ ...run, storePage: 10 ** 7 * (index + 1) }));
    expect(updated(map, [], written).length).toBeLessThanOrEqual(500);
    expect(more.every(({ page }) => page < 10_000)).toBe(true);
  });
});

describe("FreePages", () => {
  test("what is taken: as many pages as asked for, none that a map refers to, none twice, all aligned", () => {
    const requests = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(extents, { maxLength: 4 }), requests, fc.constantFrom(1, 4, 16), (maps, counts, unit) => {
        const used = new Set(maps.flatMap((map) => [...pagesOf(map).values()]));
        const free = new FreePages({ used: usedPages(maps), segments: [0], nextSegment: 1 }, unit);
        for (const count of counts) {
          const taken = free.take(count * unit);
          expect(taken.reduce((sum, run) => sum + run.count, 0)).toBe(count * unit);
          // Shorter ones end with a segment.
          taken.slice(0, -1).forEach((run) => {
            if ((run.page + run.count) % 65_536 !== 0) expect(run.count).toBeGreaterThanOrEqual(16);
          });
          for (const { page, count: length } of taken) {
            expect(page % unit).toBe(0);
            for (let i = 0; i < length; i++) {
              expect(used.has(page + i)).toBe(false);
              expect((page + i) % 65_536).toBeGreaterThanOrEqual(64);
              used.add(page + i);
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("free pages come before new ones: the file does not grow as long as they last", () => {
    const map = [
      { page: 0, count: 1, storePage: 73 },
      { page: 1, count: 1, storePage: 163 },
    ];
    const free = new FreePages({ used: usedPages([map]), segments: [0], nextSegment: 1 }, 1);
    expect(free.take(4)).toEqual([{ page: 64, count: 4 }]);
    expect(free.take(89)).toEqual([{ page: 74, count: 89 }]);
    expect(free.take(6)).toEqual([{ page: 164, count: 6 }]);
    expect(free.take(1)).toEqual([{ page: 170, count: 1 }]);
    expect(usedPages([map])).toEqual([
      { page: 73, count: 1 },
      { page: 163, count: 1 },
    ]);
  });
});
