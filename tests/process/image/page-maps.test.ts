import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PageMap } from "../../../pmem/page-map.js";
import { decodePageMaps, encodePageMaps, segmentByteLengths } from "../../../runtime/process/image/page-maps.js";
import { errorCode, PAGE } from "./support.js";

const MAPS: readonly PageMap[] = [
  [
    { page: 0, count: 2, storePage: 71 },
    { page: 2, count: 1, storePage: 67 },
    { page: 15, count: 1, storePage: 73 },
  ],
  [],
  [{ page: 2 ** 20 - 1, count: 1, storePage: 2 ** 40 + 65 }],
];
const LENGTHS = [PAGE, 0, 2 ** 32];

describe("decodePageMaps", () => {
  test("what was encoded", () => {
    expect(decodePageMaps(encodePageMaps(MAPS), LENGTHS, "s")).toEqual(MAPS);
    expect(decodePageMaps(encodePageMaps([]), [], "s")).toEqual([]);
  });

  test("as many pieces as can be read are written, and no more", () => {
    const pieces = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ page: 2 * index, count: 1, storePage: 100 + (index % 1000) * 2 }));
    const most = [pieces(49_152)];
    const bytes = encodePageMaps(most);
    expect(decodePageMaps(bytes, [2 ** 32], "s")).toEqual(most);
    const more = Buffer.concat([bytes, bytes.subarray(-24)]);
    more.writeUInt32LE(49_153, 8);
    more.writeBigUInt64LE(2n * 49_152n, more.length - 24);
    expect(() => decodePageMaps(more, [2 ** 32], "s")).toThrow(errorCode("IMAGE_DAMAGED"));
    expect(() => encodePageMaps([pieces(49_152), pieces(1)])).toThrow(errorCode("IMAGE_LIMIT"));
  });

  test.each<[string, PageMap, number]>([
    ["a page behind the memory's end", [{ page: 16, count: 1, storePage: 65 }], PAGE],
    ["an extent that passes it", [{ page: 15, count: 2, storePage: 65 }], PAGE],
    ["a page number beyond 2^53", [{ page: 2 ** 60, count: 1, storePage: 65 }], PAGE],
    ["no pages", [{ page: 1, count: 0, storePage: 65 }], PAGE],
    ["a page of checksums", [{ page: 0, count: 1, storePage: 65_599 }], PAGE],
    ["an extent over one", [{ page: 0, count: 3, storePage: 65_534 }], PAGE],
    ["a page of the store beyond 2^48", [{ page: 0, count: 1, storePage: 2 ** 60 + 2 ** 20 + 512 }], PAGE],
    [
      "out of order",
      [
        { page: 3, count: 1, storePage: 65 },
        { page: 1, count: 1, storePage: 65 },
      ],
      PAGE,
    ],
    [
      "overlapping",
      [
        { page: 1, count: 2, storePage: 65 },
        { page: 2, count: 1, storePage: 73 },
      ],
      PAGE,
    ],
  ])("%s: IMAGE_DAMAGED", (_what, map, byteLength) => {
    expect(() => decodePageMaps(encodePageMaps([map]), [byteLength], "s")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("another number of memories, cut anywhere, or with bytes behind it: IMAGE_DAMAGED", () => {
    const bytes = encodePageMaps(MAPS);
    expect(() => decodePageMaps(bytes, LENGTHS.slice(1), "s")).toThrow(errorCode("IMAGE_DAMAGED"));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => decodePageMaps(bytes.subarray(0, length), LENGTHS, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
    }
    const longer = new Uint8Array([...bytes, ...new Uint8Array(8)]);
    expect(() => decodePageMaps(longer, LENGTHS, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("any numbers: maps that lie within their memories, in order, or IMAGE_DAMAGED", () => {
    const value = fc.oneof(fc.constantFrom(0, 1, 2, 15, 16, 0x7fffffff, 0xffffffff), fc.nat(40));
    const edit = fc.tuple(fc.nat(encodePageMaps(MAPS).byteLength / 4 - 1), value);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 5 }), (edits) => {
        const bytes = encodePageMaps(MAPS);
        const view = new DataView(bytes.buffer);
        for (const [word, number] of edits) view.setUint32(4 * word, number, true);
        let maps: readonly PageMap[];
        try {
          maps = decodePageMaps(bytes, LENGTHS, "s");
        } catch (error) {
          expect(error).toEqual(errorCode("IMAGE_DAMAGED"));
          return;
        }
        maps.forEach((map, index) => {
          let end = 0;
          for (const { page, count, storePage } of map) {
            expect(page).toBeGreaterThanOrEqual(end);
            expect(count).toBeGreaterThan(0);
            expect(storePage).toBeGreaterThanOrEqual(0);
            end = page + count;
          }
          expect(end * 4096).toBeLessThanOrEqual(LENGTHS[index] ?? 0);
        });
      }),
      { numRuns: 1000 },
    );
  });
});

test("segmentByteLengths: each to the end of the last page that a map names", () => {
  expect([...segmentByteLengths([])]).toEqual([]);
  expect([...segmentByteLengths(MAPS)]).toEqual([
    [0, 74 * 4096],
    [2 ** 24, 66 * 4096],
  ]);
});
