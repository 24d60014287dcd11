import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CachedBundle, codeCachePath } from "../../runtime/process/code-cache.js";

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
  expect(first.bundle.isNew).toBe(true);
  first.bundle.keep();
  const second = load("one");
  expect(second.exported).toBe(`one${path}`);
  expect(second.bundle.isNew).toBe(false);
});

describe("nothing is used", () => {
  beforeEach(() => load("one").bundle.keep());

  test("of another source, also of the same length", () => {
    const { bundle, exported } = load("two");
    expect(exported).toBe(`two${path}`);
    expect(bundle.isNew).toBe(true);
  });

  test("that is damaged anywhere, or cut, and it is kept anew", () => {
    const whole = readFileSync(kept());
    chmodSync(kept(), 0o600);
    for (const at of [0, 12, whole.length >> 1, whole.length - 9, whole.length - 1]) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged.readUInt8(at) ^ 1;
      writeFileSync(kept(), damaged);
      expect(load("one").bundle.isNew).toBe(true);
    }
    for (const length of [0, 3, 7, whole.length - 1]) {
      writeFileSync(kept(), whole.subarray(0, length));
      expect(load("one").bundle.isNew).toBe(true);
    }
    load("one").bundle.keep();
    expect(load("one").bundle.isNew).toBe(false);
  });

  test("that others may write", () => {
    chmodSync(kept(), 0o620);
    expect(load("one").bundle.isNew).toBe(true);
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
  bundle.keep();
  expect(load("one").bundle.isNew).toBe(true);
  expect(readdirSync(directory).sort()).toEqual(["bundle.cjs", "cache"]);
});
