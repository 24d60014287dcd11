import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  allowed,
  GENERATIONS,
  type Life,
  live,
  liveInPlace,
  liveWithCommits,
  liveWithPoints,
  random,
  reopen,
} from "./image-lives.js";
import { afterPowerCut, afterProcessDeath, type Operation, Recorder } from "./simulated-disk.js";
import { scratchDirectory } from "./support.js";

/** A simulated power cut says what a disk that keeps its promises would leave; a killed process is another test. */

/** Cuts the power behind every operation, `rounds` times each; returns the outcomes seen. Throws at the first mix. */
function cutEverywhere({ operations, memories }: Life, rounds: number): Set<string> {
  const path = join(scratchDirectory(), "remains");
  const seen = new Set<string>();
  for (let count = 0; count <= operations.length; count++) {
    const past = operations.slice(0, count);
    const last = past.at(-1)?.kind;
    for (let round = 0; round < rounds; round++) {
      const next = random(count * 1000 + round);
      // All lost, all kept, and shares of both.
      const share = round === 0 ? 0 : round === 1 ? 1 : next();
      const remains = afterPowerCut(past, () => next() < share);
      const where = `cut behind operation ${count} (${last}), round ${round}`;
      const outcome = reopen(path, remains, memories);
      expect(outcome, where).toMatch(allowed(past, memories === undefined));
      seen.add(outcome);
    }
  }
  return seen;
}

const WAYS = [
  ["page store", live],
  ["page store, persistence points", liveWithPoints],
  ["page store, commits while the guest runs, a history", liveWithCommits],
  ["in place", liveInPlace],
] as const;

describe.each(WAYS)("a power cut, %s", (_way, liveOn) => {
  test("at any write or flush: the previous epoch or the next one, never a mix", { timeout: 300_000 }, async () => {
    const seen = cutEverywhere(await liveOn(new Recorder()), 8);
    for (let epoch = 1; epoch <= GENERATIONS; epoch++) expect(seen).toContain(`epoch ${epoch}`);
    for (const outcome of ["nothing", "finished"]) expect(seen).toContain(outcome);
    expect(seen).not.toContain("IMAGE_DAMAGED");
  });
});

describe.each(WAYS)("death of the process, simulated, %s", (_way, liveOn) => {
  test("behind any call: what was done so far is all there", async () => {
    const { operations, memories } = await liveOn(new Recorder());
    const path = join(scratchDirectory(), "remains");
    for (let count = 0; count <= operations.length; count++) {
      const past = operations.slice(0, count);
      const outcome = reopen(path, afterProcessDeath(past), memories);
      expect(outcome, `death behind operation ${count}`).toMatch(allowed(past, memories === undefined));
    }
  });
});

/** Each flush is there for a reason: without it the disk above finds a mix or a loss. */
describe("an image without", () => {
  type Omission = [
    label: string,
    liveOn: (recorder: Recorder) => Life | Promise<Life>,
    omits: (it: Operation) => boolean,
    found: RegExp,
  ];
  const syncOf = (name: string) => (it: Operation) => it.kind === "sync" && it.name === name;
  const omitted: Omission[] = [
    ["the flush of the pages", live, syncOf("pages-0"), /memory of another moment|'IMAGE_DAMAGED' to match/],
    ["the flush of the regions", liveInPlace, ({ kind }) => kind === "flushRegion", /memory of another moment/],
    [
      "the flush of the state file",
      live,
      (it) => it.kind === "sync" && it.name.startsWith("state-"),
      /'IMAGE_DAMAGED' to match/,
    ],
    [
      "the flush of the pages in a commit",
      liveWithCommits,
      syncOf("pages-0"),
      /another moment|history|verified|IMAGE_DAMAGED/,
    ],
    ["the flush of the directory in a commit", liveWithCommits, ({ kind }) => kind === "syncDirectory", /to match/],
    ["the flush of the header", live, syncOf("header"), /to match|memory of another moment/],
    ["the flush of the new header", live, syncOf("header.new"), /'IMAGE_DAMAGED' to match/],
    ["the flush of the module", live, syncOf("module.wasm"), /'IMAGE_DAMAGED' to match/],
    ["the flush of the directory", live, ({ kind }) => kind === "syncDirectory", /'IMAGE_INCOMPLETE' to match/],
  ];
  test.each(omitted)("%s: found out", async (_label, liveOn, omits, found) => {
    const life = await liveOn(new Recorder(omits));
    expect(() => cutEverywhere(life, 30)).toThrow(found);
  });
});
