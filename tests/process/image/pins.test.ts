import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { LOCK } from "../../../pmem/libc.js";
import { type Commit, carryOut } from "../../../runtime/process/image/commit.js";
import { Image } from "../../../runtime/process/image/image.js";
import { ImageDirectory } from "../../../runtime/process/image/image-directory.js";
import { flock } from "../../../runtime/process/image/lock.js";
import { stateName } from "../../../runtime/process/image/names.js";
import { pin } from "../../../runtime/process/image/pins.js";
import { verifyImage } from "../../../runtime/process/image/verifying.js";
import { COMMAND, errorCode, FACTS, MODULE, PAGE, savedBytes, scratchDirectory, stateOf, VERSION } from "./support.js";

const PAGES = 8;
let path: string;
beforeEach(() => {
  path = join(scratchDirectory(), "image");
});

const isThere = (epoch: number) => existsSync(join(path, stateName(epoch)));

/** Memory at each epoch. */
const memories = new Map<number, Uint8Array>();

interface Running {
  readonly image: Image;
  /** A point, whose commit is carried out behind `meanwhile`. */
  point(meanwhile?: () => void): Promise<number>;
}

function run(epochs: number): Running {
  const image = Image.create(path, { moduleBytes: MODULE, command: COMMAND, ...VERSION });
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const backing = image.createMemory();
  backing.grow(PAGES * PAGE);
  backing.attach(memory, PAGES * PAGE);
  image.keep = { epochs, milliseconds: null };
  image.markRunning();
  const point = async (meanwhile: () => void = () => {}) => {
    const epoch = image.header.highestEpoch + 1;
    const bytes = new Uint8Array(memory.buffer);
    for (const page of [0, 1 + (epoch % 3), 4]) bytes.fill(epoch, page * PAGE + 100, page * PAGE + 9000);
    memories.set(epoch, bytes.slice());
    let commit: Commit | undefined;
    const start = (begun: Commit) => {
      commit = begun;
    };
    image.persistLater(stateOf(epoch), FACTS, { guestFiles: [], remove: [] }, { start, wait: () => {} });
    meanwhile();
    await carryOut(commit as Commit);
    image.settleCommit();
    return epoch;
  };
  return { image, point };
}

function expectEpochs(...epochs: number[]): void {
  const verified = verifyImage(path);
  expect(verified.problems).toEqual([]);
  expect(verified.epochs).toEqual(epochs.map((epoch) => ({ epoch, problems: [] })));
  for (const epoch of epochs) {
    const opened = Image.open(path, { ...VERSION, at: epoch });
    expect(Buffer.compare(savedBytes(opened, 0, PAGES), memories.get(epoch) as Uint8Array), `epoch ${epoch}`).toBe(0);
    opened.close();
  }
}

test.each([1, 2, 3])(
  "pinned while the commit is made that would drop it: it stays, whole, until it is let go of (keep %i)",
  async (keep) => {
    const { image, point } = run(keep);
    for (let epoch = 1; epoch <= keep; epoch++) await point();
    await point(() => pin(path, 1, true));
    for (let epoch = 0; epoch < 6; epoch++) await point();
    expect(isThere(1)).toBe(true);
    expect(isThere(2)).toBe(false);
    const newest = await point();
    image.close();
    expectEpochs(1, ...Array.from({ length: keep }, (_, index) => newest - keep + 1 + index));
  },
);

test("let go of while the program runs on: dropped by a later point, and its pages are used again", async () => {
  const { image, point } = run(1);
  await point();
  await point(() => pin(path, 1, true));
  await point();
  pin(path, 1, false);
  await point();
  expect(isThere(1)).toBe(false);
  for (let epoch = 0; epoch < 4; epoch++) await point();
  const newest = await point();
  image.close();
  expectEpochs(newest);
});

test("pinned when it is gone: refused, and no pin is left", async () => {
  const { image, point } = run(1);
  await point();
  await point();
  expect(() => pin(path, 1, true)).toThrow(errorCode("NO_SUCH_EPOCH"));
  image.close();
  expectEpochs(2);
});

test("while somebody holds the pins nothing is dropped; afterwards it is", async () => {
  const { image, point } = run(1);
  await point();
  const other = ImageDirectory.open(path);
  expect(flock(other.descriptor, LOCK.EXCLUSIVE, path)).toBe(true);
  await point();
  await point();
  expect([isThere(1), isThere(2)]).toEqual([true, true]);
  flock(other.descriptor, LOCK.UNLOCK, path);
  other.close();
  await point();
  expect([isThere(1), isThere(2), isThere(3)]).toEqual([false, false, false]);
  const newest = await point();
  image.close();
  expectEpochs(newest);
});
