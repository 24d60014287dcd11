import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Errno } from "../../runtime/wasi/index.js";
import { APPEND, CREAT, READ, TestGuest, TRUNC, WRITE } from "./test-guest.js";

describe("fd_read and fd_write", () => {
  test("one buffer and many: the file holds them in order", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    expect(guest.write(fd, "abc")).toBe(3);
    const out = guest.alloc(4);
    const ranges = ["de", "", "f", "ghij"].map((text) => guest.put(text));
    expect(guest.call("fd_write", fd, guest.iovecs(...ranges), 4, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(7);
    expect(readFileSync(join(guest.root, "file"), "utf8")).toBe("abcdefghij");
    expect(guest.seek(fd, 1n, 0)).toBe(1n);
    const [a, b] = [guest.alloc(2), guest.alloc(50)];
    expect(guest.call("fd_read", fd, guest.iovecs([a, 2], [b, 50]), 2, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(9);
    expect(guest.text(a, 2) + guest.text(b, 7)).toBe("bcdefghij");
  });

  test("more than 1024 buffers: all are written", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const range = guest.put("xy");
    const out = guest.alloc(4);
    const iovecs = guest.iovecs(...Array.from({ length: 3000 }, () => range));
    expect(guest.call("fd_write", fd, iovecs, 3000, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(6000);
    expect(statSync(join(guest.root, "file")).size).toBe(6000);
    expect(guest.call("fd_pwrite", fd, iovecs, 3000, 10n, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(6000);
    expect(statSync(join(guest.root, "file")).size).toBe(6010);
  });

  test.each([
    ["a buffer that ends outside", (end: number) => [[end - 4, 8]]],
    ["a buffer that starts outside", (end: number) => [[end + 1, 0]]],
    ["a length of 2^32 - 1", () => [[0, 0xffffffff]]],
    [
      "the second of two",
      (end: number) => [
        [0, 4],
        [end, 1],
      ],
    ],
  ])("%s: FAULT and nothing moves", (_, ranges) => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const list = ranges(guest.memory.buffer.byteLength) as [number, number][];
    const iovecs = guest.iovecs(...list);
    const out = guest.alloc(4);
    expect(guest.call("fd_write", fd, iovecs, list.length, out)).toBe(Errno.FAULT);
    expect(guest.call("fd_read", fd, iovecs, list.length, out)).toBe(Errno.FAULT);
    expect(guest.call("fd_pwrite", fd, iovecs, list.length, 0n, out)).toBe(Errno.FAULT);
    expect(statSync(join(guest.root, "file")).size).toBe(0);
  });

  test("wild lists and results: FAULT or INVAL", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const out = guest.alloc(4);
    const end = guest.memory.buffer.byteLength;
    const iovecs = guest.iovecs(guest.put("abc"));
    expect(guest.call("fd_write", fd, iovecs, 2 ** 31, out)).toBe(Errno.FAULT);
    expect(guest.call("fd_write", fd, -8, 1, out)).toBe(Errno.FAULT);
    expect(guest.call("fd_write", fd, iovecs, 1, end - 3)).toBe(Errno.FAULT);
    expect(guest.call("fd_write", fd, 0, 100_000, out)).toBe(Errno.INVAL);
    expect(statSync(join(guest.root, "file")).size).toBe(0);
  });

  test("buffers that overlap to more than 2^31 bytes: a short count, no hang", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const all: [number, number] = [0, guest.memory.buffer.byteLength];
    const out = guest.alloc(4);
    expect(guest.call("fd_read", fd, guest.iovecs(...Array.from({ length: 1200 }, () => all)), 1200, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(0);
  });

  test("access: BADF for what it was not opened for", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "abc");
    const reader = guest.open("file", { rights: READ });
    const writer = guest.open("file", { rights: WRITE });
    expect(guest.write(reader, "x")).toBe(-Errno.BADF);
    expect(guest.read(writer, 1)).toBe(-Errno.BADF);
    expect(guest.read(99, 1)).toBe(-Errno.BADF);
    expect(guest.read(-1, 1)).toBe(-Errno.BADF);
    expect(guest.read(3, 1)).toBe(-Errno.BADF);
  });

  test("append: at the end, wherever the offset is, until the flag is taken back", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "0123456789");
    const fd = guest.open("file", { fd: APPEND });
    expect(guest.write(fd, "a")).toBe(1);
    expect(guest.seek(fd, 0n, 1)).toBe(11n);
    expect(guest.seek(fd, 2n, 0)).toBe(2n);
    expect(guest.write(fd, "b")).toBe(1);
    expect(guest.fdstat(fd).flags).toBe(APPEND);
    expect(guest.call("fd_fdstat_set_flags", fd, 0)).toBe(0);
    guest.seek(fd, 0n, 0);
    guest.write(fd, "X");
    expect(readFileSync(join(guest.root, "file"), "utf8")).toBe("X123456789ab");
  });

  test("offsets beyond 2^53 are exact", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    expect(guest.seek(fd, 2n ** 60n + 1n, 0)).toSatisfy((at) => at === 2n ** 60n + 1n || at === -Errno.INVAL);
    expect(guest.seek(fd, 2n ** 40n + 1n, 0)).toBe(2n ** 40n + 1n);
    expect(guest.seek(fd, 2n, 1)).toBe(2n ** 40n + 3n);
    const out = guest.alloc(8);
    expect(guest.call("fd_tell", fd, out)).toBe(0);
    expect(guest.view.getBigUint64(out, true)).toBe(2n ** 40n + 3n);
    expect(guest.seek(fd, -1n, 0)).toBe(-Errno.INVAL);
    expect(guest.seek(fd, 0n, 3)).toBe(-Errno.INVAL);
  });

  test("fd_pread at a u64 above 2^63: INVAL", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const out = guest.alloc(4);
    expect(guest.call("fd_pread", fd, guest.iovecs(guest.put("abc")), 1, -1n, out)).toBe(Errno.INVAL);
  });
});

describe("a file's length", () => {
  test("set_size, allocate, truncation on opening", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    expect(guest.call("fd_filestat_set_size", fd, 100n)).toBe(0);
    expect(guest.filestat(fd).byteLength).toBe(100n);
    const allocated = guest.call("fd_allocate", fd, 90n, 20n);
    if (allocated !== Errno.NOTSUP) expect(guest.filestat(fd).byteLength).toBe(110n);
    expect(guest.call("fd_allocate", fd, 0n, 0n)).toBe(Errno.INVAL);
    expect(guest.call("fd_filestat_set_size", fd, -1n)).toBe(Errno.INVAL);
    guest.open("file", { o: TRUNC });
    expect(guest.filestat(fd).byteLength).toBe(0n);
  });

  test("fd_advise: known advice on files only", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    for (let advice = 0; advice < 6; advice++) expect(guest.call("fd_advise", fd, 0n, 10n, advice)).toBe(0);
    expect(guest.call("fd_advise", fd, 0n, 10n, 6)).toBe(Errno.INVAL);
    expect(guest.call("fd_advise", fd, -1n, 10n, 0)).toBe(Errno.INVAL);
    expect(guest.call("fd_advise", 3, 0n, 10n, 0)).toBe(Errno.BADF);
  });

  test("a file cut while it is read: end of file", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "0123456789");
    const fd = guest.open("file", { rights: READ });
    expect(guest.read(fd, 5)).toBe("01234");
    truncateSync(join(guest.root, "file"), 3);
    expect(guest.read(fd, 5)).toBe("");
  });
});

describe("rights", () => {
  test("can be given up, and not regained", () => {
    using guest = new TestGuest();
    const fd = guest.open("file", { o: CREAT });
    const { rights, inheriting } = guest.fdstat(fd);
    expect(guest.call("fd_fdstat_set_rights", fd, rights & ~(READ | 4n), inheriting)).toBe(0);
    expect(guest.read(fd, 1)).toBe(-Errno.BADF);
    expect(guest.seek(fd, 0n, 0)).toBe(-Errno.NOTCAPABLE);
    expect(guest.call("fd_fdstat_set_rights", fd, rights, inheriting)).toBe(Errno.NOTCAPABLE);
    expect(guest.call("fd_fdstat_set_rights", fd, -1n, 0n)).toBe(Errno.NOTCAPABLE);
  });

  test("a directory passes on no more than it has", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "abc");
    const { rights, inheriting } = guest.fdstat(3);
    expect(guest.call("fd_fdstat_set_rights", 3, rights, inheriting & ~WRITE)).toBe(0);
    expect(guest.open("file", { rights: WRITE })).toBe(-Errno.NOTCAPABLE);
    const fd = guest.open("file", { rights: READ });
    expect(guest.read(fd, 3)).toBe("abc");
    guest.resume();
    expect(guest.open("file", { rights: WRITE })).toBe(-Errno.NOTCAPABLE);
  });
});

describe("descriptors", () => {
  test("renumber: the target is replaced, the source gone, the lowest number free", () => {
    using guest = new TestGuest();
    const a = guest.open("a", { o: CREAT });
    const b = guest.open("b", { o: CREAT });
    guest.write(a, "from a");
    expect(guest.call("fd_renumber", a, b)).toBe(0);
    expect(guest.call("fd_close", a)).toBe(Errno.BADF);
    expect(guest.seek(b, 0n, 1)).toBe(6n);
    expect(guest.call("fd_renumber", b, a)).toBe(Errno.BADF);
    expect(guest.call("fd_renumber", b, b)).toBe(0);
    expect(guest.open("c", { o: CREAT })).toBe(a);
  });

  test("exhaustion: MFILE, and room again after a close", () => {
    using guest = new TestGuest({ maximumDescriptors: 10 });
    const opened: number[] = [];
    for (;;) {
      const fd = guest.open("file", { o: CREAT });
      if (fd < 0) {
        expect(fd).toBe(-Errno.MFILE);
        break;
      }
      opened.push(fd);
    }
    expect(opened).toEqual([4, 5, 6, 7, 8, 9]);
    expect(guest.call("fd_close", 7)).toBe(0);
    expect(guest.open("file")).toBe(7);
  });

  test("closing is once: then BADF", () => {
    using guest = new TestGuest();
    for (const fd of [0, 1, 2, 3]) {
      expect(guest.call("fd_close", fd)).toBe(0);
      expect(guest.call("fd_close", fd)).toBe(Errno.BADF);
    }
    expect(guest.call("fd_close", 2 ** 31)).toBe(Errno.BADF);
  });
});
