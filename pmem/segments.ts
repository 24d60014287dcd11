/**
 * How a page store is laid out in files: segments of 65,536 pages each, and in each of them, before every 1023 pages, one
 * page with their checksums. A page of the store has one number over all segments, so a map needs no second one.
 * Format: docs/image-format.md#page-store.
 */
import type { PageRun } from "./page-map.js";

export const SEGMENT_PAGES = 65_536;
/** A page of checksums and the pages that it is for. */
export const GROUP_PAGES = 1024;
/** CRC-32 of a page, u32: entry n is that of the nth page behind the page of checksums; entry 0 is zero. */
export const CHECKSUM_BYTE_LENGTH = 4;

export function segmentOf(storePage: number): number {
  return Math.floor(storePage / SEGMENT_PAGES);
}

/** Within its segment, in pages. */
export function pageInSegment(storePage: number): number {
  return storePage % SEGMENT_PAGES;
}

/** Whether a run lies in one group, beside its checksums: all that are written do, and only those can be checked. */
export function isInGroup({ page, count }: PageRun): boolean {
  const first = page % GROUP_PAGES;
  return first > 0 && first + count <= GROUP_PAGES;
}

/** The parts of [from, end) that can hold pages. */
export function withoutChecksumPages(from: number, end: number): PageRun[] {
  const runs: PageRun[] = [];
  for (let page = from; page < end; ) {
    const group = Math.floor(page / GROUP_PAGES) * GROUP_PAGES;
    const first = Math.max(page, group + 1);
    const last = Math.min(end, group + GROUP_PAGES);
    if (last > first) runs.push({ page: first, count: last - first });
    page = last;
  }
  return runs;
}

/** Where a page's checksum lies in its segment, in bytes. */
export function checksumPosition(storePage: number, pageByteLength: number): number {
  const page = pageInSegment(storePage);
  const inGroup = page % GROUP_PAGES;
  return (page - inGroup) * pageByteLength + inGroup * CHECKSUM_BYTE_LENGTH;
}
