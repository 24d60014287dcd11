import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writevSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { usedPages } from "../../pmem/free-pages.js";
import { libc } from "../../pmem/libc.js";
import type { SegmentFile, SegmentFiles } from "../../pmem/open-segments.js";
import { type PageMap, remainingRuns } from "../../pmem/page-map.js";
import { PageStore } from "../../pmem/page-store.js";

/** Whether the kernel lets us protect pages; without, they are mapped again. */
const kernel = vi.hoisted(() => ({ protects: true }));
vi.mock("../../pmem/libc.js", async (original) => {
  const real = await original<typeof import("../../pmem/libc.js")>();
  const createFaultDescriptor = () => (kernel.protects ? real.libc().createFaultDescriptor() : -38);
  return { ...real, libc: () => ({ ...real.libc(), createFaultDescriptor }) };
});

const WASM_PAGE = 65_536;

let scratch: string;
const stores: PageStore[] = [];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-store-"));
  written = [];
});
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** Bytes of pages handed to the files' write calls, one entry for each; their checksums are not counted. */
let written: number[] = [];

function segmentFile(segment: number, flags: string): SegmentFile {
  const descriptor = openSync(fileOf(segment), flags);
  const { nlink } = fstatSync(descriptor);
  return {
    descriptor,
    writable: nlink === 1,
    write: (chunks, position) => {
      const byteLength = writevSync(descriptor, [...chunks], position);
      if (position >= 64 * 4096) written.push(byteLength);
    },
    sync: () => fdatasyncSync(descriptor),
    release: (position, byteLength) => {
      expect(libc().punchHole(descriptor, position, byteLength)).toBe(0);
    },
    close: () => closeSync(descriptor),
  };
}

const fileOf = (segment: number) => join(scratch, `pages-${segment}`);

const segments = () =>
  readdirSync(scratch)
    .map((name) => Number(name.split("-")[1]))
    .sort((a, b) => a - b);

const FILES: SegmentFiles = {
  list: segments,
  open: (segment) => segmentFile(segment, "r+"),
  create: (segment) => segmentFile(segment, "wx+"),
  remove: (segment) => rmSync(fileOf(segment)),
};

interface Saved {
  readonly byteLengths: readonly number[];
  readonly maps: readonly PageMap[];
}

interface Opened {
  readonly store: PageStore;
  readonly memories: readonly WebAssembly.Memory[];
}

/** What a process has that goes on from `saved`, beside which `others` are kept. */
function opened({ byteLengths, maps }: Saved, others: readonly PageMap[] = []): Opened {
  const memoriesSaved = maps.map((map, index) => ({ map, byteLength: byteLengths[index] ?? 0 }));
  const store = new PageStore(scratch, FILES, memoriesSaved, () => usedPages([...maps, ...others]));
  stores.push(store);
  const memories = byteLengths.map((byteLength, index) => {
    const memory = new WebAssembly.Memory({ initial: byteLength / WASM_PAGE, maximum: 65_536 });
    store.memories[index]?.attach(memory, 2 ** 32);
    return memory;
  });
  return { store, memories };
}

function created(...pages: number[]): Opened {
  const store = new PageStore(scratch, FILES, [], () => []);
  store.prepare();
  stores.push(store);
  const memories = pages.map((initial) => {
    const memory = new WebAssembly.Memory({ initial, maximum: 65_536 });
    const backing = store.create();
    expect(backing.grow(initial * WASM_PAGE)).toBe(true);
    backing.attach(memory, 2 ** 32);
    return memory;
  });
  return { store, memories };
}

/** A whole save, as an image makes it, after which nobody needs the one before. */
function save({ store, memories }: Opened): Saved {
  const before = usedPages(store.maps);
  const maps = store.write();
  store.flush();
  store.settle();
  store.release(remainingRuns(before, usedPages(maps)));
  store.trim();
  return { byteLengths: memories.map(({ buffer }) => buffer.byteLength), maps };
}

const bytesOf = (memory: WebAssembly.Memory | undefined) => new Uint8Array(memory?.buffer ?? new ArrayBuffer(0));

/** What a map says, read from the files without any mapping, each page with its checksum. */
function stored(map: PageMap, byteLength: number): Uint8Array {
  const bytes = Buffer.alloc(byteLength);
  const checksum = Buffer.alloc(4);
  for (const { page, count, storePage } of map) {
    const file = openSync(fileOf(Math.floor(storePage / 65_536)), "r");
    const first = storePage % 65_536;
    readSync(file, bytes, page * 4096, count * 4096, first * 4096);
    for (let i = 0; i < count; i++) {
      readSync(file, checksum, 0, 4, 4 * (first + i));
      const found = crc32(bytes.subarray((page + i) * 4096, (page + i + 1) * 4096));
      expect(found, `checksum of page ${page + i}`).toBe(checksum.readUInt32LE());
    }
    closeSync(file);
  }
  return bytes;
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("a save", () => {
  test("clean start: no mapping at all, and only pages that are not zeros are written", () => {
    const one = created(16);
    const bytes = bytesOf(one.memories[0]);
    bytes[5] = 1;
    bytes[10 * 4096] = 2;
    bytes[200 * 4096] = 0; // touched
    expect(save(one).maps).toEqual([
      [
        { page: 0, count: 1, storePage: 64 },
        { page: 10, count: 1, storePage: 65 },
      ],
    ]);
    expect(written).toEqual([8192]);
  });

  test("goes on in another process: the same bytes, and what it only reads is not written again", () => {
    const first = created(16, 1);
    const next = random(3);
    for (let at = 0; at < 16 * WASM_PAGE; at += 501) bytesOf(first.memories[0])[at] = next() * 256;
    bytesOf(first.memories[1])[77] = 7;
    const saved = save(first);
    written = [];
    const second = opened(saved);
    expect(Buffer.compare(bytesOf(second.memories[0]), bytesOf(first.memories[0]))).toBe(0);
    expect(bytesOf(second.memories[1])[77]).toBe(7);
    bytesOf(second.memories[0])[30 * 4096 + 5] = 42;
    const again = save(second);
    expect(written).toEqual([4096]);
    expect(again.maps[0]?.length).toBe(3);
    const third = opened(again);
    expect(Buffer.compare(bytesOf(third.memories[0]), bytesOf(second.memories[0]))).toBe(0);
  });

  test("the guest's stores never reach the file", () => {
    const first = created(1);
    bytesOf(first.memories[0]).fill(1);
    const saved = save(first);
    const second = opened(saved);
    bytesOf(second.memories[0]).fill(2);
    second.store.close();
    expect(new Set(stored(saved.maps[0] ?? [], WASM_PAGE))).toEqual(new Set([1]));
    expect(new Set(bytesOf(second.memories[0]))).toEqual(new Set([0])); // V3
    expect(new Set(bytesOf(opened(saved).memories[0]))).toEqual(new Set([1]));
  });

  test("pages that became zeros are in no map any more", () => {
    const first = created(1);
    bytesOf(first.memories[0]).fill(1);
    const second = opened(save(first));
    bytesOf(second.memories[0]).fill(0, 4096, 3 * 4096);
    bytesOf(second.memories[0]).fill(0, 5 * 4096, 10 * 4096);
    const { maps, byteLengths } = save(second);
    // A gap of up to three pages is written along, zeros too.
    expect(maps[0]?.reduce((sum, { count }) => sum + count, 0)).toBeLessThan(12);
    expect(Buffer.compare(bytesOf(opened({ maps, byteLengths }).memories[0]), bytesOf(second.memories[0]))).toBe(0);
  });

  test("growth, before and after a save", () => {
    const first = created(1);
    expect(first.store.memories[0]?.grow(3 * WASM_PAGE)).toBe(true);
    first.memories[0]?.grow(2);
    bytesOf(first.memories[0])[3 * WASM_PAGE - 1] = 9;
    expect(first.store.memories[0]?.byteLength).toBe(3 * WASM_PAGE);
    const second = opened(save(first));
    expect(bytesOf(second.memories[0])[3 * WASM_PAGE - 1]).toBe(9);
    expect(second.store.memories[0]?.grow(4 * WASM_PAGE)).toBe(true);
    second.memories[0]?.grow(1);
    bytesOf(second.memories[0])[4 * WASM_PAGE - 1] = 8;
    const third = opened(save(second));
    expect([3, 4].map((pages) => bytesOf(third.memories[0])[pages * WASM_PAGE - 1])).toEqual([9, 8]);
  });

  test("the whole 4 GiB of a memory", () => {
    const first = created(65_536);
    const places = [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    places.forEach((at, index) => {
      bytesOf(first.memories[0])[at] = index + 1;
    });
    const second = opened(save(first));
    expect(places.map((at) => bytesOf(second.memories[0])[at])).toEqual([1, 2, 3, 4]);
    bytesOf(second.memories[0])[2 ** 32 - 1] = 9;
    const third = opened(save(second));
    expect(places.map((at) => bytesOf(third.memories[0])[at])).toEqual([1, 2, 3, 9]);
  });

  test("more room than the disk has: refused, and why", () => {
    const { store } = created(1);
    expect(store.memories[0]?.grow(2 ** 52)).toBe(false);
    expect(store.memories[0]?.growthRefusal).toMatchObject({ code: "DISK_FULL" });
    expect(store.memories[0]?.byteLength).toBe(WASM_PAGE);
    expect(store.memories[0]?.grow(2 * WASM_PAGE)).toBe(true);
    expect(store.memories[0]?.growthRefusal).toBeUndefined();
  });
});

describe("segments", () => {
  test("more pages than a segment holds: another one; without live pages it goes", () => {
    const process = created(5000);
    bytesOf(process.memories[0]).fill(1);
    const { maps } = save(process);
    expect(segments()).toEqual([0, 1]);
    expect(Buffer.compare(stored(maps[0] ?? [], 5000 * WASM_PAGE), bytesOf(process.memories[0]))).toBe(0);
    bytesOf(process.memories[0]).fill(2);
    save(process);
    bytesOf(process.memories[0]).fill(0, WASM_PAGE);
    save(process);
    process.store.compact();
    expect(segments().length).toBe(1);
  });
});

describe.each([
  ["what was saved protected", true],
  ["what was saved mapped again", false],
])("many epochs, %s", (_what, protects) => {
  beforeEach(() => {
    kernel.protects = protects;
  });

  /** S1: pages of the epoch before are whole as long as a slot may name them, while the next are written. */
  test("the one before stays as it was, byte for byte, in the same process and in others; the file stays small", () => {
    const next = random(7);
    let process = created(40);
    let kept: readonly PageMap[] = [];
    let before: { saved: Saved; bytes: Uint8Array } | undefined;
    for (let epoch = 1; epoch <= 60; epoch++) {
      const bytes = bytesOf(process.memories[0]);
      const from = Math.floor(next() * 600);
      const scattered = Math.floor(next() * 60);
      bytes.fill(epoch, from * 4096, (from + Math.floor(next() * 40)) * 4096);
      for (let i = 0; i < scattered; i++) bytes[Math.floor(next() * bytes.byteLength)] = next() * 256;
      if (epoch % 9 === 0) bytes.fill(0, 100 * 4096, 300 * 4096);
      const maps = process.store.write();
      process.store.flush();
      if (before !== undefined) {
        // The power goes before the slot is written: the epoch before.
        const map = before.saved.maps[0] ?? [];
        expect(Buffer.compare(stored(map, bytes.byteLength), before.bytes), `before epoch ${epoch}`).toBe(0);
      }
      expect(Buffer.compare(stored(maps[0] ?? [], bytes.byteLength), bytes), `epoch ${epoch}`).toBe(0);
      if (epoch % 3 === 0) continue; // not named: nobody will ask for it
      before = { saved: { maps, byteLengths: [bytes.byteLength] }, bytes: bytes.slice() };
      process.store.settle();
      process.store.release(remainingRuns(usedPages(kept), usedPages(maps)));
      process.store.trim();
      kept = maps;
      if (epoch % 4 === 0) {
        process.store.close();
        process = opened(before.saved);
        expect(Buffer.compare(bytesOf(process.memories[0]), before.bytes), `resumed from ${epoch}`).toBe(0);
      }
    }
    expect(segments()).toEqual([0]);
    expect(statSync(fileOf(0)).size).toBeLessThan(4 * 640 * 4096);
  });

  test("a process that goes on: once settled, a save writes what has changed since the last, nothing else", () => {
    const process = created(64);
    const bytes = bytesOf(process.memories[0]);
    bytes.fill(1);
    save(process);
    expect(new Set(bytes)).toEqual(new Set([1]));
    written = [];
    bytes[5 * 4096] = 2;
    bytes.fill(0, 20 * 4096, 30 * 4096);
    const expected = bytes.slice();
    const maps = process.store.write();
    expect(written).toEqual([4096]);
    process.store.flush();
    process.store.settle();
    expect(Buffer.compare(bytes, expected)).toBe(0);
    written = [];
    expect(process.store.write()).toEqual(maps);
    expect(written).toEqual([]);
    expect(Buffer.compare(stored(maps[0] ?? [], bytes.byteLength), expected)).toBe(0);
  });

  /** Blocks of 64 KiB that are written all the time are not protected any more (busy-blocks.ts). */
  test("phases of a program, each of which writes blocks of its own all the time: each save holds everything", () => {
    const next = random(21);
    const process = created(40);
    const bytes = bytesOf(process.memories[0]);
    let kept: readonly PageMap[] = [];
    for (let epoch = 1; epoch <= 80; epoch++) {
      const phase = Math.floor(epoch / 20) * 160;
      for (let page = phase; page < phase + 160; page++) {
        if (next() < 0.97) bytes[page * 4096 + Math.floor(next() * 4096)] = 1 + next() * 255;
      }
      if (epoch % 20 === 0) bytes.fill(0, phase * 4096, (phase + 8) * 4096);
      const maps = process.store.write();
      expect(Buffer.compare(stored(maps[0] ?? [], bytes.byteLength), bytes), `epoch ${epoch}`).toBe(0);
      process.store.settle();
      process.store.release(remainingRuns(usedPages(kept), usedPages(maps)));
      kept = maps;
    }
    // Nothing is written any more: after a while nothing counts as written.
    for (let epoch = 0; epoch < 10; epoch++) save(process);
    written = [];
    save(process);
    expect(written).toEqual([]);
  });

  test("persistence points of one process: what is not released stays", () => {
    const process = created(4);
    const bytes = bytesOf(process.memories[0]);
    const epochs: { map: PageMap; bytes: Uint8Array }[] = [];
    for (let epoch = 1; epoch <= 8; epoch++) {
      bytes.fill(epoch);
      const [map = []] = process.store.write();
      for (const kept of epochs.slice(-2)) {
        expect(Buffer.compare(stored(kept.map, bytes.byteLength), kept.bytes), `writing epoch ${epoch}`).toBe(0);
      }
      process.store.flush();
      process.store.settle();
      epochs.push({ map, bytes: bytes.slice() });
      if (epochs.length > 2) process.store.release(usedPages([epochs.at(-3)?.map ?? []]));
    }
    expect(statSync(fileOf(0)).size).toBe(64 * 4096 + 3 * bytes.byteLength);
  });

  test("a segment with a second name is not written; alone again, it is", () => {
    const first = created(4);
    bytesOf(first.memories[0]).fill(1);
    const saved = save(first);
    first.store.close();
    const other = `${scratch}-link`;
    linkSync(fileOf(0), other);
    const before = readFileSync(fileOf(0));
    let next = opened(saved);
    bytesOf(next.memories[0]).fill(2, 0, WASM_PAGE);
    const second = save(next);
    expect(segments()).toEqual([0, 1]);
    expect(Buffer.compare(readFileSync(fileOf(0)), before)).toBe(0);
    next.store.close();
    rmSync(other);
    next = opened(second);
    bytesOf(next.memories[0]).fill(3, 0, WASM_PAGE);
    const third = save(next);
    expect(segments()).toEqual([0, 1]);
    expect(Buffer.compare(stored(third.maps[0] ?? [], 4 * WASM_PAGE), bytesOf(next.memories[0]))).toBe(0);
    expect(Buffer.compare(readFileSync(fileOf(0)), before)).not.toBe(0);
  });

  test("nobody can say what is used: only new pages are written, and what is released", () => {
    const first = created(4);
    bytesOf(first.memories[0]).fill(1);
    const saved = save(first);
    bytesOf(first.memories[0])[0] = 2;
    save(first);
    const memories = saved.maps.map((map) => ({ map, byteLength: 4 * WASM_PAGE }));
    const store = new PageStore(scratch, FILES, memories, () => undefined);
    stores.push(store);
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    store.memories[0]?.attach(memory, 4 * WASM_PAGE);
    bytesOf(memory)[0] = 3;
    expect(store.write()[0]?.[0]).toMatchObject({ page: 0, count: 1, storePage: 129 });
    store.settle();
    store.release([{ page: 64, count: 1 }]);
    bytesOf(memory)[0] = 4;
    expect(store.write()[0]).toEqual([{ page: 0, count: 64, storePage: 64 }]);
  });

  test("a program that writes everywhere by single pages: the number of extents stays bounded", () => {
    let process = created(1024);
    bytesOf(process.memories[0]).fill(1);
    const expected = bytesOf(process.memories[0]).slice();
    for (let epoch = 0; epoch < 5; epoch++) {
      process = opened(save(process));
      const bytes = bytesOf(process.memories[0]);
      for (let page = epoch; page < 16_384; page += 7) {
        bytes[page * 4096] = epoch + 2;
        expected[page * 4096] = epoch + 2;
      }
    }
    const { maps } = save(process);
    expect(maps[0]?.length).toBeLessThanOrEqual(4096);
    expect(Buffer.compare(stored(maps[0] ?? [], 1024 * WASM_PAGE), expected)).toBe(0);
  });

  test("a heap that became small: its blocks go back to the disk", () => {
    let process = created(512);
    bytesOf(process.memories[0]).fill(1);
    const full = save(process);
    const blocks = () => segments().reduce((sum, segment) => sum + statSync(fileOf(segment)).blocks * 512, 0);
    expect(blocks()).toBeGreaterThanOrEqual(512 * WASM_PAGE);
    process = opened(full);
    bytesOf(process.memories[0]).fill(0, WASM_PAGE);
    process = opened(save(process));
    bytesOf(process.memories[0])[0] = 2;
    const last = save(process);
    expect(blocks()).toBeLessThan(8 * 2 ** 20);
    expect(bytesOf(opened(last).memories[0]).subarray(0, 3)).toEqual(new Uint8Array([2, 1, 1]));
  });
});
