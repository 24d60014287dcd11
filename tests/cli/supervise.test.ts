import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
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
