/**
 * Every program with a crash bug is found out, and no correct one is accused. VERMILION_TABLE=1 prints the table of
 * docs/programming-models.md.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { PersistenceDomain } from "../../pmem/cache-model.js";
import { exploreRestartsHere, type RestartExploration } from "../../runtime/testing/restarts-here.js";
import { root } from "../corpus/paths.js";
import { Unavailable } from "../corpus/run-command.js";
import { clang } from "../corpus/toolchains.js";
import { crashBugs } from "./crash-bugs.js";

const folder = join(root, "guest-examples", "crash-bugs");
const scratch = mkdtempSync(join(tmpdir(), "vermilion-crash-bugs-"));
const empty = mkdtempSync(join(scratch, "empty-"));
process.env["XDG_CACHE_HOME"] = join(scratch, "cache");
const rows: string[] = [];

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  if (process.env["VERMILION_TABLE"] === undefined) return;
  const head =
    "| Program | Mistake | Shows under | Failures in a row | Guests until found | ms | Guests, corrected | ms |";
  console.log([head, "|---|---|---|---:|---:|---:|---:|---:|", ...rows].join("\n"));
});

function explore(name: string, domain: PersistenceDomain, failuresInARow = 2): RestartExploration {
  const files = crashBugs.some((bug) => bug.files === true && name.startsWith(bug.name));
  const preopens = files ? [{ host: empty, guest: "/" }] : [];
  return exploreRestartsHere(
    { module: join(folder, `${name}.wasm`), domain, failuresInARow, preopens },
    { folder: scratch },
  );
}

/** The longest takes some seconds, and ten times as many where much else runs. */
const TIMEOUT = { timeout: 240_000 };

describe.each(crashBugs)("$name", TIMEOUT, ({ name, mistake, eadr, failures }) => {
  const corrected = new Map<PersistenceDomain, RestartExploration>();
  const exploreCorrected = (domain: PersistenceDomain): RestartExploration => {
    const exploration = corrected.get(domain) ?? explore(name, domain);
    corrected.set(domain, exploration);
    return exploration;
  };

  test(`with its mistake (${mistake}): found`, () => {
    const found = explore(`${name}-bug`, "adr");
    expect(found.finding?.failures).toHaveLength(failures);
    expect(explore(`${name}-bug`, "eadr").finding !== undefined).toBe(eadr);
    if (failures === 2) expect(explore(`${name}-bug`, "adr", 1).finding).toBeUndefined();
    const passed = exploreCorrected("adr");
    const figures = [found, passed].map((it) => `${it.guests} | ${it.milliseconds.toFixed(0)}`).join(" | ");
    rows.push(`| ${name} | ${mistake} | ${eadr ? "adr, eadr" : "adr"} | ${failures} | ${figures} |`);
  });

  test("correct: no alarm, and everything was looked at", () => {
    for (const domain of ["adr", "eadr"] as const) {
      expect(exploreCorrected(domain)).toMatchObject({ finding: undefined, complete: true });
    }
  });
});

test("the table names every program that is there, and no other", () => {
  const sources = readdirSync(folder).filter((file) => file.endsWith(".c"));
  expect(crashBugs.map(({ name }) => `${name}.c`).sort()).toEqual(sources.sort());
  expect(crashBugs.length).toBeGreaterThanOrEqual(20);
});

test("the committed modules are what the build script makes (skipped without clang 19)", (context) => {
  let compiler = "";
  try {
    compiler = clang().command[0] ?? "";
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
  }
  if (compiler === "" || !/version 19\./.test(execFileSync(compiler, ["--version"], { encoding: "utf8" })))
    context.skip();
  // clang runs a wasm-opt that it finds, and package managers put one in front.
  const PATH = (process.env["PATH"] ?? "").split(":").filter((entry) => !entry.includes("node_modules"));
  execFileSync(join(folder, "build.sh"), {
    env: { ...process.env, PATH: PATH.join(":"), CLANG: compiler, OUT: scratch },
  });
  const modules = readdirSync(folder).filter((file) => file.endsWith(".wasm"));
  expect(modules).toHaveLength(2 * crashBugs.length);
  const different = modules.filter(
    (file) => !readFileSync(join(scratch, file)).equals(readFileSync(join(folder, file))),
  );
  expect(different).toEqual([]);
}, 300_000);
