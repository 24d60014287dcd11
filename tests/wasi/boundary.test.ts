import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Errno, ProcessExit, RESTART, WASI_SIGNATURES } from "../../runtime/wasi/index.js";
import { CREAT, DIRECTORY, TestGuest } from "./test-guest.js";

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

/** First arguments that make sense, by the beginning of a call's name: a path, a list of buffers. */
const SENSIBLE: readonly (readonly [prefix: string, beginnings: readonly (readonly number[])[]])[] = [
  ["path_rename", [[4, 1024, 11, 4, 1060, 4]]],
  ["path_link", [[4, 0, 1024, 11, 4, 1060, 4]]],
  ["path_symlink", [[1024, 11, 4, 1060, 4]]],
  [
    "path_open",
    [
      [4, 1, 1024, 11, 0],
      [4, 1, 1024, 11, 9],
      [4, 0, 1080, 3, 2],
      [4, 1, 1040, 9, 0],
    ],
  ],
  [
    "path_filestat",
    [
      [4, 1, 1024, 11],
      [4, 0, 1040, 9],
    ],
  ],
  [
    "path_",
    [
      [4, 1060, 4],
      [4, 1070, 3],
      [4, 1080, 3],
      [4, 1040, 9],
    ],
  ],
  ["fd_", [[3], [4], [5], [5, 2048, 2], [5, 2048, 4], [6, 8192, 512]]],
  ["sock_", [[3], [3, 0, 4096], [5, 2048, 1]]],
  [
    "poll_oneoff",
    [
      [6144, 7000, 1, 4000],
      [6144, 7000, 1_000_000, 4000],
      [6144, 7000, 2 ** 31 - 1, 4000],
    ],
  ],
];

const call = fc.constantFrom(...NAMES).chain((name) => {
  const [, beginnings = [[]]] = SENSIBLE.find(([prefix]) => name.startsWith(prefix)) ?? [];
  const args = fc.tuple(...[...WASI_SIGNATURES[name]].map((type) => (type === "i" ? i32 : i64)));
  return fc.tuple(args, fc.boolean(), fc.constantFrom(...beginnings)).map(([any, sensible, beginning]) => {
    const mixed = any.map((value, index) => {
      const better = sensible ? beginning[index] : undefined;
      return better === undefined || typeof value === "bigint" ? value : better;
    });
    return [name, mixed] as const;
  });
});

/** The guest's memory between calls: paths, iovecs and subscriptions that make sense, and some that do not. */
function prepare(guest: TestGuest): void {
  const bytes = Buffer.from(guest.memory.buffer);
  bytes.fill(0, 0, 8192);
  bytes.write("dir/../file", 1024);
  bytes.write("../secret", 1040);
  bytes.write("made", 1060);
  bytes.write("out", 1070);
  bytes.write("dir", 1080);
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
    expect(guest.open("file", { at: 4 })).toBe(5);
    expect(guest.open("dir", { at: 4, o: DIRECTORY })).toBe(6);
    const beginning = guest.save();
    const outside = readdirSync(guest.outside).sort();
    const succeeded = new Set<string>();
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 30 }), (calls) => {
        // Each run begins with all descriptors open and the files in place.
        guest.wasi.close();
        mkdirSync(join(guest.root, "dir"), { recursive: true });
        if (!existsSync(join(guest.root, "file"))) writeFileSync(join(guest.root, "file"), "content");
        guest.restore(beginning, { onChangedFile: "ignore" });
        guest.failurePending = true; // whatever would wait returns RESTART
        prepare(guest);
        for (const [name, anything] of calls) {
          const args = [...anything];
          // A guest may fill the disk it was given; this test must not.
          if (name === "fd_allocate" || name === "fd_filestat_set_size") args[args.length - 1] = 100n;
          if (name === "fd_pwrite") args[3] = BigInt.asUintN(16, args[3] as bigint);
          try {
            const result = guest.wasi.functions[name]!(...args);
            if (result === 0) succeeded.add(name);
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
    // Otherwise it knocks at closed doors only.
    expect(succeeded.size).toBeGreaterThan(30);
    expect(
      readdirSync(guest.outside)
        .filter((name) => name !== "kept")
        .sort(),
    ).toEqual(outside);
  });
});

describe("more than there is", () => {
  const calls: readonly (readonly [
    string,
    (iovecs: number, count: number, out: number) => readonly (number | bigint)[],
  ])[] = [
    ["fd_read", (iovecs, count, out) => [4, iovecs, count, out]],
    ["fd_write", (iovecs, count, out) => [4, iovecs, count, out]],
    ["fd_pread", (iovecs, count, out) => [4, iovecs, count, 0n, out]],
    ["fd_pwrite", (iovecs, count, out) => [4, iovecs, count, 0n, out]],
  ];

  test.each(calls)("%s: buffers without number, or beyond memory: FAULT, and nothing is moved", (name, args) => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "content");
    expect(guest.open("file")).toBe(4);
    const out = guest.alloc(4);
    const one = guest.iovecs([guest.alloc(8), 8]);
    for (const count of [2 ** 31, 2 ** 31 - 1, -1, 2 ** 29, 2 ** 29 + 1, 2 ** 28]) {
      expect(guest.call(name, ...args(one, count | 0, out))).toBe(Errno.FAULT);
    }
    const { byteLength } = guest.memory.buffer;
    for (const [pointer, length] of [
      [0, 2 ** 32 - 1], // 4 GiB
      [2 ** 32 - 1, 2],
      [byteLength, 1],
      [byteLength - 1, 2],
    ] as const) {
      expect(guest.call(name, ...args(guest.iovecs([one, 4], [pointer, length]), 2, out))).toBe(Errno.FAULT);
    }
    expect(readFileSync(join(guest.root, "file"), "utf8")).toBe("content");
    expect(guest.seek(4, 0n, 1)).toBe(0n);
  });

  test("a read of many gigabytes into one buffer, over and over: no more than Linux moves at once", () => {
    using guest = new TestGuest({ stdio: [openSync("/dev/zero", "r"), -1, -1] });
    const buffer = guest.alloc(2 ** 21);
    const ranges = Array.from({ length: 4096 }, () => [buffer, 2 ** 21] as const);
    const out = guest.alloc(4);
    const lengths: number[] = [];
    // The kernel may end a read early when the thread has something else to do: under Node 26 it often does with the first.
    while (lengths.at(-1) !== 0x7ffff000 && lengths.length < 10) {
      expect(guest.call("fd_read", 0, guest.iovecs(...ranges), ranges.length, out)).toBe(0);
      lengths.push(guest.view.getUint32(out, true));
    }
    expect(Math.max(...lengths)).toBe(0x7ffff000);
  });

  test("descriptors: at the limit nothing is created, and a saved process that is there comes back", () => {
    using guest = new TestGuest({ maximumDescriptors: 6 });
    writeFileSync(join(guest.root, "file"), "content");
    expect([guest.open("file"), guest.open("file")]).toEqual([4, 5]);
    expect(guest.open("new", { o: CREAT })).toBe(-Errno.MFILE);
    expect(readdirSync(guest.root)).toEqual(["file"]);
    guest.resume();
    expect(guest.read(5, 7)).toBe("content");
    expect(guest.open("file")).toBe(-Errno.MFILE);
    expect(guest.call("fd_close", 4)).toBe(0);
    expect(guest.open("file")).toBe(4);
  });

  test("paths: too long, too deep, around in circles", () => {
    using guest = new TestGuest();
    expect(guest.open("a".repeat(70_000))).toBe(-Errno.NAMETOOLONG);
    expect(guest.open("a/".repeat(2047))).toBe(-Errno.NOENT);
    expect(guest.open(`${"./".repeat(2000)}..`)).toBe(-Errno.PERM);
    for (let index = 0; index < 60; index++) symlinkSync(`link-${index + 1}`, join(guest.root, `link-${index}`));
    expect(guest.open("link-0")).toBe(-Errno.LOOP);
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
