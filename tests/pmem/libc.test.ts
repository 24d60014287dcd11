import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const ffi = vi.hoisted(() => ({ missing: false }));

vi.mock("node:module", async (original) => {
  const module = await original<typeof import("node:module")>();
  return {
    ...module,
    createRequire: (url: string) => {
      const require = module.createRequire(url);
      return (id: string) => {
        if (ffi.missing) throw Object.assign(new Error(`Cannot find module '${id}'`), { code: "MODULE_NOT_FOUND" });
        return require(id);
      };
    },
  };
});

const code = (expected: string) => expect.objectContaining({ name: "VermilionError", code: expected });
const descriptors = ["platform", "arch"].map((name) => [name, Object.getOwnPropertyDescriptor(process, name)] as const);

let scratch: string;
beforeEach(() => {
  vi.resetModules(); // the binding is made once in a process
  scratch = mkdtempSync(join(tmpdir(), "vermilion-libc-"));
});
afterEach(() => {
  ffi.missing = false;
  for (const [name, descriptor] of descriptors) if (descriptor) Object.defineProperty(process, name, descriptor);
  rmSync(scratch, { recursive: true, force: true });
});

describe("libc", () => {
  test("koffi cannot be loaded: FFI_MISSING, with the reason as its cause", async () => {
    ffi.missing = true;
    const { libc } = await import("../../pmem/libc.js");
    expect(() => libc()).toThrow(code("FFI_MISSING"));
    expect(() => libc()).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: "MODULE_NOT_FOUND" }) }),
    );
    ffi.missing = false;
    expect(libc().flock).toBeTypeOf("function"); // a failure is not remembered
  });

  test("koffi is asked for only once it is needed", async () => {
    ffi.missing = true;
    const { Region } = await import("../../pmem/region.js");
    const region = Region.create(join(scratch, "memory-0"));
    expect(region.grow(65_536)).toBe(true);
    region.flush();
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    expect(() => region.attach(memory, 65_536)).toThrow(code("FFI_MISSING"));
    region.close();
  });

  test.each([
    ["darwin", "arm64"],
    ["win32", "x64"],
    ["linux", "ia32"],
  ])("%s on %s: PLATFORM_UNSUPPORTED", async (platform, arch) => {
    Object.defineProperty(process, "platform", { value: platform });
    Object.defineProperty(process, "arch", { value: arch });
    const { libc } = await import("../../pmem/libc.js");
    expect(() => libc()).toThrow(code("PLATFORM_UNSUPPORTED"));
  });

  test("a call that fails gives its errno", async () => {
    const { libc, LOCK } = await import("../../pmem/libc.js");
    expect(libc().flock(-1, LOCK.EXCLUSIVE)).toBe(9); // EBADF
    expect(libc().probeMapping(-1)).toBe(9);
  });
});
