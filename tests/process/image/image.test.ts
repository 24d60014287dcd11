import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { VermilionError } from "../../../pmem/error.js";
import { Image } from "../../../runtime/process/image/image.js";
import type { ImageStorage } from "../../../runtime/process/image/storage.js";
import { Recorder } from "./simulated-disk.js";
import {
  COMMAND,
  createSaved,
  errorCode,
  FACTS,
  MODULE,
  PAGE,
  savedBytes,
  scratchDirectory,
  stateOf,
  thrownBy,
  VERSION,
} from "./support.js";

let scratch: string;
let path: string;
beforeEach(() => {
  scratch = scratchDirectory();
  path = join(scratch, "image");
});

const options = { moduleBytes: MODULE, command: COMMAND, ...VERSION };

describe("a life", () => {
  test("saved and opened again: state, memory, module and command as they were", () => {
    createSaved(path);
    const image = Image.open(path, VERSION);
    expect(image.header).toMatchObject({ status: "saved", epoch: 1, memoryByteLengths: [PAGE, 0], ...VERSION });
    expect(image.command).toEqual(COMMAND);
    expect(image.moduleBytes).toEqual(MODULE);
    expect(image.readState()).toEqual(stateOf(1));
    expect(savedBytes(image, 0, 1)[0]).toBe(42);
    image.close();
  });

  test("fifty saves, each in an own handle, the memory growing: the last one counts, and nothing piles up", () => {
    createSaved(path);
    for (let epoch = 2; epoch <= 50; epoch++) {
      const image = Image.open(path, VERSION);
      expect(image.readState()).toEqual(stateOf(epoch - 1));
      const pages = epoch - 1;
      const memory = new WebAssembly.Memory({ initial: pages, maximum: 100 });
      image.memories[0]?.attach(memory, 100 * PAGE);
      image.markRunning();
      expect(image.memories[0]?.grow((pages + 1) * PAGE)).toBe(true);
      memory.grow(1);
      new Uint8Array(memory.buffer)[pages * PAGE] = epoch;
      image.commit(stateOf(epoch), FACTS);
      image.close();
    }
    expect(readdirSync(path).sort()).toEqual([
      "header",
      "lock",
      "module.wasm",
      "open-files",
      "pages-0",
      "state-49",
      "state-50",
    ]);
    expect(Image.read(path).header).toMatchObject({ epoch: 50, memoryByteLengths: [50 * PAGE, 0] });
    const image = Image.open(path, VERSION);
    const bytes = savedBytes(image, 0, 50);
    expect(bytes[0]).toBe(42);
    for (let page = 1; page < 50; page++) expect(bytes[page * PAGE]).toBe(page + 1);
    image.close();
    expect(statSync(join(path, "pages-0")).size).toBeLessThanOrEqual(124 * 4096);
  });

  test("several saves in one handle", () => {
    const image = Image.create(path, options);
    for (let epoch = 1; epoch <= 5; epoch++) {
      image.markRunning();
      image.commit(stateOf(epoch), FACTS);
      expect(image.readState()).toEqual(stateOf(epoch));
    }
    image.close();
  });

  test("megabytes of frames come back as they were", () => {
    createSaved(path, stateOf(1, 5_000_001));
    const { stacks } = Image.read(path).readState().machine;
    expect(Buffer.compare(stacks, stateOf(1, 5_000_001).machine.stacks)).toBe(0); // toEqual would take 20 s
  });

  test("finished: the exit status; trapped: the message; neither can be resumed", () => {
    for (const end of ["finished", "trapped"] as const) {
      const image = Image.create(path, options);
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
      const backing = image.createMemory();
      backing.grow(PAGE);
      backing.attach(memory, PAGE);
      image.markRunning();
      new Uint8Array(memory.buffer)[4096] = 1;
      if (end === "finished") image.finish(3);
      else image.trap({ message: "unreachable", frames: [] });
      expect(() => image.readState()).toThrow(errorCode("IMAGE_NOT_SAVED"));
      image.close();
      const reading = Image.read(path);
      expect(reading.diskByteLengths(reading.readCurrent())).toEqual([end === "finished" ? 0 : 4096]);
      const { header } = reading;
      expect(header).toMatchObject({ status: end, exitStatus: end === "finished" ? 3 : 0 });
      expect(header.message).toBe(end === "trapped" ? "unreachable" : "");
      const memoryFiles = end === "finished" ? [] : ["pages-0", "trap"];
      expect(readdirSync(path).sort()).toEqual(["header", "lock", "module.wasm", "open-files", ...memoryFiles]);
      const again = Image.open(path, VERSION);
      expect(() => again.markRunning()).toThrow(/invariant/);
      again.close();
      Image.remove(path);
    }
  });

  test("left while running: the last save, memory included, as often as that happens", () => {
    createSaved(path);
    for (let times = 0; times < 3; times++) {
      const image = Image.open(path, VERSION);
      const bytes = savedBytes(image, 0, 1);
      image.markRunning();
      expect(image.readState()).toEqual(stateOf(1));
      expect([bytes[0], bytes[1], bytes[PAGE - 1]]).toEqual([42, 0, 0]);
      bytes.fill(7);
      image.close();
      expect(Image.read(path).header).toMatchObject({ status: "running", epoch: 1 });
    }
    const image = Image.open(path, VERSION);
    savedBytes(image, 0, 1)[1] = 43;
    image.markRunning();
    image.commit(stateOf(2), FACTS);
    image.close();
    const last = Image.open(path, VERSION);
    expect(last.readState()).toEqual(stateOf(2));
    expect([...savedBytes(last, 0, 1).subarray(0, 3)]).toEqual([42, 43, 0]);
    last.close();
  });

  test.each([
    ["before the first save", false],
    ["in place, after a save", true],
  ])("left while running, %s: not resumable, and it says so", (_when, inPlace) => {
    if (inPlace) createSaved(path, stateOf(1), true);
    const image = inPlace ? Image.open(path, VERSION) : Image.create(path, options);
    image.markRunning();
    image.close();
    const again = Image.open(path, VERSION);
    expect(again.header.status).toBe("running");
    expect(() => again.readState()).toThrow(errorCode("IMAGE_INTERRUPTED"));
    expect(() => Image.read(path).readState()).toThrow(errorCode("IMAGE_INTERRUPTED"));
    again.close();
  });

  test("renamed while in use: the save goes to where the image is now", () => {
    const image = Image.create(path, options);
    image.markRunning();
    renameSync(path, join(scratch, "elsewhere"));
    image.commit(stateOf(1), FACTS);
    image.close();
    expect(Image.read(join(scratch, "elsewhere")).readState()).toEqual(stateOf(1));
  });

  test("removed while in use, also if there is another in its place: IMAGE_MISSING", () => {
    const image = Image.create(path, options);
    image.markRunning();
    for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true });
    createSaved(path, stateOf(7));
    expect(() => image.commit(stateOf(1), FACTS)).toThrow(errorCode("IMAGE_MISSING"));
    image.close();
    expect(Image.read(path).readState()).toEqual(stateOf(7));
  });

  test("a save writes and flushes files, and does nothing to names, also after epochs were dropped", () => {
    const recorder = new Recorder();
    createSaved(path);
    for (let epoch = 2; epoch <= 4; epoch++) {
      const image = Image.open(path, { ...VERSION, storage: recorder.wrap });
      const memory = savedBytes(image, 0, 1);
      image.markRunning();
      expect(existsSync(join(path, `state-${epoch - 2}`))).toBe(false);
      memory[1] = epoch;
      recorder.operations.splice(0);
      image.commit(stateOf(epoch), FACTS);
      expect(recorder.operations.map(({ kind }) => kind)).toEqual([
        ...new Array(3).fill("write"),
        "sync",
        "sync",
        "write",
        "sync",
      ]);
      image.close();
    }
  });

  test("in place: memory is the file; opening reads no byte of it", () => {
    createSaved(path, stateOf(1), true);
    expect(readFileSync(join(path, "memory-0"))[0]).toBe(42);
    const image = Image.open(path, VERSION);
    savedBytes(image, 0, 1)[0] = 41;
    image.close();
    expect(readFileSync(join(path, "memory-0"))[0]).toBe(41);
    expect(Image.read(path).diskByteLengths(Image.read(path).readCurrent())).toEqual([4096, 0]);
    truncateSync(join(path, "memory-0"), 2 ** 34); // were it read, it would take seconds
    const error = thrownBy(() => Image.open(path, VERSION));
    expect(error.message).toContain(`${2 ** 34} bytes instead of ${PAGE}`);
  });

  test("opening reads no byte of the page store", () => {
    createSaved(path);
    truncateSync(join(path, "pages-0"), 2 ** 40); // were it read, it would take minutes
    const image = Image.open(path, VERSION);
    expect(savedBytes(image, 0, 1)[0]).toBe(42);
    image.close();
  });
});

describe("Image.create", () => {
  test("directories that are missing are made, for their owner only, as are the files", () => {
    const image = Image.create(join(scratch, "a", "b"), options);
    image.createMemory();
    image.markRunning();
    image.close();
    expect(statSync(join(scratch, "a", "b")).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(join(scratch, "a", "b"))) {
      const mode = statSync(join(scratch, "a", "b", name)).mode & 0o777;
      expect(mode, name).toBe(name === "open-files" ? 0o700 : 0o600);
    }
  });

  test("an empty directory: taken; one with an image: IMAGE_EXISTS; one with other files: IMAGE_FOREIGN", () => {
    mkdirSync(path);
    Image.create(path, options).close();
    expect(() => Image.create(path, options)).toThrow(errorCode("IMAGE_EXISTS"));
    writeFileSync(join(scratch, "letter.txt"), "");
    expect(() => Image.create(scratch, options)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(readdirSync(scratch).sort()).toEqual(["image", "letter.txt"]);
    expect(() => Image.create(join(scratch, "letter.txt"), options)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(() => Image.create(join(scratch, "letter.txt", "image"), options)).toThrow(errorCode("NOT_FOUND"));
  });

  test("where no directory can be made, though its parent is there: NOT_FOUND", () => {
    expect(() => Image.create("/proc/vermilion/image", options)).toThrow(errorCode("NOT_FOUND"));
  });

  test("what an unfinished creation left: replaced", () => {
    mkdirSync(path);
    for (const name of ["lock", "module.wasm", "header.new", "memory-0", "state-1"])
      writeFileSync(join(path, name), "x");
    expect(() => Image.open(path, VERSION)).toThrow(errorCode("IMAGE_INCOMPLETE"));
    const image = Image.create(path, options);
    image.createMemory();
    image.markRunning();
    image.commit(stateOf(1), FACTS);
    image.close();
    Image.open(path, VERSION).close();
  });

  test("while someone holds it: IMAGE_BUSY", () => {
    mkdirSync(path);
    const image = Image.create(path, options);
    expect(() => Image.create(path, options)).toThrow(errorCode("IMAGE_EXISTS"));
    expect(() => Image.open(path, VERSION)).toThrow(errorCode("IMAGE_BUSY"));
    expect(() => Image.remove(path)).toThrow(errorCode("IMAGE_BUSY"));
    image.close();
    Image.open(path, VERSION).close();
  });
});

describe("Image.open and Image.read", () => {
  test("nothing there: IMAGE_MISSING; a file or a foreign directory: IMAGE_FOREIGN, and nothing is put there", () => {
    for (const open of [() => Image.open(path, VERSION), () => Image.read(path)]) {
      expect(open).toThrow(errorCode("IMAGE_MISSING"));
      writeFileSync(join(scratch, "file"), "");
      mkdirSync(join(scratch, "directory"), { recursive: true });
      writeFileSync(join(scratch, "directory", "letter.txt"), "");
    }
    expect(() => Image.open(join(scratch, "file"), VERSION)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(() => Image.read(join(scratch, "directory"))).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(() => Image.open(join(scratch, "directory"), VERSION)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(readdirSync(join(scratch, "directory"))).toEqual(["letter.txt"]);
  });
});

describe("Image.remove", () => {
  test("an image, a damaged one, none", () => {
    createSaved(path);
    expect(Image.remove(path)).toBe(true);
    expect(existsSync(path)).toBe(false);
    expect(Image.remove(path)).toBe(false);
    createSaved(path);
    writeFileSync(join(path, "header"), "x");
    expect(Image.remove(path)).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  test("kept files go with it, links among them are not followed", () => {
    createSaved(path);
    writeFileSync(join(scratch, "precious"), "precious");
    mkdirSync(join(scratch, "directory"));
    writeFileSync(join(scratch, "directory", "precious"), "precious");
    writeFileSync(join(path, "open-files", "file-1"), "kept");
    symlinkSync(join(scratch, "precious"), join(path, "open-files", "file-2"));
    symlinkSync(join(scratch, "directory"), join(path, "open-files", "file-3"));
    expect(Image.remove(path)).toBe(true);
    createSaved(path);
    rmSync(join(path, "open-files"), { recursive: true });
    symlinkSync(join(scratch, "directory"), join(path, "open-files"));
    expect(Image.remove(path)).toBe(true);
    expect(existsSync(path)).toBe(false);
    expect(readFileSync(join(scratch, "precious"), "utf8")).toBe("precious");
    expect(readFileSync(join(scratch, "directory", "precious"), "utf8")).toBe("precious");
  });

  test("a directory with other files: IMAGE_FOREIGN, nothing is removed", () => {
    createSaved(path);
    writeFileSync(join(path, "letter.txt"), "");
    const before = readdirSync(path);
    expect(() => Image.remove(path)).toThrow(errorCode("IMAGE_FOREIGN"));
    expect(readdirSync(path)).toEqual(before);
    expect(() => Image.remove(join(path, "letter.txt"))).toThrow(errorCode("IMAGE_FOREIGN"));
  });
});

describe("a disk that refuses", () => {
  const refusal = () => new VermilionError("DISK_FULL", "the disk is full");
  let refuse: "write" | "sync" | undefined;
  let refusing: "state-" | "pages" | "trap" = "state-";
  const storage = (inner: ImageStorage): ImageStorage => ({
    create: (name) => {
      const file = inner.create(name);
      return {
        descriptor: file.descriptor,
        release: (position, byteLength) => file.release(position, byteLength),
        write: (chunks, position) => {
          if (refuse === "write" && name.startsWith(refusing)) throw refusal();
          file.write(chunks, position);
        },
        sync: () => {
          if (refuse === "sync" && name.startsWith(refusing)) throw refusal();
          file.sync();
        },
        close: () => file.close(),
      };
    },
    open: (name) => inner.open(name),
    openShared: (name) => inner.openShared(name),
    rename: (from, to) => inner.rename(from, to),
    remove: (name) => inner.remove(name),
    syncDirectory: () => inner.syncDirectory(),
    flushRegion: (name, region) => inner.flushRegion(name, region),
  });
  beforeEach(() => {
    refuse = undefined;
  });

  test.each(["state-", "pages"] as const)(
    "no room for %s: the epoch before stays, and the next commit may succeed",
    (name) => {
      refusing = name;
      const image = Image.create(path, { ...options, storage });
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
      const backing = image.createMemory();
      backing.grow(PAGE);
      backing.attach(memory, PAGE);
      const bytes = new Uint8Array(memory.buffer);
      for (let epoch = 1; epoch <= 5; epoch++) {
        image.markRunning();
        bytes.fill(epoch, 0, 20_000);
        refuse = "write";
        expect(() => image.commit(stateOf(epoch), FACTS)).toThrow(expect.objectContaining({ code: "DISK_FULL" }));
        expect(Image.read(path).header).toMatchObject({ status: "running", epoch: epoch - 1 });
        if (epoch > 1) expect(Image.read(path).readState()).toEqual(stateOf(epoch - 1));
        refuse = undefined;
        image.commit(stateOf(epoch), FACTS);
      }
      image.close();
      const again = Image.open(path, VERSION);
      expect(again.readState()).toEqual(stateOf(5));
      expect(new Set(savedBytes(again, 0, 1).subarray(0, 20_000))).toEqual(new Set([5]));
      again.close();
    },
  );

  test.each(["state-", "pages"] as const)("the flush of %s fails: nothing more is promised, IMAGE_POISONED", (name) => {
    refusing = name;
    const image = Image.create(path, { ...options, storage });
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const backing = image.createMemory();
    backing.grow(PAGE);
    backing.attach(memory, PAGE);
    image.markRunning();
    new Uint8Array(memory.buffer)[0] = 1;
    refuse = "sync";
    expect(() => image.commit(stateOf(1), FACTS)).toThrow(expect.objectContaining({ code: "DISK_FULL" }));
    refuse = undefined;
    expect(() => image.commit(stateOf(1), FACTS)).toThrow(errorCode("IMAGE_POISONED"));
    expect(() => image.finish(0)).toThrow(errorCode("IMAGE_POISONED"));
    image.close();
    expect(Image.read(path).header.status).toBe("running");
  });

  test("no room for the memory of a trapped guest: the trap is told all the same", () => {
    refusing = "trap";
    refuse = "write";
    const image = Image.create(path, { ...options, storage });
    image.markRunning();
    image.trap({ message: "unreachable", frames: [] });
    image.close();
    expect(Image.read(path)).toMatchObject({ header: { status: "trapped", message: "unreachable", state: undefined } });
    Image.open(path, VERSION).close();
  });
});
