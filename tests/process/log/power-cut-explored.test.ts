/**
 * The explorer's own search, with the log of the host calls as its subject: the states of its file model (pmem/file-model.ts),
 * systematically, equal ones once, and a finding with as little lost as still breaks what was promised.
 */
import { rmSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { FileModel, type FileTree } from "../../../pmem/file-model.js";
import { lostFiles, survivingFiles } from "../../../pmem/surviving-files.js";
import { filesOf, mildest } from "../image/recorded-files.js";
import { World } from "./guest-program.js";
import { type Expected, isPromised, LogReader, live } from "./log-lives.js";

vi.mock("../../../runtime/process/log/files.js", async (original) =>
  (await import("./simulated-machine.js")).onSimulatedMachine(original),
);
afterEach(() => vi.restoreAllMocks());

const STATES_PER_STEP = 256;

interface Exploration {
  readonly states: number;
  readonly finding: { readonly wrong: string; readonly lost: readonly string[] } | undefined;
}

function explore(durability: "process" | "system", mistake?: "no flushes" | "no flushes of names"): Exploration {
  const world = new World(false, true);
  const life = live(world, durability, mistake);
  const reader = new LogReader(world.image, life);
  const model = new FileModel({ entries: new Map(), contents: new Map() });
  let expected: Expected = { from: 0, least: 0 };
  const wrongWith = (tree: FileTree) => reader.wrongWith(filesOf(tree), expected, isPromised(durability, expected));
  let states = 0;
  try {
    for (const [step, event] of life.events.entries()) {
      if (event.kind === "files") model.observe(treeOf(event.files));
      else if (event.kind === "flush") model.syncFile(event.name);
      else if (event.kind === "flush names") model.syncDirectory(".");
      else expected = event;
      if (life.events[step + 1]?.kind === "files") continue; // between two flushes the possible states only grow
      for (const { choice, tree } of survivingFiles(model, STATES_PER_STEP, step)) {
        states++;
        const wrong = wrongWith(tree);
        if (wrong === undefined) continue;
        const least = mildest(model, choice, (milder) => wrongWith(milder) !== undefined);
        return { states, finding: { wrong, lost: lostFiles(model, least) } };
      }
    }
    return { states, finding: undefined };
  } finally {
    rmSync(world.folder, { recursive: true });
  }
}

/** A log is known by its name, which it gets once. */
function treeOf(files: ReadonlyMap<string, Uint8Array>): FileTree {
  const entries = [...files.keys()].map((name) => [name, { kind: "file", id: name }] as const);
  return { entries: new Map(entries), contents: files };
}

test.each(["process", "system"] as const)(
  "durability %s: every state keeps what was promised",
  { timeout: 60_000 },
  (it) => {
    const { states, finding } = explore(it);
    expect(finding).toBeUndefined();
    expect(states).toBeGreaterThan(300);
  },
);

describe("a log with a planted mistake", () => {
  test.each([
    ["no flushes", / of log-0/],
    ["no flushes of names", /^name log-0$/],
  ] as const)("%s: found, and only that is lost", (mistake, lost) => {
    const { finding } = explore("system", mistake);
    expect(finding?.lost).toEqual([expect.stringMatching(lost)]);
  });
});
