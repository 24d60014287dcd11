import { closeSync, fdatasyncSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writevSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { libc } from "../../pmem/libc.js";
import type { PageMap } from "../../pmem/page-map.js";
import { type PageFile, PageStore } from "../../pmem/page-store.js";

const WASM_PAGE = 65_536;

let scratch: string;
let path: string;
const stores: PageStore[] = [];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-store-"));
  path = join(scratch, "pages");
  written = [];
});
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** Bytes handed to the file's write calls, one entry for each. */
let written: number[] = [];

function pageFile(): PageFile {
  const descriptor = openSync(path, "a+");
  closeSync(descriptor);
  const file = openSync(path, "r+");
  return {
    descriptor: file,
    write: (chunks, position) => {
      written.push(writevSync(file, [...chunks], position));
    },
    sync: () => fdatasyncSync(file),
    release: (position, byteLength) => {
      expect(libc().punchHole(file, position, byteLength)).toBe(0);
    },
    close: () => closeSync(file),
  };
}

interface Saved {
  readonly byteLengths: readonly number[];
  readonly maps: readonly PageMap[];
}

interface Opened {
  readonly store: PageStore;
  readonly memories: readonly WebAssembly.Memory[];
}

/** What a process has that goes on from `saved`. */
function opened({ byteLengths, maps }: Saved): Opened {
  const store = new PageStore(
    path,
    pageFile(),
    maps.map((map, index) => ({ map, byteLength: byteLengths[index] ?? 0 })),
  );
  stores.push(store);
  const memories = byteLengths.map((byteLength, index) => {
    const memory = new WebAssembly.Memory({ initial: byteLength / WASM_PAGE, maximum: 65_536 });
    store.memories[index]?.attach(memory, 2 ** 32);
    return memory;
  });
  return { store, memories };
}

function created(...pages: number[]): Opened {
  const store = new PageStore(path, pageFile(), []);
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

/** A whole save, as an image makes it. */
function save({ store, memories }: Opened): Saved {
  const maps = store.write();
  store.flush();
  store.named(maps);
  store.trim();
  return { byteLengths: memories.map(({ buffer }) => buffer.byteLength), maps };
}

const bytesOf = (memory: WebAssembly.Memory | undefined) => new Uint8Array(memory?.buffer ?? new ArrayBuffer(0));

/** What a map says, read from the file without any mapping. */
function stored(map: PageMap, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  const file = openSync(path, "r");
  for (const { page, count, storePage } of map) readSync(file, bytes, page * 4096, count * 4096, storePage * 4096);
  closeSync(file);
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
        { page: 0, count: 1, storePage: 0 },
        { page: 10, count: 1, storePage: 1 },
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

describe("many epochs", () => {
  /** S1: pages of the epoch before are whole as long as a slot may name them, while the next are written. */
  test("the one before stays as it was, byte for byte, in the same process and in others; the file stays small", () => {
    const next = random(7);
    let process = created(40);
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
      process.store.named(maps);
      process.store.trim();
      expect(Buffer.compare(stored(maps[0] ?? [], bytes.byteLength), bytes), `epoch ${epoch}`).toBe(0);
      before = { saved: { maps, byteLengths: [bytes.byteLength] }, bytes: bytes.slice() };
      // The slot before, too: as when a process goes on.
      process.store.named(maps);
      if (epoch % 3 === 0) process.store.settle();
      if (epoch % 4 === 0) {
        process.store.close();
        process = opened(before.saved);
        expect(Buffer.compare(bytesOf(process.memories[0]), before.bytes), `resumed from ${epoch}`).toBe(0);
      }
    }
    expect(fstatSync(process.store.descriptor).size).toBeLessThan(4 * 640 * 4096);
  });

  test("a process that goes on: once settled, a save writes what has changed since the last, nothing else", () => {
    const process = created(64);
    const bytes = bytesOf(process.memories[0]);
    bytes.fill(1);
    save(process);
    process.store.settle();
    expect(new Set(bytes)).toEqual(new Set([1]));
    written = [];
    bytes[5 * 4096] = 2;
    bytes.fill(0, 20 * 4096, 30 * 4096);
    const expected = bytes.slice();
    const maps = process.store.write();
    expect(written).toEqual([4096]);
    process.store.settle(); // not named yet: nothing happens
    process.store.flush();
    process.store.named(maps);
    process.store.settle();
    expect(Buffer.compare(bytes, expected)).toBe(0);
    written = [];
    expect(process.store.write()).toEqual(maps);
    expect(written).toEqual([]);
    expect(Buffer.compare(stored(maps[0] ?? [], bytes.byteLength), expected)).toBe(0);
  });

  test("persistence points of one process: what either slot names stays", () => {
    const process = created(4);
    const bytes = bytesOf(process.memories[0]);
    const epochs: { map: PageMap; bytes: Uint8Array }[] = [];
    for (let epoch = 1; epoch <= 8; epoch++) {
      bytes.fill(epoch);
      const [map = []] = process.store.write();
      for (const named of epochs.slice(-2)) {
        expect(Buffer.compare(stored(named.map, bytes.byteLength), named.bytes), `writing epoch ${epoch}`).toBe(0);
      }
      process.store.flush();
      process.store.named([map]);
      epochs.push({ map, bytes: bytes.slice() });
    }
    expect(fstatSync(process.store.descriptor).size).toBe(3 * bytes.byteLength);
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
    const blocksOf = (opened: Opened) => fstatSync(opened.store.descriptor).blocks * 512;
    expect(blocksOf(process)).toBeGreaterThanOrEqual(512 * WASM_PAGE);
    process = opened(full);
    bytesOf(process.memories[0]).fill(0, WASM_PAGE);
    process = opened(save(process));
    bytesOf(process.memories[0])[0] = 2;
    const last = save(process);
    expect(blocksOf(process)).toBeLessThan(8 * 2 ** 20);
    expect(bytesOf(opened(last).memories[0]).subarray(0, 3)).toEqual(new Uint8Array([2, 1, 1]));
  });
});
