import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { forkImage } from "../../../runtime/process/image/forking.js";
import { Image } from "../../../runtime/process/image/image.js";
import { isImageName, pinName } from "../../../runtime/process/image/names.js";
import { pin } from "../../../runtime/process/image/pins.js";
import { verifyImage } from "../../../runtime/process/image/verifying.js";
import { BLOCK_BYTE_LENGTH } from "../../../runtime/process/stores/contents.js";
import { encodeManifest, manifestName, readManifest } from "../../../runtime/process/stores/manifest.js";
import { pullEpoch } from "../../../runtime/process/stores/pulling.js";
import { pushEpoch } from "../../../runtime/process/stores/pushing.js";
import { listStored, pruneStore } from "../../../runtime/process/stores/stored-epochs.js";
import { afterPowerCut, afterProcessDeath, Recorder } from "../image/simulated-disk.js";
import {
  COMMAND,
  errorCode,
  FACTS,
  MODULE,
  PAGE,
  savedBytes,
  scratchDirectory,
  stateOf,
  VERSION,
} from "../image/support.js";
import { Crash, type Cut, MemoryStore } from "./memory-store.js";

const PAGES = 40;
const EPOCHS = 4;
const CUTS: readonly Cut[] = ["before", "torn", "after"];
const KEPT_FILE = "file-1a-2b";

let scratch: string;
let path: string;
let store: MemoryStore;
beforeEach(() => {
  scratch = scratchDirectory();
  path = join(scratch, "image");
  store = new MemoryStore();
});

/** Memory is full at first, but for some holes; then every epoch changes a page in a few blocks. */
function expected(epoch: number): Uint8Array {
  const bytes = new Uint8Array(PAGES * PAGE);
  for (let at = 0; at < bytes.length; at += 4096)
    if (at % 9 !== 0 && at < 30 * PAGE) bytes.fill(at >> 12, at, at + 4096);
  for (let each = 2; each <= epoch; each++) bytes.fill(each, each * PAGE + 100, each * PAGE + 5000);
  return bytes;
}

function open(at?: number, identity = COMMAND.process): { image: Image; memory: Uint8Array } {
  const image =
    at === undefined
      ? Image.create(path, { moduleBytes: MODULE, command: { ...COMMAND, process: identity }, ...VERSION })
      : Image.open(path, { ...VERSION, at });
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const backing = at === undefined ? image.createMemory() : image.memories[0];
  if (at === undefined) backing?.grow(PAGES * PAGE);
  backing?.attach(memory, PAGES * PAGE);
  image.keep = { epochs: EPOCHS, milliseconds: null };
  image.markRunning();
  return { image, memory: new Uint8Array(memory.buffer) };
}

function make(identity?: string): void {
  const { image, memory } = open(undefined, identity);
  writeFileSync(join(path, "open-files", KEPT_FILE), "kept ".repeat(30_000));
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    memory.set(expected(epoch));
    const facts = { ...FACTS, keptFiles: epoch === 2 ? [KEPT_FILE] : [] };
    if (epoch < EPOCHS) image.persist(stateOf(epoch, 100_000), facts);
    else image.commit(stateOf(epoch, 100_000), facts);
  }
  image.close();
}

let targets = 0;
async function expectPulled(from: MemoryStore, epoch: number, at: number | undefined = epoch): Promise<void> {
  const target = join(scratch, `pulled-${targets++}`);
  expect(await pullEpoch(from, target, { at })).toBe(epoch);
  expectImage(target, epoch);
  rmSync(target, { recursive: true });
}

function expectImage(target: string, epoch: number): void {
  const { epochs, problems } = verifyImage(target);
  expect({ epochs, problems }).toEqual({ epochs: [{ epoch, problems: [] }], problems: [] });
  const image = Image.open(target, VERSION);
  expect(image.header).toMatchObject({ status: "saved", epoch, highestEpoch: epoch });
  expect(image.command).toEqual(COMMAND);
  expect(Buffer.compare(image.moduleBytes, MODULE)).toBe(0);
  expect(image.readState()).toEqual(stateOf(epoch, 100_000));
  expect(Buffer.compare(savedBytes(image, 0, PAGES, PAGES), expected(epoch)), `memory of epoch ${epoch}`).toBe(0);
  image.close();
}

describe("pushEpoch, pullEpoch", () => {
  test("every epoch comes back as it was; the next one puts only the blocks that differ", async () => {
    make();
    const pushed: number[] = [];
    for (let epoch = 1; epoch <= EPOCHS; epoch++) pushed.push((await pushEpoch(path, store, epoch)).blocks);
    const stateBlocks = 2; // 100,000 bytes of frames
    expect(pushed[0]).toBeGreaterThan(28);
    expect(pushed.slice(1)).toEqual([1 + stateBlocks + 3, 1 + stateBlocks, 1 + stateBlocks]); // 3: the file of epoch 2
    for (let epoch = 1; epoch <= EPOCHS; epoch++) await expectPulled(store, epoch);
    await expectPulled(store, EPOCHS, undefined);
    expect((await listStored(store)).map(({ epoch, parent, why }) => [epoch, parent, why])).toEqual([
      [1, null, "failure"],
      [2, 1, "failure"],
      [3, 2, "failure"],
      [4, 3, "failure"],
    ]);
  });

  test("again: nothing is put; a pulled image has the same blocks, and goes on", async () => {
    make();
    await pushEpoch(path, store);
    const changes = store.changes;
    expect(await pushEpoch(path, store)).toEqual({ epoch: EPOCHS, blocks: 0, byteLength: 0 });
    expect(store.changes).toBe(changes);
    await pullEpoch(store, join(scratch, "copy"));
    path = join(scratch, "copy");
    const { image, memory } = open(EPOCHS);
    memory.set(expected(EPOCHS + 1));
    image.commit(stateOf(EPOCHS + 1, 100_000), FACTS);
    image.close();
    expect((await pushEpoch(path, store)).blocks).toBeLessThan(5);
    await expectPulled(store, EPOCHS + 1);
    await expectPulled(store, EPOCHS);
  });

  test("a file that the guest has open without a name comes along", async () => {
    make();
    await pushEpoch(path, store, 2);
    await pullEpoch(store, join(scratch, "copy"));
    expect(readdirSync(join(scratch, "copy", "open-files"))).toEqual([KEPT_FILE]);
  });

  test("while the image is run and would drop the epoch: it stays until it is pushed", async () => {
    make();
    const { image, memory } = open(EPOCHS);
    image.keep = { epochs: 1, milliseconds: null };
    let next = EPOCHS;
    store.onPut = () => {
      if (next >= EPOCHS + 20) return;
      next++;
      memory.fill(next); // nothing stays where it is
      image.persist(stateOf(next, 100), FACTS);
    };
    expect(await pushEpoch(path, store)).toMatchObject({ epoch: EPOCHS });
    expect(next).toBe(EPOCHS + 20);
    await expectPulled(store, EPOCHS);
    memory.fill(1);
    image.persist(stateOf(next + 1, 100), FACTS);
    image.close();
    expect(readdirSync(path).filter((name) => name.startsWith("pinned-"))).toEqual([]);
  });

  test("what cannot be pushed or pulled: refused by its code", async () => {
    make();
    await expect(pushEpoch(path, store, 9)).rejects.toThrow(errorCode("NO_SUCH_EPOCH"));
    await expect(pushEpoch(join(scratch, "none"), store)).rejects.toThrow(errorCode("IMAGE_MISSING"));
    await expect(pullEpoch(store, join(scratch, "copy"))).rejects.toThrow(errorCode("STORE_EMPTY"));
    await pushEpoch(path, store);
    await expect(pullEpoch(store, join(scratch, "copy"), { at: 9 })).rejects.toThrow(errorCode("NO_SUCH_EPOCH"));
    await expect(pullEpoch(store, path)).rejects.toThrow(errorCode("IMAGE_EXISTS"));
    const held = Image.open(path, VERSION);
    await expect(pullEpoch(store, path)).rejects.toThrow(errorCode("IMAGE_EXISTS"));
    held.close();
    expect(readdirSync(path).filter((name) => name.startsWith("pinned-"))).toEqual([]);
    store.onPut = () => {
      throw new TypeError("the network is down");
    };
    await expect(pushEpoch(path, store, 1)).rejects.toThrow(errorCode("STORE_FAILED"));
  });

  test("another process's epoch of the same number: STORE_CONFLICT, and it stays", async () => {
    make();
    await pushEpoch(path, store, 3);
    forkImage(path, 2, join(scratch, "fork"));
    path = join(scratch, "fork");
    const { image, memory } = open(2);
    memory.fill(7);
    image.commit(stateOf(3, 50), FACTS);
    image.close();
    await expect(pushEpoch(path, store)).rejects.toThrow(errorCode("STORE_CONFLICT"));
    await expectPulled(store, 3);
  });

  test("a damaged page is not pushed", async () => {
    make();
    const pages = join(path, "pages-0");
    const { readFileSync } = await import("node:fs");
    const bytes = readFileSync(pages);
    bytes[65 * 4096]! ^= 1;
    writeFileSync(pages, bytes);
    await expect(pushEpoch(path, store, 1)).rejects.toThrow(errorCode("IMAGE_DAMAGED"));
    expect(await listStored(store)).toEqual([]);
  });
});

describe("a push that is cut", () => {
  /** Pushes epoch 2 over a store that has epoch 1; the result is how many changes that makes. */
  async function beginning(): Promise<{ first: MemoryStore; changes: number }> {
    make();
    const first = new MemoryStore();
    await pushEpoch(path, first, 1);
    const whole = new MemoryStore(first.blocks);
    await pushEpoch(path, whole, 2);
    return { first, changes: whole.changes };
  }

  test("at any put, before it, torn or behind it: epoch 1 is whole, epoch 2 is too or is not there", async () => {
    const { first, changes } = await beginning();
    expect(changes).toBeGreaterThan(4);
    for (let change = 0; change < changes; change++) {
      for (const how of CUTS) {
        const left = new MemoryStore(first.blocks);
        left.crashAt(change, how);
        await expect(pushEpoch(path, left, 2)).rejects.toMatchObject({
          code: "STORE_FAILED",
          cause: expect.any(Crash),
        });
        const after = new MemoryStore(left.blocks);
        const visible = (await listStored(after)).map(({ epoch }) => epoch);
        const isDone = change === changes - 1 && how === "after";
        expect(visible, `change ${change}, ${how}`).toEqual(isDone ? [1, 2] : [1]);
        await expectPulled(after, visible.at(-1)!, undefined);
        if (isDone) continue;
        await pushEpoch(path, after, 2);
        await expectPulled(after, 2);
      }
    }
  });

  test("what it leaves is removed by pruneStore, and nothing else", async () => {
    const { first, changes } = await beginning();
    for (const how of CUTS) {
      const left = new MemoryStore(first.blocks);
      left.crashAt(changes - 1, how === "after" ? "torn" : how);
      await expect(pushEpoch(path, left, 2)).rejects.toThrow();
      const after = new MemoryStore(left.blocks);
      expect((await pruneStore(after, undefined, { damaged: true })).blocks).toBeGreaterThan(0);
      expect([...after.blocks.keys()].toSorted()).toEqual([...first.blocks.keys()].toSorted());
      await expectPulled(after, 1);
    }
  });
});

describe("pruneStore", () => {
  const LAST_TWO = { epochs: 2, milliseconds: null };

  test("drops what is not to be kept; cut anywhere, every epoch that is left is whole, and the rest goes the next time", async () => {
    make();
    for (let epoch = 1; epoch <= EPOCHS; epoch++) await pushEpoch(path, store, epoch);
    const whole = new MemoryStore(store.blocks);
    const pruned = await pruneStore(whole, LAST_TWO);
    expect(pruned.epochs).toEqual([1, 2]);
    for (let change = 0; change < whole.changes; change++) {
      for (const how of ["before", "after"] as const) {
        const left = new MemoryStore(store.blocks);
        left.crashAt(change, how);
        await expect(pruneStore(left, LAST_TWO)).rejects.toThrow();
        const after = new MemoryStore(left.blocks);
        const listed = (await listStored(after)).map(({ epoch }) => epoch);
        expect(listed).toEqual(expect.arrayContaining([3, 4]));
        for (const epoch of listed) await expectPulled(after, epoch);
        await pruneStore(after, LAST_TWO, { damaged: true });
        expect([...after.blocks.keys()].toSorted()).toEqual([...whole.blocks.keys()].toSorted());
      }
    }
  });

  test("a time: what is younger stays", async () => {
    make();
    for (const epoch of [1, 2, 3]) await pushEpoch(path, store, epoch);
    expect(await pruneStore(store, { epochs: 1, milliseconds: 3_600_000 })).toEqual({ epochs: [], blocks: 0 });
    expect((await pruneStore(store, { epochs: 1, milliseconds: 0 })).epochs.length).toBeGreaterThan(0);
  });
});

describe("a pull that is cut", () => {
  test("at any write or flush: the image is whole or IMAGE_INCOMPLETE, and can be pulled again", {
    timeout: 60_000,
  }, async () => {
    make();
    await pushEpoch(path, store, 3);
    const recorder = new Recorder();
    await pullEpoch(store, join(scratch, "recorded"), { wrap: recorder.wrap });
    const { operations } = recorder;
    const target = join(scratch, "remains");
    let [whole, incomplete] = [0, 0];
    for (let count = 0; count <= operations.length; count++) {
      for (let round = 0; round < 7; round++) {
        const past = operations.slice(0, count);
        let state = count * 7 + round;
        const keep = () => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return round === 1 || (round > 1 && state / 2 ** 32 < round / 7);
        };
        const remains = round === 0 ? afterProcessDeath(past) : afterPowerCut(past, keep, round % 2 ? 512 : 4096);
        rmSync(target, { recursive: true, force: true });
        mkdirSync(target);
        for (const [name, bytes] of remains.files) writeFileSync(join(target, name), bytes);
        try {
          Image.read(target);
        } catch (error) {
          expect(error).toMatchObject({ code: "IMAGE_INCOMPLETE" });
          incomplete++;
          if (round === 2) {
            await pullEpoch(store, target);
            expectImage(target, 3);
          }
          continue;
        }
        expectImage(target, 3);
        whole++;
      }
    }
    expect(whole).toBeGreaterThan(0);
    expect(incomplete).toBeGreaterThan(0);
  });
});

describe("a store that others wrote", () => {
  const refused = async (from: MemoryStore, at?: number) => {
    const target = join(scratch, "hostile");
    await expect(pullEpoch(from, target, { at })).rejects.toThrow(errorCode("STORE_DAMAGED"));
    let names: string[] = [];
    try {
      names = readdirSync(target);
    } catch {} // not even begun
    expect(names.every(isImageName)).toBe(true);
    expect(names).not.toContain("header");
    rmSync(target, { recursive: true, force: true });
    expect(readdirSync(scratch).toSorted()).toEqual(["image"]);
  };

  test("each block changed, shortened, exchanged or gone: STORE_DAMAGED, never another process", async () => {
    make();
    await pushEpoch(path, store, 2);
    const names = [...store.blocks.keys()];
    for (const [index, name] of names.entries()) {
      const whole = store.blocks.get(name)!;
      const flipped = whole.slice();
      flipped[(index * 7919) % whole.byteLength]! ^= 4;
      const other = store.blocks.get(names[(index + 1) % names.length]!)!;
      for (const bytes of [flipped, whole.subarray(0, -1), other]) {
        const from = new MemoryStore(store.blocks);
        from.blocks.set(name, bytes);
        await refused(from);
      }
      const without = new MemoryStore(store.blocks);
      without.blocks.delete(name);
      if (name.startsWith("blocks/")) await refused(without);
    }
  });

  test("a manifest with right checksum and wrong content: STORE_DAMAGED", async () => {
    make();
    await pushEpoch(path, store, 2);
    await pushEpoch(path, store, 3);
    const good = (await readManifest(store, 2))!;
    const third = (await readManifest(store, 3))!;
    const file = good.files[0]!;
    const [memory] = good.memories;
    const changes: Record<string, object> = {
      "another number": { epoch: 3 },
      "a format to come": { format: 2 },
      "another state": { state: third.state },
      "another record": { record: third.record, files: [] },
      "no record": { record: null },
      "a path for a file": { files: [{ ...file, name: "../../evil" }] },
      "a file that the state does not know": { files: [file, { ...file, name: "file-9-9" }] },
      "a missing file": { files: [] },
      "a path for a block": { module: { byteLength: 11, blocks: ["../../../etc/passwd"] } },
      "too few blocks": { memories: [{ ...memory, blocks: memory?.blocks.slice(1) }] },
      "a longer memory": { memories: [{ byteLength: 2 ** 33, blocks: [] }] },
      "no memory": { memories: [] },
      "two memories": { memories: [memory, memory] },
      "an endless module": { module: { byteLength: 2 ** 50, blocks: [] } },
      "a negative length": { module: { byteLength: -1, blocks: [] } },
      "no command": { command: "rm" },
      "a version of frames": { instrumenterVersion: "7" },
    };
    for (const [what, change] of Object.entries(changes)) {
      const from = new MemoryStore(store.blocks);
      from.blocks.delete(manifestName(3));
      from.blocks.set(manifestName(2), encodeManifest({ ...good, ...change } as never));
      await expect(pullEpoch(from, join(scratch, "hostile"), { at: 2 }), what).rejects.toThrow(
        errorCode("STORE_DAMAGED"),
      );
      await refused(from, 2);
    }
  });

  test("names that are none of ours are left alone by a pull, and go with a prune", async () => {
    make();
    await pushEpoch(path, store, 1);
    const count = store.blocks.size;
    for (const name of ["epochs/9", "epochs/00000000000000000009", "blocks/zz", "../x"]) store.blocks.set(name, MODULE);
    await expectPulled(store, 1, undefined);
    await pruneStore(store);
    expect(store.blocks.size).toBe(count);
  });

  test("the newest is cut: the one before", async () => {
    make();
    await pushEpoch(path, store, 1);
    await pushEpoch(path, store, 2);
    store.blocks.set(manifestName(2), store.blocks.get(manifestName(2))!.subarray(0, 500));
    await expectPulled(store, 1, undefined);
    await expect(pullEpoch(store, join(scratch, "x"), { at: 2 })).rejects.toThrow(errorCode("STORE_DAMAGED"));
    const told: number[] = [];
    const damaged = (epoch: number) => told.push(epoch);
    await pullEpoch(store, join(scratch, "y"), { damaged });
    expect((await listStored(store, { damaged })).map(({ epoch }) => epoch)).toEqual([1]);
    expect(told).toEqual([2, 2]);
    await expect(pruneStore(store)).rejects.toThrow(errorCode("STORE_DAMAGED"));
    expect(store.blocks.has(manifestName(2))).toBe(true);
    expect(await pruneStore(store, undefined, { damaged: true })).toMatchObject({ epochs: [2] });
  });

  test("a block that is damaged, as long as it was: put again by the next push of that epoch", async () => {
    make();
    await pushEpoch(path, store, 2);
    const names = [...store.blocks.keys()].filter((name) => name.startsWith("blocks/"));
    for (const name of names.filter((_, index) => index % 3 === 0)) {
      const bytes = store.blocks.get(name) as Uint8Array;
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    }
    await expect(pullEpoch(store, join(scratch, "x"))).rejects.toThrow(errorCode("STORE_DAMAGED"));
    expect(await pushEpoch(path, store, 2)).toMatchObject({ blocks: Math.ceil(names.length / 3) });
    await expectPulled(store, 2);
    expect(await pushEpoch(path, store, 2)).toMatchObject({ blocks: 0 });
  });

  test("epochs that the image never had: another process's store", async () => {
    make();
    await pushEpoch(path, store, 2);
    store.blocks.set(manifestName(9), store.blocks.get(manifestName(2)) as Uint8Array);
    await expect(pushEpoch(path, store, 3)).rejects.toThrow(errorCode("STORE_CONFLICT"));
    expect(store.blocks.has(manifestName(3))).toBe(false);
  });

  test("another process, whose numbers are higher than those that are there: STORE_CONFLICT; a fork and a pulled image: none", async () => {
    make();
    await pushEpoch(path, store, 1);
    await pullEpoch(store, join(scratch, "pulled"));
    forkImage(path, 2, join(scratch, "fork"));
    path = join(scratch, "other");
    make("another");
    await expect(pushEpoch(path, store, 3)).rejects.toThrow(errorCode("STORE_CONFLICT"));
    expect(store.blocks.has(manifestName(3))).toBe(false);
    expect(await pushEpoch(join(scratch, "fork"), store)).toMatchObject({ epoch: 2 });
    path = join(scratch, "pulled");
    const { image, memory } = open(1);
    memory.set(expected(2));
    image.persist(stateOf(2, 100_000), FACTS);
    image.commit(stateOf(3, 100_000), FACTS);
    image.close();
    expect(await pushEpoch(path, store)).toMatchObject({ epoch: 3 });
  });

  test.each([
    [
      "throws at once",
      {
        get: () => {
          throw new Error("at once");
        },
      },
    ],
    ["lists no blocks", { list: async () => "none" }],
    ["gives no bytes", { get: async () => "text" }],
  ])("a driver that %s: STORE_FAILED", async (_, faults) => {
    make();
    await pushEpoch(path, store, 2);
    const faulty = Object.assign(new MemoryStore(store.blocks), faults) as MemoryStore;
    await expect(pullEpoch(faulty, join(scratch, "x"))).rejects.toThrow(errorCode("STORE_FAILED"));
    await expect(pushEpoch(path, faulty, 2)).rejects.toThrow(errorCode("STORE_FAILED"));
  });

  test("the newest cannot be read just now: that is said, and no older one is taken", async () => {
    make();
    await pushEpoch(path, store, 1);
    await pushEpoch(path, store, 2);
    vi.spyOn(store, "get").mockRejectedValueOnce(new Error("the network is down"));
    await expect(pullEpoch(store, join(scratch, "x"))).rejects.toThrow(errorCode("STORE_FAILED"));
    vi.restoreAllMocks();
    await expectPulled(store, 2, undefined);
  });
});

test("an epoch that is pinned by a user while it is pushed stays pinned; the push's own pin goes with it", async () => {
  make();
  const isPinned = () => existsSync(join(path, pinName(2)));
  await pushEpoch(path, store, 2);
  expect(isPinned()).toBe(false);
  const other = new MemoryStore();
  const seen: boolean[] = [];
  other.onPut = () => {
    seen.push(isPinned());
    pin(path, 2, true);
  };
  await pushEpoch(path, other, 2);
  expect(seen[0]).toBe(true);
  expect(isPinned()).toBe(true);
});

test("blocks are as long as pages of WebAssembly: memories have whole ones", () =>
  expect(BLOCK_BYTE_LENGTH).toBe(PAGE));
