import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());
const counter = placeGuest(shop.work, "counter");

/** Kills a run that prints 1 to 40 while it does; the result is what it had printed. */
async function killed(image: string, ...options: string[]): Promise<string> {
  const run = shop.start(["run", "--image", image, ...options, counter], { input: "" });
  await run.printed("\n9\n");
  run.kill("SIGKILL");
  return (await run.ended).stdout;
}

test("memory grows before a call that makes a descriptor: recorded all the same", async () => {
  const opener = placeGuest(shop.work, "opener");
  const { status, stdout, stderr } = await shop.run(["run", "--log", "--dir", ".", "-W", "max-fds=6", opener]);
  expect(status, stderr).toBe(0);
  expect(stdout).toBe("0\n0\n33\n");
});

function lines(text: string): string[] {
  return text.trimEnd().split("\n");
}

describe("SIGKILL, with --log and stdout a pipe", () => {
  test.each(["repeat", "skip"] as const)(
    "--uncertain %s: at most one line in doubt, and a notice if there is one",
    async (uncertain) => {
      const before = lines(await killed(`pipe ${uncertain}`, "--log"));
      const { status, stdout, stderr } = await shop.run([
        ...["run", "--image", `pipe ${uncertain}`, "--log", "--uncertain", uncertain, counter],
      ]);
      expect(status, stderr).toBe(7);
      const all = [...before, ...lines(stdout)];
      const whole = Array.from({ length: 40 }, (_, index) => String(index + 1));
      const told = stderr.includes("was under way");
      if (!told) expect(all.slice(0, 40)).toEqual(whole);
      expect(new Set(all).size).toBeGreaterThanOrEqual(uncertain === "skip" && told ? 40 : 41);
      expect(all.length).toBeLessThanOrEqual(uncertain === "repeat" && told ? 42 : 41);
    },
  );

  test("--no-log: from the beginning, which is said", async () => {
    await killed("no log", "--no-log");
    const { status, stdout, stderr } = await shop.run(["run", "--image", "no log", counter]);
    expect(status).toBe(7);
    expect(lines(stdout)).toHaveLength(41);
    expect(stderr).toContain("from the beginning");
  });

  test("the runs behind it are logged as well, until one is told otherwise", async () => {
    const printed = lines(await killed("remembered", "--log", "--uncertain", "skip"));
    const resumed = shop.start(["resume", "remembered"], { input: "" });
    await resumed.printed("\n20\n");
    resumed.kill("SIGKILL");
    printed.push(...lines((await resumed.ended).stdout));
    const last = await shop.run(["resume", "remembered", "--fail-at-call", "fd_write:30"]);
    expect(last.status, last.stderr).toBe(85);
    printed.push(...lines(last.stdout));
    expect(new Set(printed).size).toBe(printed.length); // nothing twice
    const policy = async () => JSON.parse((await shop.run(["inspect", "--json", "remembered"])).stdout).policy;
    expect(await policy()).toMatchObject({ points: {}, log: { uncertain: "skip", durability: "process" } });
    await shop.run(["resume", "remembered", "--no-log", "--persist-every", "1h", "--fail-at-call", "fd_write:2"]);
    expect(await policy()).toEqual({ points: { milliseconds: 3_600_000 } });
    await shop.run(["resume", "remembered", "--persist-every", "none", "--fail-at-call", "fd_write:2"]);
    expect(await policy()).toEqual({ points: {} });
  });

  test("--recovery-target none: no persistence point is made, and a recovery begins with the program", async () => {
    await killed("no target", "--log", "--recovery-target", "none");
    expect(readdirSync(join(shop.work, "no target")).filter((name) => name.startsWith("log-"))).toEqual(["log-0"]);
  });

  test("--no-replay: the log is not followed", async () => {
    await killed("no replay", "--log");
    const { status, stdout } = await shop.run(["run", "--image", "no replay", "--no-replay", counter]);
    expect(status).toBe(7);
    expect(lines(stdout)).toHaveLength(41);
  });

  test("followed from the beginning: told so, with the calls; a failure meanwhile leaves the image as it is", async () => {
    const printed = lines(await killed("followed", "--log"));
    const { status, stderr } = await shop.run(["resume", "followed", "--json", "--log", "--fail-at", "2"]);
    const [resuming, failed] = lines(stderr).map((line): object => JSON.parse(line));
    expect(status).toBe(85);
    expect(resuming).toMatchObject({ event: "resuming", epoch: 0, frames: 0 });
    expect(resuming).toHaveProperty(
      "loggedCalls",
      expect.toSatisfy((calls: number) => calls >= printed.length - 1),
    );
    expect(failed).toMatchObject({ event: "power-failed", epoch: 0, saveMilliseconds: 0 });
    const { stdout } = await shop.run(["replay", "followed", "--json"]);
    expect(JSON.parse(stdout)).toHaveProperty("calls", Reflect.get(resuming ?? {}, "loggedCalls"));
  });

  /** Changes a byte in the middle of what has been logged. */
  function damage(image: string): void {
    const name = readdirSync(join(shop.work, image)).find((each) => each.startsWith("log-")) ?? "no log";
    const log = join(shop.work, image, name);
    const bytes = readFileSync(log);
    const end = bytes.findLastIndex((byte) => byte !== 0);
    bytes[64 + Math.floor((end - 64) / 2)]! ^= 0x10;
    writeFileSync(log, bytes);
  }

  test("a damaged log, no epoch: never taken for a shorter one; verify tells; --no-replay begins again", async () => {
    await killed("damaged log", "--log");
    damage("damaged log");
    for (const command of [
      ["resume", "damaged log"],
      ["verify", "damaged log"],
      ["replay", "damaged log"],
    ]) {
      expect((await shop.run(command)).status, command[0]).toBe(74);
    }
    expect((await shop.run(["verify", "--repair", "damaged log"])).status).toBe(74);
    const refused = await shop.run(["run", "--image", "damaged log", "--json", counter]);
    expect(refused.stdout).toBe("");
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: "IMAGE_DAMAGED" });
    const begun = await shop.run(["run", "--image", "damaged log", "--no-replay", counter]);
    expect(lines(begun.stdout)).toHaveLength(41);
  });

  test("a damaged log behind an epoch: verify --repair goes on from the epoch", async () => {
    const image = "repaired log";
    expect((await shop.run(["run", "--image", image, "--fail-at", "20", counter])).status).toBe(85);
    await killed(image, "--log");
    damage(image);
    expect((await shop.run(["resume", image])).status).toBe(74);
    const { status, stdout } = await shop.run(["verify", "--repair", "--json", image]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ epochs: [{ epoch: 1, problems: [] }], repairs: [expect.any(String)] });
    const resumed = await shop.run(["resume", image, "--json"]);
    expect(resumed.status).toBe(7);
    expect(resumed.stderr).toContain('"epoch":1');
  });

  test("an empty log, as a power cut leaves it: run begins again, resume says that there is nothing", async () => {
    await killed("empty log", "--log");
    writeFileSync(join(shop.work, "empty log", "log-0"), Buffer.alloc(65_536));
    expect((await shop.run(["resume", "empty log"])).status).toBe(74);
    const { status, stdout } = await shop.run(["run", "--image", "empty log", counter]);
    expect(status).toBe(7);
    expect(lines(stdout)).toHaveLength(41);
  });

  test("ps: killed, not lost", async () => {
    await killed("listed", "--log");
    const { stdout } = await shop.run(["inspect", "--json", "listed"]);
    expect(JSON.parse(stdout)).toMatchObject({ status: "killed", epoch: 0 });
  });
});

describe("vermilion replay", () => {
  test("--to-call: where the program was, as often as one asks; the image is as before", async () => {
    await killed("travel", "--log");
    for (const calls of [3, 5, 3]) {
      const { status, stdout } = await shop.run(["replay", "travel", "--to-call", String(calls), "--json"]);
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ stopped: "call", calls, next: "fd_write", trap: null });
    }
    const { stdout } = await shop.run(["replay", "travel", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ stopped: "end", next: "fd_write" });
    expect((await shop.run(["resume", "travel"])).status).toBe(7);
  });

  test("an image without a log: status 74", async () => {
    await killed("unlogged", "--no-log");
    const { status, stdout } = await shop.run(["replay", "unlogged"]);
    expect(status).toBe(74);
    expect(stdout).toBe("");
  });

  test("an image whose program has finished: status 74, and why", async () => {
    expect((await shop.run(["run", "--image", "over", "--log", counter])).status).toBe(7);
    const { status, stderr } = await shop.run(["replay", "over"]);
    expect(status).toBe(74);
    expect(stderr).toContain("its program has finished");
  });

  test("--until what is no trap: status 2", async () => {
    expect((await shop.run(["replay", "travel", "--until", "dawn"])).status).toBe(2);
  });
});

test("in place there is no state to go on from: --log is refused, status 2", async () => {
  const { status } = await shop.run(["run", "--image", "in place", "--in-place", "--log", counter]);
  expect(status).toBe(2);
});
