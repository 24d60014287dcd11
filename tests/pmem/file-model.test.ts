import { describe, expect, test } from "vitest";
import { contentOf, type FileEntry, FileModel, type FileTree } from "../../pmem/file-model.js";
import { lostFiles, survivingFiles, survivingFilesNamed } from "../../pmem/surviving-files.js";

/** Paths with the identity and content of a file, or undefined for a directory. */
type Listing = Readonly<Record<string, readonly [id: string, text: string] | undefined>>;

function tree(listing: Listing): FileTree {
  const entries = new Map<string, FileEntry>();
  const contents = new Map<string, Uint8Array>();
  for (const [path, file] of Object.entries(listing)) {
    if (file === undefined) entries.set(path, { kind: "directory" });
    else {
      entries.set(path, { kind: "file", id: file[0] });
      contents.set(file[0], Buffer.from(file[1]));
    }
  }
  return { entries, contents };
}

/** Each state as "path=content path=content", zeros as ".", sorted. */
function outcomes(model: FileModel, limit = 1000): string[] {
  return [...survivingFiles(model, limit, 1)].map(({ tree: left }) => textOf(left)).sort();
}

function textOf(left: FileTree): string {
  const parts = [...left.entries].map(([path, entry]) => {
    if (entry.kind === "directory") return `${path}/`;
    return `${path}=${Buffer.from(contentOf(left, entry.id)).toString().replaceAll("\0", ".")}`;
  });
  return parts.sort().join(" ");
}

describe("contents", () => {
  test("overwritten: the old or the new", () => {
    const model = new FileModel(tree({ "/a": ["1", "old"] }));
    expect(model.observe(tree({ "/a": ["1", "new"] }))).toBe(true);
    expect(model.observe(tree({ "/a": ["1", "new"] }))).toBe(false);
    expect(outcomes(model)).toEqual(["/a=new", "/a=old"]);
  });

  test("appended: nothing of it, all of it, or zeros", () => {
    const model = new FileModel(tree({ "/a": ["1", "12"] }));
    model.observe(tree({ "/a": ["1", "1234"] }));
    expect(outcomes(model)).toEqual(["/a=12", "/a=12..", "/a=1234"]);
  });

  test("cut: as long as before, or cut", () => {
    const model = new FileModel(tree({ "/a": ["1", "1234"] }));
    model.observe(tree({ "/a": ["1", ""] }));
    expect(outcomes(model)).toEqual(["/a=", "/a=1234"]);
  });

  test("two writes: the later may be there without the earlier", () => {
    const model = new FileModel(tree({ "/a": ["1", "xxxx"], "/b": ["2", "x"] }));
    model.observe(tree({ "/a": ["1", "1xxx"], "/b": ["2", "x"] }));
    model.observe(tree({ "/a": ["1", "1xxx"], "/b": ["2", "2"] }));
    expect(outcomes(model)).toEqual(["/a=1xxx /b=2", "/a=1xxx /b=x", "/a=xxxx /b=2", "/a=xxxx /b=x"]);
  });

  test("a write over several sectors: torn between them", () => {
    const model = new FileModel(tree({ "/a": ["1", "x".repeat(1024)] }));
    model.observe(tree({ "/a": ["1", "y".repeat(1024)] }));
    const halves = outcomes(model).map((text) => `${text[3]}${text[3 + 512]}`);
    expect(halves.sort()).toEqual(["xx", "xy", "yx", "yy"]);
  });

  test("flushed: surely there, and others are not", () => {
    const model = new FileModel(tree({ "/a": ["1", "x"], "/b": ["2", "x"] }));
    model.observe(tree({ "/a": ["1", "1"], "/b": ["2", "2"] }));
    model.syncFile("1");
    expect(outcomes(model)).toEqual(["/a=1 /b=2", "/a=1 /b=x"]);
  });
});

describe("names", () => {
  test("a rename may be there before the bytes, and a removal without the rename before it", () => {
    const model = new FileModel(tree({ "/a": ["1", "old"], "/c": ["3", "c"] }));
    model.observe(tree({ "/a": ["1", "old"], "/a.new": ["2", ""], "/c": ["3", "c"] }));
    model.observe(tree({ "/a": ["1", "old"], "/a.new": ["2", "new"], "/c": ["3", "c"] }));
    model.observe(tree({ "/a": ["2", "new"], "/c": ["3", "c"] }));
    model.observe(tree({ "/a": ["2", "new"] }));
    const seen = outcomes(model);
    expect(seen).toContain("/a= /c=c");
    expect(seen).toContain("/a=new");
    expect(seen).toContain("/a=old /c=c");
    expect(seen).toContain("/a.new= /a=old /c=c");
    expect(seen).toContain("/a=old");
    expect(seen.filter((text) => text.includes("/a.new") && !text.includes("/a=old"))).toEqual([]); // one call, one change
  });

  test("a flushed file may lose its name; a flushed directory keeps those in it, and no others", () => {
    const model = new FileModel(tree({ "/d": undefined }));
    model.observe(tree({ "/d": undefined, "/a": ["1", "a"] }));
    model.observe(tree({ "/d": undefined, "/a": ["1", "a"], "/d/b": ["2", "b"] }));
    model.syncFile("1");
    model.syncFile("2");
    expect(outcomes(model)).toEqual(["/a=a /d/", "/a=a /d/ /d/b=b", "/d/", "/d/ /d/b=b"]);
    model.syncDirectory("/d");
    expect(outcomes(model)).toEqual(["/a=a /d/ /d/b=b", "/d/ /d/b=b"]);
  });

  test("what a directory that did not reach the disk holds is lost, though it was flushed", () => {
    const model = new FileModel(tree({}));
    model.observe(tree({ "/d": undefined }));
    model.observe(tree({ "/d": undefined, "/d/b": ["1", ""] }));
    model.syncDirectory("/d");
    expect(outcomes(model)).toEqual(["", "/d/ /d/b="]);
    model.syncDirectory("/");
    expect(outcomes(model)).toEqual(["/d/ /d/b="]);
  });

  test("a rename between directories, one of them flushed: whole, and what came before does not undo it", () => {
    const model = new FileModel(tree({ "/d": undefined }));
    model.observe(tree({ "/d": undefined, "/a": ["1", ""] }));
    model.observe(tree({ "/d": undefined, "/d/a": ["1", ""] }));
    model.syncDirectory("/d");
    expect(outcomes(model)).toEqual(["/d/ /d/a="]);
  });

  test("one file with two names is another state than two files", () => {
    const linked = new FileModel(tree({ "/a": ["1", "x"], "/b": ["1", "x"] }));
    const copied = new FileModel(tree({ "/a": ["1", "x"], "/b": ["2", "x"] }));
    const digests = [linked, copied].flatMap((model) => [...survivingFiles(model, 10, 1)].map(({ digest }) => digest));
    expect(new Set(digests).size).toBe(2);
  });

  test("the flush of another directory: no flush", () => {
    const model = new FileModel(tree({ "/d": undefined }));
    model.observe(tree({ "/d": undefined, "/a": ["1", ""] }));
    model.syncDirectory("/d");
    expect(outcomes(model)).toHaveLength(2);
    model.syncDirectory("/");
    expect(outcomes(model)).toEqual(["/a= /d/"]);
  });
});

test("a state can be asked for again by its name, and says what it lacks; another name is refused", () => {
  const model = new FileModel(tree({}));
  model.observe(tree({ "/a": ["1", "x".repeat(2000)] }));
  for (const { choice, digest } of survivingFiles(model, 1000, 1)) {
    expect(survivingFilesNamed(model, choice).digest, choice).toBe(digest);
  }
  expect(lostFiles(model, "n1-0w")).toEqual([]);
  expect(lostFiles(model, "n0")).toHaveLength(2);
  for (const name of ["n2", "n1x1", "n0-1w", "n0-0x", "all", ""]) {
    expect(() => survivingFilesNamed(model, name)).toThrow(expect.objectContaining({ code: "BAD_ARGUMENT" }));
  }
});

test("more states than asked for: no more than asked for, everything and nothing among them", () => {
  const listing = (text: string): Listing =>
    Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`/${i}`, [`${i}`, text] as const]));
  const model = new FileModel(tree(listing("x")));
  model.observe(tree(listing("yy")));
  const seen = outcomes(model, 50);
  expect(seen.length).toBeLessThanOrEqual(50);
  for (const text of ["x", "yy"]) expect(seen).toContain(textOf(tree(listing(text))));
});
