import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workshop } from "../support/command-line.js";
import { assembleText, placeGuest } from "../support/guests.js";

/** What Vermilion prints, as programs and terminals get it. */

const shop = new Workshop();
afterAll(() => shop.remove());

const functions = placeGuest(shop.work, "functions");
placeGuest(shop.work, "trapper");

describe("--json: an error is one JSON object on stderr, whatever the command", () => {
  test.each([
    [["run", "--json", "missing.wasm"], 74, "NOT_FOUND"],
    [["resume", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["call", "--json", "missing.wasm", "f"], 74, "NOT_FOUND"],
    [["fail", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["persist", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["inspect", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["replay", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["ps", "--json", "missing"], 74, "NOT_FOUND"],
    [["explore", "--json", "missing.wasm"], 74, "NOT_FOUND"],
    [["history", "missing", "--json"], 74, "IMAGE_MISSING"],
    [["diff", "missing", "1", "2", "--json"], 74, "IMAGE_MISSING"],
    [["fork", "--json", "missing", "new"], 74, "IMAGE_MISSING"],
    [["drop", "--json", "missing@1"], 74, "IMAGE_MISSING"],
    [["gc", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["verify", "--json", "missing"], 74, "IMAGE_MISSING"],
    [["push", "--json", "missing", "dir:store"], 74, "IMAGE_MISSING"],
    [["pull", "--json", "dir:missing", "new"], 74, "NOT_FOUND"],
    [["pull", "--json", "dir:.", "new"], 74, "STORE_EMPTY"],
    [["run", "--json", "--bogus", "echo.wasm"], 2, "USAGE"],
    [["run", "--fail-rate", "2", "--json", "echo.wasm"], 2, "USAGE"],
    [["inspect", "--bogus", "image", "--json"], 2, "USAGE"],
    [["drop", "image", "--json"], 2, "USAGE"],
    [["resume", "--json"], 2, "USAGE"],
  ])("%j", async (args, status, code) => {
    const ended = await shop.run(args);
    expect(ended).toMatchObject({ status, stdout: "" });
    expect(JSON.parse(ended.stderr)).toMatchObject({ event: "error", code, message: expect.stringMatching(/\S/) });
  });

  test("that of the program is none of ours", async () => {
    const { status, stderr } = await shop.run(["run", "--bogus", "echo.wasm", "--json"]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: /);
  });
});

test("ps: an empty directory is no image, and not listed", async () => {
  mkdirSync(join(shop.work, "projects", "empty"), { recursive: true });
  expect(await shop.run(["ps", "projects"])).toMatchObject({ status: 0, stdout: "", stderr: "" });
});

describe("stdout that takes no more", () => {
  test.each([
    [["ps"]],
    [["inspect", "t"]],
    [["history", "t"]],
    [["run", "--fresh", "--invoke", "add", functions, "1", "2"]],
  ])("%j: status 74 on a full disk, 0 for a reader that is gone", async (args) => {
    await shop.run(["run", "--image", "t", "trapper.wasm"]);
    await shop.run(["run", "trapper.wasm"]);
    const full = openSync("/dev/full", "w");
    try {
      const { status, stderr } = await shop.run(args, { stdio: ["ignore", full, "pipe"] });
      expect({ status, stderr }).toMatchObject({
        status: 74,
        stderr: expect.stringMatching(/^vermilion: stdout: .*\n$/),
      });
    } finally {
      closeSync(full);
    }
    const gone = shop.start(args);
    gone.child.stdout?.destroy();
    expect(await gone.ended).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("control characters in what comes from others do not reach the terminal", () => {
  const odd = "\u001b[2Jvermilion\u0007\nok";
  const shown = "\\x1b[2Jvermilion\\x07\\nok";

  test("an import's name, in a message", async () => {
    const place = "Q".repeat(odd.length);
    const bytes = Buffer.from(assembleText(`(module (import "env" "${place}" (func)) (func (export "_start")))`));
    bytes.write(odd, bytes.indexOf(place));
    writeFileSync(join(shop.work, "odd-import.wasm"), bytes);
    const { status, stderr } = await shop.run(["run", "odd-import.wasm"]);
    expect(status).toBe(74);
    expect(stderr).toContain(shown);
    expect(stderr).toMatch(/^\P{Cc}*\n$/u);
  });

  test("arguments, in listings, as they could be typed", async () => {
    const counter = placeGuest(shop.work, "counter");
    await shop.run(["run", "--image", "lists/odd", "--fail-at-call", "fd_write", counter, odd, "it's"]);
    for (const args of [
      ["ps", "lists"],
      ["inspect", "lists/odd"],
    ]) {
      const { stdout, status } = await shop.run(args);
      expect(status).toBe(0);
      expect(stdout).toContain(`$'${shown}' 'it'\\''s'`);
      expect(stdout).toMatch(/^(\P{Cc}*\n)*$/u);
    }
  });

  test("names of functions, in frames", async () => {
    const name = Buffer.from(odd);
    const names = Buffer.concat([Buffer.of(1, name.length + 3, 1, 0, name.length), name]);
    const section = Buffer.concat([Buffer.of(0, names.length + 5, 4), Buffer.from("name"), names]);
    const module = assembleText('(module (memory 1) (func (export "_start") unreachable))');
    writeFileSync(join(shop.work, "odd-name.wasm"), Buffer.concat([module, section]));
    await shop.run(["run", "--image", "named", "odd-name.wasm"]);
    const { stdout } = await shop.run(["inspect", "named"]);
    expect(stdout).toContain(`#0 ${shown}`);
    expect(stdout).toMatch(/^(\P{Cc}*\n)*$/u);
  });
});
