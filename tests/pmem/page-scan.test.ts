import { describe, expect, test } from "vitest";
import { libc, MAP, PROT } from "../../pmem/libc.js";
import { PAGE_BYTE_LENGTH, type PageRun } from "../../pmem/page-map.js";
import { nonzeroPages, type ScanWay, writtenPages } from "../../pmem/page-scan.js";
import { scratchPages } from "../support/scratch-pages.js";

const system = libc();
const unit = system.pageByteLength / PAGE_BYTE_LENGTH;
const has = (runs: readonly PageRun[], page: number) =>
  runs.some((run) => run.page <= page && page < run.page + run.count);

/** Whether PAGEMAP_SCAN is there: Linux 6.7. */
const ioctlWorks = (() => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const runs = writtenPages(system.addressOf(new Uint8Array(memory.buffer)), 65_536, ["ioctl"]);
  return runs.length === 0; // without it, all pages count
})();

const file = scratchPages();

interface Mapped {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** 256 MiB, of which the second MiB is the file's, privately. */
function mapped(): Mapped {
  const memory = new WebAssembly.Memory({ initial: 4096, maximum: 4096 });
  const bytes = new Uint8Array(memory.buffer);
  const address = system.addressOf(bytes);
  const flags = MAP.PRIVATE | MAP.NORESERVE;
  expect(system.mapFixed(address + 2 ** 20, 2 ** 20, PROT.READ | PROT.WRITE, flags, file.descriptor, 0)).toBe(0);
  return { memory, bytes, address };
}

const ways: ScanWay[] = ["ioctl", "pagemap"];
const missing = ioctlWorks ? "" : " (ioctl skipped: PAGEMAP_SCAN needs Linux 6.7)";
describe.each(ways)(`writtenPages by %s${missing}`, (way) => {
  test.skipIf(way === "ioctl" && !ioctlWorks)("what was written, and no page of the file that was only read", () => {
    const { bytes, address } = mapped();
    const readOnly = 2 ** 20 + 4 * 65_536;
    expect(bytes[readOnly]).toBe(5);
    const writes = [7, 2 ** 20 + 65_536, 2 ** 20 + 3 * 65_536, 50 * 2 ** 20, 256 * 2 ** 20 - 1];
    for (const at of writes) bytes[at] = 9;
    const runs = writtenPages(address, bytes.byteLength, [way]);
    for (const at of writes) expect(has(runs, Math.floor(at / PAGE_BYTE_LENGTH)), String(at)).toBe(true);
    expect(has(runs, readOnly / PAGE_BYTE_LENGTH)).toBe(false);
    expect(has(runs, (2 ** 20 + 2 * 65_536) / PAGE_BYTE_LENGTH)).toBe(false);
    const pages = runs.reduce((sum, { count }) => sum + count, 0);
    expect(pages).toBeLessThan(writes.length * 512 + 1); // huge pages, at worst
    runs.slice(1).forEach(({ page }, index) => {
      expect(page).toBeGreaterThan((runs[index]?.page ?? 0) + (runs[index]?.count ?? 0));
    });
    for (const { page, count } of runs) expect([page % unit, count % unit]).toEqual([0, 0]);
  });

  test.skipIf(way === "ioctl" && !ioctlWorks)("thousands of runs, more than one call finds", () => {
    const { bytes, address } = mapped();
    const step = 2 * system.pageByteLength;
    const from = 4 * 2 ** 20;
    for (let at = from; at < from + 9000 * step; at += step) bytes[at] = 1;
    const runs = writtenPages(address, bytes.byteLength, [way]);
    for (let at = from; at < from + 9000 * step; at += step) {
      if (!has(runs, at / PAGE_BYTE_LENGTH)) throw new Error(`page at ${at} is missing`);
    }
  });
});

test("writtenPages with neither: every page", () => {
  expect(writtenPages(0, 65_536, ["all"])).toEqual([{ page: 0, count: 16 }]);
});

test("reading alone writes nothing", () => {
  const { bytes, address } = mapped();
  let sum = 0;
  for (let at = 0; at < 4 * 2 ** 20; at += 4096) sum += bytes[at] ?? 0;
  expect(sum).toBe(5 * 256);
  if (ioctlWorks) expect(writtenPages(address, bytes.byteLength, ["ioctl"])).toEqual([]);
  // The kernel's page of zeros cannot be told from another one there: left to nonzeroPages.
  const runs = writtenPages(address, bytes.byteLength, ["pagemap"]);
  expect(nonzeroPages(address, runs, unit)).toEqual([]);
});

describe("nonzeroPages", () => {
  test("pages with a byte that is not zero, wherever it stands; touching ones are one run", () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16 });
    const bytes = new Uint8Array(memory.buffer);
    const address = system.addressOf(bytes);
    for (const at of [4095, 5 * 4096, 6 * 4096 + 17, 100 * 4096]) bytes[at] = 1;
    const all = [
      { page: 0, count: 7 },
      { page: 8, count: 248 },
    ];
    const expected = [
      { page: 0, count: 1 },
      { page: 5, count: 2 },
      { page: 100, count: 1 },
    ];
    expect(nonzeroPages(address, all, 1)).toEqual(expected);
    expect(nonzeroPages(address, [{ page: 1, count: 4 }], 1)).toEqual([]);
  });

  test("on a kernel with larger pages: whole ones", () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16 });
    const bytes = new Uint8Array(memory.buffer);
    bytes[17 * 4096] = 1;
    const address = system.addressOf(bytes);
    expect(nonzeroPages(address, [{ page: 0, count: 256 }], 16)).toEqual([{ page: 16, count: 16 }]);
    expect(nonzeroPages(address, [{ page: 0, count: 256 }], 4)).toEqual([{ page: 16, count: 4 }]);
  });
});
