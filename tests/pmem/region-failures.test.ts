import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Region } from "../../pmem/region.js";

/** What the disk and the kernel answer; undefined: what they really answer. */
const refusals = vi.hoisted(() => ({
  flush: undefined as string | undefined,
  truncate: undefined as string | undefined,
  probe: 0,
  map: 0,
}));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const refuse = (name: string) => Object.assign(new Error(name), { code: name, errno: -1 });
  return {
    ...fs,
    fdatasyncSync: (descriptor: number) => {
      if (refusals.flush !== undefined) throw refuse(refusals.flush);
      fs.fdatasyncSync(descriptor);
    },
    ftruncateSync: (descriptor: number, byteLength: number) => {
      if (refusals.truncate !== undefined) throw refuse(refusals.truncate);
      fs.ftruncateSync(descriptor, byteLength);
    },
  };
});

vi.mock("../../pmem/libc.js", async (original) => {
  const module = await original<typeof import("../../pmem/libc.js")>();
  return {
    ...module,
    libc: () => ({
      ...module.libc(),
      probeMapping: (descriptor: number) => refusals.probe || module.libc().probeMapping(descriptor),
      mapFixed: (...parameters: Parameters<ReturnType<typeof module.libc>["mapFixed"]>) => {
        const shared = (parameters[3] & module.MAP.SHARED) !== 0;
        // As kernels did until 6.12: what was mapped there is gone, although the call fails.
        if (shared && refusals.map !== 0) {
          module.libc().mapFixed(parameters[0], parameters[1], 0, module.MAP.PRIVATE | module.MAP.ANONYMOUS, -1, 0);
          return refusals.map;
        }
        return module.libc().mapFixed(...parameters);
      },
    }),
  };
});

const PAGE = 65_536;
const code = (expected: string) => expect.objectContaining({ name: "VermilionError", code: expected });

let scratch: string;
let region: Region;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-region-"));
  region = Region.create(join(scratch, "memory-0"));
  region.grow(PAGE);
});
afterEach(() => {
  Object.assign(refusals, { flush: undefined, truncate: undefined, probe: 0, map: 0 });
  region.close();
  rmSync(scratch, { recursive: true, force: true });
});

describe("flush", () => {
  test.each([
    ["EIO", "IO_ERROR"],
    ["ENOSPC", "DISK_FULL"],
    ["EDQUOT", "DISK_FULL"],
  ])("%s: %s, and the region is poisoned for good", (name, expected) => {
    refusals.flush = name;
    expect(() => region.flush()).toThrow(code(expected));
    refusals.flush = undefined;
    expect(() => region.flush()).toThrow(code("REGION_POISONED"));
    expect(() => region.grow(2 * PAGE)).toThrow(code("REGION_POISONED"));
    expect(() => region.attach(new WebAssembly.Memory({ initial: 1, maximum: 1 }), PAGE)).toThrow(
      code("REGION_POISONED"),
    );
  });
});

describe("grow", () => {
  test.each(["ENOSPC", "EDQUOT", "EFBIG"])("%s: false, and the reason is told", (name) => {
    refusals.truncate = name;
    expect(region.grow(2 * PAGE)).toBe(false);
    expect(region.growthRefusal).toEqual(code("DISK_FULL"));
    expect(region.byteLength).toBe(PAGE);
  });

  test("EIO: thrown", () => {
    refusals.truncate = "EIO";
    expect(() => region.grow(2 * PAGE)).toThrow(code("IO_ERROR"));
  });
});

describe("attach", () => {
  test("a file system without mmap (ENODEV): MMAP_UNSUPPORTED before anything is replaced", () => {
    refusals.probe = 19;
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    new Uint8Array(memory.buffer)[0] = 8;
    expect(() => region.attach(memory, 2 * PAGE)).toThrow(code("MMAP_UNSUPPORTED"));
    expect(new Uint8Array(memory.buffer)[0]).toBe(8);
  });

  test("refused after the old mapping is gone (ENOMEM): OUT_OF_MEMORY, and the range is usable again", () => {
    refusals.map = 12;
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    expect(() => region.attach(memory, 2 * PAGE)).toThrow(code("OUT_OF_MEMORY"));
    new Uint8Array(memory.buffer)[0] = 8;
    expect(memory.grow(1)).toBe(1);
    expect(new Uint8Array(memory.buffer)[0]).toBe(8);
  });
});
