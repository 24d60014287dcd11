import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  currentSlot,
  encodeSlot,
  type ImageHeader,
  MAX_MEMORIES,
  SLOT,
  SLOT_BYTE_LENGTH,
} from "../../../runtime/process/image/header.js";
import { errorCode, thrownBy } from "./support.js";

const base: ImageHeader = {
  status: "running",
  sequence: 1,
  epoch: 0,
  exitStatus: 0,
  message: "",
  instrumenterVersion: 3,
  moduleByteLength: 1000,
  moduleSha256: "ab".repeat(32),
  state: undefined,
  command: { byteLength: 10, checksum: 0xffffffff },
  memoryByteLengths: [65_536, 2 ** 32, 0],
  writtenAt: 1_700_000_000_000,
};
const saved = (sequence: number): ImageHeader => ({
  ...base,
  status: "saved",
  sequence,
  epoch: sequence,
  state: { byteLength: 4096, checksum: 0x80000001 },
});

/** A header file whose slots were written in this order. */
function file(...headers: ImageHeader[]): Uint8Array {
  const bytes = new Uint8Array(2 * SLOT_BYTE_LENGTH);
  for (const header of headers) bytes.set(encodeSlot(header), SLOT_BYTE_LENGTH * (header.sequence % 2));
  return bytes;
}

function resealed(bytes: Uint8Array, slot: number): Uint8Array {
  const view = new DataView(bytes.buffer, SLOT_BYTE_LENGTH * slot);
  const sum = crc32(bytes.subarray(SLOT_BYTE_LENGTH * slot, SLOT_BYTE_LENGTH * slot + SLOT.checksum));
  view.setUint32(SLOT.checksum, sum, true);
  return bytes;
}

describe("currentSlot", () => {
  test("what was written is read", () => {
    for (const header of [
      base,
      saved(1),
      { ...base, status: "finished", exitStatus: 0xffffffff } as const,
      { ...base, status: "trapped", message: "unreachable ü" } as const,
      { ...base, memoryByteLengths: Array.from({ length: MAX_MEMORIES }, (_, index) => index * 65_536) },
    ]) {
      expect(currentSlot(file(header), "h")).toEqual({ header, damage: undefined });
    }
  });

  test("both valid: the newer", () => {
    expect(currentSlot(file(saved(7), { ...base, sequence: 8 }), "h").header.status).toBe("running");
    expect(currentSlot(file({ ...base, sequence: 8 }, saved(9)), "h").header.status).toBe("saved");
  });

  test("newer torn at any sector: the older, and the damage is told", () => {
    const before = file({ ...base, sequence: 8 }, saved(7));
    const after = file({ ...base, sequence: 8 }, saved(9));
    for (let sector = 1; sector < 8; sector++) {
      const torn = before.slice();
      torn.set(after.subarray(SLOT_BYTE_LENGTH, SLOT_BYTE_LENGTH + 512 * sector), SLOT_BYTE_LENGTH);
      const { header, damage } = currentSlot(torn, "h");
      expect(header).toEqual({ ...base, sequence: 8 });
      expect(damage).toContain("slot 1");
    }
  });

  test("numbers that are no neighbours: IMAGE_DAMAGED", () => {
    expect(() => currentSlot(file(saved(7), { ...base, sequence: 10 }), "h")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("a slot in the other's place: not valid", () => {
    const bytes = new Uint8Array(2 * SLOT_BYTE_LENGTH);
    bytes.set(encodeSlot(saved(7)), 0);
    expect(() => currentSlot(bytes, "h")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("neither begins as a slot does: IMAGE_FOREIGN; too short: IMAGE_DAMAGED", () => {
    expect(() => currentSlot(new Uint8Array(9000).fill(65), "h")).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(() => currentSlot(new Uint8Array(9000), "h")).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(() => currentSlot(file(base).subarray(0, 8191), "h")).toThrow(errorCode("IMAGE_DAMAGED"));
  });

  test("another version with a right checksum: IMAGE_VERSION", () => {
    const bytes = file(base);
    bytes[SLOT_BYTE_LENGTH + SLOT.version] = 2;
    expect(() => currentSlot(bytes, "h")).toThrow(errorCode("IMAGE_DAMAGED"));
    expect(() => currentSlot(resealed(bytes, 1), "h")).toThrow(errorCode("IMAGE_VERSION"));
  });

  test("a message that is too long is cut at a character's boundary", () => {
    const { header } = currentSlot(file({ ...base, status: "trapped", message: "ü".repeat(2000) }), "h");
    expect(header.message).toBe("ü".repeat(512));
  });

  test("any numbers under a right checksum: a header within its bounds, or IMAGE_*", () => {
    const field = fc.oneof(fc.constantFrom(0, 1, 255, 256, 0xffff, 0x7fffffff, 0xffffffff), fc.nat());
    const edit = fc.tuple(fc.integer({ min: 8, max: SLOT.memories + 80 }), field);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        const bytes = file(saved(7));
        const view = new DataView(bytes.buffer, SLOT_BYTE_LENGTH);
        for (const [offset, value] of edits) view.setUint32(offset, value, true);
        let found: ReturnType<typeof currentSlot>;
        try {
          found = currentSlot(resealed(bytes, 1), "h");
        } catch {
          const { code, message } = thrownBy(() => currentSlot(bytes, "h"));
          expect(code).toMatch(/^IMAGE_/);
          expect(message).toMatch(/^h: /);
          return;
        }
        const { header } = found;
        expect(header.memoryByteLengths.length).toBeLessThanOrEqual(MAX_MEMORIES);
        expect(header.state !== undefined).toBe(header.status === "saved");
        expect(header.moduleByteLength).toBeLessThanOrEqual(2 ** 30);
      }),
      { numRuns: 500 },
    );
  });
});
