/**
 * How a page store is laid out in files: segments of 65,536 pages each, the first 64 of which hold checksums of the others. A
 * page of the store has one number over all segments, so a map needs no second one.
 *
 * All of them in front, so that a large memory lies in few pieces: each is a mapping of the next resume.
 * Format: docs/image-format.md#page-store.
 */
import type { PageRun } from "./page-map.js";

export const SEGMENT_PAGES = 65_536;
/** CRC-32 of a page, u32: entry n of a segment is that of its page n; those of the pages of checksums are zero. */
export const CHECKSUM_BYTE_LENGTH = 4;
/** At the beginning of each segment: 256 KiB, a multiple of every kernel's page. */
export const CHECKSUM_PAGES = 64;

export function segmentOf(storePage: number): number {
  return Math.floor(storePage / SEGMENT_PAGES);
}

/** Within its segment, in pages. */
export function pageInSegment(storePage: number): number {
  return storePage % SEGMENT_PAGES;
}

/** Whether a run lies in one segment, behind its checksums: all that are written do, and only those can be checked. */
export function isBehindChecksums({ page, count }: PageRun): boolean {
  const first = pageInSegment(page);
  return first >= CHECKSUM_PAGES && first + count <= SEGMENT_PAGES;
}

/** The parts of [from, end) that can hold pages. */
export function withoutChecksumPages(from: number, end: number): PageRun[] {
  const runs: PageRun[] = [];
  for (let page = from; page < end; ) {
    const segment = segmentOf(page) * SEGMENT_PAGES;
    const first = Math.max(page, segment + CHECKSUM_PAGES);
    const last = Math.min(end, segment + SEGMENT_PAGES);
    if (last > first) runs.push({ page: first, count: last - first });
    page = last;
  }
  return runs;
}

/** Where a page's checksum lies in its segment, in bytes. */
export function checksumPosition(storePage: number): number {
  return pageInSegment(storePage) * CHECKSUM_BYTE_LENGTH;
}
