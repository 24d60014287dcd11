import { mkdirSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Errno } from "../../runtime/wasi/index.js";
import { TestGuest } from "./test-guest.js";

interface Entry {
  readonly next: bigint;
  readonly inode: bigint;
  readonly type: number;
  readonly name: string;
}

/** Whole entries of one fd_readdir, and whether the buffer was filled. */
function page(guest: TestGuest, fd: number, byteLength: number, cookie: bigint): { entries: Entry[]; more: boolean } {
  const buffer = guest.alloc(byteLength);
  const out = guest.alloc(4);
  expect(guest.call("fd_readdir", fd, buffer, byteLength, cookie, out)).toBe(0);
  const used = guest.view.getUint32(out, true);
  const entries: Entry[] = [];
  let at = 0;
  while (at + 24 <= used) {
    const length = guest.view.getUint32(buffer + at + 16, true);
    if (at + 24 + length > used) break;
    entries.push({
      next: guest.view.getBigUint64(buffer + at, true),
      inode: guest.view.getBigUint64(buffer + at + 8, true),
      type: guest.view.getUint8(buffer + at + 20),
      name: guest.text(buffer + at + 24, length),
    });
    at += 24 + length;
  }
  return { entries, more: used === byteLength };
}

function all(guest: TestGuest, fd: number, byteLength: number, between: (names: string[]) => void): string[] {
  const names: string[] = [];
  let cookie = 0n;
  for (;;) {
    const { entries, more } = page(guest, fd, byteLength, cookie);
    names.push(...entries.map(({ name }) => name));
    guest.release();
    if (!more) return names;
    cookie = entries.at(-1)?.next ?? cookie;
    between(names);
  }
}

function tree(count: number): { guest: TestGuest; names: string[] } {
  const guest = new TestGuest();
  const names = Array.from({ length: count }, (_, index) => `file-${index}`);
  for (const name of names) writeFileSync(join(guest.root, name), "");
  return { guest, names };
}

describe("fd_readdir", () => {
  test("dots first, types and inodes as in filestat, names in pages of any size", () => {
    const { guest, names } = tree(40);
    using _guest = guest;
    mkdirSync(join(guest.root, "dir"));
    const { entries } = page(guest, 3, 4096, 0n);
    expect(entries.slice(0, 2).map(({ name }) => name)).toEqual([".", ".."]);
    expect(entries[0]).toMatchObject({ type: 3, inode: guest.filestat(3).inode });
    expect(entries.find(({ name }) => name === "dir")?.type).toBe(3);
    const file = entries.find(({ name }) => name === "file-7");
    expect(file).toMatchObject({ type: 4, inode: (guest.pathFilestat("file-7") as { inode: bigint }).inode });
    for (const byteLength of [60, 100, 1000]) {
      expect(all(guest, 3, byteLength, () => {}).sort()).toEqual([".", "..", "dir", ...names].sort());
    }
  });

  test("entries removed, renamed and made while listing: each old one once", () => {
    const { guest, names } = tree(100);
    using _guest = guest;
    let round = 0;
    const listed = all(guest, 3, 300, (seen) => {
      for (const name of seen.slice(-5)) if (name.startsWith("file")) rmSync(join(guest.root, name), { force: true });
      writeFileSync(join(guest.root, `new-${round++}`), "");
    });
    expect(listed.filter((name) => name.startsWith("file")).sort()).toEqual([...names].sort());
    expect(new Set(listed).size).toBe(listed.length);
  });

  test("a failure after every page: the listing goes on", () => {
    const { guest, names } = tree(50);
    using _guest = guest;
    const listed = all(guest, 3, 200, (seen) => {
      const last = seen.at(-1)!;
      if (last.startsWith("file")) renameSync(join(guest.root, last), join(guest.root, `${last}-renamed`));
      guest.resume();
    });
    expect(listed.sort()).toEqual([".", "..", ...names].sort());
  });

  test("cookie 0 looks again; a cookie beyond the end has nothing", () => {
    const { guest } = tree(3);
    using _guest = guest;
    expect(page(guest, 3, 4096, 0n).entries).toHaveLength(5);
    unlinkSync(join(guest.root, "file-1"));
    expect(page(guest, 3, 4096, 0n).entries).toHaveLength(4);
    expect(page(guest, 3, 4096, 4n).entries).toHaveLength(0);
    expect(page(guest, 3, 4096, 2n ** 64n - 1n).entries).toHaveLength(0);
    expect(page(guest, 3, 4096, 2n).entries).toHaveLength(2);
  });

  test("a short buffer is filled with a part of an entry; none at all with nothing", () => {
    const { guest } = tree(3);
    using _guest = guest;
    expect(page(guest, 3, 10, 0n)).toEqual({ entries: [], more: true });
    expect(page(guest, 3, 0, 0n)).toEqual({ entries: [], more: true });
    expect(guest.call("fd_readdir", 3, -16, 100, 0n, guest.alloc(4))).toBe(Errno.FAULT);
    expect(guest.call("fd_readdir", 1, guest.alloc(10), 10, 0n, guest.alloc(4))).toBe(Errno.BADF);
  });

  test("20,000 entries", () => {
    const { guest } = tree(20_000);
    using _guest = guest;
    expect(new Set(all(guest, 3, 65536, () => {})).size).toBe(20_002);
    expect(readdirSync(guest.root)).toHaveLength(20_000);
  });
});
