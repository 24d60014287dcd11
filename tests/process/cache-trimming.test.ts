import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { trimCache } from "../../runtime/process/cache-trimming.js";

const DAY = 86_400_000;
const NOW = Date.now();
let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "vermilion-trimming-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** Written so many days ago, and read since. */
function file(path: string, written: number, read = written): void {
  const whole = join(cache, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, "");
  utimesSync(whole, new Date(NOW - read * DAY), new Date(NOW - written * DAY));
}

const left = () =>
  readdirSync(cache, { recursive: true, withFileTypes: true })
    .flatMap((each) => (each.isFile() ? [each.name] : []))
    .sort();

test("what was not used for thirty days goes; a form keeps what belongs to it", () => {
  file("instrumented-2.8/ab-flag.wasm", 90, 3);
  file("instrumented-2.8/ab-flag.wasm.12.4", 90);
  file("instrumented-2.8/ab-flag.wasm.12.4.start", 80);
  file("instrumented-2.8/cd-flag.wasm", 90, 31);
  file("instrumented-2.8/cd-flag.wasm.12.4", 90);
  file("instrumented-2.6/ab-flag.wasm", 40);
  file("modules/ab.wasm", 90, 29);
  file("modules/cd.wasm", 90);
  file("seen/1-2-3-4", 31);
  file("code/command-run-v20.0.0-x64", 31);
  file("code/command-run-v20.1.0-x64", 1);
  trimCache(cache, NOW);
  expect(left()).toEqual([
    ...["ab-flag.wasm", "ab-flag.wasm.12.4", "ab-flag.wasm.12.4.start", "ab.wasm"],
    ...["command-run-v20.1.0-x64", "trimmed"],
  ]);
  expect(readdirSync(cache).sort()).toEqual(["code", "instrumented-2.8", "modules", "trimmed"]);
});

test("once a day", () => {
  trimCache(cache, NOW);
  file("seen/1-2-3-4", 90);
  trimCache(cache, NOW + DAY / 2);
  expect(left()).toEqual(["1-2-3-4", "trimmed"]);
  trimCache(cache, NOW + 2 * DAY);
  expect(left()).toEqual(["trimmed"]);
});

test("only in folders of ours, and not through links", () => {
  const elsewhere = join(cache, "elsewhere");
  file("elsewhere/precious", 90);
  symlinkSync(elsewhere, join(cache, "modules"));
  trimCache(cache, NOW);
  expect(existsSync(join(elsewhere, "precious"))).toBe(true);
});

test("a cache that is not there, or cannot be written: nothing happens", () => {
  trimCache("/proc/nowhere", NOW);
  trimCache("/proc", NOW);
});
