import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Tally } from "../../runtime/testing/tally.js";
import { root } from "../corpus/paths.js";
import { mainPath } from "../support/command-line.js";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vermilion-searchers-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe("Tally", () => {
  test("counted by three processes at the same time: nothing is lost", async () => {
    const tally = new Tally(join(directory, "tally"));
    const module = pathToFileURL(join(root, "dist", "runtime", "testing", "tally.js")).href;
    const code = `const { Tally } = await import("${module}");
      const tally = new Tally(process.argv[1]);
      for (let i = 0; i < 200_000; i++) tally.countPoint(2);`;
    const count = () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", code, tally.path]);
    await Promise.all([count(), count(), count()]);
    expect([tally.points, tally.failures]).toEqual([600_000, 1_200_000]);
  });

  test("stopped by one: the others see it", () => {
    const [one, other] = [new Tally(join(directory, "tally")), new Tally(join(directory, "tally"))];
    expect(other.isStopped).toBe(false);
    one.stop();
    expect(other.isStopped).toBe(true);
  });

  test("of what several find, the shortest chain counts, and of these the one that strikes first", () => {
    const [one, other] = [new Tally(join(directory, "tally")), new Tally(join(directory, "tally"))];
    expect(other.isBehindFinding(1, 0)).toBe(false);
    one.tellFinding(2, 7);
    other.tellFinding(2, 2 ** 40);
    expect([other.isBehindFinding(2, 7), other.isBehindFinding(2, 8), other.isBehindFinding(1, 2 ** 40)]).toEqual([
      ...[false, true, false],
    ]);
    other.tellFinding(1, 2 ** 40);
    expect([one.isBehindFinding(2, 0), one.isBehindFinding(1, 2 ** 40), one.isBehindFinding(1, 2 ** 40 + 1)]).toEqual([
      ...[true, false, true],
    ]);
  });
});

test.each([
  ["missing-flush", 2, "3:1.1"],
  ["wrap-around", 1, "160:0.15-1.1"],
  ["recovery-not-flushed", 1, "11:all+4:0.1-2.1"],
])(
  "%s: however many search for what it does not survive, they find the same",
  async (name, seed, at) => {
    const module = join(root, "guest-examples", "crash-bugs", `${name}-bug.wasm`);
    for (const jobs of [1, 2, 5]) {
      const options = ["--domain", "adr", "--seed", `${seed}`, "--jobs", `${jobs}`, "--json"];
      const searching = spawn(process.execPath, [mainPath, "explore", ...options, module], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      expect(JSON.parse(await text(searching.stdout))).toMatchObject({ finding: { at } });
    }
  },
  60_000,
);

/** Children of a process, once there are so many. */
async function childrenOf(pid: number | undefined, count: number): Promise<number[]> {
  for (;;) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    if (children.length === count) return children;
    await sleep(20);
  }
}

function exploring(...options: string[]) {
  const module = join(root, "guest-examples", "list-push", "list-push.wasm");
  return spawn(process.execPath, [mainPath, "explore", "--budget", "60s", "--jobs", "2", ...options, module], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** Gone, or nobody has asked yet how it ended. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

const SOON = { timeout: 5000, interval: 20 };

describe("a searcher", () => {
  test.each([[], ["--domain", "adr"]])("killed: the exploration says so, and ends (%s %s)", async (...options) => {
    const child = exploring(...options);
    const ended = once(child, "exit");
    const [searcher = 0, other = 0] = await childrenOf(child.pid, 2);
    process.kill(searcher, "SIGKILL");
    expect(await text(child.stderr)).toMatch(/a process of the exploration ended early: SIGKILL/);
    expect((await ended)[0]).toBeGreaterThan(1);
    await expect.poll(() => isGone(other), SOON).toBe(true);
  });

  test("the exploration is killed: its searchers end", async () => {
    const child = exploring();
    const searchers = await childrenOf(child.pid, 2);
    child.kill("SIGKILL");
    for (const searcher of searchers) await expect.poll(() => isGone(searcher), SOON).toBe(true);
  });
});
