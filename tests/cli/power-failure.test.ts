import { execFileSync } from "node:child_process";
import { constants, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Ended, Workshop } from "../support/command-line.js";
import { exampleModule, placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const counter = placeGuest(shop.work, "counter");
let reference: Ended;
beforeAll(async () => {
  reference = await shop.run(["run", "--image", "reference", counter]);
  expect(reference.status).toBe(7);
});

/** Types the same command until the program has ended; the result of the last run, with the stdout of all. */
async function untilDone(command: readonly string[], limit = 100): Promise<Ended & { readonly runs: number }> {
  let stdout = "";
  for (let runs = 1; runs <= limit; runs++) {
    const ended = await shop.run(command);
    stdout += ended.stdout;
    if (ended.status !== 85) return { ...ended, stdout, runs };
  }
  throw new Error(`not done after ${limit} runs: ${stdout}`);
}

describe("failures caused on purpose", () => {
  test.each([
    ["--fail-at-call fd_write:3", ["--fail-at-call", "fd_write:3"], 21],
    ["--fail-at-call fd_write:3:after", ["--fail-at-call", "fd_write:3:after"], 14],
    ["--fail-at-call fd_write:1:after", ["--fail-at-call", "fd_write:1:after"], 42],
    ["--fail-at-call *:30", ["--fail-at-call", "*:30"], 2],
    ["--fail-at-call *:after", ["--fail-at-call", "*:after"], 42],
    ["--fail-at N", ["--fail-at", "25000000"], 7],
    ["--fail-rate", ["--fail-rate", "0.00000005", "--fail-seed", "42"], undefined],
    ["--fail-after", ["--fail-after", "60ms"], undefined],
  ])("%s: the same output, whatever the number of runs", async (name, options, runs) => {
    const done = await untilDone(["run", "--image", `on purpose ${name}`, ...options, counter]);
    expect(done.stdout).toBe(reference.stdout);
    expect(done.status).toBe(7);
    if (runs !== undefined) expect(done.runs).toBe(runs);
    else expect(done.runs).toBeGreaterThan(2);
  });

  test("--fail-at: the message says epoch and frames, --json says the same as data", async () => {
    const command = ["run", "--image", "messages", "--fail-at", "3000000"];
    const { stderr, status } = await shop.run([...command, counter]);
    expect(stderr).toMatch(
      /^vermilion: power failure: saved messages, epoch 1, 2 frames, in [0-9.]+ ms; the same command goes on\n$/,
    );
    expect(status).toBe(85);
    const [resuming, failed, ...more] = (await shop.run([...command, "--json", counter])).stderr.trimEnd().split("\n");
    expect(JSON.parse(resuming ?? "")).toMatchObject({ event: "resuming", image: "messages", epoch: 1, frames: 2 });
    expect(JSON.parse(failed ?? "")).toMatchObject({ event: "power-failed", epoch: 2 });
    expect(more).toEqual([]);
    expect((await shop.run([...command, "--quiet", counter])).stderr).toBe("");
  });

  test("--fail-rate: a seed chooses the same safepoints every time", async () => {
    const run = async (image: string, seed: string) => {
      const { stdout } = await shop.run(["run", "--image", image, "--fail-rate", "1e-7", "--fail-seed", seed, counter]);
      return stdout;
    };
    expect(await run("seed 1a", "1")).toBe(await run("seed 1b", "1"));
    expect(await run("seed 2", "2")).not.toBe(await run("seed 3", "3"));
  });

  test("inside --invoke: the result is printed by the run that ends", async () => {
    placeGuest(shop.work, "functions");
    const done = await untilDone(["run", "--fail-after", "80ms", "--invoke", "spin", "functions.wasm"]);
    expect(done).toMatchObject({ stdout: "300000000\n", status: 0 });
    expect(done.runs).toBeGreaterThan(1);
  });

  test("60,000 frames deep: saved, and resumed in a longer stack", async () => {
    const command = ["run", "--fail-at-call", "fd_write:1", placeGuest(shop.work, "deep")];
    const first = await shop.run(command);
    expect(first.status).toBe(85);
    expect(first.stderr).toContain("60005 frames");
    const second = await shop.run(["run", placeGuest(shop.work, "deep")]);
    expect(second).toMatchObject({ stdout: `1\n${(60000 * 60001) / 2}\n`, status: 0 });
  });
});

describe("real signals", () => {
  test("SIGPWR at random times, a third of them before it has begun: the same output", async () => {
    for (let round = 0; round < 4; round++) {
      let stdout = "";
      for (let done = false; !done; ) {
        const run = shop.start(["run", "--image", `random ${round}`, counter], { input: "" });
        if (Math.random() < 0.3) await sleep(250 * Math.random());
        else await Promise.race([run.printed("\n"), run.ended]).then(() => sleep(60 * Math.random()));
        run.kill("SIGPWR");
        const ended = await run.ended;
        stdout += ended.stdout;
        // Before our handler is there, SIGPWR ends the process as it ends any; nothing has happened then.
        const early = ended.signal === "SIGPWR" && ended.stdout === "" && ended.stderr === "";
        expect([7, 85].includes(ended.status ?? -1) || early, JSON.stringify(ended)).toBe(true);
        done = ended.status === 7;
      }
      expect(stdout).toBe(reference.stdout);
    }
  });

  test("SIGPWR: saved and gone within milliseconds, also while the guest computes", async () => {
    const run = shop.start(["run", "--json", "--image", "quick", counter], { input: "" });
    await run.printed("3\n");
    const sentAt = performance.now();
    run.kill("SIGPWR");
    const { status, stderr } = await run.ended;
    expect(status).toBe(85);
    expect(performance.now() - sentAt).toBeLessThan(250);
    expect(JSON.parse(stderr).saveMilliseconds).toBeLessThan(100);
  });

  test("SIGPWR many times at once: one save", async () => {
    const run = shop.start(["run", "--image", "hail", counter], { input: "" });
    await run.printed("2\n");
    for (let times = 0; times < 20; times++) run.kill("SIGPWR");
    expect(await run.ended).toMatchObject({ status: 85, stderr: expect.stringContaining("epoch 1,") });
    const second = await shop.run(["run", "--image", "hail", counter]);
    expect(`${run.stdout}${second.stdout}`).toBe(reference.stdout);
  });

  test("--save-on: those signals save; all others keep their meaning", async () => {
    for (const [signal, options, expected] of [
      ["SIGTERM", ["--save-on", "SIGTERM,SIGINT"], { status: 85 }],
      ["SIGINT", ["--save-on", "term,int"], { status: 85 }],
      ["SIGINT", [], { status: null, signal: "SIGINT" }],
      ["SIGTERM", ["--save-on", "SIGINT"], { status: null, signal: "SIGTERM" }],
    ] as const) {
      const run = shop.start(["run", "--fresh", "--image", "signals", ...options, counter], { input: "" });
      await run.printed("1\n");
      run.kill(signal);
      expect(await run.ended).toMatchObject(expected);
    }
  });

  test("vermilion fail: the running process saves and ends; nobody runs: status 74", async () => {
    const run = shop.start(["run", "--image", "failed from afar", placeGuest(shop.work, "cat")]);
    run.child.stdin?.write("here");
    await run.printed("here");
    const listed = JSON.parse((await shop.run(["ps", "--json", "."])).stdout) as { status: string; heldBy: number }[];
    expect(listed.filter(({ status }) => status === "running").map(({ heldBy }) => heldBy)).toEqual([run.child.pid]);
    const fail = await shop.run(["fail", "failed from afar"]);
    expect(fail).toMatchObject({ status: 0, stderr: `vermilion: power failure sent to process ${run.child.pid}\n` });
    expect((await run.ended).status).toBe(85);
    expect((await shop.run(["fail", "failed from afar"])).status).toBe(74);
    expect((await shop.run(["fail", "no such image"])).status).toBe(74);
  });
});

describe("a failure inside a call that blocks", () => {
  test("reading a pipe: taken at once; the next run reads on from its own stdin", async () => {
    const cat = placeGuest(shop.work, "cat");
    const run = shop.start(["run", "--image", "reader", cat]);
    run.child.stdin?.write("first,");
    await run.printed("first,");
    const sentAt = performance.now();
    run.kill("SIGPWR");
    expect((await run.ended).status).toBe(85);
    expect(performance.now() - sentAt).toBeLessThan(250);
    expect(await shop.run(["run", "--image", "reader", cat], { input: "second" })).toMatchObject({
      stdout: "second12\n",
      status: 0,
    });
  });

  test("--eintr: it returns EINTR instead", async () => {
    const cat = placeGuest(shop.work, "cat");
    const run = shop.start(["run", "--image", "eintr", cat]);
    run.child.stdin?.write("x");
    await run.printed("x");
    await sleep(300); // by now it waits for more
    run.kill("SIGPWR");
    expect((await run.ended).status).toBe(85);
    expect(await shop.run(["run", "--image", "eintr", "--eintr", cat])).toMatchObject({ stdout: "", status: 27 });
  });

  test.each([
    ["the call goes on, in a pipe", [], "pipe"],
    ["the call goes on, in a file", [], "file"],
    ["with --eintr the call returns what it had written", ["--eintr"], "pipe"],
  ])("writing to a pipe that is full: %s; each byte once", async (name, options, target) => {
    const fifo = join(shop.work, `fifo ${name}`);
    execFileSync("mkfifo", [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(fifo, constants.O_WRONLY);
    const command = ["run", "--image", name, "--fail-after", "200ms", placeGuest(shop.work, "pusher")];
    expect((await shop.start(command, { stdio: ["ignore", writer, "pipe"] }).ended).status).toBe(85);
    const received = Buffer.alloc(200_000);
    let length = readSync(reader, received);
    expect(length).toBe(65536);
    const path = target === "file" ? `${fifo}.rest` : fifo;
    const second = shop.start(["resume", ...options, name], { stdio: ["ignore", openSync(path, "w"), "pipe"] });
    expect((await second.ended).status).toBe(0);
    length += readSync(target === "file" ? openSync(path, "r") : reader, received, { offset: length });
    const expected = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    expect(received.subarray(0, length).equals(expected)).toBe(true);
  });

  test("sleeping: the time that was left, not more", async () => {
    const sleeper = placeGuest(shop.work, "sleeper");
    const run = shop.start(["run", "--image", "sleep", sleeper], { input: "" });
    await run.printed("1\n");
    await sleep(300);
    run.kill("SIGPWR");
    expect((await run.ended).status).toBe(85);
    const before = performance.now();
    expect(await shop.run(["run", "--image", "sleep", sleeper])).toMatchObject({ stdout: "2\n", status: 0 });
    const whole = await timeOf(() => shop.run(["run", "--image", "whole sleep", sleeper]));
    expect(performance.now() - before - whole).toBeLessThan(whole - 150);
  });
});

async function timeOf(action: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await action();
  return performance.now() - startedAt;
}

test("stdin is a file, typed again: it is read on where it was", async () => {
  const input = join(exampleModule("repl"), "..", "input.txt");
  const bytes = statSync(input).size;
  const cat = placeGuest(shop.work, "cat");
  const command = ["run", "--image", "file", "--fail-at-call", "fd_write:1", cat];
  const first = await shop.start(command, { stdio: [openSync(input, "r"), "pipe", "pipe"] }).ended;
  const second = await shop.start(["run", "--image", "file", cat], { stdio: [openSync(input, "r"), "pipe", "pipe"] })
    .ended;
  expect([first.status, second.status]).toEqual([85, 0]);
  expect(`${first.stdout}${second.stdout}`).toBe(`${readFileSync(input, "utf8")}${bytes}\n`);
});

test("stdout and stderr are one file: nothing is overwritten", async () => {
  const path = join(shop.work, "both.log");
  const both = openSync(path, "w");
  const stdio = ["ignore", both, both] as const;
  expect(
    (await shop.start(["run", "--image", "both", "--fail-at-call", "fd_write:5", counter], { stdio }).ended).status,
  ).toBe(85);
  expect((await shop.start(["run", "--image", "both", counter], { stdio }).ended).status).toBe(7);
  const lines = readFileSync(path, "utf8").split("\n");
  expect(lines.filter((line) => !line.startsWith("vermilion: ")).join("\n")).toBe(reference.stdout);
  expect(lines.filter((line) => line.startsWith("vermilion: "))).toHaveLength(2);
});

test("the SIGPWR handler of a C program runs once per resume, also when it is interrupted itself", async () => {
  const module = exampleModule("sigpwr");
  const expected = readFileSync(join(module, "..", "expected-output.txt"), "utf8");
  const image = ["--image", "handler", "--quiet"];
  const runs = [
    await shop.run(["run", ...image, "--fail-at", "20000000", module]), // while it computes: printf is not reentrant
    await shop.run(["run", ...image, "--fail-at-call", "fd_write:1", module]), // in the handler, before it prints
    await shop.run(["run", ...image, "--fail-at-call", "fd_write:1:after", module]), // there again, after it
    await shop.run(["run", ...image, module]),
  ];
  expect(runs.map(({ status }) => status)).toEqual([85, 85, 85, 0]);
  const lines = runs
    .map(({ stdout }) => stdout)
    .join("")
    .split("\n");
  expect(lines.filter((line) => !line.startsWith("power restored")).join("\n")).toBe(expected);
  expect(lines.filter((line) => line.startsWith("power restored"))).toEqual([
    "power restored (signal 30, time 1)",
    "power restored (signal 30, time 2)",
    "power restored (signal 30, time 3)",
  ]);
});

/** In nanoseconds, of a thread; undefined: this kernel has no slices of their own, or does not show them. */
function slice(thread: string): number | undefined {
  const path = `/proc/${thread}/sched`;
  const text = existsSync(path) ? readFileSync(path, "latin1") : "";
  const [, digits] = /^se\.slice\s*:\s*(\d+)$/m.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

test.skipIf(slice("self") === undefined)(
  "the thread that takes signals is woken at once, the guest's as usual (skipped where the kernel shows no slices)",
  async () => {
    const running = shop.start(["run", "--image", "prompt", counter]);
    await running.printed("1");
    const { pid } = running.child;
    expect(slice(`${pid}`)).toBe(100_000);
    const others = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== `${pid}`);
    expect(others.length).toBeGreaterThan(1);
    for (const thread of others) expect(slice(`${pid}/task/${thread}`)).not.toBe(100_000);
    running.kill("SIGKILL");
    await running.ended;
  },
);
