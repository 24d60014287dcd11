import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Errno, ProcessExit, RESTART, WASI_SIGNATURES } from "../../runtime/wasi/index.js";
import { TestGuest } from "./test-guest.js";

const NAMES = Object.keys(WASI_SIGNATURES) as (keyof typeof WASI_SIGNATURES)[];

/** What a guest may pass as an i32: descriptors, small numbers, addresses near both ends, anything. */
const i32 = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.constantFrom(
    1024,
    1040,
    2048,
    2052,
    4096,
    64 * 65536 - 8,
    64 * 65536 - 1,
    64 * 65536,
    -1,
    -8,
    2 ** 31 - 1,
    -(2 ** 31),
  ),
  fc.integer(),
);
const i64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 200n }),
  fc.constantFrom(-1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n, 0x1fffffffn),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);

const call = fc
  .constantFrom(...NAMES)
  .chain((name) =>
    fc.tuple(fc.constant(name), fc.tuple(...[...WASI_SIGNATURES[name]].map((type) => (type === "i" ? i32 : i64)))),
  );

/** The guest's memory between calls: paths, iovecs and subscriptions that make sense, and some that do not. */
function prepare(guest: TestGuest): void {
  const bytes = Buffer.from(guest.memory.buffer);
  bytes.fill(0, 0, 8192);
  bytes.write("dir/../file", 1024);
  bytes.write("../secret", 1040);
  for (const [index, [pointer, byteLength]] of [
    [4096, 16],
    [5000, 3],
    [64 * 65536 - 4, 4],
    [0, 0xffffffff],
  ].entries()) {
    bytes.writeUInt32LE(pointer!, 2048 + index * 8);
    bytes.writeUInt32LE(byteLength!, 2052 + index * 8);
  }
}

describe("any call with any arguments", () => {
  test("returns a WASI error number or RESTART, throws nothing, and leaves the outside alone", {
    timeout: 120_000,
  }, () => {
    using guest = new TestGuest({ maximumDescriptors: 64, listen: ["127.0.0.1:0"] });
    mkdirSync(join(guest.root, "dir"));
    writeFileSync(join(guest.root, "file"), "content");
    writeFileSync(join(guest.outside, "secret"), "secret");
    symlinkSync("../secret", join(guest.root, "out"));
    guest.failurePending = true; // whatever would wait returns RESTART
    const outside = readdirSync(guest.outside).sort();
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 30 }), (calls) => {
        prepare(guest);
        for (const [name, args] of calls) {
          // A guest may fill the disk it was given; this test must not.
          if (name === "fd_allocate" || name === "fd_filestat_set_size") args[args.length - 1] = 100n;
          if (name === "fd_pwrite") args[3] = BigInt.asUintN(16, args[3] as bigint);
          try {
            const result = guest.wasi.functions[name]!(...args);
            expect(result === RESTART || (result! >= 0 && result! <= Errno.NOTCAPABLE)).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(ProcessExit);
          }
        }
        if (calls.length > 25) {
          guest.resume();
          guest.failurePending = true;
        }
      }),
      { numRuns: 1500 },
    );
    expect(
      readdirSync(guest.outside)
        .filter((name) => name !== "kept")
        .sort(),
    ).toEqual(outside);
  });
});

describe("memory.grow", () => {
  test("views are renewed: the new part is usable at once", () => {
    using guest = new TestGuest();
    const end = guest.memory.buffer.byteLength;
    expect(guest.wasi.functions["random_get"]!(end, 16)).toBe(Errno.FAULT);
    guest.memory.grow(1);
    expect(guest.wasi.functions["random_get"]!(end, 16)).toBe(0);
    expect(new Uint8Array(guest.memory.buffer, end, 16).some((byte) => byte !== 0)).toBe(true);
    expect(guest.wasi.functions["random_get"]!(end + 65536 - 8, 9)).toBe(Errno.FAULT);
  });
});

describe("arguments and environment", () => {
  test("laid out as the guest expects them", () => {
    using guest = new TestGuest({
      args: ["prog", "naïve", ""],
      env: [
        ["A", "1"],
        ["EMPTY", ""],
      ],
    });
    const sizes = [guest.alloc(4), guest.alloc(4)] as const;
    expect(guest.call("args_sizes_get", ...sizes)).toBe(0);
    expect(sizes.map((at) => guest.view.getUint32(at, true))).toEqual([3, 13]);
    const [pointers, buffer] = [guest.alloc(12), guest.alloc(13)];
    expect(guest.call("args_get", pointers, buffer)).toBe(0);
    expect(guest.text(buffer, 13)).toBe("prog\0naïve\0\0");
    expect(guest.view.getUint32(pointers + 4, true)).toBe(buffer + 5);
    expect(guest.call("environ_sizes_get", ...sizes)).toBe(0);
    expect(sizes.map((at) => guest.view.getUint32(at, true))).toEqual([2, 11]);
    const [names, texts] = [guest.alloc(8), guest.alloc(11)];
    expect(guest.call("environ_get", names, texts)).toBe(0);
    expect(guest.text(texts, 11)).toBe("A=1\0EMPTY=\0");
    expect(guest.call("environ_get", -4, texts)).toBe(Errno.FAULT);
  });
});

describe("wasi_unstable", () => {
  test("its filestat and its seek origins", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "0123456789");
    const fd = guest.open("file");
    const { fd_seek, fd_filestat_get } = guest.wasi.unstableFunctions;
    const out = guest.alloc(8);
    expect(fd_seek!(fd, 3n, 2, out)).toBe(0);
    expect(fd_seek!(fd, 1n, 0, out)).toBe(0);
    expect(guest.view.getBigUint64(out, true)).toBe(4n);
    expect(fd_seek!(fd, 0n, 1, out)).toBe(0);
    expect(guest.view.getBigUint64(out, true)).toBe(10n);
    const stat = guest.alloc(56);
    expect(fd_filestat_get!(fd, stat)).toBe(0);
    expect(guest.view.getUint32(stat + 20, true)).toBe(1);
    expect(guest.view.getBigUint64(stat + 24, true)).toBe(10n);
  });
});
