import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { VermilionError } from "../../pmem/error.js";
import { libc } from "../../pmem/libc.js";
import { PrivateMemory } from "../../pmem/private-memory.js";

/** What the kernel is to refuse, by errno; and a kernel with larger pages. */
const kernel = vi.hoisted(() => ({ map: 0, pageByteLength: 0 }));
vi.mock("../../pmem/libc.js", async (original) => {
  const real = await original<typeof import("../../pmem/libc.js")>();
  const mocked = () => {
    const system = real.libc();
    return {
      ...system,
      pageByteLength: kernel.pageByteLength === 0 ? system.pageByteLength : kernel.pageByteLength,
      mapFixed: (...args: Parameters<typeof system.mapFixed>) =>
        kernel.map !== 0 && args[4] !== -1 ? kernel.map : system.mapFixed(...args),
    };
  };
  return { ...real, libc: mocked };
});

const PAGE = 65_536;
let scratch: string;
let descriptor: number;
beforeEach(() => {
  kernel.map = 0;
  kernel.pageByteLength = 0;
  scratch = mkdtempSync(join(tmpdir(), "vermilion-private-"));
  descriptor = openSync(join(scratch, "pages"), "w+");
  writeSync(descriptor, Buffer.alloc(4 * PAGE, "abcd"), 0, 4 * PAGE, 0);
});
afterEach(() => {
  closeSync(descriptor);
  rmSync(scratch, { recursive: true });
});

const placeOf = (storePage: number) => ({ descriptor, position: storePage * 4096 });
const store = () => ({ path: join(scratch, "pages"), placeOf, lackOfRoom: () => undefined });
/** Pages 3 to 6 of two granules are those from 1 on of the file, page 20 is its last. */
const map = [
  { page: 3, count: 4, storePage: 1 },
  { page: 20, count: 1, storePage: 63 },
];
const text = (memory: WebAssembly.Memory, page: number) =>
  Buffer.from(memory.buffer, page * 4096, 4).toString("latin1");
const code = (expected: string) => expect.objectContaining({ name: "VermilionError", code: expected });
const mapsOfFile = () => readFileSync("/proc/self/maps", "latin1").split(join(scratch, "pages")).length - 1;

function attached(): { backing: PrivateMemory; memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 4 });
  const backing = new PrivateMemory(store(), 2 * PAGE, map);
  backing.attach(memory, 4 * PAGE);
  return { backing, memory };
}

function expectContent(memory: WebAssembly.Memory): void {
  for (const page of [3, 4, 5, 6, 20]) expect(text(memory, page), String(page)).toBe("abcd");
  for (const page of [0, 2, 7, 19, 21]) expect(text(memory, page), String(page)).toBe("\0\0\0\0");
}

describe("attach", () => {
  test("saved pages where they belong, zeros elsewhere; nothing counts as written", () => {
    const { backing, memory } = attached();
    expectContent(memory);
    expect(mapsOfFile()).toBe(2);
    expect(backing.byteLength).toBe(2 * PAGE);
    backing.close();
    expect(mapsOfFile()).toBe(0);
  });

  test("nothing saved: nothing is mapped", () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 4 });
    const backing = new PrivateMemory(store(), 2 * PAGE, []);
    backing.attach(memory, 4 * PAGE);
    expect(mapsOfFile()).toBe(0);
    backing.close();
  });

  test.each([
    ["a file system without mmap (ENODEV)", { map: 19, pageByteLength: 0 }],
    ["extents that do not fit the kernel's pages", { map: 0, pageByteLength: 65_536 }],
  ])("%s: the pages are read instead", (_what, changes) => {
    Object.assign(kernel, changes);
    const { backing, memory } = attached();
    expect(mapsOfFile()).toBe(0);
    expectContent(memory);
    kernel.pageByteLength = 0;
    // And perhaps more: kernels that do not know PFNZERO count what was only looked at.
    const written = backing.written().flatMap(({ page, count }) => Array.from({ length: count }, (_, at) => page + at));
    expect(written).toEqual(expect.arrayContaining([3, 4, 5, 6, 20]));
    backing.close();
  });

  test("no memory for the mapping (ENOMEM): OUT_OF_MEMORY, nothing of the file stays mapped", () => {
    kernel.map = 12;
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 4 });
    const backing = new PrivateMemory(store(), 2 * PAGE, map);
    expect(() => backing.attach(memory, 4 * PAGE)).toThrow(code("OUT_OF_MEMORY"));
    backing.close();
    expect(mapsOfFile()).toBe(0);
    expect(text(memory, 3)).toBe("\0\0\0\0");
  });

  test("the file became shorter, and is read: IO_ERROR", () => {
    kernel.map = 19;
    ftruncateSync(descriptor, 2 * 4096);
    expect(attached).toThrow(code("IO_ERROR"));
  });

  test("addresses that nobody reserved: REGION_RESERVATION, since the memory would move as it grows", () => {
    const backing = new PrivateMemory(store(), PAGE, []);
    expect(() => backing.attach({ buffer: new ArrayBuffer(PAGE) }, 2 * PAGE)).toThrow(code("REGION_RESERVATION"));
    const fixed = new PrivateMemory(store(), PAGE, []);
    fixed.attach({ buffer: new ArrayBuffer(PAGE) }, PAGE);
    expect(fixed.address).toBeGreaterThan(0);
  });

  test("another length than what was saved: our own mistake", () => {
    const backing = new PrivateMemory(store(), PAGE, []);
    expect(() => backing.attach(new WebAssembly.Memory({ initial: 2, maximum: 4 }), 4 * PAGE)).toThrow(/invariant/);
  });
});

describe("grow and close", () => {
  test("the owner did not grow after all: its own length counts", () => {
    const { backing } = attached();
    expect(backing.grow(3 * PAGE)).toBe(true);
    expect(backing.byteLength).toBe(2 * PAGE);
    backing.close();
  });

  test("no room: false, and the reason is told", () => {
    const refusal = new VermilionError("DISK_FULL", "full");
    const backing = new PrivateMemory({ ...store(), lackOfRoom: () => refusal }, PAGE, []);
    expect(backing.grow(2 * PAGE)).toBe(false);
    expect(backing.growthRefusal).toBe(refusal);
    expect(backing.byteLength).toBe(PAGE);
  });

  test("closed: the file can be cut, and neither loads nor growth meet it; twice does nothing", () => {
    const { backing, memory } = attached();
    backing.close();
    backing.close();
    ftruncateSync(descriptor, 0);
    expect(text(memory, 3)).toBe("\0\0\0\0");
    memory.grow(1);
    new Uint8Array(memory.buffer)[2 * PAGE] = 1;
    expect(backing.byteLength).toBe(2 * PAGE);
    expect(libc().addressOf(new Uint8Array(memory.buffer))).toBeGreaterThan(0);
  });
});
