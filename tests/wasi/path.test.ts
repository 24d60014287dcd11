import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Errno } from "../../runtime/wasi/index.js";
import { CREAT, DIRECTORY, EXCL, eachResolver, TestGuest } from "./test-guest.js";

/** Every test runs on the kernel's resolution and on the walk that stands in for it. */
eachResolver("paths by the", (resolver) => {
  function tree(): TestGuest {
    const guest = new TestGuest({ resolver });
    expect(guest.wasi.resolver).toBe(resolver === "kernel" ? "openat2" : "walk");
    mkdirSync(join(guest.root, "dir/sub"), { recursive: true });
    writeFileSync(join(guest.root, "file"), "inside");
    writeFileSync(join(guest.root, "dir/sub/deep"), "deep");
    writeFileSync(join(guest.outside, "secret"), "secret");
    return guest;
  }

  function content(guest: TestGuest, path: string, lookup = 1): string | number {
    const fd = guest.open(path, { lookup });
    return fd < 0 ? fd : guest.read(fd, 100);
  }

  test("plain, dotted and slashed paths", () => {
    using guest = tree();
    expect(content(guest, "file")).toBe("inside");
    expect(content(guest, "dir/.//sub/../../dir/sub/deep")).toBe("deep");
    expect(content(guest, "./file")).toBe("inside");
    expect(content(guest, "file/")).toBe(-Errno.NOTDIR);
    expect(content(guest, "file/.")).toBe(-Errno.NOTDIR);
    expect(content(guest, "file/../file")).toBe(-Errno.NOTDIR);
    expect(content(guest, "none/../file")).toBe(-Errno.NOENT);
    expect(guest.open("dir/", { o: DIRECTORY })).toBeGreaterThan(3);
    expect(guest.open("dir//.", { o: DIRECTORY })).toBeGreaterThan(3);
    expect(guest.open("dir/sub/..", { o: DIRECTORY })).toBeGreaterThan(3);
    expect(guest.open(".", { o: DIRECTORY })).toBeGreaterThan(3);
    expect(guest.open("file", { o: DIRECTORY })).toBe(-Errno.NOTDIR);
  });

  test.each(["..", "../secret", "dir/../../secret", "dir/sub/../../../root/file", "../root/file", "./..", "dir/../.."])(
    "%s leads outside: PERM",
    (path) => {
      using guest = tree();
      expect(content(guest, path)).toBe(-Errno.PERM);
      expect(guest.pathFilestat(path)).toBe(Errno.PERM);
      expect(guest.pathFilestat(path, 1)).toBe(Errno.PERM);
      expect(guest.call("path_create_directory", 3, ...guest.put(`${path}/x`))).toBe(Errno.PERM);
    },
  );

  test("absolute paths: PERM for every call", () => {
    using guest = tree();
    expect(content(guest, "/file")).toBe(-Errno.PERM);
    expect(guest.pathFilestat("/etc/passwd")).toBe(Errno.PERM);
    expect(guest.call("path_unlink_file", 3, ...guest.put(join(guest.outside, "secret")))).toBe(Errno.PERM);
    expect(guest.call("path_rename", 3, ...guest.put("file"), 3, ...guest.put("/tmp/x"))).toBe(Errno.PERM);
    expect(existsSync(join(guest.outside, "secret"))).toBe(true);
  });

  test("symlinks: inside followed, outside PERM, loops LOOP, dangling NOENT", () => {
    using guest = tree();
    symlinkSync("file", join(guest.root, "to-file"));
    symlinkSync("dir", join(guest.root, "to-dir"));
    symlinkSync("../file", join(guest.root, "dir/up"));
    symlinkSync("../secret", join(guest.root, "out"));
    symlinkSync("../..", join(guest.root, "dir/out-dir"));
    symlinkSync("/etc", join(guest.root, "absolute"));
    symlinkSync("loop", join(guest.root, "loop"));
    symlinkSync("none", join(guest.root, "dangling"));
    symlinkSync("/proc/self/root/etc", join(guest.root, "magic"));
    expect(content(guest, "to-file")).toBe("inside");
    expect(content(guest, "to-file", 0)).toBe(-Errno.LOOP);
    expect(content(guest, "to-dir/sub/deep", 0)).toBe("deep");
    expect(content(guest, "dir/up")).toBe("inside");
    expect(content(guest, "to-dir/up")).toBe("inside");
    expect(content(guest, "out")).toBe(-Errno.PERM);
    expect(content(guest, "out/")).toBe(-Errno.PERM);
    expect(content(guest, "dir/out-dir/secret")).toBe(-Errno.PERM);
    expect(content(guest, "absolute/passwd")).toBe(-Errno.PERM);
    expect(content(guest, "magic/passwd")).toBe(-Errno.PERM);
    expect(content(guest, "loop")).toBe(-Errno.LOOP);
    expect(content(guest, "loop/x")).toBe(-Errno.LOOP);
    expect(content(guest, "dangling")).toBe(-Errno.NOENT);
    expect(guest.open("to-dir", { o: DIRECTORY })).toBeGreaterThan(3);
    expect(guest.open("to-dir", { o: DIRECTORY, lookup: 0 })).toBe(-Errno.NOTDIR);
    expect(guest.open("to-file", { o: DIRECTORY })).toBe(-Errno.NOTDIR);
    // Created through a dangling link, but not with EXCL, and never outside.
    expect(guest.open("dangling", { o: CREAT | EXCL })).toBe(-Errno.EXIST);
    expect(guest.open("dangling", { o: CREAT })).toBeGreaterThan(3);
    expect(existsSync(join(guest.root, "none"))).toBe(true);
    symlinkSync("../made", join(guest.root, "dangling-out"));
    expect(guest.open("dangling-out", { o: CREAT })).toBe(-Errno.PERM);
    expect(existsSync(join(guest.outside, "made"))).toBe(false);
    expect(guest.pathFilestat("out", 1)).toBe(Errno.PERM);
    expect(guest.pathFilestat("out", 0)).toMatchObject({ filetype: 7 });
    expect(guest.pathFilestat("to-file", 1)).toMatchObject({ filetype: 4, byteLength: 6n });
    expect(guest.pathFilestat("to-dir/", 0)).toMatchObject({ filetype: 3 });
  });

  test("names that are not paths", () => {
    using guest = tree();
    expect(content(guest, "")).toBe(-Errno.NOENT);
    expect(content(guest, "fi\0le")).toBe(-Errno.INVAL);
    expect(content(guest, "file\0")).toBe(-Errno.INVAL);
    expect(content(guest, "x".repeat(5000))).toBe(-Errno.NAMETOOLONG);
    expect(content(guest, "x".repeat(300))).toBe(-Errno.NAMETOOLONG);
    const out = guest.alloc(64);
    const invalid = guest.put(new Uint8Array([0x66, 0xff, 0x66]));
    expect(guest.call("path_filestat_get", 3, 0, ...invalid, out)).toBe(Errno.ILSEQ);
    expect(guest.call("path_filestat_get", 3, 0, guest.memory.buffer.byteLength - 2, 10, out)).toBe(Errno.FAULT);
    expect(guest.call("path_filestat_get", 3, 0, ...guest.put("file"), -8)).toBe(Errno.FAULT);
    expect(guest.call("path_filestat_get", 3, 2, ...guest.put("file"), out)).toBe(Errno.INVAL);
    expect(guest.open("naïve-文件", { o: CREAT })).toBeGreaterThan(3);
    expect(existsSync(join(guest.root, "naïve-文件"))).toBe(true);
  });

  test("a path bomb: a thousand levels, and links that multiply", () => {
    using guest = tree();
    expect(content(guest, `${"dir/../".repeat(500)}file`)).toBe("inside");
    const deep = guest.open(`${"d/".repeat(2000)}x`);
    expect(deep).toBe(-Errno.NOENT);
    symlinkSync(".", join(guest.root, "l0"));
    for (let level = 1; level < 12; level++) {
      symlinkSync(`l${level - 1}/l${level - 1}`, join(guest.root, `l${level}`));
    }
    expect(content(guest, "l11/file")).toBe(-Errno.LOOP);
  });

  test("make, link, rename, read a link, remove", () => {
    using guest = tree();
    const call = (name: string, ...args: (number | bigint)[]) => guest.call(name, ...args);
    expect(call("path_create_directory", 3, ...guest.put("new/"))).toBe(0);
    expect(call("path_create_directory", 3, ...guest.put("new"))).toBe(Errno.EXIST);
    expect(call("path_create_directory", 3, ...guest.put("a/b"))).toBe(Errno.NOENT);
    expect(call("path_link", 3, 0, ...guest.put("file"), 3, ...guest.put("dir/link"))).toBe(0);
    expect(call("path_link", 3, 1, ...guest.put("file"), 3, ...guest.put("other"))).toBe(Errno.INVAL);
    expect(call("path_link", 3, 0, ...guest.put("dir"), 3, ...guest.put("other"))).toBe(Errno.PERM);
    expect(call("path_link", 3, 0, ...guest.put("dir/."), 3, ...guest.put("other"))).toBe(Errno.PERM);
    expect(guest.pathFilestat("file")).toMatchObject({ links: 2n });
    expect(call("path_symlink", ...guest.put("../file"), 3, ...guest.put("new/symbolic"))).toBe(0);
    expect(readlinkSync(join(guest.root, "new/symbolic"))).toBe("../file");
    expect(call("path_symlink", ...guest.put("/etc"), 3, ...guest.put("new/absolute"))).toBe(Errno.PERM);
    expect(call("path_symlink", ...guest.put(""), 3, ...guest.put("new/empty"))).toBe(Errno.NOENT);
    const buffer = guest.alloc(20);
    const out = guest.alloc(4);
    expect(call("path_readlink", 3, ...guest.put("new/symbolic"), buffer, 20, out)).toBe(0);
    expect(guest.text(buffer, guest.view.getUint32(out, true))).toBe("../file");
    expect(call("path_readlink", 3, ...guest.put("new/symbolic"), buffer, 3, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(3);
    expect(call("path_readlink", 3, ...guest.put("new/symbolic"), buffer, 0, out)).toBe(0);
    expect(guest.view.getUint32(out, true)).toBe(0);
    expect(call("path_readlink", 3, ...guest.put("file"), buffer, 20, out)).toBe(Errno.INVAL);
    expect(call("path_rename", 3, ...guest.put("file"), 3, ...guest.put("new/file"))).toBe(0);
    expect(call("path_rename", 3, ...guest.put("new"), 3, ...guest.put("dir"))).toBe(Errno.NOTEMPTY);
    expect(call("path_rename", 3, ...guest.put("dir/.."), 3, ...guest.put("x"))).toBe(Errno.BUSY);
    expect(call("path_unlink_file", 3, ...guest.put("dir"))).toBe(Errno.ISDIR);
    expect(call("path_unlink_file", 3, ...guest.put("new/file/"))).toBe(Errno.NOTDIR);
    expect(call("path_unlink_file", 3, ...guest.put("new/file"))).toBe(0);
    expect(call("path_remove_directory", 3, ...guest.put("new"))).toBe(Errno.NOTEMPTY);
    expect(call("path_unlink_file", 3, ...guest.put("new/symbolic"))).toBe(0);
    expect(call("path_remove_directory", 3, ...guest.put("new/."))).toBe(Errno.INVAL);
    expect(call("path_remove_directory", 3, ...guest.put("new/"))).toBe(0);
    expect(readFileSync(join(guest.root, "dir/link"), "utf8")).toBe("inside");
  });

  test("times: of the link or of what it leads to", () => {
    using guest = tree();
    symlinkSync("file", join(guest.root, "link"));
    const at = 1_000_000_000_123_456_789n;
    expect(guest.call("path_filestat_set_times", 3, 0, ...guest.put("link"), 0n, at, 4)).toBe(0);
    expect(guest.pathFilestat("link")).toMatchObject({ modified: at });
    expect(lstatSync(join(guest.root, "file"), { bigint: true }).mtimeNs).not.toBe(at);
    expect(guest.call("path_filestat_set_times", 3, 1, ...guest.put("link"), 0n, at + 1n, 4)).toBe(0);
    expect(guest.pathFilestat("file")).toMatchObject({ modified: at + 1n });
    expect(guest.call("path_filestat_set_times", 3, 0, ...guest.put("file"), 0n, 0n, 12)).toBe(Errno.INVAL);
    expect(guest.call("path_filestat_set_times", 3, 0, ...guest.put("file"), 0n, 0n, 16)).toBe(Errno.INVAL);
  });

  test("the wrong kind of descriptor", () => {
    using guest = tree();
    const file = guest.open("file");
    expect(guest.open("x", { at: file })).toBe(-Errno.NOTDIR);
    expect(guest.open("x", { at: 1 })).toBe(-Errno.BADF);
    expect(guest.open("x", { at: 77 })).toBe(-Errno.BADF);
    expect(guest.call("path_create_directory", file, ...guest.put("x"))).toBe(Errno.BADF);
    expect(guest.call("path_unlink_file", -1, ...guest.put("x"))).toBe(Errno.BADF);
    expect(guest.open("dir", { o: DIRECTORY | CREAT })).toBe(-Errno.INVAL);
    expect(guest.open("dir", { o: 16 })).toBe(-Errno.INVAL);
    expect(guest.open("dir", { fd: 32 })).toBe(-Errno.INVAL);
  });

  test("a directory of the guest that is moved outside stays a wall", () => {
    using guest = tree();
    const dir = guest.open("dir", { o: DIRECTORY });
    renameSync(join(guest.root, "dir"), join(guest.outside, "moved"));
    expect(guest.open("../secret", { at: dir })).toBe(-Errno.PERM);
    expect(guest.open("sub/../../secret", { at: dir })).toBe(-Errno.PERM);
    expect(guest.read(guest.open("sub/deep", { at: dir }), 10)).toBe("deep");
  });
});
