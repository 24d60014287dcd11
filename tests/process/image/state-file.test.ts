import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EpochRecord } from "../../../runtime/process/image/epoch-record.js";
import { decodeState, encodeState, type ImageState, PREAMBLE } from "../../../runtime/process/image/state-file.js";
import { errorCode, PAGE, stateOf } from "./support.js";

const RECORD: EpochRecord = {
  parent: 4,
  unbranchedSince: 2,
  at: 1_700_000_000_000,
  why: "period",
  pagesWritten: 3,
  hostCalls: 12,
  memoryByteLengths: [PAGE],
  keptFiles: ["file-a-b"],
  keep: { epochs: 2, milliseconds: null },
  trap: null,
};
const PAGES = new Uint8Array([1, 2, 3]);

function encoded(epoch: number, state: ImageState, pages = PAGES): { bytes: Uint8Array; checksum: number } {
  const { chunks, byteLength, checksum } = encodeState(epoch, { record: RECORD, state, pages });
  const bytes = new Uint8Array(Buffer.concat(chunks));
  expect(bytes.byteLength).toBe(byteLength);
  return { bytes, checksum };
}

describe("decodeState", () => {
  test("what was encoded, every section aligned to 8 bytes", () => {
    const section = fc.uint8Array({ maxLength: 40 });
    const machine = fc.record({ globals: section, tables: section, segments: section, stacks: section });
    const state = fc.record({ machine, wasi: fc.jsonValue(), process: fc.jsonValue() });
    fc.assert(
      fc.property(state, section, fc.nat(), (before, pages, epoch) => {
        const { bytes } = encoded(epoch, before, pages);
        const after = decodeState(bytes, epoch, "s");
        expect(JSON.stringify(after.state)).toBe(JSON.stringify(before));
        expect(new Uint8Array(after.pages)).toEqual(new Uint8Array(pages));
        for (const bytes of [after.pages, ...Object.values(after.state.machine)]) expect(bytes.byteOffset % 8).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test("every bit of every byte counts", () => {
    const { bytes, checksum } = encoded(5, stateOf(2, 100));
    for (let offset = 0; offset < bytes.byteLength; offset++) {
      bytes[offset]! ^= 1 << (offset % 8);
      expect(() => decodeState(bytes, 5, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
      bytes[offset]! ^= 1 << (offset % 8);
    }
    expect(decodeState(bytes, 5, "s")).toEqual({ record: RECORD, state: stateOf(2, 100), pages: PAGES, checksum });
  });

  test("cut anywhere, or with bytes behind it: IMAGE_DAMAGED", () => {
    const { bytes } = encoded(5, stateOf(2, 100));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => decodeState(bytes.subarray(0, length), 5, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
    }
    const longer = new Uint8Array([...bytes, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(() => decodeState(longer, 5, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("of another epoch: IMAGE_DAMAGED", () => {
    const { bytes } = encoded(5, stateOf(2));
    expect(() => decodeState(bytes, 6, "s")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("any numbers in the preamble under a right checksum: a state, or IMAGE_DAMAGED", () => {
    const original = encoded(5, stateOf(2, 100)).bytes;
    const value = fc.oneof(fc.constantFrom(0, 1, 8, 0x7fffffff, 0xffffffff), fc.nat({ max: 200 }));
    const edit = fc.tuple(fc.nat({ max: PREAMBLE.sections + 32 * 8 - 4 }), value);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = original.slice();
        const view = new DataView(bytes.buffer);
        for (const [offset, word] of edits) view.setUint32(offset, word, true);
        const end = PREAMBLE.sections + 32 * view.getUint32(PREAMBLE.sectionCount, true);
        view.setUint32(PREAMBLE.checksum, 0, true);
        view.setUint32(PREAMBLE.checksum, crc32(bytes.subarray(0, end)), true);
        try {
          decodeState(bytes, 5, "s");
        } catch (error) {
          expect(error).toEqual(errorCode("IMAGE_DAMAGED"));
        }
      }),
      { numRuns: 500 },
    );
  });
});
