/**
 * How a page store is laid out in files: segments of 65,536 pages each, the first 64 of which hold checksums of the others. A
 * page of the store has one number over all segments, so a map needs no second one.
 *
 * All of them in front, so that a large memory lies in few pieces: each is a mapping of the next resume.
 * Format: docs/image-format.md#page-store.
 */
import { crc32 } from "node:zlib";
import { PAGE_BYTE_LENGTH, type PageRun } from "./page-map.js";

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

/** Of each page, one behind the other; chunks are whole pages. */
export function checksumsOf(chunks: readonly Uint8Array[]): Uint8Array {
  const pageCount = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) / PAGE_BYTE_LENGTH;
  const view = new DataView(new ArrayBuffer(CHECKSUM_BYTE_LENGTH * pageCount));
  let offset = 0;
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.byteLength; at += PAGE_BYTE_LENGTH) {
      view.setUint32(offset, crc32(bytes.subarray(at, at + PAGE_BYTE_LENGTH)), true);
      offset += CHECKSUM_BYTE_LENGTH;
    }
  }
  return new Uint8Array(view.buffer);
}
