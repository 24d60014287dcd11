import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { listEpochs } from "../../../runtime/process/history.js";
import { forkImage } from "../../../runtime/process/image/forking.js";
import { Image } from "../../../runtime/process/image/image.js";
import { ImageDirectory } from "../../../runtime/process/image/image-directory.js";
import { pin } from "../../../runtime/process/image/pins.js";
import { collect, dropEpoch } from "../../../runtime/process/image/upkeep.js";
import { verifyImage } from "../../../runtime/process/image/verifying.js";
import { COMMAND, errorCode, FACTS, MODULE, PAGE, savedBytes, scratchDirectory, stateOf, VERSION } from "./support.js";

const PAGES = 16;
let scratch: string;
let path: string;
beforeEach(() => {
  scratch = scratchDirectory();
  path = join(scratch, "image");
});

/** Every epoch fills its own page of the memory, and page 0, with its number. */
function fill(bytes: Uint8Array, epoch: number): void {
  for (const page of [0, epoch]) bytes.fill(epoch, page * PAGE, page * PAGE + 5000);
}

/** What memory holds at the end of a line of epochs. */
function expected(line: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(PAGES * PAGE);
  for (const epoch of line) fill(bytes, epoch);
  return bytes;
}

/** Goes on from an epoch (undefined: a new image; 0: the current one) with so many more, all persisted. */
function live(at: number | undefined, count: number, epochs = 100, store = fill): void {
  const image =
    at === undefined
      ? Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION })
      : Image.open(path, { ...VERSION, at: at === 0 ? undefined : at });
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const backing = at === undefined ? image.createMemory() : image.memories[0];
  if (at === undefined) backing?.grow(PAGES * PAGE);
  backing?.attach(memory, PAGES * PAGE);
  image.keep = { epochs, milliseconds: null };
  image.markRunning();
  for (let i = 0; i < count; i++) {
    store(new Uint8Array(memory.buffer), image.header.highestEpoch + 1);
    image.persist(stateOf(image.header.highestEpoch + 1), { ...FACTS, why: "period" });
  }
  image.close();
}

function expectEpoch(image: string, epoch: number, line: readonly number[]): void {
  const opened = Image.open(image, { ...VERSION, at: epoch });
  expect(opened.readState()).toEqual(stateOf(epoch));
  expect(Buffer.compare(savedBytes(opened, 0, PAGES), expected(line)), `epoch ${epoch}`).toBe(0);
  opened.close();
}

const numbers = (image = path) => listEpochs(image).map(({ epoch }) => epoch);

describe("the history", () => {
  test("a branch's origin goes: what both branches had of it stays, while the program runs on", () => {
    live(undefined, 2);
    pin(path, 1, true);
    live(2, 1); // 3
    // Drops 2, then 4, which has a page of 2 that 5 has no more, nor 1: only 3 has it.
    live(2, 9, 2, (bytes, epoch) => {
      const from = epoch === 4 ? 0 : 2 * PAGE;
      bytes.fill(epoch, from, from + 5000);
    });
    expect(numbers()).toEqual([1, 3, 11, 12]);
    expectEpoch(path, 3, [1, 2, 3]);
    expectEpoch(path, 1, [1]);
  });

  test("however many epochs there are, the directory is listed once for a run", () => {
    live(undefined, 20);
    const listed = vi.spyOn(ImageDirectory.prototype, "names");
    live(0, 8, 40);
    expect(listed).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
  });

  test("a tree: going back begins a branch, and every epoch can be gone back to", () => {
    live(undefined, 3);
    live(2, 2);
    live(5, 1);
    live(3, 1);
    expect(listEpochs(path).map(({ epoch, parent, current }) => [epoch, parent, current])).toEqual([
      [1, null, false],
      [2, 1, false],
      [3, 2, false],
      [4, 2, false],
      [5, 4, false],
      [6, 5, false],
      [7, 3, true],
    ]);
    expectEpoch(path, 3, [1, 2, 3]);
    expectEpoch(path, 6, [1, 2, 4, 5, 6]);
    expectEpoch(path, 7, [1, 2, 3, 7]);
    expect(listEpochs(path)[6]).toMatchObject({ why: "period", hostCalls: 7, memoryByteLength: PAGES * PAGE });
  });

  test("the policy drops the oldest of the line, but neither pins nor other branches", () => {
    live(undefined, 4);
    pin(path, 2, true);
    live(3, 4, 3); // 5 to 8, of which three stay
    expect(numbers()).toEqual([2, 4, 6, 7, 8]);
    expectEpoch(path, 2, [1, 2]);
    expectEpoch(path, 4, [1, 2, 3, 4]);
    expectEpoch(path, 8, [1, 2, 3, 5, 6, 7, 8]);
    pin(path, 2, false);
    live(0, 1, 1);
    expect(numbers()).toEqual([2, 4, 9]); // what is no part of the line any more stays until it is dropped
  });

  test("by age: what is young enough stays", () => {
    live(undefined, 3);
    collect(path, { epochs: 1, milliseconds: 60_000 });
    expect(numbers()).toEqual([1, 2, 3]);
    collect(path, { epochs: 2, milliseconds: null });
    expect(numbers()).toEqual([2, 3]);
  });

  test("the policy goes with the image; a number is never given twice", () => {
    live(undefined, 3, 2);
    const image = Image.open(path, VERSION);
    expect(image.record?.keep).toEqual({ epochs: 2, milliseconds: null });
    image.close();
    live(2, 0);
    dropEpoch(path, 3);
    live(0, 1);
    expect(numbers()).toEqual([2, 4]);
  });

  test("any life: whatever is dropped, in whatever order, the others stay whole", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("live" as const), pick: fc.nat(), count: fc.integer({ min: 1, max: 2 }) }),
      fc.record({ kind: fc.constant("drop" as const), pick: fc.nat(), count: fc.constant(1) }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 4, maxLength: 10 }), (steps) => {
        rmSync(path, { recursive: true, force: true });
        live(undefined, 2);
        const lines = new Map([
          [1, [1]],
          [2, [1, 2]],
        ]);
        let last = 2;
        for (const { kind, pick, count } of steps) {
          const kept = numbers();
          const epoch = kept[pick % kept.length] as number;
          if (kind === "drop") {
            if (listEpochs(path).find(({ current }) => current)?.epoch !== epoch) dropEpoch(path, epoch);
            continue;
          }
          if (last + count >= PAGES) break;
          live(epoch, count);
          for (let line = lines.get(epoch) ?? []; count > 0 && last < numbers().at(-1)!; ) {
            line = [...line, ++last];
            lines.set(last, line);
          }
        }
        for (const epoch of numbers()) expectEpoch(path, epoch, lines.get(epoch) ?? []);
        expect(verifyImage(path).epochs.flatMap(({ problems }) => problems)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test("after the end: dropped with the program by default; kept, if a history is", () => {
    for (const [epochs, left] of [
      [1, []],
      [2, [1, 2]],
    ] as const) {
      rmSync(path, { recursive: true, force: true });
      live(undefined, 2, epochs);
      const image = Image.open(path, VERSION);
      image.markRunning();
      image.finish(0);
      image.close();
      expect(numbers()).toEqual(left);
      expect(() => Image.read(path).readState()).toThrow(errorCode("IMAGE_NOT_SAVED"));
      if (left.length > 0) expectEpoch(path, 2, [1, 2]);
    }
  });

  test("after a trap: the epoch before it can be gone back to, and what trapped is told", () => {
    live(undefined, 2, 1);
    const image = Image.open(path, VERSION);
    savedBytes(image, 0, PAGES).fill(9, 0, 100);
    image.markRunning();
    image.trap({ message: "unreachable", frames: [{ functionIndex: 3 }] }, 12);
    image.close();
    const record = Image.read(path).readCurrent()?.record;
    expect(record).toMatchObject({ why: "trap", hostCalls: 12, trap: { frames: [{ functionIndex: 3 }] } });
    expectEpoch(path, 2, [1, 2]);
    live(2, 1);
    expect(readdirSync(path)).not.toContain("trap");
    expectEpoch(path, 3, [1, 2, 3]);
  });

  test("no such epoch, the current one, a pinned one: refused", () => {
    live(undefined, 2);
    expect(() => Image.open(path, { ...VERSION, at: 9 })).toThrow(errorCode("NO_SUCH_EPOCH"));
    expect(() => dropEpoch(path, 9)).toThrow(errorCode("NO_SUCH_EPOCH"));
    expect(() => pin(path, 9, true)).toThrow(errorCode("NO_SUCH_EPOCH"));
    expect(readdirSync(path)).not.toContain("pinned-9");
    expect(() => dropEpoch(path, 2)).toThrow(errorCode("EPOCH_IN_USE"));
    pin(path, 1, true);
    expect(() => dropEpoch(path, 1)).toThrow(errorCode("EPOCH_IN_USE"));
    const held = Image.open(path, VERSION);
    expect(() => dropEpoch(path, 1)).toThrow(errorCode("IMAGE_BUSY"));
    held.close();
  });
});

describe("forkImage", () => {
  test("each goes its own way; what they share is not written by either", () => {
    live(undefined, 3);
    const other = join(scratch, "fork");
    expect(forkImage(path, 2, other)).toBe(2);
    const shared = readFileSync(join(path, "pages-0"));
    expect(statSync(join(other, "pages-0")).ino).toBe(statSync(join(path, "pages-0")).ino);
    const original = path;
    path = other;
    live(0, 1); // its epoch 3 is another one
    live(0, 1);
    path = original;
    live(0, 1);
    expectEpoch(other, 4, [1, 2, 3, 4]);
    expectEpoch(path, 3, [1, 2, 3]);
    expectEpoch(path, 4, [1, 2, 3, 4]);
    expect(readFileSync(join(path, "pages-0")).equals(shared)).toBe(true);
    expect(numbers(other)).toEqual([2, 3, 4]);
    for (const image of [path, other])
      expect(verifyImage(image).epochs.flatMap(({ problems }) => problems)).toEqual([]);
    Image.remove(other);
    live(0, 2, 1);
    expectEpoch(path, 6, [1, 2, 3, 4, 5, 6]);
    expect(readFileSync(join(path, "pages-0")).equals(shared)).toBe(false); // its own again
  });

  test("of an image that runs, has nothing saved, or onto something: refused, and nothing is left", () => {
    live(undefined, 1);
    const target = join(scratch, "fork");
    const held = Image.open(path, VERSION);
    expect(() => forkImage(path, undefined, target)).toThrow(errorCode("IMAGE_BUSY"));
    held.close();
    expect(() => forkImage(path, 7, target)).toThrow(errorCode("NO_SUCH_EPOCH"));
    expect(() => forkImage(path, undefined, path)).toThrow(errorCode("IMAGE_EXISTS"));
    mkdirSync(target);
    writeFileSync(join(target, "letter.txt"), "dear");
    expect(() => forkImage(path, undefined, target)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(readdirSync(target)).toEqual(["letter.txt"]);
    expect(statSync(join(path, "pages-0")).nlink).toBe(1);
  });
});

describe("collect", () => {
  test("a sparse segment that is shared is copied; the fork keeps what it needs", () => {
    live(undefined, 10);
    const other = join(scratch, "fork");
    forkImage(path, undefined, other);
    linkSync(join(other, "pages-0"), join(scratch, "third")); // somebody else has it too
    path = other;
    live(0, 0);
    const line = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    const image = Image.open(path, VERSION);
    savedBytes(image, 0, PAGES).fill(0, PAGE);
    image.markRunning();
    image.commit(stateOf(11), FACTS);
    image.close();
    const found = collect(path, { epochs: 1, milliseconds: null });
    expect(found.epochs).toEqual([10]);
    expect(found.after).toBeLessThan(found.before);
    expect(readdirSync(path)).not.toContain("pages-0");
    const opened = Image.open(path, VERSION);
    expect([...new Set(savedBytes(opened, 0, PAGES).subarray(0, 5000))]).toEqual([10]);
    opened.close();
    expect(verifyImage(path)).toMatchObject({ problems: [], epochs: [{ epoch: 11, problems: [] }] });
    expectEpoch(join(scratch, "image"), 10, line);
  });
});

describe("verifyImage", () => {
  /** Files whose every byte counts. */
  const files = () => readdirSync(path).filter((name) => /^(header|module\.wasm|state-[123]|pages-\d+)$/.test(name));
  const isWhole = () => {
    try {
      const { epochs, problems } = verifyImage(path);
      return problems.length === 0 && epochs.every((entry) => entry.problems.length === 0);
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/^IMAGE_/) });
      return false;
    }
  };

  test("a bit flipped anywhere that counts, or a file cut: found", () => {
    live(undefined, 3);
    expect(isWhole()).toBe(true);
    const used = new Set(pagesInUse());
    const name = fc.constantFrom(...files());
    fc.assert(
      fc.property(name, fc.nat(), fc.nat(7), fc.boolean(), (file, place, bit, cut) => {
        const whole = readFileSync(join(path, file));
        const at = place % whole.length;
        if (file.startsWith("pages") && !used.has(Math.floor(at / 4096))) return;
        const bytes = Buffer.from(whole);
        bytes[at]! ^= 1 << bit;
        writeFileSync(join(path, file), cut ? whole.subarray(0, at) : bytes);
        const found = !isWhole();
        writeFileSync(join(path, file), whole);
        expect(found, `${file}, byte ${at}`).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect(isWhole()).toBe(true);
  });

  /** Pages of segment 0 that some epoch needs. */
  function pagesInUse(): number[] {
    return numbers().flatMap((epoch) =>
      Image.read(path)
        .readEpoch(epoch)
        .maps.flat()
        .flatMap(({ storePage, count }) => Array.from({ length: count }, (_, i) => storePage + i)),
    );
  }

  test("repair: goes back to the newest good epoch, and says so", () => {
    live(undefined, 3);
    appendFileSync(join(path, "state-3"), "x");
    const { epochs, repairs } = verifyImage(path, true);
    expect(epochs.filter(({ problems }) => problems.length > 0).map(({ epoch }) => epoch)).toEqual([3]);
    expect(repairs).toHaveLength(2);
    expect(numbers()).toEqual([1, 2]);
    expect(Image.read(path).header).toMatchObject({ epoch: 2, status: "saved", highestEpoch: 3 });
    expect(isWhole()).toBe(true);
    live(0, 1);
    expectEpoch(path, 4, [1, 2, 4]);
  });

  test("repair: no epoch is good, or the program is not: UNREPAIRABLE, nothing is changed", () => {
    live(undefined, 2);
    const before = readFileSync(join(path, "header"));
    truncateSync(join(path, "pages-0"), 4096);
    expect(() => verifyImage(path, true)).toThrow(errorCode("UNREPAIRABLE"));
    appendFileSync(join(path, "module.wasm"), "x");
    expect(() => verifyImage(path, true)).toThrow(errorCode("UNREPAIRABLE"));
    expect(readFileSync(join(path, "header")).equals(before)).toBe(true);
    expect(numbers()).toEqual([1, 2]);
  });

  test("repair of a damaged slot: both are good again", () => {
    live(undefined, 2);
    const bytes = readFileSync(join(path, "header"));
    const other = (Image.read(path).header.sequence + 1) % 2;
    bytes[other * 4096 + 100]! ^= 1;
    writeFileSync(join(path, "header"), bytes);
    expect(isWhole()).toBe(false);
    expect(verifyImage(path, true).repairs).toHaveLength(1);
    expect(isWhole()).toBe(true);
    expectEpoch(path, 2, [1, 2]);
  });
});
