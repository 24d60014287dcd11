import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());
placeGuest(shop.work, "reactor");

describe("vermilion call", () => {
  test("a module: instantiated once; each call in a process of its own goes on with what the last one left", async () => {
    expect(await shop.run(["call", "reactor.wasm", "add", "5"])).toEqual({
      status: 0,
      signal: null,
      stdout: "7\n8\n5\n105\n",
      stderr: "",
    });
    expect(await shop.run(["call", "reactor.wasm", "add", "-6"])).toMatchObject({
      stdout: "4294967290\n99\n",
      status: 0,
    });
    expect(await shop.run(["call", "--env", "A=1", "reactor.wasm", "add", "5"])).toMatchObject({
      stdout: "7\n8\n5\n105\n",
    });
  });

  test("an image: named by --image in the first call", async () => {
    expect((await shop.run(["call", "--image", "named", "reactor.wasm", "add", "1"])).stdout).toBe("7\n8\n1\n101\n");
    expect((await shop.run(["call", "named", "add", "1"])).stdout).toBe("1\n102\n");
    expect((await shop.run(["call", "--image", "named", "--fresh", "reactor.wasm", "add", "1"])).stdout).toBe(
      "7\n8\n1\n101\n",
    );
    const refused = await shop.run(["run", "--image", "named", "--invoke", "add", "reactor.wasm", "1"]);
    expect(refused).toMatchObject({ status: 74, stdout: "" });
  });

  test("the power fails inside a call: the same command goes on and prints the result", async () => {
    const command = ["call", "--fail-at-call", "fd_write:1:after", "--image", "struck", "reactor.wasm", "add", "1"];
    const runs = [];
    for (let index = 0; index < 4; index++) runs.push(await shop.run(command));
    expect(runs.map(({ status }) => status)).toEqual([85, 85, 85, 0]);
    expect(runs.map(({ stdout }) => stdout)).toEqual(["7\n", "8\n", "1\n", "101\n"]);
    expect(runs[3]?.stderr).toMatch(/^vermilion: resuming struck, epoch 3/);
    const next = await shop.run(["call", "--fail-at-call", "fd_write:1", "struck", "add", "2"]);
    expect(next).toMatchObject({ status: 85, stdout: "" });
    const other = await shop.run(["call", "struck", "add", "3"]);
    expect(other).toMatchObject({ status: 74, stdout: "", stderr: expect.stringContaining("add 2") });
    expect(await shop.run(["resume", "struck"])).toMatchObject({ status: 0, stdout: "2\n103\n" });
    expect(await shop.run(["resume", "struck"])).toMatchObject({ status: 2, stdout: "" });
  });

  test("SIGPWR in the middle of a long call, and a time limit", async () => {
    const command = ["call", "--image", "long", "-W", "timeout=150ms", "reactor.wasm", "slow_add", "4"];
    const run = shop.start(command, { input: "" });
    await run.printed("8\n");
    run.kill("SIGPWR");
    expect((await run.ended).status).toBe(85);
    let last = await shop.run(command);
    while (last.status === 124) last = await shop.run(command);
    expect(last).toMatchObject({ status: 0, stdout: "4\n104\n" });
  });

  test("killed during a call: as before it, and it says so", async () => {
    await shop.run(["call", "--image", "killed before", "reactor.wasm", "add", "1"]);
    const run = shop.start(["call", "killed before", "hang"], { input: "" });
    await run.printed("9\n");
    run.kill("SIGKILL");
    await run.ended;
    const after = await shop.run(["call", "killed before", "add", "1"]);
    expect(after).toMatchObject({ status: 0, stdout: "1\n102\n", stderr: expect.stringContaining("was killed") });
  });

  test("killed during a call, in place: refused until --fresh", async () => {
    await shop.run(["call", "--in-place", "--image", "killed", "reactor.wasm", "add", "1"]);
    const run = shop.start(["call", "killed", "hang"], { input: "" });
    await run.printed("9\n");
    run.kill("SIGKILL");
    await run.ended;
    expect(await shop.run(["call", "killed", "add", "1"])).toMatchObject({ status: 74, stdout: "" });
    const again = ["call", "--image", "killed", "reactor.wasm", "add", "1"];
    expect(await shop.run(again)).toMatchObject({ status: 74, stderr: expect.stringContaining("--fresh") });
    expect((await shop.run([...again.slice(0, 3), "--fresh", ...again.slice(3)])).stdout).toBe("7\n8\n1\n101\n");
  });

  test.each([
    ["no function", ["call", "reactor.wasm"]],
    ["no such function", ["call", "--image", "refused", "reactor.wasm", "subtract"]],
    ["no number", ["call", "--image", "refused", "reactor.wasm", "add", "one"]],
    ["a new environment for an instance that is there", ["call", "--env", "A=1", ".", "add", "1"]],
    ["another kind of memory for it", ["call", "--in-place", ".", "add", "1"]],
  ])("%s: status 2, and no image is left", async (_, args) => {
    expect(await shop.run(args)).toMatchObject({ status: 2, stdout: "" });
    expect(existsSync(join(shop.work, "refused"))).toBe(false);
  });

  test("a call that cannot be is refused with the name of the image", async () => {
    await shop.run(["call", "--image", "choosy", "reactor.wasm", "add", "1"]);
    for (const call of [["subtract"], ["add", "one"], ["add"]]) {
      const { status, stderr } = await shop.run(["call", "choosy", ...call]);
      expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(/^vermilion: \/.*\/choosy: /) });
    }
  });
});
