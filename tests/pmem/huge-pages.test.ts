import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { HugePages } from "../../pmem/huge-pages.js";
import { libc } from "../../pmem/libc.js";
import { writtenPages } from "../../pmem/page-scan.js";
import { reservedByteLength } from "../../pmem/reservation.js";

const WASM_PAGE = 65_536;
const BLOCK = 2 ** 21;
const RESERVED = 2 ** 32;
const SETTINGS = "/sys/kernel/mm/transparent_hugepage";
const available =
  existsSync(SETTINGS) &&
  !readFileSync(`${SETTINGS}/enabled`, "latin1").includes("[never]") &&
  Number(readFileSync(`${SETTINGS}/hpage_pmd_size`, "latin1")) === BLOCK;
const missing = available ? "" : " (skipped: this kernel has no huge pages of 2 MiB to give)";

function grown(step: number, until: number, look: (memory: WebAssembly.Memory, address: number) => void): void {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536 });
  const address = libc().addressOf(new Uint8Array(memory.buffer));
  const hugePages = new HugePages(address, RESERVED);
  while (memory.buffer.byteLength < until) {
    const { byteLength } = memory.buffer;
    hugePages.grow(byteLength, byteLength + step * WASM_PAGE);
    look(memory, address); // the engine may still decline
    memory.grow(step);
    look(memory, address);
  }
}

describe("growth", () => {
  test.each([1, 3, 40])("by %i pages: accessible up to the memory's end and no further, all zeros", (step) => {
    grown(step, 4 * BLOCK, (memory, address) => {
      const { byteLength } = memory.buffer;
      expect(reservedByteLength(address, byteLength, RESERVED)).toBeGreaterThanOrEqual(RESERVED);
      const bytes = new Uint8Array(memory.buffer);
      expect(bytes[byteLength - 1]).toBe(0);
      bytes[byteLength - 1] = 1;
      bytes[byteLength - 1] = 0;
    });
  });

  test.skipIf(!available)(`in small steps: the pages are there before they are touched${missing}`, () => {
    let filled = 0;
    grown(1, 4 * BLOCK, (memory, address) => {
      const { byteLength } = memory.buffer;
      const pages = writtenPages(address, byteLength).reduce((sum, { count }) => sum + count, 0);
      filled = Math.max(filled, pages * 4096);
    });
    expect(filled).toBeGreaterThan(2 * BLOCK);
  });

  test("a small memory is left alone", () => {
    grown(1, BLOCK, (memory, address) => {
      expect(writtenPages(address, memory.buffer.byteLength)).toEqual([]);
    });
  });
});
