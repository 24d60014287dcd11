import { linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { descriptorsText } from "../../runtime/wasi/index.js";
import { CREAT, DIRECTORY, TestGuest } from "./test-guest.js";

/** Opens a path, and says what both ways make of it. */
function bothWays(guest: TestGuest, path: string, options: Parameters<TestGuest["open"]>[1] = {}): [unknown, unknown] {
  const fd = guest.open(path, options);
  expect(fd).toBeGreaterThanOrEqual(0);
  const [pointer, byteLength] = guest.put(path);
  const { observer } = guest.wasi;
  const known = observer.saveOpened(fd, options.at ?? 3, true, pointer, byteLength);
  expect(descriptorsText([known!])).toBe(JSON.stringify([known]));
  return [JSON.parse(JSON.stringify(known)), JSON.parse(JSON.stringify(observer.save(fd)))];
}

describe("a descriptor that has just been opened", () => {
  test.each([
    ["a name", "file", 0],
    ["a name that it makes", "made", CREAT],
    ["the granted directory itself", ".", DIRECTORY],
    ["a directory", "sub", DIRECTORY],
    ["with a slash at the end", "sub/", DIRECTORY],
    ["a file further down", "sub/file", 0],
    ["a way up", "sub/../file", 0],
    ["a symlink", "link", 0],
    ["a symlink to a directory", "link-to-sub", DIRECTORY],
    ["a second name", "second", 0],
    ["a name that JSON must escape", 'a "quoted"\tname\u2028', CREAT],
  ])("%s: is where the kernel says", (_, path, o) => {
    using guest = new TestGuest();
    mkdirSync(join(guest.root, "sub"));
    writeFileSync(join(guest.root, "file"), "abc");
    writeFileSync(join(guest.root, "sub", "file"), "defg");
    symlinkSync("file", join(guest.root, "link"));
    symlinkSync("sub", join(guest.root, "link-to-sub"));
    linkSync(join(guest.root, "file"), join(guest.root, "second"));
    const [known, asked] = bothWays(guest, path, { o });
    expect(known).toEqual(asked);
    expect(known).toHaveProperty("place.path");
  });

  test("in a directory granted within another: told by the outer one, as everywhere", () => {
    using outer = new TestGuest();
    mkdirSync(join(outer.root, "inner"));
    writeFileSync(join(outer.root, "inner", "file"), "abc");
    const preopens = [
      { host: outer.root, guest: "/" },
      { host: join(outer.root, "inner"), guest: "/inner" },
    ];
    using guest = new TestGuest({ preopens });
    const [known, asked] = bothWays(guest, "file", { at: 4 });
    expect(known).toEqual(asked);
    expect(known).toHaveProperty("place", { guest: "/", nth: 0, path: "inner/file" });
  });

  test("moved away meanwhile, and another in its place: the kernel is asked", () => {
    using guest = new TestGuest();
    writeFileSync(join(guest.root, "file"), "abc");
    const fd = guest.open("file");
    renameSync(join(guest.root, "file"), join(guest.root, "elsewhere"));
    writeFileSync(join(guest.root, "file"), "another");
    const [pointer, byteLength] = guest.put("file");
    expect(guest.wasi.observer.saveOpened(fd, 3, true, pointer, byteLength)).toHaveProperty("place.path", "elsewhere");
  });

  test("what an unlinked name says of its place is what the kernel says", () => {
    using guest = new TestGuest();
    mkdirSync(join(guest.root, "sub"));
    for (const path of ["file", "sub/file"]) {
      writeFileSync(join(guest.root, path), "abc");
      const { entry, place } = guest.wasi.observer.entryAndPlaceAt(3, ...guest.put(path));
      expect(entry?.byteLength).toBe(3);
      expect(place).toEqual({ guest: "/", nth: 0, path });
    }
  });
});
