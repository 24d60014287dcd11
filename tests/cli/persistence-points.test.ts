import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Running, Workshop } from "../support/command-line.js";
import { exampleModule, placeGuest } from "../support/guests.js";

/** SIGKILL shows what the death of a process leaves; power cuts are tested in tests/process/image. */

const shop = new Workshop();
afterAll(() => shop.remove());

const ledger = placeGuest(shop.work, "ledger");
const counter = placeGuest(shop.work, "counter");
const cat = placeGuest(shop.work, "cat");
const MOST_RUNS = 60;

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function epochOf(image: string): Promise<number> {
  const { stdout } = await shop.run(["inspect", "--json", image]);
  return (JSON.parse(stdout) as { epoch: number }).epoch;
}

/** The command's arguments with a directory of its own for the file. */
function ledgerRun(name: string): { readonly args: readonly string[]; readonly written: () => string } {
  const directory = join(shop.work, `${name} data`);
  mkdirSync(directory);
  const args = ["--image", name, "--dir", `${directory}::/`, ledger];
  return { args, written: () => readFileSync(join(directory, "out"), "utf8") };
}

/** Resolves when so many lines are in the file. */
async function hasWritten(written: () => string, lines: number): Promise<void> {
  for (;;) {
    try {
      if (written().split("\n").length > lines) return;
    } catch {} // there is no file yet
    await sleep(2);
  }
}

describe("--persist-every 20ms and SIGKILL at random moments", () => {
  let expected: string;
  /** Of a run that nobody kills, on this machine as busy as it is. */
  let milliseconds: number;
  beforeAll(async () => {
    const { args, written } = ledgerRun("reference");
    const startedAt = performance.now();
    expect(await shop.run(["run", ...args])).toMatchObject({ status: 0 });
    milliseconds = performance.now() - startedAt;
    expected = written();
    expect(expected.split("\n")).toHaveLength(402);
  });

  test.each([1, 2])("seed %i: no run goes on from an earlier epoch, and the file is right", async (seed) => {
    const next = random(seed);
    const { args, written } = ledgerRun(`chain ${seed}`);
    let epoch = 0;
    for (let runs = 1; runs <= MOST_RUNS; runs++) {
      const run = shop.start(["run", "--persist-every", "20ms", ...args], { input: "" });
      if (runs > 1) await run.said("resuming");
      await Promise.race([
        run.ended,
        runs === 1 ? hasWritten(written, 100) : sleep(milliseconds * (0.1 + 0.5 * next())),
      ]);
      run.kill("SIGKILL");
      const { status, stderr } = await run.ended;
      if (stderr === "" && status === null) continue; // on a busy machine: killed before it had begun
      const from = Number(/resuming .*, epoch (\d+),/.exec(stderr)?.[1] ?? 0);
      expect(from, `seed ${seed}, run ${runs}: ${stderr}`).toBeGreaterThanOrEqual(epoch);
      epoch = from;
      if (status === null) continue;
      expect(status, stderr).toBe(0);
      expect(written()).toBe(expected);
      expect(runs).toBeGreaterThan(1);
      return;
    }
    throw new Error(`seed ${seed}: not done after ${MOST_RUNS} runs, epoch ${epoch}`);
  });
});

test("--persist-every-calls 1 and SIGKILL: at most the last call is made again", async () => {
  const run = shop.start(["run", "--image", "calls", "--persist-every-calls", "1", "--persist-sync", counter], {
    input: "",
  });
  await run.printed("\n9\n");
  run.kill("SIGKILL");
  const before = (await run.ended).stdout.trimEnd().split("\n").map(Number);
  const last = before.at(-1) as number;
  expect(await epochOf("calls")).toBeGreaterThanOrEqual(last);
  const { stdout, status } = await shop.run(["run", "--image", "calls", counter]);
  expect(status).toBe(7);
  const after = stdout.trimEnd().split("\n").map(Number);
  expect([last, last + 1]).toContain(after[0]);
  const plain = await shop.run(["run", "--image", "calls, plain", counter]);
  const lines = [...before.filter((count) => count < (after[0] as number)), ...after];
  expect(`${lines.join("\n")}\n`).toBe(plain.stdout);
});

test("killed while it computes, without another host call: the log is behind it, points and failures are as before", async () => {
  const computing = ["run", "--image", "computing", "--persist-every", "30ms", exampleModule("n-body"), "2000000000"];
  const epochAfter = async (epoch: number): Promise<number> => {
    for (;;) {
      const now = await epochOf("computing");
      if (now > epoch) return now;
      await sleep(20);
    }
  };
  const first = shop.start(computing);
  await first.printed("0 steps");
  const epoch = await epochAfter(1);
  first.kill("SIGKILL");
  await first.ended;
  const second = shop.start(computing);
  const later = await epochAfter(epoch + 2);
  second.kill("SIGPWR");
  expect(await second.ended).toMatchObject({ status: 85, stdout: "" });
  expect(await epochOf("computing")).toBeGreaterThan(later);
});

describe("on request, of a program that waits for input", () => {
  async function waitingCat(image: string): Promise<Running> {
    const run = shop.start(["run", "--image", image, cat]);
    run.child.stdin?.write("first\n");
    await run.printed("first\n");
    return run;
  }

  test("vermilion persist, several times: the program goes on, and what it has read is not lost by SIGKILL", async () => {
    const run = await waitingCat("waiting");
    for (const epoch of [1, 2]) {
      const { status, stderr } = await shop.run(["persist", "--json", "waiting"]);
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stderr)).toMatchObject({ event: "persisted", epoch, pid: run.child.pid });
    }
    run.child.stdin?.write("second\n");
    await run.printed("second\n");
    await shop.run(["persist", "waiting"]);
    run.kill("SIGKILL");
    await run.ended;
    const resumed = await shop.run(["run", "--image", "waiting", cat], { input: "third\n" });
    expect(resumed).toMatchObject({ status: 0, stdout: "third\n19\n" });
    expect(resumed.stderr).toContain("resuming waiting, epoch 3");
  });

  test("SIGUSR1: a point, and the run ends as if nothing had been", async () => {
    const run = await waitingCat("signalled");
    run.kill("SIGUSR1");
    while ((await epochOf("signalled")) === 0) await sleep(5);
    run.child.stdin?.end();
    expect(await run.ended).toMatchObject({ status: 0, stdout: "first\n6\n", stderr: "" });
  });

  test("nobody there, or memory in place: status 74, and the program is not disturbed", async () => {
    await shop.run(["run", "--image", "over", counter]);
    expect(await shop.run(["persist", "over"])).toMatchObject({
      status: 74,
      stderr: expect.stringMatching(/no process/),
    });
    const run = shop.start(["run", "--image", "in-place", "--in-place", cat]);
    run.child.stdin?.write("here\n");
    await run.printed("here\n");
    const { status, stderr } = await shop.run(["persist", "in-place"]);
    expect({ status, stderr }).toEqual({ status: 74, stderr: expect.stringMatching(/cannot be asked/) });
    run.child.stdin?.end();
    expect(await run.ended).toMatchObject({ status: 0, stdout: "here\n5\n" });
  });
});

test("in place there is nothing to keep: --persist-every is refused, status 2", async () => {
  const { status, stderr } = await shop.run(["run", "--image", "no", "--in-place", "--persist-every", "1s", counter]);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("without --in-place") });
});
