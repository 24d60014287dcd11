import {
  appendFileSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { LINUX } from "../../runtime/wasi/errno.js";
import { describeState, Errno, Wasi } from "../../runtime/wasi/index.js";
import { libc } from "../../runtime/wasi/libc.js";
import { APPEND, CREAT, DIRECTORY, READ, TestGuest } from "./test-guest.js";

describe("a resume", () => {
  test("offset, access, flags, rights and numbers are what they were", () => {
    using guest = new TestGuest();
    const a = guest.open("a", { o: CREAT });
    const b = guest.open("b", { o: CREAT, fd: APPEND });
    const reader = guest.open("a", { rights: READ });
    guest.write(a, "0123456789");
    guest.write(b, "b");
    guest.seek(a, 3n, 0);
    guest.seek(b, 0n, 0);
    expect(guest.call("fd_renumber", b, reader)).toBe(0);
    const before = [a, reader].map((fd) => guest.fdstat(fd));
    guest.resume();
    expect([a, reader].map((fd) => guest.fdstat(fd))).toEqual(before);
    expect(guest.read(a, 4)).toBe("3456");
    expect(guest.seek(reader, 0n, 1)).toBe(0n);
    guest.write(reader, "after");
    expect(readFileSync(join(guest.root, "b"), "utf8")).toBe("bafter");
    expect(guest.open("next", { o: CREAT })).toBe(b);
    expect(guest.warnings).toEqual([]);
  });

  test("a file renamed while open, by whatever link, is found where it is", () => {
    using guest = new TestGuest();
    mkdirSync(join(guest.root, "dir"));
    symlinkSync("dir", join(guest.root, "link"));
    const fd = guest.open("link/file", { o: CREAT });
    guest.write(fd, "content");
    renameSync(join(guest.root, "dir"), join(guest.root, "moved"));
    renameSync(join(guest.root, "moved/file"), join(guest.root, "moved/other name"));
    guest.resume();
    guest.seek(fd, 0n, 0);
    expect(guest.read(fd, 10)).toBe("content");
    expect(guest.wasi.describeDescriptors().find(({ number }) => number === fd)).toMatchObject({
      path: "/moved/other name",
      offset: 7n,
    });
  });

  test.each(["removed", "given to another file"])(
    "a file that goes on under another of its names, the one that it was opened by %s, wherever that is",
    (how) => {
      using guest = new TestGuest();
      mkdirSync(join(guest.root, "deep/er/still"), { recursive: true });
      symlinkSync("..", join(guest.root, "deep/up"));
      mkdirSync(join(guest.root, "work"));
      const fd = guest.open("work/draft", { o: CREAT });
      guest.write(fd, "one,");
      const draft = join(guest.root, "work/draft");
      linkSync(draft, join(guest.root, "deep/er/still/published"));
      unlinkSync(draft);
      if (how !== "removed") writeFileSync(draft, "another file");
      const { inode, links } = guest.filestat(fd);
      guest.resume();
      guest.write(fd, "two,");
      renameSync(join(guest.root, "deep"), join(guest.root, "moved"));
      guest.resume();
      guest.write(fd, "three,");
      linkSync(join(guest.root, "moved/er/still/published"), join(guest.root, "work/again"));
      unlinkSync(join(guest.root, "moved/er/still/published"));
      for (let points = 0; points < 3; points++) guest.save(); // looked for once, and found there again
      guest.resume();
      guest.write(fd, "four");
      expect(readFileSync(join(guest.root, "work/again"), "utf8")).toBe("one,two,three,four");
      expect(guest.filestat(fd)).toMatchObject({ inode, links });
      expect(guest.warnings).toEqual([]);
      expect(readdirSync(join(guest.root, "work"))).toEqual(how === "removed" ? ["again"] : ["again", "draft"]);
    },
  );

  test("a file unlinked while open is kept, and is the same file for two descriptors, over several failures", () => {
    using guest = new TestGuest();
    const a = guest.open("file", { o: CREAT });
    const b = guest.open("file");
    guest.write(a, "0123456789");
    unlinkSync(join(guest.root, "file"));
    const before = guest.filestat(a);
    expect(before.links).toBe(0n);
    for (let failure = 0; failure < 3; failure++) {
      guest.resume();
      expect(guest.filestat(a)).toMatchObject({ inode: before.inode, links: 0n });
      guest.write(a, `+${failure}`);
      guest.seek(b, 10n + 2n * BigInt(failure), 0);
      expect(guest.read(b, 10)).toBe(`+${failure}`);
    }
    expect(readdirSync(join(guest.outside, "kept"))).toHaveLength(1);
    expect(readdirSync(guest.root)).toEqual([]);
    guest.resume({ preopens: [{ host: guest.root, guest: "/" }] });
    guest.seek(b, 0n, 0);
    expect(guest.read(b, 100)).toBe("0123456789+0+1+2");
  });

  test("a file that the disk does not take: no state; one that is on no disk: no matter", () => {
    using guest = new TestGuest();
    const flush = vi.spyOn(libc(), "fdatasync").mockReturnValue(-1);
    const errno = vi.spyOn(libc(), "errno");
    try {
      guest.write(guest.open("a", { o: CREAT }), "0123456789");
      errno.mockReturnValue(5); // EIO
      expect(() => guest.save()).toThrow(expect.objectContaining({ code: "IO_ERROR" }));
      errno.mockReturnValue(LINUX.EINVAL);
      guest.save();
      expect(flush).toHaveBeenCalledTimes(2);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("an unlinked sparse file of a gigabyte stays sparse", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.seek(fd, 1n << 30n, 0);
    guest.write(fd, "end");
    unlinkSync(join(guest.root, "file"));
    guest.resume();
    expect(guest.filestat(fd).byteLength).toBe((1n << 30n) + 3n);
    guest.seek(fd, 1n << 30n, 0);
    expect(guest.read(fd, 10)).toBe("end");
  });

  test("a file whose other name is outside: a copy, not the other's file", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.write(fd, "content");
    renameSync(join(guest.root, "file"), join(guest.outside, "taken"));
    guest.resume();
    guest.write(fd, " more");
    expect(readFileSync(join(guest.outside, "taken"), "utf8")).toBe("content");
    expect(guest.warnings).toHaveLength(1);
    guest.seek(fd, 0n, 0);
    expect(guest.read(fd, 100)).toBe("content more");
  });

  test("nowhere to keep it: a warning, and STALE from then on", () => {
    using guest = new TestGuest();
    const state = guest.save();
    guest.wasi.close();
    const { keptFilesDirectory: _, ...options } = guest.options;
    guest.options = options;
    guest.restore(state);
    const fd = guest.open("file", { o: CREAT });
    unlinkSync(join(guest.root, "file"));
    guest.resume();
    expect(guest.warnings).toHaveLength(1);
    expect(guest.read(fd, 1)).toBe(-Errno.STALE);
    expect(guest.write(fd, "x")).toBe(-Errno.STALE);
    expect(guest.seek(fd, 0n, 0)).toBe(-Errno.STALE);
    expect(guest.call("fd_filestat_get", fd, guest.alloc(64))).toBe(Errno.STALE);
    guest.resume();
    expect(guest.read(fd, 1)).toBe(-Errno.STALE);
    expect(guest.call("fd_close", fd)).toBe(0);
  });

  test("a directory, open and then removed", () => {
    using guest = new TestGuest();
    mkdirSync(join(guest.root, "dir"));
    const fd = guest.open("dir", { o: DIRECTORY });
    guest.resume();
    expect(guest.open("inner", { at: fd, o: CREAT })).toBeGreaterThan(fd);
    rmSync(join(guest.root, "dir/inner"));
    rmdirSync(join(guest.root, "dir"));
    guest.resume();
    expect(guest.open("inner", { at: fd, o: CREAT })).toBe(-Errno.NOENT);
    expect(guest.fdstat(fd).filetype).toBe(3);
  });

  test("the guest's own directory, closed or renumbered by it", () => {
    using guest = new TestGuest();
    const file = guest.open("file", { o: CREAT });
    guest.write(file, "abc");
    expect(guest.call("fd_renumber", 3, 1)).toBe(0);
    guest.resume();
    expect(guest.open("file", { at: 3 })).toBe(-Errno.BADF);
    expect(guest.call("fd_prestat_get", 1, guest.alloc(8))).toBe(0);
    guest.call("fd_close", 1);
    guest.resume();
    expect(guest.seek(file, 0n, 1)).toBe(3n);
  });
});

describe("clocks", () => {
  test("monotonic and CPU time stand still between failure and resume; real time does not", () => {
    using guest = new TestGuest();
    const before = [0, 1, 2, 3].map((clock) => guest.now(clock));
    const state = guest.save();
    guest.wasi.close();
    const end = Date.now() + 200;
    while (Date.now() < end);
    guest.restore(state);
    const after = [0, 1, 2, 3].map((clock) => guest.now(clock));
    const passed = after.map((time, clock) => Number(time - before[clock]!) / 1e6);
    expect(passed[0]).toBeGreaterThanOrEqual(199);
    for (const clock of [1, 2, 3]) {
      expect(passed[clock]).toBeGreaterThanOrEqual(0);
      expect(passed[clock]).toBeLessThan(150);
    }
  });

  test("a saved clock far ahead of this machine's still goes on", () => {
    using guest = new TestGuest();
    const state = guest.save() as { clocks: { monotonic: string } };
    guest.wasi.close();
    state.clocks.monotonic = (2n ** 62n).toString();
    guest.restore(state);
    const now = guest.now(1);
    expect(now).toBeGreaterThanOrEqual(2n ** 62n);
    expect(guest.now(1)).toBeGreaterThan(now);
  });
});

describe("a file that somebody changed", () => {
  function changed(change: (path: string) => void): { guest: TestGuest; fd: number; state: unknown } {
    const guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.write(fd, "0123456789");
    const state = guest.save();
    guest.wasi.close();
    change(join(guest.root, "file"));
    return { guest, fd, state };
  }

  test.each([
    ["longer", (path: string) => appendFileSync(path, "x")],
    ["rewritten", (path: string) => writeFileSync(path, "9876543210")],
    [
      "another",
      (path: string) => {
        linkSync(path, `${path}-old`);
        unlinkSync(path);
        writeFileSync(path, "0123456789");
      },
    ],
    ["gone", (path: string) => unlinkSync(path)],
    [
      "a directory now",
      (path: string) => {
        unlinkSync(path);
        mkdirSync(path);
      },
    ],
  ])("%s: fails, warns or goes on, as asked", (_, change) => {
    const { guest, fd, state } = changed(change);
    using _guest = guest;
    expect(() => guest.restore(state, { onChangedFile: "fail" })).toThrow(
      expect.objectContaining({ code: "FILE_CHANGED" }),
    );
    guest.restore(state, { onChangedFile: "warn" });
    expect(guest.warnings).toHaveLength(1);
    expect(guest.warnings[0]).toContain("/file");
    guest.wasi.close();
    guest.restore(state, { onChangedFile: "ignore" });
    expect(guest.warnings).toHaveLength(1);
    const first = guest.seek(fd, 0n, 1);
    expect(first === 10n || first === -Errno.STALE).toBe(true);
  });
});

describe("stdio redirected to files", () => {
  test("goes on where it was in the same file, starts anew in another", () => {
    using guest = new TestGuest();
    const path = join(guest.outside, "input");
    writeFileSync(path, "0123456789");
    writeFileSync(`${path}2`, "abcdefghij");
    const state = guest.save();
    guest.wasi.close();
    const opened = [openSync(path, "r"), openSync(path, "r"), openSync(`${path}2`, "r")];
    guest.restore(state, { stdio: [opened[0]!, -1, -1] });
    expect(guest.read(0, 4)).toBe("0123");
    guest.resume({ stdio: [opened[1]!, -1, -1] });
    expect(guest.read(0, 3)).toBe("456");
    guest.resume({ stdio: [opened[2]!, -1, -1] });
    expect(guest.read(0, 3)).toBe("abc");
    for (const descriptor of opened) closeSync(descriptor);
  });

  test("output that was cut, or is appended to, is not written over from the middle", () => {
    using guest = new TestGuest();
    const path = join(guest.outside, "output");
    const state = guest.save();
    guest.wasi.close();
    guest.restore(state, { stdio: [-1, openSync(path, "w"), -1] });
    guest.write(1, "first ");
    guest.resume({ stdio: [-1, openSync(path, "a"), -1] });
    guest.write(1, "second ");
    guest.resume({ stdio: [-1, openSync(path, "w"), -1] });
    guest.write(1, "third");
    expect(readFileSync(path, "utf8")).toBe("third");
  });
});

describe("a state from somebody else", () => {
  function state(guest: TestGuest, ...descriptors: object[]): unknown {
    const saved = guest.save() as { descriptors: object[] };
    return { ...saved, descriptors };
  }
  const common = { number: 5, rights: 0x1fffffff, inheriting: 0x1fffffff, fdflags: 0 };
  const file = { ...common, kind: "file", readable: true, writable: true, offset: "0" };

  test.each([
    ["../secret", "lost"],
    ["/etc/passwd", "lost"],
    ["dir/../../secret", "lost"],
    ["out", "lost"],
  ])("a path that leads outside (%s): not opened", (path) => {
    using guest = new TestGuest();
    writeFileSync(join(guest.outside, "secret"), "secret");
    symlinkSync("../secret", join(guest.root, "out"));
    const evil = state(guest, { ...file, place: { guest: "/", nth: 0, path } });
    guest.wasi.close();
    guest.restore(evil);
    expect(guest.read(5, 10)).toBe(-Errno.STALE);
    expect(guest.warnings).toHaveLength(1);
  });

  test("kept files: a name of ours only, no symlink, no hard link", () => {
    using guest = new TestGuest();
    const kept = join(guest.outside, "kept");
    mkdirSync(kept);
    writeFileSync(join(guest.outside, "secret"), "secret");
    const evil = (name: string) => state(guest, { ...file, place: { kept: name } });
    const states = ["../secret", "file-1-2/../../secret", "/etc/passwd", "file-1-2\0"].map(evil);
    const [link, hard] = ["file-1-a", "file-1-b"].map(evil);
    guest.wasi.close();
    for (const damaged of states) {
      expect(() => guest.restore(damaged)).toThrow(expect.objectContaining({ code: "IMAGE_DAMAGED" }));
    }
    symlinkSync("../secret", join(kept, "file-1-a"));
    linkSync(join(guest.outside, "secret"), join(kept, "file-1-b"));
    guest.restore(link);
    expect(guest.read(5, 10)).toBe(-Errno.STALE);
    guest.wasi.close();
    expect(() => guest.restore(hard)).toThrow(expect.objectContaining({ code: "IMAGE_DAMAGED" }));
  });

  test("files are not made and not cut", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "content");
    const evil = state(
      guest,
      { ...file, fdflags: 31, place: { guest: "/", nth: 0, path: "file" } },
      { ...file, number: 6, place: { guest: "/", nth: 0, path: "new" } },
    );
    guest.wasi.close();
    guest.restore(evil);
    expect(readdirSync(guest.root)).toEqual(["file"]);
    expect(readFileSync(join(guest.root, "file"), "utf8")).toBe("content");
  });

  test("a directory that is not granted again: PREOPEN_MISSING; a socket: LISTEN_MISSING", () => {
    using guest = new TestGuest();
    const saved = guest.save();
    const listening = state(guest, { ...common, kind: "listener", address: "127.0.0.1:1", port: 1 });
    guest.wasi.close();
    expect(() => guest.restore(saved, { preopens: [] })).toThrow(expect.objectContaining({ code: "PREOPEN_MISSING" }));
    expect(() => guest.restore(saved, { preopens: [{ host: guest.root, guest: "/other" }] })).toThrow(
      expect.objectContaining({ code: "PREOPEN_MISSING" }),
    );
    expect(() => guest.restore(listening, { preopens: [{ host: guest.root, guest: "/" }] })).toThrow(
      expect.objectContaining({ code: "LISTEN_MISSING" }),
    );
    guest.restore(saved);
  });

  test("any JSON at all: restored or IMAGE_DAMAGED, never another error", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    guest.call("fd_readdir", 3, guest.alloc(30), 30, 0n, guest.alloc(4));
    const saved = guest.save() as Record<string, unknown>;
    guest.wasi.close();
    expect(fd).toBe(4);
    const tryOut = (value: unknown): void => {
      try {
        Wasi.restore({ ...guest.options, warn: () => {} }, value).close();
        describeState(value);
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^(IMAGE_DAMAGED|PREOPEN_MISSING|LISTEN_MISSING)$/),
        });
      }
    };
    fc.assert(fc.property(fc.jsonValue(), tryOut), { numRuns: 200 });
    const paths = leaves(saved);
    // Found by chance: what cannot even be made a text.
    for (const path of paths) tryOut(replaced(saved, path, { toString: false }));
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => tryOut(replaced(saved, path, value))),
      { numRuns: 800 },
    );
    guest.restore(saved);
  });
});

type Key = string | number;

/** The paths to all values in a JSON value. */
function leaves(value: unknown, path: readonly Key[] = []): (readonly Key[])[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries: [Key, unknown][] = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return [path, ...entries.flatMap(([key, inner]) => leaves(inner, [...path, key]))];
}

function replaced(value: unknown, [key, ...rest]: readonly Key[], by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((inner, index) => (index === key ? replaced(inner, rest, by) : inner));
  return { ...(value as object), [key]: replaced((value as Record<Key, unknown>)[key], rest, by) };
}
