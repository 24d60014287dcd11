import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Image } from "../../../runtime/process/image/image.js";
import { afterPowerCut, afterProcessDeath, type Operation, Recorder, type Remains } from "./simulated-disk.js";
import { COMMAND, MODULE, PAGE, scratchDirectory, stateOf, VERSION } from "./support.js";

/** A simulated power cut says what a disk that keeps its promises would leave; a killed process is another test. */

const GENERATIONS = 4;
/** Big enough for several sectors. */
const state = (generation: number) => stateOf(generation, 2000 + generation);

/** The life of an image: made, saved, resumed in another process, saved ... and at the end finished. */
function live(recorder: Recorder): void {
  const path = join(scratchDirectory(), "image");
  const { wrap: storage } = recorder;
  let image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION, storage });
  image.createRegion().grow(PAGE);
  recorder.noteRegion("memory-0");
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    recorder.note({ kind: "mark", label: "starting" });
    image.markRunning();
    recorder.note({ kind: "mark", label: "running" });
    recorder.note({ kind: "store", name: "memory-0", generation: generation - 0.5 });
    recorder.note({ kind: "store", name: "memory-0", generation });
    recorder.note({ kind: "mark", label: "saving" });
    image.commit(state(generation));
    recorder.note({ kind: "mark", label: `saved ${generation}` });
    if (generation % 2 === 1) continue; // a persistence point: the same process goes on
    image.close();
    image = Image.open(path, { ...VERSION, storage });
  }
  recorder.note({ kind: "mark", label: "starting" });
  image.markRunning();
  recorder.note({ kind: "mark", label: "finishing" });
  image.finish(5);
  recorder.note({ kind: "mark", label: "finished" });
  image.close();
}

/** "saved N", "running", "finished", or the code of the error; throws on anything that must never be. */
function reopen(path: string, remains: Remains): string {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  for (const [name, bytes] of remains.files) writeFileSync(join(path, name), bytes);
  if (remains.files.has("memory-0")) truncateSync(join(path, "memory-0"), PAGE);
  let image: Image;
  try {
    image = Image.open(path, VERSION);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code.startsWith("IMAGE_") && error instanceof Error && error.message.includes(path)) return code;
    throw error;
  }
  try {
    if (image.header.status !== "saved") return image.header.status;
    const { epoch } = image.header;
    expect(image.readState()).toEqual(state(epoch));
    expect([...(remains.regions.get("memory-0") ?? [])], "memory of another moment").toEqual([epoch]);
    return `saved ${epoch}`;
  } finally {
    image.close();
  }
}

/** What may be found when the power goes behind `operations`. */
function allowed(operations: readonly Operation[]): RegExp {
  const labels = operations.flatMap((operation) => (operation.kind === "mark" ? [operation.label] : []));
  const last = labels.at(-1) ?? "creating";
  const saved = labels.filter((label) => label.startsWith("saved")).length;
  if (last === "creating") return /^(running|IMAGE_INCOMPLETE|IMAGE_FOREIGN)$/;
  if (last === "starting" && saved === 0) return /^running$/;
  // Torn or lost, the new slot leaves the state that was saved before: the guest has not run yet.
  if (last === "starting") return new RegExp(`^(saved ${saved}|running)$`);
  if (last.startsWith("saved")) return new RegExp(`^saved ${saved}$`);
  if (last === "running") return /^running$/;
  // A torn slot cannot be told from one that somebody damaged.
  if (last === "saving") return new RegExp(`^(running|saved ${saved + 1}|IMAGE_DAMAGED)$`);
  if (last === "finishing") return /^(running|finished|IMAGE_DAMAGED)$/;
  return /^finished$/;
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Cuts the power behind every operation, `rounds` times each; returns the outcomes seen. Throws at the first mix. */
function cutEverywhere(operations: readonly Operation[], rounds: number): Set<string> {
  const path = join(scratchDirectory(), "remains");
  const seen = new Set<string>();
  for (let count = 0; count <= operations.length; count++) {
    const past = operations.slice(0, count);
    const last = past.at(-1)?.kind;
    for (let round = 0; round < rounds; round++) {
      const next = random(count * 1000 + round);
      // All lost, all kept, and shares of both.
      const share = round === 0 ? 0 : round === 1 ? 1 : next();
      const outcome = reopen(
        path,
        afterPowerCut(past, () => next() < share),
      );
      expect(outcome, `cut behind operation ${count} (${last}), round ${round}`).toMatch(allowed(past));
      seen.add(outcome);
    }
  }
  return seen;
}

describe("a power cut", () => {
  test("at any write or flush: the previous state or the next one, never a mix", () => {
    const recorder = new Recorder();
    live(recorder);
    const seen = cutEverywhere(recorder.operations, 12);
    for (let epoch = 1; epoch <= GENERATIONS; epoch++) expect(seen).toContain(`saved ${epoch}`);
    for (const outcome of ["running", "finished", "IMAGE_DAMAGED"]) expect(seen).toContain(outcome);
  });
});

describe("death of the process, simulated", () => {
  test("behind any call: what was done so far is all there", () => {
    const recorder = new Recorder();
    live(recorder);
    const path = join(scratchDirectory(), "remains");
    for (let count = 0; count <= recorder.operations.length; count++) {
      const past = recorder.operations.slice(0, count);
      const outcome = reopen(path, afterProcessDeath(past));
      expect(outcome, `death behind operation ${count}`).toMatch(allowed(past));
      expect(outcome).not.toBe("IMAGE_DAMAGED");
    }
  });
});

/** Each flush is there for a reason: without it the disk above finds a mix or a loss. */
describe("an image without", () => {
  const omitted: [label: string, omits: (operation: Operation) => boolean, found: RegExp][] = [
    ["the flush of the regions", ({ kind }) => kind === "flushRegion", /memory of another moment/],
    ["the flush of the state file", (it) => it.kind === "sync" && it.name.startsWith("state-"), /to match .\^saved/],
    ["the flush of the header", (it) => it.kind === "sync" && it.name === "header", /'running' to match .\^saved/],
    ["the flush of the new header", (it) => it.kind === "sync" && it.name === "header.new", /'IMAGE_DAMAGED' to match/],
    ["the flush of the module", (it) => it.kind === "sync" && it.name === "module.wasm", /'IMAGE_DAMAGED' to match/],
    ["the flush of the directory", ({ kind }) => kind === "syncDirectory", /'IMAGE_DAMAGED' to match/],
  ];
  test.each(omitted)("%s: found out", (_label, omits, found) => {
    const recorder = new Recorder(omits);
    live(recorder);
    expect(() => cutEverywhere(recorder.operations, 30)).toThrow(found);
  });
});
