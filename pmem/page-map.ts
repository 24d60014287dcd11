/**
 * Where the pages of a memory lie in a page store: extents, sorted by page, without overlap. A page that no extent has is
 * all zeros. Pure functions over plain data; whoever reads a map from a file checks it first.
 */

/** The unit of maps and stores on every kernel, in bytes; those with larger pages use several at once. */
export const PAGE_BYTE_LENGTH = 4096;

/** `count` pages from `page` on. */
export interface PageRun {
  readonly page: number;
  readonly count: number;
}

/** Pages of a memory, and where in the store the first of them lies; the others follow it there. */
export interface Extent extends PageRun {
  readonly storePage: number;
}

export type PageMap = readonly Extent[];

/** `map` where `written` lies now where it says, and `cleared` is all zeros unless written. All three are sorted. */
export function updated(map: PageMap, cleared: readonly PageRun[], written: PageMap): PageMap {
  const kept = without(without(map, cleared), written);
  const merged: Extent[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const [a, b] = [kept[i], written[j]];
    const next = a === undefined || (b !== undefined && b.page < a.page) ? b : a;
    if (next === undefined) return merged;
    if (next === a) i++;
    else j++;
    const last = merged.at(-1);
    if (last !== undefined && isContinued(last, next)) merged[merged.length - 1] = joined(last, next);
    else merged.push(next);
  }
}

/** The parts of `map` that lie in none of `runs`; both are sorted. */
function without(map: PageMap, runs: readonly PageRun[]): PageMap {
  const rest: Extent[] = [];
  let at = 0;
  for (const extent of map) {
    const end = extent.page + extent.count;
    let from = extent.page;
    while (at < runs.length && endOf(runs[at] as PageRun) <= from) at++;
    for (let i = at; i < runs.length && from < end; i++) {
      const run = runs[i] as PageRun;
      if (run.page >= end) break;
      if (run.page > from) rest.push(part(extent, from, run.page));
      from = Math.max(from, endOf(run));
    }
    if (from < end) rest.push(part(extent, from, end));
  }
  return rest;
}

/** Runs that overlap, touch, or have at most `gap` pages between them become one. Sorted, and so is the result. */
export function joinedRuns(runs: readonly PageRun[], gap: number): PageRun[] {
  const result: PageRun[] = [];
  for (const run of runs) {
    const last = result.at(-1);
    if (last !== undefined && run.page <= endOf(last) + gap) {
      const end = Math.max(endOf(last), endOf(run));
      result[result.length - 1] = { page: last.page, count: end - last.page };
    } else result.push(run);
  }
  return result;
}

/** Sorted runs without overlap, of two such lists. */
export function unitedRuns(a: readonly PageRun[], b: readonly PageRun[]): PageRun[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? [...b] : [...a];
  const all = [...a, ...b].sort((one, other) => one.page - other.page);
  return joinedRuns(all, 0);
}

/** The parts of `runs` that lie in none of `others`; both are sorted, without overlap, and so is the result. */
export function remainingRuns(runs: readonly PageRun[], others: readonly PageRun[]): PageRun[] {
  const asMap = runs.map((run) => ({ ...run, storePage: run.page }));
  return without(asMap, others).map(({ page, count }) => ({ page, count }));
}

/** Adds a run behind all others, to the last one if it goes on there. */
export function appendRun(runs: PageRun[], page: number, count: number): void {
  const last = runs.at(-1);
  if (last !== undefined && endOf(last) === page)
    runs[runs.length - 1] = { page: last.page, count: last.count + count };
  else runs.push({ page, count });
}

export function endOf({ page, count }: PageRun): number {
  return page + count;
}

export function pageCountOf(runs: readonly PageRun[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}

function part(extent: Extent, from: number, to: number): Extent {
  return { page: from, count: to - from, storePage: extent.storePage + from - extent.page };
}

function isContinued(a: Extent, b: Extent): boolean {
  return endOf(a) === b.page && a.storePage + a.count === b.storePage;
}

function joined(a: Extent, b: Extent): Extent {
  return { page: a.page, count: a.count + b.count, storePage: a.storePage };
}

/** Neighbouring extents of one window become one when a map has too many. */
const WINDOW_PAGES = 1024;

/**
 * What to write, beyond what has changed, so that a map of more than `limit` extents gets at most half of them: whole
 * windows of the memory, those with the most extents first. Written contiguously, each is one extent, zeros included.
 *
 * Each extent costs the next resume an mmap, and the kernel allows a process 65,530 mappings.
 */
export function compaction(map: PageMap, limit: number): PageRun[] {
  if (map.length <= limit) return [];
  const windows = new Map<number, { first: Extent; last: Extent; extents: number }>();
  for (const extent of map) {
    const index = Math.floor(extent.page / WINDOW_PAGES);
    const window = windows.get(index);
    if (window === undefined) windows.set(index, { first: extent, last: extent, extents: 1 });
    else windows.set(index, { first: window.first, last: extent, extents: window.extents + 1 });
  }
  const densest = [...windows.values()].sort((a, b) => b.extents - a.extents);
  const hulls: PageRun[] = [];
  let left = map.length;
  for (const { first, last, extents } of densest) {
    if (left <= limit / 2) break;
    left -= extents - 1;
    hulls.push({ page: first.page, count: endOf(last) - first.page });
  }
  return hulls.sort((a, b) => a.page - b.page);
}
