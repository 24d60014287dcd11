import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { root } from "../corpus/paths.js";
import { Workshop } from "../support/command-line.js";

const workshop = new Workshop();
afterAll(() => workshop.remove());

const program = (name: string): string => join(root, "guest-examples", "crash-bugs", `${name}.wasm`);

test("a program that does not survive: status 1, what was lost, and a command that shows it again", async () => {
  const { status, stdout } = await workshop.run(["explore", "--domain", "adr", program("missing-flush-bug")]);
  expect(status).toBe(1);
  expect(stdout).toMatch(/lost: 4 bytes at \d+, stored by /);
  const at = /again: {2}vermilion explore --at (\S+) --domain adr /.exec(stdout)?.[1] ?? "";
  const again = await workshop.run(["explore", "--at", at, "--domain", "adr", program("missing-flush-bug")]);
  expect(again.status).toBe(1);
  expect(again.stdout).toContain(`DOES NOT SURVIVE  ${at}`);
  const corrected = await workshop.run(["explore", "--at", "2:none", "--domain", "adr", program("missing-flush")]);
  expect(corrected.stdout).toContain("2:none: the program survives it");
  expect(corrected.status).toBe(0);
});

test("one that survives: status 0, and the same as JSON", async () => {
  const { status, stdout } = await workshop.run(["explore", "--domain", "adr", "--json", program("missing-flush")]);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ domain: "adr", complete: true, seed: 1 });
  expect(JSON.parse(stdout)).not.toHaveProperty("finding");
});

test("several threads: share the points, and see all of them", async () => {
  const reportOf = async (jobs: string, name: string) => {
    const { stdout } = await workshop.run(["explore", "--domain", "adr", "--json", "--jobs", jobs, program(name)]);
    return JSON.parse(stdout);
  };
  const [one, three] = [await reportOf("1", "missing-fence"), await reportOf("3", "missing-fence")];
  expect(three).toMatchObject({ complete: true });
  // Each thread looks at its own points, and at what it comes to from there.
  expect(three.points).toBeGreaterThanOrEqual(one.points);
  expect((await reportOf("3", "missing-fence-bug")).finding.failures).toHaveLength(1);
});

test("eadr: the whole process persists unless it is begun again; none: a clean flush is not enough", async () => {
  const statusOf = async (...words: string[]): Promise<number | null> =>
    (await workshop.run(["explore", ...words])).status;
  expect(await statusOf(program("flag-before-data-bug"))).toBe(0);
  expect(await statusOf("--domain", "eadr", "--restart", program("flag-before-data-bug"))).toBe(1);
  expect(await statusOf("--domain", "eadr", "--restart", program("missing-flush-bug"))).toBe(0);
  expect(await statusOf("--domain", "none", program("missing-flush"))).toBe(1);
});

test("by comparison: misses the order of stores between two flushes, and finds what was not flushed at all", async () => {
  const statusOf = async (name: string): Promise<number | null> =>
    (await workshop.run(["explore", "--domain", "adr", "--approximate", program(name)])).status;
  expect(await statusOf("missing-flush-bug")).toBe(1);
  expect(await statusOf("missing-flush")).toBe(0);
});

test.each([
  ["an option for whole processes", ["--domain", "adr", "--points", "2"], "USAGE"],
  ["an option for restarts", ["--states", "3"], "USAGE"],
  ["no such state", ["--domain", "adr", "--at", "3:99.1"], "BAD_ARGUMENT"],
  ["no failure's name", ["--domain", "adr", "--at", "safepoint:3"], "TRACE_INVALID"],
  ["no such export", ["--domain", "adr", "--check-export", "nobody"], "NO_SUCH_EXPORT"],
])("%s: status 2", async (_, words, code) => {
  const { status, stderr } = await workshop.run(["explore", "--json", ...words, program("missing-flush")]);
  expect(JSON.parse(stderr)).toMatchObject({ event: "error", code });
  expect(status).toBe(2);
});
