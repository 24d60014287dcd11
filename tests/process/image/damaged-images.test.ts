import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
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
import {
  createSaved,
  errorCode,
  FACTS,
  PAGE,
  savedBytes,
  scratchDirectory,
  stateOf,
  thrownBy,
  VERSION,
} from "./support.js";

const SLOT_BYTES = 4096;
/** The second write of an image, its first commit, goes to slot 0. */
const CURRENT_SLOT = 0;

let path: string;
const fileOf = (name: string) => join(path, name);
beforeEach(() => {
  path = join(scratchDirectory(), "image");
  createSaved(path, stateOf(1, 100));
});

function createSavedInPlace(): void {
  Image.remove(path);
  createSaved(path, stateOf(1, 100), true);
}

/** What opening for a resume comes to; anything but a right state or an IMAGE_* that names a file throws. */
function outcome(): string {
  let image: Image;
  try {
    image = Image.open(path, VERSION);
  } catch (error) {
    expect(error).toMatchObject({ name: "VermilionError", code: expect.stringMatching(/^IMAGE_[A-Z]+$/) });
    const { code, message } = error as Error & { code: string };
    expect(message.startsWith(path)).toBe(true);
    return code;
  }
  try {
    if (image.header.status !== "saved") return thrownBy(() => image.readState()).code ?? "";
    expect(image.readState()).toEqual(stateOf(1, 100));
    expect(image.memories.map(({ byteLength }) => byteLength)).toEqual([PAGE, 0]);
    return "right state";
  } finally {
    image.close();
  }
}

function flipEach(name: string, offsets: Iterable<number>): Map<string, number> {
  const original = readFileSync(fileOf(name));
  const outcomes = new Map<string, number>();
  for (const offset of offsets) {
    const bytes = Buffer.from(original);
    bytes[offset]! ^= 1 << ((offset * 7) % 8);
    writeFileSync(fileOf(name), bytes);
    const result = outcome();
    outcomes.set(result, (outcomes.get(result) ?? 0) + 1);
  }
  writeFileSync(fileOf(name), original);
  expect(outcome()).toBe("right state");
  return outcomes;
}

function* sampled(from: number, to: number): Iterable<number> {
  for (let offset = from; offset < to; offset += offset - from < 200 || to - offset < 60 ? 1 : 23) yield offset;
}

describe("one bit flipped", () => {
  test("in the current slot: refused, because the other one says that a guest was running", () => {
    const from = SLOT_BYTES * CURRENT_SLOT;
    expect([...flipEach("header", sampled(from, from + SLOT_BYTES)).keys()]).toEqual(["IMAGE_DAMAGED"]);
  });

  test("in the other slot: the right state, the damage is told to readers and heals with the next write", () => {
    const from = SLOT_BYTES * (1 - CURRENT_SLOT);
    expect([...flipEach("header", sampled(from, from + SLOT_BYTES)).keys()]).toEqual(["right state"]);
    const bytes = readFileSync(fileOf("header"));
    bytes[from + 50]! ^= 1;
    writeFileSync(fileOf("header"), bytes);
    expect(Image.read(path).damage).toContain("slot 1");
    const image = Image.open(path, VERSION);
    image.markRunning();
    image.close();
    expect(Image.read(path)).toMatchObject({ damage: undefined, header: { status: "running" } });
  });

  test("in the command record: IMAGE_DAMAGED", () => {
    const outcomes = flipEach("header", sampled(2 * SLOT_BYTES, statSync(fileOf("header")).size));
    expect([...outcomes.keys()]).toEqual(["IMAGE_DAMAGED"]);
  });

  test("in the state file or the module: IMAGE_DAMAGED", () => {
    expect([...flipEach("state-1", sampled(0, statSync(fileOf("state-1")).size)).keys()]).toEqual(["IMAGE_DAMAGED"]);
    expect([...flipEach("module.wasm", sampled(0, 11)).keys()]).toEqual(["IMAGE_DAMAGED"]);
  });

  test("in the slot of a running guest: what was saved before it ran, which is what that slot says, too", () => {
    const image = Image.open(path, VERSION);
    image.markRunning(); // the third write, slot 1; the guest goes on, and then the machine loses its power
    image.close();
    const bytes = readFileSync(fileOf("header"));
    bytes[SLOT_BYTES + 100]! ^= 4;
    writeFileSync(fileOf("header"), bytes);
    expect(outcome()).toBe("right state");
  });

  test("in the slot of a running guest, in place: never the frames of before it ran", () => {
    createSavedInPlace();
    const image = Image.open(path, VERSION);
    image.markRunning();
    image.close();
    const bytes = readFileSync(fileOf("header"));
    bytes[SLOT_BYTES + 100]! ^= 4;
    writeFileSync(fileOf("header"), bytes);
    expect(thrownBy(() => Image.open(path, VERSION))).toMatchObject({
      code: "IMAGE_DAMAGED",
      message: expect.stringContaining("state-1"),
    });
  });
});

describe("a file cut short, grown, exchanged or gone", () => {
  test.each(["header", "state-1", "module.wasm"])("%s cut: IMAGE_*", (name) => {
    const original = readFileSync(fileOf(name));
    for (const byteLength of [0, 1, 10, original.length >> 1, original.length - 1]) {
      writeFileSync(fileOf(name), original.subarray(0, byteLength));
      expect(outcome()).toBe("IMAGE_DAMAGED");
    }
  });

  test.each(["header", "state-1", "module.wasm"])("%s grown: IMAGE_DAMAGED", (name) => {
    appendFileSync(fileOf(name), "x");
    expect(outcome()).toBe("IMAGE_DAMAGED");
  });

  test("pages grown: a save that was cut short has done that", () => {
    appendFileSync(fileOf("pages-0"), "x");
    expect(outcome()).toBe("right state");
  });

  test.each([256, 64 * 4096, 65 * 4096 - 1])(
    "byte %i of the saved page or of its checksum has changed: IMAGE_DAMAGED",
    (position) => {
      const bytes = readFileSync(fileOf("pages-0"));
      bytes[position]! ^= 1;
      writeFileSync(fileOf("pages-0"), bytes);
      expect(outcome()).toBe("IMAGE_DAMAGED");
    },
  );

  test.each([0, 1, 65 * 4096 - 1])("pages of %i bytes: IMAGE_DAMAGED, and it says how many", (byteLength) => {
    truncateSync(fileOf("pages-0"), byteLength);
    expect(outcome()).toBe("IMAGE_DAMAGED");
    expect(thrownBy(() => Image.open(path, VERSION)).message).toContain(`${byteLength} bytes instead of ${65 * 4096}`);
  });

  test.each([0, 1, PAGE - 1, 2 * PAGE])("memory-0 of %i bytes: IMAGE_DAMAGED, and it says how many", (byteLength) => {
    createSavedInPlace();
    truncateSync(fileOf("memory-0"), byteLength);
    expect(outcome()).toBe("IMAGE_DAMAGED");
    expect(thrownBy(() => Image.open(path, VERSION)).message).toContain(`${byteLength} bytes instead of ${PAGE}`);
  });

  test.each([
    ["header", "IMAGE_INCOMPLETE"],
    ["state-1", "IMAGE_DAMAGED"],
    ["module.wasm", "IMAGE_DAMAGED"],
    ["pages-0", "IMAGE_DAMAGED"],
    ["lock", "right state"],
  ])("%s gone: %s", (name, expected) => {
    rmSync(fileOf(name));
    expect(outcome()).toBe(expected);
  });

  test("a foreign header: IMAGE_FOREIGN", () => {
    writeFileSync(fileOf("header"), "#!/bin/sh\n".repeat(1000));
    expect(outcome()).toBe("IMAGE_FOREIGN");
  });

  test("the state, header or module of another image: IMAGE_DAMAGED", () => {
    const other = join(scratchDirectory(), "other");
    createSaved(other, stateOf(2, 100));
    for (const name of ["state-1", "header"]) {
      cpSync(fileOf(name), fileOf("kept"));
      cpSync(join(other, name), fileOf(name));
      expect(outcome()).toBe("IMAGE_DAMAGED");
      renameSync(fileOf("kept"), fileOf(name));
    }
    expect(outcome()).toBe("right state");
  });

  test("a module that has grown beyond what V8 takes: refused without being read", () => {
    truncateSync(fileOf("module.wasm"), 2 ** 40);
    expect(outcome()).toBe("IMAGE_DAMAGED");
  });
});

describe("an image from others", () => {
  const names = ["header", "lock", "module.wasm", "state-1", "pages-0"];

  test.each(names)("%s is a link: IMAGE_UNSAFE, wherever it leads", (name) => {
    renameSync(fileOf(name), join(path, "..", "outside"));
    symlinkSync("../outside", fileOf(name));
    expect(outcome()).toBe("IMAGE_UNSAFE");
    if (name !== "lock") expect(thrownBy(() => readAll()).code).toBe("IMAGE_UNSAFE");
  });

  test.each(["header", "lock", "state-2"])("%s is a hard link to a file elsewhere: it is not written", (name) => {
    const precious = join(path, "..", "precious");
    cpSync(existsSync(fileOf(name)) ? fileOf(name) : fileOf("state-1"), precious);
    const before = readFileSync(precious);
    rmSync(fileOf(name), { force: true });
    linkSync(precious, fileOf(name));
    const use = () => {
      const image = Image.open(path, VERSION);
      try {
        image.markRunning();
      } finally {
        image.close();
      }
    };
    expect(use).toThrow(errorCode("IMAGE_UNSAFE"));
    expect(readFileSync(precious)).toEqual(before);
  });

  test("a segment is a hard link, as in a fork: it is read and never written", () => {
    const elsewhere = join(path, "..", "elsewhere");
    linkSync(fileOf("pages-0"), elsewhere);
    const before = readFileSync(elsewhere);
    const image = Image.open(path, VERSION);
    const bytes = savedBytes(image, 0, 1);
    expect(bytes[0]).toBe(42);
    image.markRunning();
    bytes.fill(7);
    image.commit(stateOf(2), FACTS);
    image.close();
    expect(readFileSync(elsewhere)).toEqual(before);
    const again = Image.open(path, VERSION);
    expect(new Set(savedBytes(again, 0, 1))).toEqual(new Set([7]));
    again.close();
  });

  test.each(names)("%s is a pipe or a directory: IMAGE_UNSAFE, and nothing waits for a writer", (name) => {
    rmSync(fileOf(name));
    execFileSync("mkfifo", [fileOf(name)]);
    expect(outcome()).toBe("IMAGE_UNSAFE");
    rmSync(fileOf(name));
    mkdirSync(fileOf(name));
    expect(outcome()).toBe("IMAGE_UNSAFE");
  });

  test("open-files is a link or a file: IMAGE_UNSAFE; gone: made again", () => {
    rmSync(fileOf("open-files"), { recursive: true });
    expect(outcome()).toBe("right state");
    rmSync(fileOf("open-files"), { recursive: true });
    symlinkSync("..", fileOf("open-files"));
    expect(outcome()).toBe("IMAGE_UNSAFE");
    rmSync(fileOf("open-files"));
    writeFileSync(fileOf("open-files"), "");
    expect(outcome()).toBe("IMAGE_UNSAFE");
  });

  test("the next state file is a link: the save does not follow it", () => {
    writeFileSync(join(path, "..", "precious"), "precious");
    symlinkSync("../precious", fileOf("state-2"));
    const image = Image.open(path, VERSION);
    expect(() => image.markRunning()).toThrow(errorCode("IMAGE_UNSAFE"));
    image.close();
    expect(readFileSync(join(path, "..", "precious"), "utf8")).toBe("precious");
  });

  test("saved by another version of the instrumenter: IMAGE_VERSION", () => {
    expect(() => Image.open(path, { instrumenterVersion: 8 })).toThrow(errorCode("IMAGE_VERSION"));
  });

  function readAll(): void {
    const reading = Image.read(path);
    reading.readModule();
    reading.readState();
    Image.open(path, VERSION).close(); // regions
  }
});
