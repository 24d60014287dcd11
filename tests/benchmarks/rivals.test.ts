import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { diskDatabaseWays, memoryDatabaseWays, structureWays, type Way } from "../../benchmarks/rivals/ways.js";
import { Unavailable } from "../corpus/run-command.js";

/** What a way finds in so few operations that it takes no time, or undefined where it cannot be had. */
function found(way: Way, ...args: string[]): string | undefined {
  const places = {
    memory: mkdtempSync("/dev/shm/vermilion-rivals-test-"),
    disk: mkdtempSync(join(tmpdir(), "vermilion-rivals-test-")),
  };
  try {
    const { words, env } = way.prepare()(places);
    const [command = "", ...rest] = [...words, ...args];
    const { status, stdout, stderr } = spawnSync(command, rest, { encoding: "utf8", env: { ...process.env, ...env } });
    expect(status, `${way.name}: ${stderr}`).toBe(0);
    const [nanoseconds, digest] = stdout.trim().split(" ");
    expect(Number(nanoseconds), way.name).toBeGreaterThan(0);
    return digest;
  } catch (error) {
    if (error instanceof Unavailable) return undefined;
    throw error;
  } finally {
    for (const directory of Object.values(places)) rmSync(directory, { recursive: true, force: true });
  }
}

function agree(ways: readonly Way[], ...args: string[]): void {
  const all = ways.map((way) => [way.name, found(way, ...args)] as const).filter(([, digest]) => digest !== undefined);
  const [first] = all;
  expect(Object.fromEntries(all)).toEqual(Object.fromEntries(all.map(([name]) => [name, first?.[1]])));
}

test.each(["list", "hash", "tree"])("%s: all ways to persist find the same", { timeout: 120_000 }, (structure) => {
  agree(structureWays, structure, "60", "3000");
});

test("SQLite: all ways have the same rows", { timeout: 120_000 }, () => {
  agree([...diskDatabaseWays, ...memoryDatabaseWays], "5");
});
