import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Process } from "vermilion";
import { afterAll, expect, test } from "vitest";
import { LOCK } from "../../pmem/libc.js";
import { flock } from "../../runtime/process/image/lock.js";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const cat = placeGuest(shop.work, "cat");

/** The process that runs the guest, once it is another one than `before`. */
async function holderOf(image: string, before = 0): Promise<number> {
  for (;;) {
    await sleep(10);
    try {
      const pid = Number(readFileSync(join(shop.work, image, "lock"), "latin1").split("\n")[0]);
      if (pid > 0 && pid !== before) return pid;
    } catch {} // not there yet
  }
}

test("killed twice: started again, and the output comes once; a line at which it is killed may come twice, and is told", async () => {
  const run = shop.start(["run", "--supervise", "--fresh", "--image", "twice", "--persist-every-calls", "1", cat]);
  run.child.stdin?.write("first\n");
  await run.printed("first\n");
  const first = await holderOf("twice");
  expect(first).not.toBe(run.child.pid);
  process.kill(first, "SIGKILL");
  const second = await holderOf("twice", first);
  run.child.stdin?.write("second\n");
  await run.printed("second\n");
  process.kill(second, "SIGKILL");
  await holderOf("twice", second);
  run.child.stdin?.end("third\n");
  const { status, stdout, stderr } = await run.ended;
  // The kill comes as soon as a line is here: the call that wrote it may not have noted yet that it has.
  const repeated = stdout.split("\n").filter((line, index, lines) => index > 0 && line === lines[index - 1]);
  expect(repeated.length, stderr).toBeLessThanOrEqual(stderr.match(/may come twice/g)?.length ?? 0);
  const once = stdout.replace(/^(.+\n)\1/gm, "$1");
  expect({ status, once }, stderr).toEqual({ status: 0, once: "first\nsecond\nthird\n19\n" });
  expect(stderr.match(/starting again/g)).toHaveLength(2);
});

test.each([
  ["SIGPWR", 85],
  ["SIGTERM", 143],
] as const)("%s is passed on, and the end is an end: status %i", async (signal, expected) => {
  const run = shop.start(["run", "--supervise", "--image", signal, cat]);
  run.child.stdin?.write("first\n");
  await run.printed("first\n");
  run.kill(signal);
  const { status, stderr } = await run.ended;
  expect(status).toBe(expected);
  expect(stderr).not.toContain("starting again");
});

test("--restarts without --supervise: a usage error", async () => {
  const { status, stderr } = await shop.run(["run", "--restarts", "3", cat]);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("add --supervise") });
});

test("killed more often than --restarts: given up, with the signal's status", async () => {
  const run = shop.start(["run", "--supervise", "--restarts", "1", "--json", "--image", "often", cat]);
  const first = await holderOf("often");
  process.kill(first, "SIGKILL");
  process.kill(await holderOf("often", first), "SIGKILL");
  const { status, stderr } = await run.ended;
  expect(status).toBe(137);
  const events = stderr
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { event: string }).event);
  expect(events).toContain("restarting");
  expect(events.at(-1)).toBe("given-up");
});

/** The pid of the guest's process, once there is one. */
async function childOf(supervisor: number | undefined): Promise<number> {
  for (;;) {
    const [pid] = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, "latin1").split(" ");
    if (pid !== undefined && pid !== "") return Number(pid);
    await sleep(1);
  }
}

test("killed when its program is over, and before it has said so: not begun again", async () => {
  for (let times = 0; times < 3; times++) {
    const run = shop.start(["run", "--supervise", "--image", `over ${times}`, cat]);
    run.child.stdin?.write("first\n");
    await run.printed("first\n");
    const child = await childOf(run.child.pid);
    run.child.stdin?.end();
    while ((await Process.summary(join(shop.work, `over ${times}`))).status !== "finished") await turn();
    try {
      process.kill(child, "SIGKILL");
    } catch {} // too late, this time
    expect(await run.ended).toMatchObject({ status: 0, stdout: "first\n6\n" });
  }
});

test("--fresh, killed before the new image is made: made by the next one", async () => {
  const started = shop.start(["run", "--image", "old", cat]);
  started.child.stdin?.write("old\n");
  await started.printed("old\n");
  started.kill("SIGPWR");
  expect((await started.ended).status).toBe(85);
  const run = shop.start(["run", "--supervise", "--fresh", "--image", "old", cat]);
  process.kill(await childOf(run.child.pid), "SIGKILL");
  run.child.stdin?.end("new\n");
  expect(await run.ended).toMatchObject({ status: 0, stdout: "new\n4\n" });
});

test("somebody holds the image at the restart: tried again", async () => {
  const run = shop.start(["run", "--supervise", "--image", "held", cat]);
  run.child.stdin?.write("first\n");
  await run.printed("first\n");
  const child = await childOf(run.child.pid);
  const path = join(shop.work, "held", "lock");
  const lock = openSync(path, "r");
  process.kill(child, "SIGKILL");
  while (!flock(lock, LOCK.EXCLUSIVE, path));
  setTimeout(() => closeSync(lock), 1000);
  run.child.stdin?.end("second\n");
  const { status, stdout, stderr } = await run.ended;
  expect(stderr).toContain("holds this image");
  expect({ status, stdout: stdout.replace("first\nfirst\n", "first\n") }).toEqual({
    status: 0,
    stdout: "first\nsecond\n13\n",
  });
});

test("asked to end while it waits to start again: it does, with that signal's status", async () => {
  const run = shop.start(["run", "--supervise", "--image", "waiting", cat]);
  for (let wait = 0.1; wait < 2; wait *= 2) {
    process.kill(await childOf(run.child.pid), "SIGKILL");
    await run.said(`again in ${wait} s`);
  }
  run.kill("SIGTERM");
  expect((await run.ended).status).toBe(143);
});
