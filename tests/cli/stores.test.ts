import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EpochSummary, StoredEpoch } from "../../runtime/index.js";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

/** A process is run, some of its epochs go to a store, and it goes on from there in another directory. */

const shop = new Workshop();
afterAll(() => shop.remove());
const counter = placeGuest(shop.work, "counter");

async function json<Result>(...args: string[]): Promise<Result> {
  const { stdout, stderr, status } = await shop.run([...args, "--json"]);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Result;
}

let whole: { readonly stdout: string; readonly status: number | null };
let epochs: readonly number[];
beforeAll(async () => {
  const points = ["--keep", "3", "--persist-every-calls", "2", "--persist-sync"];
  whole = await shop.run(["run", "--image", "a", ...points, counter]);
  epochs = (await json<EpochSummary[]>("history", "a")).map(({ epoch }) => epoch);
  expect(epochs).toHaveLength(3);
  const driver = `
    const blocks = new Map();
    export default {
      location: "a map",
      put: async (name, bytes) => void blocks.set(name, bytes),
      get: async (name) => blocks.get(name),
      list: async (prefix) => [...blocks].filter(([name]) => name.startsWith(prefix)).map(([name, { byteLength }]) => ({ name, byteLength })),
      remove: async (name) => void blocks.delete(name),
    };`;
  writeFileSync(join(shop.work, "driver.mjs"), driver);
  writeFileSync(join(shop.work, "throws.mjs"), "throw new Error();");
  const never = "async () => await new Promise(() => {})";
  const silent = ["put", "get", "list", "remove"].map((name) => `${name}: ${never}`);
  writeFileSync(join(shop.work, "silent.mjs"), `export default { location: "", ${silent.join(", ")} };`);
  writeFileSync(join(shop.work, "no-driver.mjs"), "export default { put() {} };");
});

describe.each(["dir:store", "sqlite:store.db"])("%s", (store) => {
  const copy = `copy of ${store.slice(0, 3)}`;

  test("push, history, pull, resume, prune", async () => {
    for (const command of [["history"], ["prune"], ["pull"]]) {
      const place = command[0] === "pull" ? [store, "new"] : [store];
      const { status, stderr } = await shop.run([...command, ...place]);
      expect({ status, stderr }).toEqual({ status: 74, stderr: expect.stringContaining("no such store") });
    }
    expect(existsSync(join(shop.work, store.slice(store.indexOf(":") + 1)))).toBe(false);
    const [first, second, third] = epochs as [number, number, number];
    for (const epoch of [first, second, third]) {
      const { status, stderr } = await shop.run(["push", `a@${epoch}`, store]);
      expect(status, stderr).toBe(0);
      expect(stderr).toContain(`epoch ${epoch}`);
    }
    expect((await json<StoredEpoch[]>("history", store)).map(({ epoch }) => epoch)).toEqual(epochs);
    expect((await shop.run(["history", store])).stdout.trim().split("\n")).toHaveLength(3);
    expect(await shop.run(["pull", `${store}@${second}`, copy])).toMatchObject({ status: 0 });
    expect((await json<EpochSummary[]>("history", copy)).map(({ epoch }) => epoch)).toEqual([second]);
    expect(await shop.run(["verify", copy])).toMatchObject({ status: 0 });
    const resumed = await shop.run(["resume", copy]);
    expect(resumed.status).toBe(whole.status);
    expect(resumed.stdout).not.toBe("");
    expect(whole.stdout.endsWith(resumed.stdout)).toBe(true);
    expect(await json("prune", store, "--keep", "1")).toMatchObject({ epochs: [first, second] });
    expect((await json<StoredEpoch[]>("history", store)).map(({ epoch }) => epoch)).toEqual([third]);
    expect(await shop.run(["pull", `${store}@${first}`, "gone"])).toMatchObject({ status: 74 });
    expect(await shop.run(["pull", store, "a"])).toMatchObject({ status: 74 });
  });
});

test("module: a driver of one's own; what is none is refused", async () => {
  const pushed = await shop.run(["push", `a@${epochs[0]}`, "module:driver.mjs"]);
  expect(pushed.stderr).toContain("new blocks");
  expect(pushed.status).toBe(0);
  expect(await shop.run(["history", "module:driver.mjs"])).toMatchObject({ status: 0, stdout: "no epochs\n" });
  expect(await shop.run(["push", "a", "module:no-driver.mjs"])).toMatchObject({ status: 2 });
  expect(await shop.run(["push", "a", "module:missing.mjs"])).toMatchObject({ status: 74 });
  expect(await shop.run(["push", `a@${epochs[0]}`, "module:throws.mjs"])).toMatchObject({ status: 74 });
  const silent = await shop.run(["push", `a@${epochs[0]}`, "module:silent.mjs"]);
  expect(silent).toMatchObject({ status: 74, stderr: expect.stringContaining("nothing is confirmed") });
});

test("what is no store, no image, or has nothing to go on with: refused", async () => {
  expect(await shop.run(["push", "a", "ftp://x"])).toMatchObject({ status: 2 });
  expect(await shop.run(["pull", "somewhere", "b"])).toMatchObject({ status: 2 });
  expect(await shop.run(["push", "nothing", "dir:store"])).toMatchObject({ status: 74 });
  expect(await shop.run(["push", "a", "dir:other"])).toMatchObject({ status: 74 }); // the program has ended
  expect(await shop.run(["history", "dir:store", "--pin", "1"])).toMatchObject({ status: 2 });
});

describe("--replicate", () => {
  const ledger = placeGuest(shop.work, "ledger");

  test("each point of a run goes to the store; SIGKILL, pulled elsewhere, and on to the same end", {
    timeout: 60_000,
  }, async () => {
    const points = ["--persist-every", "30ms", "--replicate", "dir:replica"];
    const directory = ["--dir", `${shop.work}::/`];
    const running = shop.start(["run", "--image", "origin", ...points, ...directory, ledger]);
    const stored = async () => (await json<StoredEpoch[]>("history", "dir:replica")).map(({ epoch }) => epoch);
    await expect.poll(async () => (await stored()).length, { timeout: 30_000 }).toBeGreaterThan(2);
    running.kill("SIGKILL");
    await running.ended;
    const found = await stored();
    expect(await shop.run(["pull", `dir:replica@${found[1]}`, "elsewhere"])).toMatchObject({ status: 0 });
    expect(await shop.run(["verify", "elsewhere"])).toMatchObject({ status: 0 });
    expect(await shop.run(["resume", "elsewhere", "--on-changed-file", "ignore"])).toMatchObject({ status: 0 });
  });

  test("what a power failure has saved is pushed behind the end of the run", async () => {
    const failed = await shop.run([
      "run",
      "--image",
      "b",
      "--fail-at-call",
      "fd_write:2",
      "--replicate",
      "sqlite:b.db",
      counter,
    ]);
    expect(failed.status).toBe(85);
    const stored = async () => (await shop.run(["history", "sqlite:b.db", "--json"])).stdout;
    await expect.poll(stored, { timeout: 20_000 }).toContain('"why": "failure"');
    expect(await shop.run(["pull", "sqlite:b.db", "b again"])).toMatchObject({ status: 0 });
    const ended = await shop.run(["resume", "b again"]);
    expect(`${failed.stdout}${ended.stdout}`).toBe(whole.stdout);
  });

  test("memory in place, or what is no store: refused, and nothing runs", async () => {
    for (const options of [
      ["--in-place", "--replicate", "dir:x"],
      ["--replicate", "somewhere"],
    ]) {
      expect(await shop.run(["run", "--image", "none", ...options, counter])).toMatchObject({ status: 2, stdout: "" });
    }
  });
});
