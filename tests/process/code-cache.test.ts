import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CachedBundle, codeCachePath } from "../../runtime/process/code-cache.js";

const built = new URL("../../dist/runtime/process/code-cache.js", import.meta.url);
let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vermilion-code-cache-"));
  path = join(directory, "bundle.cjs");
  vi.stubEnv("XDG_CACHE_HOME", join(directory, "cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

function load(returned: string): { bundle: CachedBundle; exported: unknown } {
  writeFileSync(path, `const later = () => ${JSON.stringify(returned)};\nexports.value = later() + __filename;\n`);
  const bundle = new CachedBundle(path, codeCachePath("run", []));
  const module: { exports: { value?: string } } = { exports: {} };
  bundle.run(module, createRequire(path));
  return { bundle, exported: module.exports.value };
}

function kept(): string {
  return codeCachePath("run", []);
}

test("what was kept is used by the next one", () => {
  const first = load("one");
  expect(first.exported).toBe(`one${path}`);
  expect(first.bundle.runsKept("over")).toBe(0);
  first.bundle.keep("over");
  const second = load("one");
  expect(second.exported).toBe(`one${path}`);
  expect(second.bundle.runsKept("over")).toBe(1);
});

test("what was kept after flags for compiling wasm were set, and set back, is used by the next one", () => {
  const script = `
    import { createRequire } from "node:module";
    import { setFlagsFromString } from "node:v8";
    import { CachedBundle } from ${JSON.stringify(built.href)};
    const bundle = new CachedBundle(${JSON.stringify(path)}, ${JSON.stringify(kept())});
    const held = bundle.runsKept("over") > 0;
    bundle.run({ exports: {} }, createRequire(${JSON.stringify(path)}));
    for (const flag of ["--no-liftoff", "--liftoff", "--wasm-tiering-budget=9000000"]) setFlagsFromString(flag);
    bundle.keep("over");
    process.exit(held ? 85 : 0);`;
  writeFileSync(path, "exports.value = 1;\n");
  const run = () => spawnSync(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" }).status;
  expect([run(), run()]).toEqual([0, 85]);
});

test("it is kept after three runs of each end, with what all of them have needed", () => {
  load("one").bundle.keep("over");
  const inodes = [statSync(kept()).ino]; // of one that is replaced the number is not free yet
  for (const end of ["saved", "over", "over", "saved", "over", "saved", "saved"] as const) {
    load("one").bundle.keep(end);
    inodes.push(statSync(kept()).ino);
  }
  const replaced = inodes.slice(1).map((inode, index) => inode !== inodes[index]);
  expect(replaced).toEqual([true, true, true, true, false, true, false]);
  const { bundle } = load("one");
  expect([bundle.runsKept("over"), bundle.runsKept("saved")]).toEqual([3, 3]);
});

describe("nothing is used", () => {
  beforeEach(() => load("one").bundle.keep("over"));

  test("of another source, also of the same length", () => {
    const { bundle, exported } = load("two");
    expect(exported).toBe(`two${path}`);
    expect(bundle.runsKept("over")).toBe(0);
  });

  test("that is damaged anywhere, or cut, and it is kept anew", () => {
    const whole = readFileSync(kept());
    chmodSync(kept(), 0o600);
    for (const at of [0, 12, whole.length >> 1, whole.length - 9, whole.length - 1]) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged.readUInt8(at) ^ 1;
      writeFileSync(kept(), damaged);
      expect(load("one").bundle.runsKept("over")).toBe(0);
    }
    for (const length of [0, 3, 7, whole.length - 1]) {
      writeFileSync(kept(), whole.subarray(0, length));
      expect(load("one").bundle.runsKept("over")).toBe(0);
    }
    load("one").bundle.keep("over");
    expect(load("one").bundle.runsKept("over")).toBe(1);
  });

  test("that others may write", () => {
    chmodSync(kept(), 0o620);
    expect(load("one").bundle.runsKept("over")).toBe(0);
  });
});

test("each purpose, and each way to start Node, has a file of its own", () => {
  const paths = [codeCachePath("run", []), codeCachePath("resume", []), codeCachePath("run", ["--no-opt"])];
  vi.stubEnv("NODE_OPTIONS", "--max-old-space-size=100");
  paths.push(codeCachePath("run", []));
  expect(new Set(paths).size).toBe(paths.length);
});

test("where nothing can be written, nothing is kept", () => {
  writeFileSync(join(directory, "cache"), "a file");
  const { bundle } = load("one");
  bundle.keep("over");
  expect(load("one").bundle.runsKept("over")).toBe(0);
  expect(readdirSync(directory).sort()).toEqual(["bundle.cjs", "cache"]);
});
