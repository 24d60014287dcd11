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
  highestEpoch: 0,
  exitStatus: 0,
  message: "",
  instrumenterVersion: 3,
  moduleByteLength: 1000,
  moduleSha256: "ab".repeat(32),
  state: undefined,
  command: { byteLength: 10, checksum: 0xffffffff },
  inPlace: false,
  memoryByteLengths: [65_536, 2 ** 32, 0],
  writtenAt: 1_700_000_000_000,
};
const saved = (sequence: number): ImageHeader => ({
  ...base,
  status: "saved",
  sequence,
  epoch: sequence,
  highestEpoch: sequence + 2,
  state: { checksum: 0x80000001 },
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
      { ...base, epoch: 3, highestEpoch: 3, inPlace: true, state: { checksum: 0 } },
      { ...base, memoryByteLengths: Array.from({ length: MAX_MEMORIES }, (_, index) => index * 65_536) },
    ]) {
      expect(currentSlot(file(header), "h")).toEqual({ header, damage: undefined });
    }
  });

  test("both valid: the newer", () => {
    expect(currentSlot(file(saved(7), { ...base, sequence: 8 }), "h").header.status).toBe("running");
    expect(currentSlot(file({ ...base, sequence: 8 }, saved(9)), "h").header.status).toBe("saved");
  });

  test("newer torn at any of its sectors: itself, or the older one; no sector but the first says anything", () => {
    const before = file({ ...base, sequence: 8 }, saved(7));
    const after = file({ ...base, sequence: 8 }, saved(9));
    for (let sectors = 0; sectors < 256; sectors++) {
      const torn = before.slice();
      for (let sector = 0; sector < 8; sector++) {
        if ((sectors & (1 << sector)) === 0) continue;
        const from = SLOT_BYTE_LENGTH + 512 * sector;
        torn.set(after.subarray(from, from + 512), from);
      }
      const header = (sectors & 1) === 1 ? saved(9) : { ...base, sequence: 8 };
      expect(currentSlot(torn, "h")).toEqual({ header, damage: undefined });
    }
  });

  test("newer damaged in any byte: the older, and the damage is told", () => {
    for (let offset = 0; offset < SLOT_BYTE_LENGTH; offset += offset < 512 ? 1 : 97) {
      const bytes = file({ ...base, sequence: 8 }, saved(9));
      bytes[SLOT_BYTE_LENGTH + offset]! ^= 1;
      const { header, damage } = currentSlot(bytes, "h");
      expect(header).toEqual({ ...base, sequence: 8 });
      expect(damage).toContain("slot 1");
    }
  });

  test.each<[string, Partial<ImageHeader>]>([
    ["saved without a state", { status: "saved", epoch: 1, highestEpoch: 1 }],
    ["finished with a state", { status: "finished", epoch: 1, highestEpoch: 1, state: { checksum: 0 } }],
    ["an epoch above the highest", { epoch: 3, highestEpoch: 2 }],
    ["running with a state before the first save", { state: { checksum: 0 } }],
  ])("%s: not valid", (_what, changes) => {
    expect(() => currentSlot(file({ ...base, ...changes }), "h")).toThrow(errorCode("IMAGE_DAMAGED"));
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
    bytes[SLOT_BYTE_LENGTH + SLOT.version] = 3; // that of checksums among the pages
    expect(() => currentSlot(bytes, "h")).toThrow(errorCode("IMAGE_DAMAGED"));
    expect(() => currentSlot(resealed(bytes, 1), "h")).toThrow(errorCode("IMAGE_VERSION"));
  });

  test("a slot of version 1, whose checksum was elsewhere: IMAGE_VERSION", () => {
    const bytes = file(base);
    bytes[SLOT_BYTE_LENGTH + SLOT.version] = 1;
    const view = new DataView(bytes.buffer, SLOT_BYTE_LENGTH);
    view.setUint32(4092, crc32(bytes.subarray(SLOT_BYTE_LENGTH, SLOT_BYTE_LENGTH + 4092)), true);
    expect(() => currentSlot(bytes, "h")).toThrow(errorCode("IMAGE_VERSION"));
  });

  test("a message that is too long is cut at a character's boundary", () => {
    const { header } = currentSlot(file({ ...base, status: "trapped", message: "ü".repeat(2000) }), "h");
    expect(header.message).toBe("ü".repeat(62));
  });

  test("any numbers under a right checksum: a header within its bounds, or IMAGE_*", () => {
    const field = fc.oneof(fc.constantFrom(0, 1, 255, 256, 0xffff, 0x7fffffff, 0xffffffff), fc.nat());
    const edit = fc.tuple(fc.integer({ min: 8, max: SLOT.checksum - 4 }), field);
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
        if (header.status === "saved") expect(header.state).toBeDefined();
        if (header.status === "finished") expect(header.state).toBeUndefined();
        expect(header.moduleByteLength).toBeLessThanOrEqual(2 ** 30);
      }),
      { numRuns: 500 },
    );
  });
});
