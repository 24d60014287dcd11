import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CreateOptions, type Outcome, Process, type RunOptions } from "vermilion";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withRepeatedFunctions } from "../../benchmarks/scaling/repeated-functions.js";
import { assembleText, exampleModule, placeGuest } from "../support/guests.js";

const directory = mkdtempSync(join(tmpdir(), "vermilion-process-"));
const cacheDirectory = join(tmpdir(), "vermilion-test-cache", "vermilion");
const counter = placeGuest(directory, "counter");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A module whose table names a function that it does not have: it can be decoded, and is not valid. */
const WITHOUT_FUNCTION_99 = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[4, 4, 1, 0x70, 0, 1],
  ...[9, 7, 1, 0, 0x41, 0, 0x0b, 1, 99],
);

const STARTED_WITH_AN_ARGUMENT = '(module (memory 1) (func (export "_start") (param i32)))';

const LONG_FILE = openSync(join(directory, "long.wasm"), "w+");
ftruncateSync(LONG_FILE, 3 * 2 ** 30);

let images = 0;

/** Options for a process with an image and an output file of its own. */
function optionsFor(
  module: string,
  more: Partial<CreateOptions> = {},
): CreateOptions & { readonly output: () => string } {
  const image = join(directory, `image-${++images}`);
  const stdout = openSync(`${image}.out`, "w");
  const output = () => readFileSync(`${image}.out`, "utf8");
  return { module, image, cacheDirectory, stdio: [-1, stdout, 2], output, ...more };
}

async function endOf(options: CreateOptions, run: RunOptions = {}): Promise<Outcome> {
  const process = await Process.create(options);
  return process.run(run);
}

let reference: string;
beforeAll(async () => {
  const options = optionsFor(counter);
  expect(await endOf(options)).toEqual({ kind: "exited", status: 7, results: [] });
  reference = options.output();
});

describe("persistence points", () => {
  test("persist, of a run: epochs grow, and the run ends as if nothing had been", async () => {
    const options = optionsFor(counter);
    const guest = await Process.create(options);
    await expect(guest.persist()).rejects.toMatchObject({ code: "PROCESS_IDLE" });
    const run = guest.run();
    const first = await guest.persist();
    const more = await Promise.all([guest.persist(), guest.persist()]);
    expect(Math.min(...more)).toBeGreaterThan(first);
    await expect(Process.persistHolder(options.image as string)).rejects.toMatchObject({ code: "SIGNAL_NOT_TAKEN" });
    expect(await run).toEqual({ kind: "exited", status: 7, results: [] });
    expect(options.output()).toBe(reference);
    await expect(guest.persist()).rejects.toMatchObject({ code: "PROCESS_IDLE" });
  });

  test("persist, and a failure at once: one of the two saves it, and nobody waits for ever", async () => {
    const guest = await Process.create(optionsFor(counter));
    const run = guest.run();
    const first = await guest.persist();
    const second = guest.persist();
    guest.powerFail();
    const outcome = await run;
    expect(await second).toBeGreaterThan(first);
    expect(outcome).toMatchObject({ kind: "powerFailed", epoch: expect.toSatisfy((epoch) => epoch >= first + 1) });
    await guest.close();
  });

  test("every N host calls, a killed run goes on from the last of them", async () => {
    // Otherwise a point that is due while the one before is being committed comes at a later call.
    const options = optionsFor(counter, { persistEvery: { hostCalls: 10, synchronous: true } });
    const guest = await Process.create(options);
    const failure = { atCall: { name: "fd_write", ordinal: 35, when: "before" } } as const;
    expect(await guest.run({ failure })).toMatchObject({ kind: "powerFailed", epoch: 4 });
    expect(await guest.run()).toMatchObject({ kind: "exited" });
    expect(options.output()).toBe(reference);
  });

  test.each([{ milliseconds: 0 }, { milliseconds: Number.NaN }, { hostCalls: 0 }, { hostCalls: 1.5 }])(
    "%o: refused",
    async (persistEvery) => {
      const guest = await Process.create(optionsFor(counter));
      await expect(guest.run({ persistEvery })).rejects.toMatchObject({ code: "USAGE" });
      await guest.close();
    },
  );

  test("memory in place: persist says why not, and the run goes on", async () => {
    const notices: string[] = [];
    const options = optionsFor(counter, { inPlace: true, onNotice: (message) => notices.push(message) });
    const guest = await Process.create(options);
    const run = guest.run();
    await expect(guest.persist()).rejects.toMatchObject({ code: "IN_PLACE" });
    await expect(guest.persist()).rejects.toMatchObject({ code: "IN_PLACE" });
    expect(await run).toMatchObject({ kind: "exited" });
    expect(notices).toEqual([expect.stringContaining("no persistence point")]);
    expect(options.output()).toBe(reference);
  });
});

describe("run", () => {
  test("after a power failure the same object goes on, in a new thread", async () => {
    const options = optionsFor(counter, { failure: { atCall: { name: "fd_write", ordinal: 10, when: "after" } } });
    const process = await Process.create(options);
    expect(process.resumes).toBeUndefined();
    const outcomes: Outcome[] = [];
    do outcomes.push(await process.run());
    while (outcomes.at(-1)?.kind === "powerFailed");
    expect(outcomes.map(({ kind }) => kind)).toEqual([...new Array(4).fill("powerFailed"), "exited"]);
    expect(outcomes[3]).toMatchObject({ epoch: 4, frames: 4, saveMilliseconds: expect.any(Number) });
    expect(options.output()).toBe(reference);
  });

  test("options of one run: that run only, counted exactly if they need it", async () => {
    const options = optionsFor(counter);
    const process = await Process.create(options);
    expect(await process.run({ failure: { atSafepoint: 5_000_000 } })).toMatchObject({ kind: "powerFailed", epoch: 1 });
    expect(options.output()).toBe("1\n");
    expect(await process.run({ failure: { atSafepoint: 4_000_000 } })).toMatchObject({ kind: "powerFailed", epoch: 2 });
    expect(options.output()).toBe("1\n2\n");
    expect(await process.run()).toMatchObject({ kind: "exited", status: 7 });
    expect(options.output()).toBe(reference);
  });

  test("powerFail: before the run, it ends at once and nothing has changed; during it, the state is saved", async () => {
    const options = optionsFor(counter);
    const process = await Process.create(options);
    process.powerFail();
    expect(await process.run()).toMatchObject({ kind: "powerFailed", epoch: 0, frames: 0 });
    const running = process.run();
    while (options.output() === "") await sleep(1);
    process.powerFail();
    process.powerFail();
    expect(await running).toMatchObject({ kind: "powerFailed", epoch: 1 });
    process.powerFail(); // between two runs: nothing
    expect(await process.run()).toMatchObject({ kind: "exited" });
    expect(options.output()).toBe(reference);
  });

  test("powerFail before a resume: the image stays as it was", async () => {
    const options = optionsFor(counter);
    const first = await Process.create(options);
    await first.run({ failure: { atSafepoint: 9_000_000 } });
    const process = await Process.create(options);
    expect(process.resumes).toEqual({ epoch: 1, frames: 2, loggedCalls: null });
    process.powerFail();
    expect(await process.run()).toMatchObject({ kind: "powerFailed", epoch: 1, frames: 2 });
    expect(await process.run()).toMatchObject({ kind: "exited" });
    expect(options.output()).toBe(reference);
  });

  test("a signal at any moment of a start: no image that says it runs, and no start over a saved one", async () => {
    for (let delay = 0; delay <= 90; delay += 6) {
      const options = optionsFor(counter, { cacheDirectory: null, saveOn: ["SIGPWR"] });
      const timer = setTimeout(() => process.kill(process.pid, "SIGPWR"), delay);
      const guest = await Process.create(options);
      const outcome = await guest.run({ failure: { afterMilliseconds: 5 } });
      clearTimeout(timer);
      await guest.close();
      expect(outcome).toMatchObject({ kind: "powerFailed", epoch: expect.any(Number) });
      const found = await Process.inspect(options.image ?? "").catch((error: unknown) => error);
      if (outcome.kind === "powerFailed" && outcome.epoch === 0) expect(found).toMatchObject({ code: "IMAGE_MISSING" });
      else expect(found).toMatchObject({ status: "saved", epoch: 1 });
    }
  });

  test("twice at once: PROCESS_RUNNING; after the end: PROCESS_OVER", async () => {
    const process = await Process.create(optionsFor(counter));
    const running = process.run();
    await expect(process.run()).rejects.toMatchObject({ code: "PROCESS_RUNNING" });
    await running;
    await expect(process.run()).rejects.toMatchObject({ code: "PROCESS_OVER" });
  });

  test("a trap: its message, and the process is over", async () => {
    const process = await Process.create(optionsFor(placeGuest(directory, "trapper")));
    expect(await process.run()).toEqual({ kind: "trapped", message: expect.stringContaining("unreachable") });
    expect(await process.inspect()).toMatchObject({ status: "trapped" });
  });

  test("two processes at once in one program", async () => {
    const both = [optionsFor(counter), optionsFor(counter)];
    await Promise.all(both.map((options) => endOf(options)));
    expect(both.map((options) => options.output())).toEqual([reference, reference]);
  });

  test("saveOn: a real signal to this program is a power failure, until the process has ended", async () => {
    const before = process.listenerCount("SIGPWR");
    const guest = await Process.create(optionsFor(counter, { saveOn: ["SIGPWR"] }));
    expect(process.listenerCount("SIGPWR")).toBe(before + 1);
    const running = guest.run();
    await sleep(100);
    process.kill(process.pid, "SIGPWR");
    expect(await running).toMatchObject({ kind: "powerFailed", epoch: 1 });
    await guest.run();
    expect(process.listenerCount("SIGPWR")).toBe(before);
  });

  test("close of a guest that waits: at once", async () => {
    const sleeper = placeGuest(directory, "sleeper");
    const guest = await Process.create(optionsFor(sleeper));
    const running = guest.run();
    running.catch(() => {});
    await sleep(100);
    const before = performance.now();
    await guest.close();
    expect(performance.now() - before).toBeLessThan(400); // it would sleep for 600 ms
    await expect(running).rejects.toMatchObject({ code: "PROCESS_CLOSED" });
  });

  test("many processes, begun or not: no descriptor is left open", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    const once = async (begin: boolean): Promise<void> => {
      const options = optionsFor(placeGuest(directory, "trapper"), { preopens: [{ host: directory, guest: "/" }] });
      const guest = await Process.create(options);
      if (begin) await guest.run();
      await guest.close();
      closeSync(options.stdio?.[1] ?? -1);
    };
    await once(true);
    await sleep(50);
    const before = open();
    for (let times = 0; times < 6; times++) await once(times % 2 === 0);
    await sleep(50);
    expect(open()).toBe(before);
  });

  test("close before the guest has begun: PROCESS_CLOSED, and nothing has changed", async () => {
    const options = optionsFor(counter);
    const guest = await Process.create(options);
    const running = guest.run();
    const ended = expect(running).rejects.toMatchObject({ code: "PROCESS_CLOSED" });
    await guest.close();
    await ended;
    expect(await endOf(options)).toMatchObject({ kind: "exited" });
  });

  test("close: the guest is killed, the image let go of, and lost", async () => {
    const options = optionsFor(placeGuest(directory, "cat"));
    const endless = openSync("/dev/zero", "r");
    const guest = await Process.create({ ...options, stdio: [endless, openSync("/dev/null", "w"), 2] });
    const running = guest.run();
    running.catch(() => {});
    await sleep(100);
    expect(await guest.inspect()).toMatchObject({ status: "running", heldBy: process.pid });
    await guest.close();
    await expect(running).rejects.toMatchObject({ code: "PROCESS_CLOSED" });
    expect(await guest.inspect()).toMatchObject({ status: "lost", heldBy: null });
    closeSync(endless);
  });
});

describe("create", () => {
  test.each<[string, Partial<CreateOptions>, string | RegExp]>([
    ["no such module", { module: "/nowhere/x.wasm" }, "NOT_FOUND"],
    ["no module", { moduleBytes: Uint8Array.of(1, 2, 3) }, "MODULE_INVALID"],
    ["nothing", { moduleBytes: new Uint8Array() }, "MODULE_INVALID"],
    ["an element that is no function of the module", { moduleBytes: WITHOUT_FUNCTION_99 }, "MODULE_INVALID"],
    ["half a module", { moduleBytes: Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 0x50) }, "MODULE_INVALID"],
    ["a component", { moduleBytes: Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0) }, "MODULE_UNSUPPORTED"],
    ["an import that nobody has", { moduleBytes: assembleText('(module (import "e" "f" (func)))') }, "UNKNOWN_IMPORT"],
    ["an imported global", { moduleBytes: assembleText('(module (import "e" "g" (global i32)))') }, "UNKNOWN_IMPORT"],
    [
      "an imported table",
      { moduleBytes: assembleText('(module (import "e" "t" (table 1 funcref)))') },
      "UNKNOWN_IMPORT",
    ],
    ["a _start that takes arguments", { moduleBytes: assembleText(STARTED_WITH_AN_ARGUMENT) }, "BAD_ARGUMENT"],
    ["a file that is too long", { module: `/proc/self/fd/${LONG_FILE}` }, "MODULE_INVALID"],
    ["a device without an end", { module: "/dev/zero" }, "MODULE_INVALID"],
    ["no _start", { moduleBytes: assembleText("(module)") }, "NO_SUCH_EXPORT"],
    ["a directory that is not there", { preopens: [{ host: "/nowhere", guest: "/" }] }, "NOT_FOUND"],
    ["more memory than allowed", { maxMemoryByteLength: 65536 }, "MEMORY_LIMIT"],
    ["an image within a file", { image: `${counter}/image` }, "IMAGE_FOREIGN"],
  ])("%s, and leaves no image", async (_, more, code) => {
    const options = optionsFor(counter, more);
    await expect(Process.create(options)).rejects.toMatchObject({
      name: "VermilionError",
      code: expect.stringMatching(code),
    });
    await expect(Process.inspect(options.image ?? "")).rejects.toMatchObject({
      code: expect.stringMatching(/IMAGE_MISSING|IMAGE_FOREIGN/),
    });
  });

  test("a module that lacks an import is refused before it is instrumented", async () => {
    const instrumented: number[] = [];
    const onInstrument = (byteLength: number) => void instrumented.push(byteLength);
    const moduleBytes = assembleText('(module (import "e" "f" (func)) (func (export "_start") (loop (br 0))))');
    const options = optionsFor(counter, { moduleBytes, onInstrument, cacheDirectory: null });
    await expect(Process.create(options)).rejects.toMatchObject({ code: "UNKNOWN_IMPORT" });
    expect(instrumented).toEqual([]);
  });

  test("a module from a pipe", async () => {
    const pipe = join(directory, "pipe.wasm");
    execFileSync("mkfifo", [pipe]);
    const writer = spawn("sh", ["-c", 'cat "$0" > "$1"', counter, pipe]);
    expect(await endOf(optionsFor(pipe))).toMatchObject({ kind: "exited", status: 7 });
    writer.kill();
  });

  test("ifUnfinished: resume, replace, fail", async () => {
    const options = optionsFor(counter);
    await endOf(options, { failure: { atSafepoint: 9_000_000 } });
    await expect(Process.create({ ...options, ifUnfinished: "fail" })).rejects.toMatchObject({ code: "IMAGE_EXISTS" });
    const resumed = await Process.create(options);
    expect(resumed.resumes).toEqual({ epoch: 1, frames: 2, loggedCalls: null });
    await resumed.close();
    const replaced = await Process.create({ ...options, ifUnfinished: "replace" });
    expect(replaced.resumes).toBeUndefined();
    await replaced.close();
  });

  test("held by another: IMAGE_BUSY; a process that never ran keeps no image", async () => {
    const options = optionsFor(counter);
    const holder = await Process.create(options);
    await expect(Process.create(options)).rejects.toMatchObject({ code: "IMAGE_BUSY" });
    await holder.close();
    expect(await endOf(options)).toMatchObject({ kind: "exited" });
  });

  test("a failure while the saved program is instrumented anew: the thread is ended, and the image is free", async () => {
    const module = join(directory, "large.wasm");
    writeFileSync(module, withRepeatedFunctions(readFileSync(counter), 8 << 20));
    const options = optionsFor(module, { cacheDirectory: join(directory, "first cache"), saveOn: ["SIGUSR2"] });
    expect(await endOf(options, { failure: { atSafepoint: 5_000_000 } })).toMatchObject({ epoch: 1 });
    let instrumented = 0;
    const onInstrument = () => {
      instrumented++;
      setTimeout(() => globalThis.process.kill(globalThis.process.pid, "SIGUSR2"), 10);
    };
    const cut = { ...options, cacheDirectory: join(directory, "another cache"), onInstrument };
    expect(await endOf(cut)).toMatchObject({ kind: "powerFailed", epoch: 0 });
    const opened = await Process.open(options.image ?? "", cut);
    expect(await opened.run()).toMatchObject({ kind: "powerFailed", epoch: 0 });
    expect(instrumented).toBe(2);
    expect(await endOf(options)).toEqual({ kind: "exited", status: 7, results: [] });
    expect(options.output()).toBe(reference);
  });

  test("invoke: the results as text", async () => {
    const options = optionsFor(placeGuest(directory, "functions"), { invoke: "add", args: ["40", "2"] });
    expect(await endOf(options)).toEqual({ kind: "exited", status: 0, results: ["42"] });
  });

  test.each<Partial<CreateOptions>>([
    { saveOn: ["SIGKILL"] },
    { persistOn: ["SIGFOO"] },
    { image: "a\0b" },
    { args: ["a\0b"] },
    { env: { "a=b": "c" } },
    { env: { "": "c" } },
    { maximumDescriptors: 0 },
    { maximumDescriptors: 1.5 },
    { keep: { epochs: 0, milliseconds: null } },
    { stdio: [0, Number.NaN, 2] },
    { failure: { atSafepoint: 0 } },
    { failure: { rate: { probability: 2, seed: 1 } } },
    { timeLimitMilliseconds: Number.NaN },
  ])("%j: BAD_ARGUMENT", async (more) => {
    await expect(Process.create(optionsFor(counter, more))).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
  });

  test("resumes: what the last run has saved, also when the next one is cut before it begins", async () => {
    const process = await Process.create(optionsFor(counter));
    expect(process.resumes).toBeUndefined();
    const outcome = await process.run({ failure: { atSafepoint: 5_000_000 } });
    const saved = { epoch: 1, frames: (outcome as { readonly frames: number }).frames };
    expect(process.resumes).toEqual({ ...saved, loggedCalls: null });
    const next = process.run();
    await sleep(2); // a thread takes longer to begin
    process.powerFail();
    const cut = await next;
    const { epoch, frames } = process.resumes ?? {};
    expect(cut).toMatchObject({ kind: "powerFailed", epoch, frames });
    expect(process.resumes?.epoch).toBeGreaterThan(0);
    expect(await process.run()).toMatchObject({ kind: "exited" });
    expect(process.resumes).toBeUndefined();
  });

  test("moduleBytes: a program that is in no file", async () => {
    const options = optionsFor("/nowhere/in-memory.wasm", { moduleBytes: readFileSync(counter) });
    expect(await endOf(options)).toMatchObject({ status: 7 });
  });

  test("onInstrument: told once, then the cache has it", async () => {
    const told: number[] = [];
    const once = join(directory, "a cache");
    for (let times = 0; times < 2; times++) {
      await endOf(optionsFor(counter, { cacheDirectory: once, onInstrument: (bytes) => told.push(bytes) }));
    }
    expect(told).toEqual([readFileSync(counter).length]);
  });
});

describe("open", () => {
  test("goes on with an image", async () => {
    const options = optionsFor(counter);
    await endOf(options, { failure: { atCall: { name: "fd_write", ordinal: 5, when: "before" } } });
    const opened = await Process.open(options.image ?? "", { stdio: options.stdio, cacheDirectory });
    expect(opened.image).toBe(options.image);
    expect(opened.resumes).toEqual({ epoch: 1, frames: 4, loggedCalls: null });
    expect(await opened.run()).toMatchObject({ kind: "exited", status: 7 });
    expect(options.output()).toBe(reference);
  });

  test("nothing to go on with", async () => {
    const options = optionsFor(counter);
    await expect(Process.open(options.image ?? "")).rejects.toMatchObject({ code: "IMAGE_MISSING" });
    await endOf(options);
    await expect(Process.open(options.image ?? "")).rejects.toMatchObject({ code: "IMAGE_NOT_SAVED" });
  });
});

test("inspect: a real program's frames have names, its descriptors their places", async () => {
  const module = exampleModule("word-count");
  const folder = join(module, "..");
  const options = optionsFor(module, {
    preopens: [{ host: folder, guest: "/" }],
    args: ["a.txt", "b.txt"],
    failure: { atCall: { name: "fd_read", ordinal: 2, when: "before" } },
  });
  expect(await endOf(options)).toMatchObject({ kind: "powerFailed" });
  const inspection = await Process.inspect(options.image ?? "");
  expect(inspection.frames[0]).toMatchObject({ name: "fd_read", offset: null });
  expect(inspection.frames.map(({ name }) => name)).toEqual(expect.arrayContaining(["_start"]));
  expect(inspection.descriptors).toEqual(
    expect.arrayContaining([expect.objectContaining({ kind: "file", path: "/a.txt", access: "read" })]),
  );
  expect(inspection.memories[0]?.byteLength).toBeGreaterThan(65536);
  const expected = readFileSync(join(folder, "expected-output.txt"), "utf8");
  const opened = await Process.open(options.image ?? "", { stdio: options.stdio, cacheDirectory });
  expect(await opened.run()).toMatchObject({ kind: "exited", status: 0 });
  expect(options.output()).toBe(expected);
});
