/** Lives of images, told to a recorder, and what may be found of them when the power was cut. */
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { type Commit, carryOut } from "../../../runtime/process/image/commit.js";
import { keptEpochs } from "../../../runtime/process/image/epochs.js";
import { Image } from "../../../runtime/process/image/image.js";
import { ImageDirectory } from "../../../runtime/process/image/image-directory.js";
import { pin } from "../../../runtime/process/image/pins.js";
import { verifyImage } from "../../../runtime/process/image/verifying.js";
import type { Operation, Recorder, Remains } from "./simulated-disk.js";
import { COMMAND, FACTS, MODULE, PAGE, savedBytes, scratchDirectory, stateOf, VERSION } from "./support.js";

export const GENERATIONS = 6;
/** Big enough for several sectors. */
const state = (generation: number) => stateOf(generation, 2000 + generation);

export interface Life {
  readonly operations: readonly Operation[];
  /** Linear memory at each epoch; in place: undefined, its bytes are known by generation. */
  readonly memories: ReadonlyMap<number, Uint8Array> | undefined;
}

/** The life of an image: made, saved, resumed in another process, saved ... and at the end finished. */
export function live(recorder: Recorder): Life {
  const path = join(scratchDirectory(), "image");
  const { wrap: storage } = recorder;
  const memories = new Map<number, Uint8Array>();
  const next = random(1);
  let image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION, storage });
  let memory = new WebAssembly.Memory({ initial: 2, maximum: 100 });
  const backing = image.createMemory();
  backing.grow(2 * PAGE);
  backing.attach(memory, 100 * PAGE);
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    recorder.note({ kind: "mark", label: "starting" });
    image.markRunning();
    recorder.note({ kind: "mark", label: "running" });
    if (generation % 2 === 0) {
      image.memories[0]?.grow(memory.buffer.byteLength + PAGE);
      memory.grow(1);
    }
    scribble(new Uint8Array(memory.buffer), next);
    recorder.note({ kind: "mark", label: "saving" });
    image.commit(state(generation), FACTS);
    memories.set(generation, new Uint8Array(memory.buffer).slice());
    recorder.note({ kind: "mark", label: `saved ${generation}` });
    if (generation % 3 === 1) continue; // a persistence point: the same process goes on
    image.close();
    image = Image.open(path, { ...VERSION, storage });
    memory = new WebAssembly.Memory({ initial: memories.get(generation)!.byteLength / PAGE, maximum: 100 });
    image.memories[0]?.attach(memory, 100 * PAGE);
  }
  finish(image, recorder);
  return { operations: recorder.operations, memories };
}

/** A guest that is persisted while it runs, and saved at the end; memory grows in between. */
export function liveWithPoints(recorder: Recorder): Life {
  const path = join(scratchDirectory(), "image");
  const { wrap: storage } = recorder;
  const memories = new Map<number, Uint8Array>();
  const next = random(2);
  const image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION, storage });
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 100 });
  const backing = image.createMemory();
  backing.grow(2 * PAGE);
  backing.attach(memory, 100 * PAGE);
  recorder.note({ kind: "mark", label: "starting" });
  image.markRunning();
  recorder.note({ kind: "mark", label: "running" });
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    if (generation === 3) {
      image.memories[0]?.grow(memory.buffer.byteLength + PAGE);
      memory.grow(1);
    }
    scribble(new Uint8Array(memory.buffer), next);
    recorder.note({ kind: "mark", label: "saving" });
    if (generation < GENERATIONS) image.persist(state(generation), FACTS);
    else image.commit(state(generation), FACTS);
    memories.set(generation, new Uint8Array(memory.buffer).slice());
    recorder.note({ kind: "mark", label: `saved ${generation}` });
  }
  finish(image, recorder);
  return { operations: recorder.operations, memories };
}

/**
 * The same, but the guest goes on, and stores, while each commit is made; three epochs are kept, one is pinned, and the life
 * goes back to an earlier one in between.
 */
export async function liveWithCommits(recorder: Recorder): Promise<Life> {
  const path = join(scratchDirectory(), "image");
  const { wrap: storage } = recorder;
  const memories = new Map<number, Uint8Array>();
  const next = random(3);
  let image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION, storage });
  let memory = new WebAssembly.Memory({ initial: 2, maximum: 100 });
  const backing = image.createMemory();
  backing.grow(2 * PAGE);
  backing.attach(memory, 100 * PAGE);
  image.keep = { epochs: 3, milliseconds: null };
  recorder.note({ kind: "mark", label: "starting" });
  image.markRunning();
  recorder.note({ kind: "mark", label: "running" });
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    scribble(new Uint8Array(memory.buffer), next);
    recorder.note({ kind: "mark", label: "saving" });
    memories.set(generation, new Uint8Array(memory.buffer).slice());
    let commit: Commit | undefined;
    const start = (begun: Commit) => {
      commit = begun;
    };
    image.persistLater(state(generation), FACTS, { guestFiles: [], remove: [] }, { start, wait: () => {} });
    scribble(new Uint8Array(memory.buffer), next);
    await carryOut(commit!, recorder.commitCalls);
    image.settleCommit();
    recorder.note({ kind: "mark", label: `saved ${generation}` });
    if (generation === 2) pin(path, 1, true, { wrap: recorder.wrap });
    if (generation !== 4) continue;
    image.close();
    image = Image.open(path, { ...VERSION, storage, at: 3 });
    memory = new WebAssembly.Memory({ initial: 2, maximum: 100 });
    image.memories[0]?.attach(memory, 100 * PAGE);
    recorder.note({ kind: "mark", label: "going back" });
    image.markRunning();
    recorder.note({ kind: "mark", label: "went back to 3" });
  }
  expect(keptOf(image)).toEqual([1, 3, 4, 5, 6]);
  finish(image, recorder);
  return { operations: recorder.operations, memories };
}

/** Some pages get new bytes, each sector different, some become zeros, most stay. */
function scribble(bytes: Uint8Array, next: () => number): void {
  for (let page = 0; page < bytes.byteLength / 4096; page++) {
    const chance = next();
    if (chance < 0.1) bytes.fill(0, page * 4096, (page + 1) * 4096);
    else if (chance < 0.4) for (let at = 0; at < 4096; at += 100) bytes[page * 4096 + at] = next() * 256;
  }
}

/** The same with memory written in place, whose bytes are only known by the generation that stored them. */
export function liveInPlace(recorder: Recorder): Life {
  const path = join(scratchDirectory(), "image");
  const { wrap: storage } = recorder;
  let image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, inPlace: true, ...VERSION, storage });
  image.createMemory().grow(PAGE);
  recorder.noteRegion("memory-0");
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    recorder.note({ kind: "mark", label: "starting" });
    image.markRunning();
    recorder.note({ kind: "mark", label: "running" });
    recorder.note({ kind: "store", name: "memory-0", generation: generation - 0.5 });
    recorder.note({ kind: "store", name: "memory-0", generation });
    recorder.note({ kind: "mark", label: "saving" });
    image.commit(state(generation), FACTS);
    recorder.note({ kind: "mark", label: `saved ${generation}` });
    if (generation % 2 === 1) continue; // a persistence point: the same process goes on
    image.close();
    image = Image.open(path, { ...VERSION, storage });
  }
  finish(image, recorder);
  return { operations: recorder.operations, memories: undefined };
}

function finish(image: Image, recorder: Recorder): void {
  recorder.note({ kind: "mark", label: "starting" });
  image.markRunning();
  recorder.note({ kind: "mark", label: "finishing" });
  image.finish(5);
  recorder.note({ kind: "mark", label: "finished" });
  image.close();
}

function keptOf({ path, header }: Image): number[] {
  const directory = ImageDirectory.open(path);
  try {
    return keptEpochs(directory, header.highestEpoch);
  } finally {
    directory.close();
  }
}

/** Every epoch that is still listed can be gone back to. */
function checkHistory(path: string, epochs: readonly number[], memories: ReadonlyMap<number, Uint8Array>): void {
  for (const epoch of epochs) {
    const image = Image.open(path, { ...VERSION, at: epoch });
    expect(image.readState()).toEqual(state(epoch));
    const expected = memories.get(epoch)!;
    const found = savedBytes(image, 0, expected.byteLength / PAGE);
    expect(Buffer.compare(found, expected), `epoch ${epoch} of the history`).toBe(0);
    image.close();
  }
  const { epochs: verified, problems } = verifyImage(path);
  expect({ verified, problems }).toEqual({ verified: epochs.map((epoch) => ({ epoch, problems: [] })), problems: [] });
}

/** "epoch N", "nothing", "finished", or the code of the error; throws on anything that must never be. */
export function reopen(path: string, remains: Remains, memories: Life["memories"]): string {
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
  const kept = keptOf(image);
  try {
    const { status, epoch, state: named } = image.header;
    if (status === "finished" || status === "trapped") return status;
    if (named === undefined) return "nothing";
    expect(image.readState()).toEqual(state(epoch));
    if (memories === undefined) {
      expect([...(remains.regions.get("memory-0") ?? [])], "memory of another moment").toEqual([epoch]);
    } else {
      const expected = memories.get(epoch)!;
      const found = savedBytes(image, 0, expected.byteLength / PAGE);
      expect(Buffer.compare(found, expected), "memory of another moment").toBe(0);
    }
    return `epoch ${epoch}`;
  } finally {
    image.close();
    const isFinished = image.header.status === "finished";
    if (memories !== undefined && kept.length > 1 && !isFinished) checkHistory(path, kept, memories);
  }
}

/** What may be found when the power goes behind `past`: one epoch, or during a save that or the next one. */
export function allowed(past: readonly Operation[], inPlace: boolean): RegExp {
  const labels = past.flatMap((operation) => (operation.kind === "mark" ? [operation.label] : []));
  const last = labels.at(-1) ?? "creating";
  const saved = labels.filter((label) => label.startsWith("saved")).length;
  const wentBack = /^went back to (\d+)$/.exec(labels.filter((label) => !label.startsWith("sav")).at(-1) ?? "")?.[1];
  const wentBackLast = wentBack !== undefined && saved === 4;
  const before = saved === 0 ? "nothing" : `epoch ${wentBackLast ? wentBack : saved}`;
  if (last.startsWith("went back")) return new RegExp(`^${before}$`);
  if (last === "going back") return /^epoch [34]$/;
  if (last === "creating") return /^(nothing|IMAGE_INCOMPLETE|IMAGE_FOREIGN)$/;
  if (last.startsWith("saved")) return new RegExp(`^${before}$`);
  if (last === "finished") return /^finished$/;
  const kept = inPlace ? "nothing" : before;
  if (last === "starting") return new RegExp(`^(${before}|${kept})$`);
  if (last === "running") return new RegExp(`^${kept}$`);
  if (last === "saving") return new RegExp(`^(${kept}|epoch ${saved + 1})$`);
  return new RegExp(`^(${kept}|finished)$`);
}

export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
