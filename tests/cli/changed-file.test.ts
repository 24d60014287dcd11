import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Ended, Workshop } from "../support/command-line.js";
import { exampleModule } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const module = exampleModule("word-count");
const expected = readFileSync(join(dirname(module), "expected-output.txt"), "utf8");
let folders = 0;

/** A process that was saved while it has a.txt open, which is then changed; the result resumes it. */
async function changed(change: (path: string) => void): Promise<(...options: string[]) => Promise<Ended>> {
  const image = `image-${++folders}`;
  const data = join(shop.work, `data-${folders}`);
  mkdirSync(data);
  for (const name of ["a.txt", "b.txt"]) cpSync(join(dirname(module), name), join(data, name));
  const run = ["run", "--image", image, "--dir", `${data}::/`, "--fail-at-call", "fd_read:1:after", module];
  expect(await shop.run([...run, "a.txt", "b.txt"])).toMatchObject({ status: 85, stdout: "" });
  change(join(data, "a.txt"));
  return (...options) => shop.run(["resume", ...options, image]);
}

describe("an open file that was changed between failure and resume", () => {
  test("--on-changed-file fail: refused, what has changed is named, and the image stays as it was", async () => {
    const resume = await changed((path) => appendFileSync(path, "one more line\n"));
    for (let times = 0; times < 2; times++) {
      const { status, stdout, stderr } = await resume("--on-changed-file", "fail");
      expect({ status, stdout }).toEqual({ status: 74, stdout: "" });
      expect(stderr).toMatch(/\/a\.txt: changed since the failure: its length is \d+, not \d+, it was modified/);
    }
    expect(await resume("--on-changed-file", "ignore")).toMatchObject({ status: 0 });
  });

  test("by default: a line on stderr, and it goes on; with --json as data", async () => {
    const change = (path: string) => appendFileSync(path, "");
    const untouched = await (await changed(change))();
    expect(untouched).toMatchObject({ status: 0, stdout: expected });
    expect(untouched.stderr).not.toContain("changed");
    const warned = await (await changed((path) => appendFileSync(path, "x")))("--json");
    expect(warned.status).toBe(0);
    const lines = warned.stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; message: string });
    expect(lines.filter(({ event }) => event === "notice")).toEqual([
      { event: "notice", message: expect.stringContaining("/a.txt: changed since the failure") },
    ]);
  });

  test("--on-changed-file ignore: not a word", async () => {
    const resume = await changed((path) => appendFileSync(path, "x"));
    const { status, stderr } = await resume("--on-changed-file", "ignore");
    expect(status).toBe(0);
    expect(stderr).not.toContain("changed");
  });

  test("removed: refused with fail; by default its uses fail in the guest", async () => {
    const resume = await changed((path) => rmSync(path));
    expect(await resume("--on-changed-file", "fail")).toMatchObject({ status: 74, stdout: "" });
    const { status, stderr } = await resume();
    expect(stderr).toContain("/a.txt");
    expect([0, 1]).toContain(status);
  });
});
