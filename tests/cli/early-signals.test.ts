import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { type Running, Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const workshop = new Workshop();
afterAll(() => workshop.remove());

/** Resolves at the first instant at which the process takes SIGPWR: long before its options are parsed. */
async function listening({ child }: Running): Promise<void> {
  for (;;) {
    const status = readFileSync(`/proc/${child.pid}/status`, "latin1");
    const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1]}`);
    if (((mask >> BigInt(constants.signals.SIGPWR - 1)) & 1n) === 1n) return;
    await sleep(1);
  }
}

describe("a signal before the options are parsed", () => {
  test("SIGPWR: nothing has begun, and the same command starts it", async () => {
    const module = placeGuest(workshop.work, "counter");
    const run = workshop.start(["run", module]);
    await listening(run);
    run.kill("SIGPWR");
    const { status, signal, stdout } = await run.ended;
    expect({ status, signal, stdout }).toEqual({ status: 85, signal: null, stdout: "" });
    expect((await workshop.run(["run", module])).status).toBe(7);
  });

  test("SIGUSR1: nothing to persist yet; Node's debugger stays shut", async () => {
    const module = placeGuest(workshop.work, "counter");
    const run = workshop.start(["run", "--fresh", module], { input: "" });
    await listening(run);
    run.kill("SIGUSR1");
    const { status, stderr } = await run.ended;
    expect({ status, stderr }).toEqual({ status: 7, stderr: "" });
  });
});
