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
  expect(first.bundle.holds("over")).toBe(false);
  first.bundle.keep("over");
  const second = load("one");
  expect(second.exported).toBe(`one${path}`);
  expect(second.bundle.holds("over")).toBe(true);
});

test("what was kept after flags for compiling wasm were set, and set back, is used by the next one", () => {
  const script = `
    import { createRequire } from "node:module";
    import { setFlagsFromString } from "node:v8";
    import { CachedBundle } from ${JSON.stringify(built.href)};
    const bundle = new CachedBundle(${JSON.stringify(path)}, ${JSON.stringify(kept())});
    const held = bundle.holds("over");
    bundle.run({ exports: {} }, createRequire(${JSON.stringify(path)}));
    for (const flag of ["--no-liftoff", "--liftoff", "--wasm-tiering-budget=9000000"]) setFlagsFromString(flag);
    bundle.keep("over");
    process.exit(held ? 85 : 0);`;
  writeFileSync(path, "exports.value = 1;\n");
  const run = () => spawnSync(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" }).status;
  expect([run(), run()]).toEqual([0, 85]);
});

test("after an end of another kind it is kept again, for both", () => {
  load("one").bundle.keep("over");
  const second = load("one").bundle;
  expect(second.holds("saved")).toBe(false);
  const before = statSync(kept()).ino;
  second.keep("over");
  expect(statSync(kept()).ino).toBe(before);
  second.keep("saved");
  const third = load("one").bundle;
  expect([third.holds("over"), third.holds("saved")]).toEqual([true, true]);
});

describe("nothing is used", () => {
  beforeEach(() => load("one").bundle.keep("over"));

  test("of another source, also of the same length", () => {
    const { bundle, exported } = load("two");
    expect(exported).toBe(`two${path}`);
    expect(bundle.holds("over")).toBe(false);
  });

  test("that is damaged anywhere, or cut, and it is kept anew", () => {
    const whole = readFileSync(kept());
    chmodSync(kept(), 0o600);
    for (const at of [0, 12, whole.length >> 1, whole.length - 9, whole.length - 1]) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged.readUInt8(at) ^ 1;
      writeFileSync(kept(), damaged);
      expect(load("one").bundle.holds("over")).toBe(false);
    }
    for (const length of [0, 3, 7, whole.length - 1]) {
      writeFileSync(kept(), whole.subarray(0, length));
      expect(load("one").bundle.holds("over")).toBe(false);
    }
    load("one").bundle.keep("over");
    expect(load("one").bundle.holds("over")).toBe(true);
  });

  test("that others may write", () => {
    chmodSync(kept(), 0o620);
    expect(load("one").bundle.holds("over")).toBe(false);
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
  expect(load("one").bundle.holds("over")).toBe(false);
  expect(readdirSync(directory).sort()).toEqual(["bundle.cjs", "cache"]);
});
