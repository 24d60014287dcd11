/** Which pages a save writes, and where to. */
import { invariant } from "./error.js";
import type { FreePages } from "./free-pages.js";
import {
  compaction,
  type Extent,
  endOf,
  joinedRuns,
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  updated,
} from "./page-map.js";
import { nonzeroPages } from "./page-scan.js";
import type { PrivateMemory } from "./private-memory.js";

/** Pages that are written along with their neighbours, because an extent costs more than they do. */
const MAX_GAP_PAGES = 3;

/** Whole pages, and where they lie from then on. */
export interface PlacedPages {
  /** Of the store. */
  readonly page: number;
  readonly chunks: readonly Uint8Array[];
}

/** What has changed and is not all zeros, and neighbours and more where that saves extents. */
export function pagesToWrite(
  memory: PrivateMemory,
  map: PageMap,
  written: readonly PageRun[],
  unit: number,
  limit: number,
): PageRun[] {
  const gap = Math.floor(MAX_GAP_PAGES / unit) * unit;
  const data = joinedRuns(nonzeroPages(memory.address, written, unit, memory.words), gap);
  // As if each run had a place of its own, apart from all others.
  const apart = data.map((run, index) => ({ ...run, storePage: -1 - 2 ** 32 * (index + 1) }));
  const more = compaction(updated(map, written, apart), limit);
  if (more.length === 0) return data;
  return joinedRuns(
    [...data, ...more].sort((a, b) => a.page - b.page),
    0,
  );
}

/** Where a run is to lie: in one piece, or several. */
export function placed(run: PageRun, free: FreePages): Extent[] {
  let page = run.page;
  const extents = free.take(run.count).map(({ page: storePage, count }) => {
    const extent = { page, count, storePage };
    page += count;
    return extent;
  });
  invariant(page === endOf(run), "every page has its place");
  return extents;
}

/** Writes whose places follow each other become one. */
export function contiguous(writes: readonly PlacedPages[]): PlacedPages[] {
  const result: { page: number; end: number; chunks: Uint8Array[] }[] = [];
  for (const { page, chunks } of [...writes].sort((a, b) => a.page - b.page)) {
    const end = page + chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) / PAGE_BYTE_LENGTH;
    const last = result.at(-1);
    if (last !== undefined && last.end === page) {
      last.chunks.push(...chunks);
      last.end = end;
    } else result.push({ page, end, chunks: [...chunks] });
  }
  return result;
}
