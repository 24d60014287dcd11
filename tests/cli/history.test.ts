import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Comparison, EpochSummary, Inspection } from "../../runtime/index.js";
import { Workshop } from "../support/command-line.js";
import { assembleText, exampleModule, placeGuest } from "../support/guests.js";

/** The whole way of a user through an image's past. */

const shop = new Workshop();
afterAll(() => shop.remove());
const counter = placeGuest(shop.work, "counter");
const nbody = exampleModule("n-body");

async function json<Result>(...args: string[]): Promise<Result> {
  const { stdout, stderr, status } = await shop.run([...args, "--json"]);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Result;
}

const numbers = async (image: string) => (await json<EpochSummary[]>("history", image)).map(({ epoch }) => epoch);

test("points of a run, back to one of them, a fork, a pin, and away with the rest", async () => {
  const first = await shop.run([
    "run",
    "--image",
    "a",
    "--keep",
    "4",
    "--persist-every-calls",
    "2",
    "--persist-sync",
    counter,
  ]);
  const epochs = await json<EpochSummary[]>("history", "a");
  expect(epochs).toHaveLength(4);
  expect(epochs.every(({ why }) => why === "calls")).toBe(true);
  expect(epochs.map(({ hostCalls }) => hostCalls)).toEqual(
    [...epochs.map(({ hostCalls }) => hostCalls)].sort((a, b) => a - b),
  );
  const [one, two] = epochs.map(({ epoch }) => String(epoch)) as [string, string];

  const again = await shop.run(["resume", "a", "--at", one]);
  expect(again.status).toBe(first.status);
  expect(first.stdout.endsWith(again.stdout)).toBe(true);
  expect(again.stdout).not.toBe("");

  expect(await shop.run(["history", "a", "--pin", two])).toMatchObject({ status: 0 });
  expect(await shop.run(["drop", `a@${two}`])).toMatchObject({ status: 74 });
  expect(await shop.run(["fork", `a@${two}`, "b"])).toMatchObject({ status: 0 });
  const forked = await shop.run(["resume", "b"]);
  expect(forked.status).toBe(first.status);
  expect(first.stdout.endsWith(forked.stdout)).toBe(true);

  const { epoch } = await json<Inspection>("inspect", "a", "--at", two);
  expect(String(epoch)).toBe(two);
  expect(await json("gc", "a", "--keep", "1")).toMatchObject({ epochs: expect.any(Array) });
  expect(await numbers("a")).toContain(Number(two));
  for (const image of ["a", "b"]) expect(await shop.run(["verify", image])).toMatchObject({ status: 0 });
});

test("diff: what the program has changed between two points", async () => {
  await shop.run(["run", "--image", "n", "--keep", "3", "--persist-every", "10ms", nbody]);
  const [before, after] = (await numbers("n")).map(String) as [string, string];
  const { memories, frames, descriptors } = await json<Comparison>("diff", "n", before, after);
  expect(memories[0]?.changed.length).toBeGreaterThan(0);
  expect(frames.same).toBeGreaterThan(0);
  expect(descriptors).toEqual([]);
  expect((await shop.run(["diff", "n", before, after])).stdout).toMatch(/^memory 0: \d+ pages changed/);
  expect((await json<Comparison>("diff", "n", before, before)).memories[0]?.changed).toEqual([]);
});

test("a damaged page: verify finds it, --repair goes back and says so", async () => {
  const points = ["--keep", "2", "--persist-every-calls", "2", "--persist-sync"];
  const run = await shop.run(["run", "--image", "d", ...points, "--fail-at-call", "fd_write:20", counter]);
  expect(run.status).toBe(85);
  const epochs = await numbers("d");
  const state = join(shop.work, "d", `state-${epochs.at(-1)}`);
  const bytes = readFileSync(state);
  bytes[bytes.length - 20]! ^= 1;
  writeFileSync(state, bytes);
  expect(await shop.run(["resume", "d"])).toMatchObject({ status: 74 });
  expect(await shop.run(["verify", "d"])).toMatchObject({ status: 74, stdout: expect.stringContaining("damaged") });
  expect(await shop.run(["verify", "d", "--repair"])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("repaired"),
  });
  expect(await shop.run(["verify", "d"])).toMatchObject({ status: 0 });
  const end = await shop.run(["resume", "d"]);
  const whole = await shop.run(["run", "--image", "whole", counter]);
  expect(end.status).toBe(whole.status);
  expect(whole.stdout.endsWith(end.stdout)).toBe(true);
  expect(end.stdout).not.toBe("");
});

test("a header that is gone: nothing replaces the epochs beside it; what removed images leave is replaced", async () => {
  const points = ["--keep", "3", "--persist-every-calls", "2", "--persist-sync"];
  const run = ["run", "--image", "h", ...points, "--fail-at-call", "fd_write:20", counter];
  expect((await shop.run(run)).status).toBe(85);
  const image = join(shop.work, "h");
  renameSync(join(image, "header"), join(shop.work, "header kept"));
  const before = readdirSync(image);
  for (const command of [run, ["resume", "h"], ["verify", "h"], ["verify", "h", "--repair"]]) {
    const { status, stderr } = await shop.run(command);
    expect({ command, status }).toEqual({ command, status: 74 });
    expect(stderr).toContain("it holds epochs, but its header is missing");
  }
  expect(readdirSync(image)).toEqual(before);
  renameSync(join(shop.work, "header kept"), join(image, "header"));
  expect((await shop.run(["verify", "h"])).status).toBe(0);
  renameSync(join(image, "header"), join(image, "header.new")); // a removal is killed
  expect((await shop.run(["run", "--image", "h", counter])).stdout).toMatch(/^1\n2\n/);
});

test("a pinned epoch whose file is gone is told", async () => {
  const points = ["--keep", "3", "--persist-every-calls", "2", "--persist-sync"];
  await shop.run(["run", "--image", "p", ...points, "--fail-at-call", "fd_write:20", counter]);
  const [pinned] = await numbers("p");
  expect((await shop.run(["history", "p", "--pin", String(pinned)])).status).toBe(0);
  expect((await shop.run(["verify", "p"])).status).toBe(0);
  rmSync(join(shop.work, "p", `state-${pinned}`));
  const { status, stdout } = await shop.run(["verify", "p"]);
  expect(status).toBe(74);
  expect(stdout).toContain(`state-${pinned}: the file of a pinned epoch is missing`);
  expect((await shop.run(["verify", "p", "--repair"])).status).toBe(0);
  expect((await shop.run(["verify", "p"])).status).toBe(0);
});

test("vermilion_persist: the epoch at first; on a resume from it, its negative", async () => {
  const asking = join(shop.work, "asking.wasm");
  writeFileSync(
    asking,
    assembleText(`(module
      (import "vermilion" "persist" (func $persist (result i64)))
      (import "vermilion" "epoch" (func $epoch (result i64)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (global $before (mut i64) (i64.const 0))
      (func (export "_start") (local $result i64)
        (global.set $before (call $epoch))
        (i32.store (i32.const 64) (i32.const 5))
        (local.set $result (call $persist))
        (if (i64.eqz (local.get $result)) (then (call $exit (i32.const 100))))
        (if (i64.gt_s (local.get $result) (i64.const 0))
          (then (call $exit (i32.wrap_i64 (i64.add (local.get $result) (i64.mul (i64.const 10) (call $epoch)))))))
        (call $exit (i32.wrap_i64 (i64.add (i64.const 40) (i64.sub (i64.const 0) (local.get $result)))))))`),
  );
  const image = ["--image", "asking", "--keep", "2"];
  expect(await shop.run(["run", ...image, asking])).toMatchObject({ status: 11, stderr: "" });
  expect(await json<EpochSummary[]>("history", "asking")).toMatchObject([{ epoch: 1, why: "guest" }]);
  expect(await shop.run(["resume", "asking", "--at", "1"])).toMatchObject({ status: 41 });
  const inPlace = await shop.run(["run", "--in-place", "--image", "there", asking]);
  expect(inPlace).toMatchObject({ status: 100, stderr: expect.stringContaining("no persistence point") });
});

describe("a program that traps", () => {
  const trapping = join(shop.work, "trapping.wasm");
  writeFileSync(
    trapping,
    assembleText(`(module
      (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      (memory (export "memory") 1)
      (func $inner (unreachable))
      (func $outer
        (local $i i32)
        (loop $again
          (drop (call $yield))
          (i32.store (i32.const 4096) (local.get $i))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
        (call $inner))
      (func (export "_start") (call $outer)))`),
  );

  test("inspect shows where; resume --at goes back before it", async () => {
    const run = await shop.run(["run", "--image", "t", "--persist-every-calls", "4", "--persist-sync", trapping]);
    expect(run.status).toBe(134);
    const { status, trap, frames, memories } = await json<Inspection>("inspect", "t");
    expect(status).toBe("trapped");
    expect(trap).toContain("unreachable");
    expect(frames.slice(0, 2).map(({ functionIndex }) => functionIndex)).toEqual([1, 2]); // inner, outer
    expect(memories[0]?.diskByteLength).toBeGreaterThan(0);
    expect(await shop.run(["resume", "t"])).toMatchObject({ status: 74 });
    const [epoch] = await numbers("t");
    expect(await shop.run(["resume", "t", "--at", String(epoch)])).toMatchObject({ status: 134 });
  });
});

test("no such epoch: status 74; no epoch at all, or no number: usage", async () => {
  await shop.run(["run", "--image", "e", "--keep", "2", "--persist-every-calls", "2", "--persist-sync", counter]);
  expect(await shop.run(["resume", "e", "--at", "999"])).toMatchObject({ status: 74 });
  expect(await shop.run(["fork", "e@999", "f"])).toMatchObject({ status: 74 });
  expect(await shop.run(["drop", "e"])).toMatchObject({ status: 2 });
  expect(await shop.run(["resume", "e", "--at", "x"])).toMatchObject({ status: 2 });
  expect(await shop.run(["run", "--keep", "0", counter])).toMatchObject({ status: 2 });
});
