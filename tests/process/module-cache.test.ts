import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Image } from "../../runtime/process/image/image.js";
import { ModuleCache } from "../../runtime/process/module-cache.js";

const large = new Uint8Array((1 << 20) + 5).fill(7);
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vermilion-module-cache-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("an instrumented form comes back as it was, for its module and mode only", () => {
  const form = {
    bytes: Buffer.from(Uint8Array.from({ length: 101 }, (_, i) => i)),
    bodies: Uint32Array.of(7, 2 ** 31),
  };
  new ModuleCache(directory, large).forms.writeForm("fast", form);
  expect(new ModuleCache(directory, large).forms.readForm("fast")).toEqual({ ...form, isValid: true });
  expect(new ModuleCache(directory, large).forms.readForm("exact")).toBeUndefined();
  expect(new ModuleCache(directory, large.slice(1)).forms.readForm("fast")).toBeUndefined();
});

test("a form that another engine has made is not known to be valid until this one has said so", () => {
  const form = { bytes: Buffer.of(1, 2, 3), bodies: Uint32Array.of(8) };
  const cache = new ModuleCache(directory, large);
  cache.forms.writeForm("fast", form);
  for (const folder of readdirSync(directory)) {
    for (const name of readdirSync(join(directory, folder))) {
      if (name.endsWith(process.versions.v8)) rmSync(join(directory, folder, name));
    }
  }
  expect(cache.forms.readForm("fast")).toEqual({ ...form, isValid: false });
  cache.forms.writeForm("fast", { ...form, isValid: false });
  expect(cache.forms.readForm("fast")?.isValid).toBe(true);
});

test("a form whose file is damaged, or shorter: there is none", () => {
  const cache = new ModuleCache(directory, large);
  cache.forms.writeForm("fast", { bytes: Buffer.of(1, 2, 3), bodies: Uint32Array.of(8) });
  const [folder = ""] = readdirSync(directory);
  const [name = ""] = readdirSync(join(directory, folder)).filter((each) => each.endsWith(".wasm"));
  const path = join(directory, folder, name);
  const whole = readFileSync(path);
  chmodSync(path, 0o600);
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    for (const bytes of [damaged, whole.subarray(0, at)]) {
      writeFileSync(path, bytes);
      expect(cache.forms.readForm("fast"), `byte ${at}`).toBeUndefined();
    }
  }
});

test("the copy of a large module is its bytes, read-only, and made anew when they have changed", () => {
  const path = new ModuleCache(directory, large).durableCopy();
  expect(path).toBeDefined();
  expect(readFileSync(path ?? "").equals(large)).toBe(true);
  expect(statSync(path ?? "").mode & 0o777).toBe(0o400);
  const differing = Buffer.from(large);
  differing[differing.length - 1] = 8;
  for (const changed of ["something else", differing]) {
    chmodSync(path ?? "", 0o600);
    writeFileSync(path ?? "", changed);
    expect(new ModuleCache(directory, large).durableCopy()).toBe(path);
    expect(readFileSync(path ?? "").equals(large)).toBe(true);
  }
});

test("there is no copy of a small module, nor where none can be written", () => {
  expect(new ModuleCache(directory, new Uint8Array(8)).durableCopy()).toBeUndefined();
  writeFileSync(join(directory, "a file"), "");
  expect(new ModuleCache(join(directory, "a file"), large).durableCopy()).toBeUndefined();
});

test("an image links the copy, and outlives it", () => {
  const copy = new ModuleCache(directory, large).durableCopy() ?? "";
  const path = join(directory, "image");
  const options = { moduleBytes: large, moduleCopy: copy, command: {}, instrumenterVersion: 1 };
  Image.create(path, options).close();
  expect(statSync(join(path, "module.wasm")).ino).toBe(statSync(copy).ino);
  rmSync(copy);
  const opened = Image.open(path, { instrumenterVersion: 1 });
  expect(Buffer.from(opened.moduleBytes).equals(large)).toBe(true);
  opened.close();
});

test("without a copy that can be linked, the image holds the bytes themselves", () => {
  const path = join(directory, "image");
  const options = { moduleBytes: large, moduleCopy: join(directory, "gone"), command: {}, instrumenterVersion: 1 };
  Image.create(path, options).close();
  expect(readFileSync(join(path, "module.wasm")).equals(large)).toBe(true);
});
