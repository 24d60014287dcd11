import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { assembleText } from "../support/guests.js";
import { countingGuest } from "../testing/guest.js";

const workshop = new Workshop();
afterAll(() => workshop.remove());

function place(name: string, more: string): string {
  const path = join(workshop.work, `${name}.wasm`);
  writeFileSync(path, assembleText(countingGuest(more)));
  return path;
}

const CARELESS = `(func (export "vermilion_on_power_restored") (global.set $sum (i32.const 0)))`;

describe("vermilion explore", () => {
  test("a program that survives: status 0, every point looked at, nothing changed", async () => {
    place("good", "");
    const { status, stdout, stderr } = await workshop.run(["explore", "--dir", ".::/", "--json", "good.wasm"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const { points, reference, complete, findings } = JSON.parse(stdout);
    expect(findings).toEqual([]);
    expect(complete).toEqual({ calls: true, safepoints: true });
    expect(points).toBeGreaterThan(reference.safepoints);
  });

  test("one that does not: status 1, and a command that shows it again", async () => {
    place("careless", CARELESS);
    const { status, stdout } = await workshop.run(["explore", "--jobs", "2", "careless.wasm", "an argument"]);
    expect(status).toBe(1);
    expect(stdout).toContain("DOES NOT SURVIVE");
    const command = /again: {2}vermilion (explore --at (\S+) --jobs 2 careless\.wasm 'an argument')/.exec(stdout);
    expect(command).not.toBeNull();
    const again = await workshop.run(["explore", "--at", command?.[2] ?? "", "careless.wasm", "an argument"]);
    expect(again.status).toBe(1);
    expect(again.stdout).toContain(`DOES NOT SURVIVE  ${command?.[2]}`);
  });

  test("a budget ends it, and is used up", async () => {
    const startedAt = performance.now();
    const run = workshop.run(["explore", "--budget", "2s", "--json", place("budgeted", "")]);
    const { stdout, status } = await run;
    expect(status).toBe(0);
    expect(performance.now() - startedAt).toBeGreaterThan(2000);
    expect(JSON.parse(stdout).points).toBeGreaterThan(10);
  });

  test("so many failures, and no more rounds", async () => {
    const { stdout } = await workshop.run([
      "explore",
      "--failures",
      "1000",
      "--json",
      "--seed",
      "7",
      place("many", ""),
    ]);
    expect(JSON.parse(stdout).failures).toBeGreaterThanOrEqual(1000);
  });

  test.each([
    ["a place that is none", ["--at", "somewhere:3", "good.wasm"], "TRACE_INVALID", 2],
    ["a failure behind the end", ["--at", "safepoint:9999999", "good.wasm"], "BAD_ARGUMENT", 2],
    ["a second failure behind the end", ["--at", "safepoint:5+safepoint:9999999", "good.wasm"], "BAD_ARGUMENT", 2],
    ["a module that is not there", ["nothing.wasm"], "NOT_FOUND", 74],
    ["a standard input that is not there", ["--stdin", "nothing", "good.wasm"], "NOT_FOUND", 74],
    ["a run that does not end", ["--budget", "1s", "endless.wat"], "BUDGET_ENDED", 74],
    ["no time at all", ["--budget", "1us", "good.wasm"], "BUDGET_ENDED", 74],
    [
      "no time to begin again",
      ["--budget", "1us", "--domain", "adr", "--dir", ".::/", "good.wasm"],
      "BUDGET_ENDED",
      74,
    ],
    ["a checker that is not content anyway", ["--check-export", "_start", "good.wasm"], "CHECK_FAILED", 74],
    ["an export that is not there", ["--check-export", "nothing", "careless.wasm"], "NO_SUCH_EXPORT", 2],
  ])("%s: an error of its own", async (_, args, code, status) => {
    writeFileSync(join(workshop.work, "endless.wat"), `(module (func (export "_start") (loop $l (br $l))))`);
    const ended = await workshop.run(["explore", "--json", ...args]);
    expect(JSON.parse(ended.stderr)).toMatchObject({ event: "error", code });
    expect(ended.status).toBe(status);
  });

  test("another program checks the files that are left", async () => {
    writeFileSync(join(workshop.work, "never.wasm"), assembleText(`(module (func (export "_start") unreachable))`));
    const args = ["explore", "--json", "--dir", ".::/", "--check-program", "never.wasm", "good.wasm"];
    const { status, stderr } = await workshop.run(args);
    expect(status).toBe(74);
    expect(JSON.parse(stderr).code).toBe("CHECK_FAILED");
  });
});
