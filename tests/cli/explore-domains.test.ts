import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { root } from "../corpus/paths.js";
import { assemble } from "../process/machine/harness.js";
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

test("one that breaks when it goes on: the command shows it again, and the checker alone does not see it", async () => {
  const words = ["--domain", "adr", program("stale-cursor-bug")];
  const { status, stdout } = await workshop.run(["explore", ...words]);
  expect(status).toBe(1);
  const at = /--at (\S+\+main:\S+) /.exec(stdout)?.[1] ?? "";
  const again = await workshop.run(["explore", "--at", at, ...words]);
  expect(again.status).toBe(1);
  expect(again.stdout).toContain(`DOES NOT SURVIVE  ${at}`);
  expect((await workshop.run(["explore", "--check-only", ...words])).status).toBe(0);
});

test("one that survives: status 0, and the same as JSON", async () => {
  const { status, stdout } = await workshop.run(["explore", "--domain", "adr", "--json", program("missing-flush")]);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ domain: "adr", complete: true, seed: 1 });
  expect(JSON.parse(stdout)).not.toHaveProperty("finding");
});

test("a program of which nothing outlives a failure, and points with more states than are looked at: said", async () => {
  writeFileSync(join(workshop.work, "plain.wasm"), assemble(`(module (func (export "_start")))`));
  const plain = await workshop.run(["explore", "--domain", "adr", "plain.wasm"]);
  expect(plain.status).toBe(0);
  expect(plain.stdout).toContain("vermilion_pmem");
  const few = await workshop.run(["explore", "--domain", "adr", "--states", "1", program("missing-flush")]);
  expect(few.stdout).toContain("not all was looked at");
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

const OPEN = `(import "wasi_snapshot_preview1" "path_open"
  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "data")`;
/** Opens the file "data", with some `oflags`, on the descriptor of a directory. */
const open = (oflags: number): string => `(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
  (i32.const ${oflags}) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16))`;

test("another program judges the files that are left", async () => {
  const modules: Readonly<Record<string, string>> = {
    makes: `(module ${OPEN} (func (export "_start") (drop ${open(1)}))
      (func (export "vermilion_check") (result i32) (i32.const 0)))`,
    requires: `(module ${OPEN} (func (export "_start") (if ${open(0)} (then unreachable))))`,
    never: `(module (func (export "_start") unreachable))`,
  };
  for (const [name, text] of Object.entries(modules))
    writeFileSync(join(workshop.work, `${name}.wasm`), assemble(text));
  mkdirSync(join(workshop.work, "empty"));
  const explore = (...words: string[]) =>
    workshop.run(["explore", "--json", "--domain", "adr", "--dir", "empty::/", ...words, "makes.wasm"]);
  expect((await explore()).status).toBe(0);
  const { status, stdout } = await explore("--check-program", "requires.wasm");
  expect(status).toBe(1);
  expect(JSON.parse(stdout).finding.result).toContain("requires.wasm");
  const refused = await explore("--check-program", "never.wasm");
  expect(JSON.parse(refused.stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({ code: "REFERENCE_FAILED" });
});

test("every guest reads the standard input from its beginning", async () => {
  const reads = `(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "vermilion" "pmem" (func $pmem (param i32 i32) (result i32)))
    (import "vermilion" "sfence" (func $sfence))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\20\\00\\00\\00\\08\\00\\00\\00")
    (func (export "_start")
      (drop (call $pmem (i32.const 64) (i32.const 64)))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.ne (i32.load (i32.const 16)) (i32.const 5)) (then unreachable))
      (i32.store (i32.const 64) (i32.const 1))
      (call $sfence)))`;
  writeFileSync(join(workshop.work, "reads.wasm"), assemble(reads));
  writeFileSync(join(workshop.work, "input"), "hello");
  const explore = (...words: string[]) =>
    workshop.run(["explore", "--json", "--domain", "adr", ...words, "reads.wasm"]);
  const { status, stdout } = await explore("--stdin", "input");
  expect(status).toBe(0);
  expect(JSON.parse(stdout).guests).toBeGreaterThan(2);
  expect((await explore()).stderr).toContain("REFERENCE_FAILED");
  expect((await explore("--stdin", "nothing-there")).stderr).toContain("NOT_FOUND");
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
