import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { contentHash } from "../../runtime/process/image/content-hash.js";
import { SeenModule } from "../../runtime/process/seen-module.js";
import { Workshop } from "../support/command-line.js";
import { assembleText } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());
const env = { XDG_CACHE_HOME: join(shop.directory, "cache") };
const cache = join(env.XDG_CACHE_HOME, "vermilion");

/** It has as much code as a profile is worth. Writes a line; given an argument, it computes for a while before. */
const TEXT = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00done\\0a")
  (func ${"(drop (i32.const 123456789))".repeat(1 << 15)})
  (func $say (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))))
  (func $arguments (result i32) (drop (call $sizes (i32.const 64) (i32.const 68))) (i32.load (i32.const 64)))
  (func (export "_start") (local $i i32)
    (if (i32.gt_u (call $arguments) (i32.const 1))
      (then (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 0x20000000))))))
    (call $say)))`;
const guest = assembleText(TEXT);

function profiles(): Map<string, Buffer> {
  const folders = readdirSync(cache).filter((name) => name.startsWith("instrumented"));
  const paths = folders.flatMap((folder) => readdirSync(join(cache, folder)).map((name) => join(cache, folder, name)));
  const found = paths.filter((path) => /\.(start|resume)$/.test(path));
  return new Map(found.map((path) => [path, readFileSync(path)]));
}

test("the first starts of a program are looked at, and the next ones use what was seen, or nothing if it is damaged", async () => {
  writeFileSync(join(shop.work, "guest.wasm"), guest);
  const run = async (): Promise<void> => {
    const { status, stdout, stderr } = await shop.run(["run", "guest.wasm"], { env });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "done\n", stderr: "" });
  };
  await run();
  expect(profiles().size).toBe(0); // it was instrumented first
  for (let seen = 1; seen <= 3; seen++) {
    await run();
    expect([...profiles().values()].map((profile) => profile.readUInt32LE(0))).toEqual([seen]);
  }
  const known = profiles();
  await run();
  expect(profiles()).toEqual(known);
  for (const [path, profile] of known) {
    expect(profile.length).toBeGreaterThan(2 * 8); // the program's own functions, at least
    chmodSync(path, 0o600);
    writeFileSync(path, profile.subarray(0, 9));
  }
  await run();
  expect([...profiles().values()].map((profile) => profile.readUInt32LE(0))).toEqual([1]);
});

test("a run that the power failed is not learned from, and where it goes on has a profile of its own", async () => {
  const cut = ["run", "--image", "image", "--fail-after", "20ms", "guest.wasm", "on"];
  const known = profiles();
  expect((await shop.run(cut, { env })).status).toBe(85);
  expect(profiles()).toEqual(known);
  const { status, stdout } = await shop.run(["resume", "image"], { env });
  expect({ status, stdout }).toEqual({ status: 0, stdout: "done\n" });
  const [added, ...more] = [...profiles().keys()].filter((path) => !known.has(path));
  expect(added).toMatch(/resume$/);
  expect(more).toEqual([]);
});

test("a program in a file where another was before: what is learned is its own", async () => {
  const other = assembleText(TEXT.replace("done", "DONE"));
  writeFileSync(join(shop.work, "other.wasm"), other);
  const run = () => shop.run(["run", "other.wasm"], { env });
  await run();
  new SeenModule(cache, join(shop.work, "other.wasm")).remember(contentHash(guest));
  const known = profiles();
  expect(await run()).toMatchObject({ status: 0, stdout: "DONE\n" });
  const changed = [...profiles()].filter(([path, profile]) => known.get(path)?.equals(profile) !== true);
  expect(changed.map(([path]) => path.includes(contentHash(other)))).toEqual([true]);
});
