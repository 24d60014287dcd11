/**
 * The power is cut at every write and flush of what is done to an image that nobody runs. What was not flushed is lost or kept
 * in any combination, in sectors of 512 or of 4096 bytes. Afterwards every epoch that is listed is whole, none is gone that
 * was to stay, and the same work, done again, ends as if it had not been interrupted.
 */
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { listEpochs } from "../../../runtime/process/history.js";
import { forkImage } from "../../../runtime/process/image/forking.js";
import { Image } from "../../../runtime/process/image/image.js";
import { pin } from "../../../runtime/process/image/pins.js";
import { collect, dropEpoch, type Wrap } from "../../../runtime/process/image/upkeep.js";
import { verifyImage } from "../../../runtime/process/image/verifying.js";
import { afterPowerCut, afterProcessDeath, type Operation, Recorder, type Remains } from "./simulated-disk.js";
import { COMMAND, FACTS, MODULE, PAGE, savedBytes, scratchDirectory, stateOf, VERSION } from "./support.js";

const PAGES = 4;
const EPOCHS = 5;
const LAST = { epochs: 1, milliseconds: null } as const;
const ROUNDS = 8;
/** A flush that is missing shows in few of all combinations. */
const SEARCH = 40;

let scratch: string;
let path: string;
beforeEach(() => {
  scratch = scratchDirectory();
  path = join(scratch, "image");
});

/** Almost all of its memory is zeros. */
const SPARSE_EPOCH = EPOCHS + 1;

/** Different in every sector, for every epoch; those of earlier epochs stay in between. */
function expected(epoch: number): Uint8Array {
  if (epoch === SPARSE_EPOCH) return expected(EPOCHS).fill(0, 4 * 4096);
  const bytes = new Uint8Array(PAGES * PAGE);
  for (let each = 1; each <= epoch; each++) {
    for (let at = each * 4096; at < bytes.length; at += 4096 * (each + 1))
      bytes.fill(each * 16 + (at >> 14), at, at + 4096);
  }
  return bytes;
}

function make(): void {
  const image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION });
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const backing = image.createMemory();
  backing.grow(PAGES * PAGE);
  backing.attach(memory, PAGES * PAGE);
  image.keep = { epochs: EPOCHS, milliseconds: null };
  image.markRunning();
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    new Uint8Array(memory.buffer).set(expected(epoch));
    if (epoch < EPOCHS) image.persist(stateOf(epoch, 3000), FACTS);
    else image.commit(stateOf(epoch, 3000), FACTS);
  }
  image.close();
}

/** What the disk holds durably before the work begins, so that the recorder knows the files. */
function noteFiles(recorder: Recorder, from: string, names: readonly string[]): void {
  for (const name of names) {
    const file = recorder.newFile(name);
    recorder.note({ kind: "create", name, file });
    recorder.note({ kind: "write", file, position: 0, bytes: readFileSync(join(from, name)) });
    recorder.note({ kind: "sync", file, name });
  }
}

const filesOf = (image: string) => readdirSync(image).filter((name) => name !== "open-files" && name !== "lock");

/** The disk as it is, then what the work does to it. */
function record(work: (wrap: Wrap) => void, recorder = new Recorder()): { operations: Operation[]; before: number } {
  noteFiles(recorder, path, filesOf(path));
  recorder.note({ kind: "syncDirectory" });
  const before = recorder.operations.length;
  work(recorder.wrap);
  return { operations: recorder.operations, before };
}

function restore(remains: Remains): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  for (const [name, bytes] of remains.files) writeFileSync(join(path, name), bytes);
}

/** Epochs that are listed, all of them whole; and the image goes on from `current`. */
function wholeEpochs(current: number, where: string): number[] {
  const { epochs, problems } = verifyImage(path);
  expect({ problems, damaged: epochs.filter((each) => each.problems.length > 0) }, where).toEqual({
    problems: [],
    damaged: [],
  });
  for (const { epoch } of epochs) {
    const image = Image.open(path, { ...VERSION, at: epoch });
    expect(image.readState(), where).toEqual(stateOf(epoch, 3000));
    expect(Buffer.compare(savedBytes(image, 0, PAGES), expected(epoch)), `${where}, epoch ${epoch}`).toBe(0);
    image.close();
  }
  expect(Image.read(path).header.epoch, where).toBe(current);
  return epochs.map(({ epoch }) => epoch);
}

/** Cuts behind every operation from `before` on; `check` looks at what is there then, in `path`. */
function cutEverywhere(
  { operations, before }: ReturnType<typeof record>,
  check: (where: string) => void,
  rounds = ROUNDS,
): void {
  for (let count = before; count <= operations.length; count++) {
    const past = operations.slice(0, count);
    const where = `behind operation ${count - before} (${past.at(-1)?.kind})`;
    restore(afterProcessDeath(past));
    check(`death ${where}`);
    for (let round = 0; round < rounds; round++) {
      const next = random(count * 100 + round);
      const share = round < 2 ? 0 : round < 4 ? 1 : next();
      const sector = round % 2 === 0 ? 512 : 4096;
      restore(afterPowerCut(past, () => next() < share, sector));
      check(`power cut ${where}, round ${round}, sectors of ${sector}`);
    }
  }
}

/** What a missing flush leaves shows when all the work is done. */
function cutAtEnd({ operations }: ReturnType<typeof record>, check: (where: string) => void): void {
  cutEverywhere({ operations, before: operations.length }, check, SEARCH);
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

/** Somebody shares the segment, of which epoch 6 needs little: when the others go, that is copied out of it. */
function makeSparse(): void {
  make();
  linkSync(join(path, "pages-0"), join(scratch, "elsewhere"));
  const image = Image.open(path, VERSION);
  const bytes = savedBytes(image, 0, PAGES, PAGES);
  image.markRunning();
  bytes.fill(0, 4 * 4096); // the other pages stay where they are
  image.commit(stateOf(SPARSE_EPOCH, 3000), FACTS);
  image.close();
}

describe("collect", () => {
  const isDeath = (where: string) => where.startsWith("death");

  test("cut anywhere: what is to stay is there, and the rest goes the next time", () => {
    make();
    pin(path, 2, true);
    cutEverywhere(
      record((wrap) => void collect(path, LAST, wrap)),
      (where) => {
        const found = wholeEpochs(5, where);
        expect([1, 2, 3, 4, 5], where).toEqual(expect.arrayContaining(found));
        expect(found, where).toEqual(expect.arrayContaining([2, 5]));
        collect(path, LAST);
        const left = wholeEpochs(5, where);
        expect(found, where).toEqual(expect.arrayContaining(left));
        // A power cut may take any of the names: behind a gap is another branch, which no policy drops.
        if (isDeath(where)) expect(left, where).toEqual([2, 5]);
      },
    );
  });

  test("compaction of a shared segment, cut anywhere", () => {
    makeSparse();
    const recorded = record((wrap) => void collect(path, LAST, wrap));
    const work = recorded.operations.slice(recorded.before).map(({ kind }) => kind);
    expect(work).toEqual(expect.arrayContaining(["write", "rename", "sync", "syncDirectory"])); // it did copy
    cutEverywhere(recorded, (where) => {
      expect(wholeEpochs(SPARSE_EPOCH, where), where).toContain(SPARSE_EPOCH);
      collect(path, LAST);
      const left = wholeEpochs(SPARSE_EPOCH, where);
      if (isDeath(where)) expect(left, where).toEqual([SPARSE_EPOCH]);
    });
  });

  const flushOf = (name: RegExp) => (it: Operation) => it.kind === "sync" && name.test(it.name);
  test.each([
    ["moved pages", flushOf(/^pages/)],
    ["state files", flushOf(/^state/)],
    ["the directory", ({ kind }: Operation) => kind === "syncDirectory"],
  ])("compaction without the flush of %s: found out", (_what, omitted) => {
    makeSparse();
    let working = false;
    const recorded = record(
      (wrap) => {
        working = true;
        collect(path, LAST, wrap);
      },
      new Recorder((operation) => working && omitted(operation)),
    );
    expect(() => cutAtEnd(recorded, (where) => void wholeEpochs(SPARSE_EPOCH, where))).toThrow();
  });
});

describe("dropEpoch", () => {
  test("cut anywhere: the epoch is whole or gone, all others are whole", () => {
    make();
    cutEverywhere(
      record((wrap) => dropEpoch(path, 3, wrap)),
      (where) => {
        const found = wholeEpochs(5, where);
        expect([1, 2, 3, 4, 5], where).toEqual(expect.arrayContaining(found));
        expect(found, where).toEqual(expect.arrayContaining([1, 2, 4, 5]));
        if (found.includes(3)) dropEpoch(path, 3);
        collect(path, undefined);
        expect(wholeEpochs(5, where), where).toEqual([1, 2, 4, 5]);
      },
    );
  });

  test("pages given back before the epoch's file is gone durably: found out", () => {
    make();
    const omits = ({ kind }: Operation) => kind === "syncDirectory" && working;
    let working = false;
    const recorded = record((wrap) => {
      working = true;
      dropEpoch(path, 3, wrap);
    }, new Recorder(omits));
    expect(() => cutAtEnd(recorded, (where) => void wholeEpochs(5, where))).toThrow();
  });
});

describe("pin", () => {
  test.each([true, false])("to %s, cut anywhere: the pin is there or not, the history as it was", (pinned) => {
    make();
    pin(path, 2, !pinned);
    const recorded = record((wrap) => pin(path, 2, pinned, { wrap }));
    cutEverywhere(recorded, (where) => {
      expect(wholeEpochs(5, where), where).toEqual([1, 2, 3, 4, 5]);
      pin(path, 2, pinned);
      expect(listEpochs(path)[1]?.pinned, where).toBe(pinned);
    });
    expect(listEpochs(path)[1]?.pinned).toBe(pinned);
  });
});

describe("verifyImage with repair", () => {
  const damage = (name: string, at: number) => {
    const bytes = readFileSync(join(path, name));
    bytes[at]! ^= 1;
    writeFileSync(join(path, name), bytes);
  };

  test("cut anywhere: repaired, or to be repaired again; no good epoch is lost", () => {
    make();
    pin(path, 3, true);
    for (const epoch of [3, 5]) damage(`state-${epoch}`, 500);
    cutEverywhere(
      record((wrap) => void verifyImage(path, true, undefined, wrap)),
      (where) => {
        verifyImage(path, true);
        expect(wholeEpochs(4, where), where).toEqual([1, 2, 4]);
      },
    );
  });

  test("of a damaged slot, cut anywhere: the image is never worse than before", () => {
    make();
    damage("header", 4096 * ((Image.read(path).header.sequence + 1) % 2) + 20);
    cutEverywhere(
      record((wrap) => void verifyImage(path, true, undefined, wrap)),
      (where) => {
        verifyImage(path, true);
        expect(wholeEpochs(5, where), where).toEqual([1, 2, 3, 4, 5]);
      },
    );
  });
});

describe("forkImage", () => {
  /** The names that a fork gives to the files of its source are made before its first write, and last as long as that. */
  function recordFork(recorder: Recorder): Operation[] {
    const source = path;
    path = join(scratch, "fork");
    const shared = ["module.wasm", "pages-0"];
    noteFiles(recorder, source, shared);
    forkImage(source, 4, path, recorder.wrap);
    expect(filesOf(path).toSorted()).toEqual(["header", ...shared, "state-4"].toSorted());
    return recorder.operations;
  }

  test("cut anywhere: the fork is there, whole, or incomplete; the other image is as it was", () => {
    make();
    const source = path;
    const operations = recordFork(new Recorder());
    let complete = 0;
    cutEverywhere({ operations, before: 0 }, (where) => {
      let header: { readonly epoch: number };
      try {
        ({ header } = Image.read(path));
      } catch (error) {
        expect(error, where).toMatchObject({ code: "IMAGE_INCOMPLETE" });
        return;
      }
      expect(header.epoch, where).toBe(4);
      expect(wholeEpochs(4, where), where).toEqual([4]);
      complete++;
    });
    expect(complete).toBeGreaterThan(0);
    path = source;
    expect(wholeEpochs(5, "the source")).toEqual([1, 2, 3, 4, 5]);
  });

  test.each(["state-4", "header.new"])("without the flush of %s: found out", (name) => {
    make();
    const operations = recordFork(new Recorder((it) => it.kind === "sync" && it.name === name));
    expect(() =>
      cutEverywhere({ operations, before: 0 }, (where) => {
        try {
          Image.read(path);
        } catch (error) {
          expect(error, where).toMatchObject({ code: "IMAGE_INCOMPLETE" });
          return;
        }
        wholeEpochs(4, where);
      }),
    ).toThrow();
  });
});
