import { VermilionError } from "../../../pmem/error.js";
import { type Extent, endOf, PAGE_BYTE_LENGTH, type PageMap } from "../../../pmem/page-map.js";
import { isBehindChecksums, pageInSegment, segmentOf } from "../../../pmem/segments.js";
import { damaged } from "./damage.js";

/**
 * The section "pages" of a state file: where in the page store each linear memory lies.
 *
 *     memoryCount, then per memory: extentCount, then its extents, sorted by page
 *
 * An image from others has a right checksum around any numbers, so each is checked before a mapping is made of it.
 * Format: docs/image-format.md#page-maps.
 */
export const EXTENT = {
  page: 0, // u64: of the memory
  storePage: 8, // u64: of the page store, over all segments
  count: 16, // u32: pages
  reserved: 20, // u32: zero
} as const;

const EXTENT_BYTE_LENGTH = 24;
/** u32 count, u32 zero: at the beginning of the section, and of each memory. */
const COUNT_BYTE_LENGTH = 8;
/** More than any save makes; each may become a mapping, of which the kernel allows a process 65,530. */
const MAX_EXTENTS = 49_152;
/** So that every page of a segment has an exact number in a file. */
const MAX_STORE_PAGE = 2 ** 48;

/** IMAGE_LIMIT: what would not be read again is not written. */
export function encodePageMaps(maps: readonly PageMap[]): Uint8Array {
  const extentCount = maps.reduce((sum, { length }) => sum + length, 0);
  if (extentCount > MAX_EXTENTS) {
    const text = `the saved memory would lie in ${extentCount} pieces; an image holds at most ${MAX_EXTENTS}`;
    throw new VermilionError("IMAGE_LIMIT", text);
  }
  const bytes = new Uint8Array(COUNT_BYTE_LENGTH * (1 + maps.length) + EXTENT_BYTE_LENGTH * extentCount);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, maps.length, true);
  let offset = COUNT_BYTE_LENGTH;
  for (const map of maps) {
    view.setUint32(offset, map.length, true);
    offset += COUNT_BYTE_LENGTH;
    for (const { page, storePage, count } of map) {
      view.setBigUint64(offset + EXTENT.page, BigInt(page), true);
      view.setBigUint64(offset + EXTENT.storePage, BigInt(storePage), true);
      view.setUint32(offset + EXTENT.count, count, true);
      offset += EXTENT_BYTE_LENGTH;
    }
  }
  return bytes;
}

/** IMAGE_DAMAGED: not maps of memories of these lengths. Whether the store is long enough is for `segmentByteLengths`. */
export function decodePageMaps(
  bytes: Uint8Array,
  memoryByteLengths: readonly number[],
  path: string,
): readonly PageMap[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const misfit = (reason: string) => damaged(path, `section "pages": ${reason}`);
  let offset = 0;
  const take = (byteLength: number): number => {
    const from = offset;
    offset += byteLength;
    if (offset > bytes.byteLength) throw misfit("it is cut");
    return from;
  };
  const takeCount = () => view.getUint32(take(COUNT_BYTE_LENGTH), true);
  if (takeCount() !== memoryByteLengths.length) throw misfit("it has another number of memories than the header");
  let total = 0;
  const maps = memoryByteLengths.map((byteLength, index) => {
    const count = takeCount();
    total += count;
    if (total > MAX_EXTENTS) throw misfit(`it has more than ${MAX_EXTENTS} extents`);
    const map: Extent[] = [];
    for (let i = 0, end = 0; i < count; i++) {
      const extent = extentAt(view, take(EXTENT_BYTE_LENGTH));
      if (extent.count === 0 || extent.page < end) throw misfit(`memory ${index}: its extents are out of order`);
      end = endOf(extent);
      if (!isBehindChecksums({ page: extent.storePage, count: extent.count }) || extent.storePage > MAX_STORE_PAGE) {
        throw misfit(`memory ${index}: an extent lies where no pages are stored`);
      }
      if (end * PAGE_BYTE_LENGTH > byteLength) throw misfit(`memory ${index}: an extent passes its end`);
      map.push(extent);
    }
    return map;
  });
  if (offset !== bytes.byteLength) throw misfit("there are stray bytes at its end");
  return maps;
}

/** How long each segment must be at least, by its number. */
export function segmentByteLengths(maps: readonly PageMap[]): ReadonlyMap<number, number> {
  const byteLengths = new Map<number, number>();
  for (const { storePage, count } of maps.flat()) {
    const segment = segmentOf(storePage);
    const end = (pageInSegment(storePage) + count) * PAGE_BYTE_LENGTH;
    byteLengths.set(segment, Math.max(byteLengths.get(segment) ?? 0, end));
  }
  return byteLengths;
}

/** Numbers of 64 bits lose their lowest bits here, if they are too large for any memory or store anyway. */
function extentAt(view: DataView, offset: number): Extent {
  return {
    page: Number(view.getBigUint64(offset + EXTENT.page, true)),
    storePage: Number(view.getBigUint64(offset + EXTENT.storePage, true)),
    count: view.getUint32(offset + EXTENT.count, true),
  };
}
