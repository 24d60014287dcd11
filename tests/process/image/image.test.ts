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
import { Image } from "../../../runtime/process/image/image.js";
import type { ImageStorage } from "../../../runtime/process/image/storage.js";
import {
  COMMAND,
  createSaved,
  errorCode,
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
      image.commit(stateOf(epoch));
      image.close();
    }
    expect(readdirSync(path).sort()).toEqual([
      "header",
      "lock",
      "module.wasm",
      "open-files",
      "pages",
      "state-50",
    ]);
    expect(Image.read(path).header).toMatchObject({ epoch: 50, memoryByteLengths: [50 * PAGE, 0] });
    const image = Image.open(path, VERSION);
    const bytes = savedBytes(image, 0, 50);
    expect(bytes[0]).toBe(42);
    for (let page = 1; page < 50; page++) expect(bytes[page * PAGE]).toBe(page + 1);
    image.close();
    expect(statSync(join(path, "pages")).size).toBeLessThanOrEqual(60 * 4096);
  });

  test("several saves in one handle", () => {
    const image = Image.create(path, options);
    for (let epoch = 1; epoch <= 5; epoch++) {
      image.markRunning();
      image.commit(stateOf(epoch));
      expect(image.readState()).toEqual(stateOf(epoch));
    }
    image.close();
  });

  test("megabytes of frames come back as they were", () => {
    createSaved(path, stateOf(1, 5_000_001));
    const { stacks } = Image.read(path).readState().machine;
    expect(Buffer.compare(stacks, stateOf(1, 5_000_001).machine.stacks)).toBe(0); // toEqual would take 20 s
  });

  test("finished: the exit status; trapped: the message; neither has a state", () => {
    for (const end of ["finished", "trapped"] as const) {
      const image = Image.create(path, options);
      image.markRunning();
      if (end === "finished") image.finish(3);
      else image.trap("unreachable");
      expect(() => image.readState()).toThrow(errorCode("IMAGE_NOT_SAVED"));
      image.close();
      const { header } = Image.read(path);
      expect(header).toMatchObject({ status: end, exitStatus: end === "finished" ? 3 : 0 });
      expect(header.message).toBe(end === "trapped" ? "unreachable" : "");
      expect(readdirSync(path).sort()).toEqual(["header", "lock", "module.wasm", "open-files"]);
      const again = Image.open(path, VERSION);
      expect(() => again.markRunning()).toThrow(/invariant/);
      again.close();
      Image.remove(path);
    }
  });

  test("left while running: not resumable, and it says so", () => {
    createSaved(path);
    const image = Image.open(path, VERSION);
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
    image.commit(stateOf(1));
    image.close();
    expect(Image.read(join(scratch, "elsewhere")).readState()).toEqual(stateOf(1));
  });

  test("opening reads no byte of the regions", () => {
    createSaved(path);
    truncateSync(join(path, "memory-0"), 2 ** 34); // were it read, it would take seconds
    const header = Image.read(path).header;
    const image = thrownBy(() => Image.open(path, VERSION));
    expect(image.message).toContain(`${2 ** 34} bytes instead of ${header.memoryByteLengths[0]}`);
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
    image.commit(stateOf(1));
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
  const refusal = () => Object.assign(new Error("ENOSPC"), { code: "DISK_FULL" });
  let refuse: "write" | "sync" | undefined;
  const storage = (inner: ImageStorage): ImageStorage => ({
    create: (name) => {
      const file = inner.create(name);
      return {
        descriptor: file.descriptor,
        release: (position, byteLength) => file.release(position, byteLength),
        write: (chunks, position) => {
          if (refuse === "write" && name.startsWith("state-")) throw refusal();
          file.write(chunks, position);
        },
        sync: () => {
          if (refuse === "sync" && name.startsWith("state-")) throw refusal();
          file.sync();
        },
        close: () => file.close(),
      };
    },
    open: (name) => inner.open(name),
    rename: (from, to) => inner.rename(from, to),
    remove: (name) => inner.remove(name),
    syncDirectory: () => inner.syncDirectory(),
    flushRegion: (name, region) => inner.flushRegion(name, region),
  });
  beforeEach(() => {
    refuse = undefined;
  });

  test("no room for the state: the commit fails, the image stays running, and the next commit may succeed", () => {
    const image = Image.create(path, { ...options, storage });
    image.markRunning();
    refuse = "write";
    expect(() => image.commit(stateOf(1))).toThrow(expect.objectContaining({ code: "DISK_FULL" }));
    expect(Image.read(path).header.status).toBe("running");
    refuse = undefined;
    image.commit(stateOf(2));
    image.close();
    expect(Image.read(path).readState()).toEqual(stateOf(2));
  });

  test("a flush fails: nothing more is promised, IMAGE_POISONED", () => {
    const image = Image.create(path, { ...options, storage });
    image.markRunning();
    refuse = "sync";
    expect(() => image.commit(stateOf(1))).toThrow(expect.objectContaining({ code: "DISK_FULL" }));
    refuse = undefined;
    expect(() => image.commit(stateOf(1))).toThrow(errorCode("IMAGE_POISONED"));
    expect(() => image.finish(0)).toThrow(errorCode("IMAGE_POISONED"));
    image.close();
    expect(Image.read(path).header.status).toBe("running");
  });
});
