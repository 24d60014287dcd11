import { closeSync, openSync, readSync } from "node:fs";
import { expect, test } from "vitest";
import { libc, MAP, PROT } from "../../pmem/libc.js";
import { PAGE_BYTE_LENGTH } from "../../pmem/page-map.js";
import { writtenPages } from "../../pmem/page-scan.js";
import { WriteProtection } from "../../pmem/write-protection.js";
import { scratchPages } from "../support/scratch-pages.js";

const system = libc();
const unit = system.pageByteLength / PAGE_BYTE_LENGTH;
const RESERVED = 2 ** 32;

const available = (() => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536 });
  const protection = WriteProtection.begin(system.addressOf(new Uint8Array(memory.buffer)), RESERVED);
  protection?.close();
  return protection !== undefined;
})();
const missing = available ? "" : " (skipped: needs userfaultfd with WP_ASYNC, Linux 6.7, and leave to use it)";

const file = scratchPages();

test.skipIf(!available)(`what is written once protected, and nothing else; also behind a growth${missing}`, () => {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 65_536 });
  const address = system.addressOf(new Uint8Array(memory.buffer));
  const written = () => writtenPages(address, memory.buffer.byteLength, ["ioctl"]);
  const pagesAt = (...places: number[]) =>
    places.map((at) => ({ page: Math.floor(at / system.pageByteLength) * unit, count: unit }));
  const flags = MAP.PRIVATE | MAP.NORESERVE;
  expect(system.mapFixed(address + 2 ** 20, 2 ** 20, PROT.READ | PROT.WRITE, flags, file.descriptor, 0)).toBe(0);
  const first = new Uint8Array(memory.buffer);
  first.fill(1, 0, 2 ** 19);
  first[2 ** 20 + 3 * 65_536] = 1; // a copy of the file's page
  const before = written();
  const protection = WriteProtection.begin(address, RESERVED);
  expect(written()).toEqual(before);
  expect(protection?.protect(before)).toBe(true);
  expect(written()).toEqual([]);

  const places = [0, 2 ** 18 + 5, 2 ** 20 + 65_536, 2 ** 20 + 3 * 65_536, 2 ** 23];
  for (const at of places) first[at] = 9;
  expect(written()).toEqual(pagesAt(...places));
  expect(first[1]).toBe(1);
  expect(first[2 ** 20 + 65_537]).toBe(5);

  memory.grow(16);
  new Uint8Array(memory.buffer)[2 ** 24] = 7;
  const all = written();
  expect(all).toEqual(pagesAt(...places, 2 ** 24));
  expect(protection?.protect(all)).toBe(true);
  expect(written()).toEqual([]);
  new Uint8Array(memory.buffer)[2 ** 24] = 8;
  expect(written()).toEqual(pagesAt(2 ** 24));
  protection?.close();
});

test.skipIf(!available)(`a protected page that the kernel writes for a system call counts too${missing}`, () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65_536 });
  const bytes = new Uint8Array(memory.buffer);
  const address = system.addressOf(bytes);
  bytes.fill(1);
  const protection = WriteProtection.begin(address, RESERVED);
  expect(protection?.protect([{ page: 0, count: 32 }])).toBe(true);
  const source = openSync(file.path, "r");
  const read = Buffer.from(memory.buffer, 3 * system.pageByteLength, 16);
  expect(readSync(source, read)).toBe(16);
  closeSync(source);
  expect(writtenPages(address, bytes.byteLength, ["ioctl"])).toEqual([{ page: 3 * unit, count: unit }]);
  protection?.close();
});
