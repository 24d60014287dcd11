import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Region } from "../../pmem/region.js";
import { USUAL_MODE } from "../../runtime/process/forms.js";

const PAGE = 65_536;

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

let scratch: string;
let path: string;
const open: Region[] = [];

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-region-"));
  path = join(scratch, "memory-0");
});
afterEach(() => {
  for (const region of open.splice(0)) region.close();
  rmSync(scratch, { recursive: true, force: true });
});

function created(byteLength: number): Region {
  const region = Region.create(path);
  open.push(region);
  expect(region.grow(byteLength)).toBe(true);
  return region;
}

function attached(initial: number, maximum: number): { region: Region; memory: WebAssembly.Memory } {
  const region = created(initial * PAGE);
  const memory = new WebAssembly.Memory({ initial, maximum });
  region.attach(memory, maximum * PAGE);
  return { region, memory };
}

/** (module (import "m" "m" (memory 0)) (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))) */
const LOADER = new Uint8Array(
  Buffer.from(
    "0061736d0100000001060160017f017f020801016d016d02000003020100070801046c6f616400000a0901070020002802000b",
    "hex",
  ),
);

function loader(memory: WebAssembly.Memory): (address: number) => number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(LOADER), { m: { m: memory } });
  return exports["load"] as (address: number) => number;
}

/** The lines of /proc/self/maps that overlap [from, to), with offsets from `from`. */
function mappings(from: number, to: number): { from: number; to: number; access: string; file: string }[] {
  return readFileSync("/proc/self/maps", "latin1")
    .split("\n")
    .flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line);
      const [start, end] = [Number.parseInt(match?.[1] ?? "0", 16), Number.parseInt(match?.[2] ?? "0", 16)];
      if (match === null || end <= from || start >= to) return [];
      return [{ from: start - from, to: end - from, access: match[3] ?? "", file: match[4] ?? "" }];
    });
}

const fileByte = (offset: number) => readFileSync(path)[offset];
const code = (expected: string) => expect.objectContaining({ name: "VermilionError", code: expected });

describe("Region.create and Region.open", () => {
  test("new: an empty file that only its owner may read", () => {
    created(0);
    expect(statSync(path)).toMatchObject({ size: 0, mode: 0o100600 });
  });

  test("there already: ALREADY_EXISTS", () => {
    writeFileSync(path, "precious");
    expect(() => Region.create(path)).toThrow(code("ALREADY_EXISTS"));
    expect(readFileSync(path, "utf8")).toBe("precious");
  });

  test("missing: NOT_FOUND", () => {
    expect(() => Region.open(path, 0)).toThrow(code("NOT_FOUND"));
    expect(() => Region.create(join(scratch, "no", "memory-0"))).toThrow(code("NOT_FOUND"));
  });

  test.each([PAGE - 1, PAGE + 1, 0, 2 * PAGE])("%i bytes instead of 65536: REGION_LENGTH", (byteLength) => {
    writeFileSync(path, "");
    truncateSync(path, byteLength);
    expect(() => Region.open(path, PAGE)).toThrow(code("REGION_LENGTH"));
  });

  test("a link, a directory, a pipe: refused, and none of them blocks", () => {
    writeFileSync(join(scratch, "target"), "");
    symlinkSync("target", path);
    expect(() => Region.open(path, 0)).toThrow(code("SYMLINK_REFUSED"));
    mkdirSync(join(scratch, "directory"));
    expect(() => Region.open(join(scratch, "directory"), 0)).toThrow(code("NOT_A_FILE"));
    execFileSync("mkfifo", [join(scratch, "pipe")]);
    expect(() => Region.open(join(scratch, "pipe"), 0)).toThrow(code("NOT_A_FILE"));
  });

  test("a hard link to a file elsewhere: refused, since it would be written", () => {
    writeFileSync(join(scratch, "precious"), "");
    linkSync(join(scratch, "precious"), path);
    expect(() => Region.open(path, 0)).toThrow(code("NOT_A_FILE"));
  });

  test("a dangling link in the way of a new region: not followed", () => {
    symlinkSync(join(scratch, "elsewhere"), path);
    expect(() => Region.create(path)).toThrow(code("ALREADY_EXISTS"));
    expect(() => statSync(join(scratch, "elsewhere"))).toThrow();
  });
});

describe("attach", () => {
  test("the file's bytes are the memory's bytes, both ways", () => {
    const { memory } = attached(2, 4);
    new Uint8Array(memory.buffer)[PAGE + 5] = 42;
    expect(fileByte(PAGE + 5)).toBe(42);
    writeFileSync(path, Uint8Array.of(7), { flag: "r+" });
    expect(loader(memory)(0)).toBe(7);
  });

  test("exactly the declared maximum is mapped; what V8 reserves beyond stays V8's", () => {
    const { region } = attached(2, 10);
    const [first, second, ...rest] = mappings(region.address, region.address + 10 * PAGE);
    expect(first).toEqual({ from: 0, to: 2 * PAGE, access: "rw-s", file: path });
    expect(second).toEqual({ from: 2 * PAGE, to: 10 * PAGE, access: "---s", file: path });
    expect(rest).toEqual([]);
    const [guard] = mappings(region.address + 10 * PAGE, region.address + 10 * PAGE + 1);
    if (USUAL_MODE === "flag") expect(guard).toMatchObject({ from: 0, access: "---p", file: "" });
    else expect(guard?.file ?? "").toBe(""); // the engine has no guard region
  });

  test("the whole 4 GiB of a memory: mapped, and sparse", () => {
    const { region, memory } = attached(1, 65_536);
    expect(region.grow(65_536 * PAGE)).toBe(true);
    memory.grow(65_535);
    new Uint8Array(memory.buffer)[2 ** 32 - 1] = 9;
    expect(statSync(path).size).toBe(2 ** 32);
    expect(statSync(path).blocks).toBeLessThan(1000);
    expect(loader(memory)(-4) >>> 24).toBe(9);
    expect(mappings(region.address, region.address + 2 ** 32)).toHaveLength(1);
  });

  test("beyond the length: a wasm trap, not a crash", () => {
    const { memory } = attached(1, 4);
    const load = loader(memory);
    expect(() => load(PAGE)).toThrow(WebAssembly.RuntimeError);
    expect(() => load(-4)).toThrow(WebAssembly.RuntimeError);
  });

  test("memories that start empty or may never grow", () => {
    const { region, memory } = attached(0, 2);
    expect(region.grow(PAGE)).toBe(true);
    memory.grow(1);
    new Uint8Array(memory.buffer)[3] = 1;
    expect(fileByte(3)).toBe(1);
    const none = Region.create(join(scratch, "memory-1"));
    open.push(none);
    none.attach(new WebAssembly.Memory({ initial: 0, maximum: 0 }), 0);
    none.flush();
  });

  test("addresses that nobody reserved: REGION_RESERVATION, nothing is replaced", () => {
    const region = created(PAGE);
    const owner = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    new Uint8Array(owner.buffer)[0] = 5;
    expect(() => region.attach(owner, 2 ** 38)).toThrow(code("REGION_RESERVATION"));
    expect(new Uint8Array(owner.buffer)[0]).toBe(5);
    expect(() => region.attach({ buffer: new ArrayBuffer(PAGE) }, 2 * PAGE)).toThrow(code("REGION_RESERVATION"));
  });

  test("owner and region differ in length: our own mistake", () => {
    const region = created(PAGE);
    expect(() => region.attach(new WebAssembly.Memory({ initial: 2, maximum: 4 }), 4 * PAGE)).toThrow(/invariant/);
  });
});

describe("grow", () => {
  test("in place: same address, old bytes kept, new ones zero, all of them in the file", () => {
    const { region, memory } = attached(1, 100);
    const address = region.address;
    new Uint8Array(memory.buffer)[10] = 1;
    for (let pages = 2; pages <= 100; pages += 7) {
      expect(region.grow(pages * PAGE)).toBe(true);
      memory.grow(pages - memory.buffer.byteLength / PAGE);
      const bytes = new Uint8Array(memory.buffer);
      expect(bytes[pages * PAGE - 1]).toBe(0);
      bytes[pages * PAGE - 1] = pages;
      expect(bytes[10]).toBe(1);
      expect(fileByte(pages * PAGE - 1)).toBe(pages);
      expect(region.address).toBe(address);
      const [rw, none] = mappings(address, address + 100 * PAGE);
      expect(rw).toEqual({ from: 0, to: pages * PAGE, access: "rw-s", file: path });
      if (pages < 100) expect(none).toEqual({ from: pages * PAGE, to: 100 * PAGE, access: "---s", file: path });
    }
  });

  test("more than the disk has: false, the reason is told, nothing changed", () => {
    const region = created(PAGE);
    expect(region.grow(2 ** 52)).toBe(false);
    expect(region.growthRefusal).toEqual(code("DISK_FULL"));
    expect(region.byteLength).toBe(PAGE);
    expect(statSync(path).size).toBe(PAGE);
    expect(region.grow(2 * PAGE)).toBe(true);
    expect(region.growthRefusal).toBeUndefined();
  });

  test("more than the memory's maximum: false", () => {
    const { region } = attached(1, 4);
    expect(region.grow(5 * PAGE)).toBe(false);
    expect(region.growthRefusal).toEqual(code("REGION_RESERVATION"));
  });

  test("to the same length: nothing to do; to a smaller or odd one: our own mistake", () => {
    const region = created(2 * PAGE);
    expect(region.grow(2 * PAGE)).toBe(true);
    expect(() => region.grow(PAGE)).toThrow(/invariant/);
    expect(() => region.grow(3 * PAGE + 4096)).toThrow(/invariant/);
  });
});

describe("close and reopen", () => {
  test("a new memory over the same file: the bytes are there", () => {
    const { region, memory } = attached(2, 4);
    new Uint8Array(memory.buffer)[PAGE] = 11;
    region.flush();
    region.close();
    const again = Region.open(path, 2 * PAGE);
    open.push(again);
    const other = new WebAssembly.Memory({ initial: 2, maximum: 4 });
    again.attach(other, 4 * PAGE);
    expect(new Uint8Array(other.buffer)[PAGE]).toBe(11);
  });

  test("stores after closing reach no file, loads read zeros, growth works, the range is V8's again", () => {
    const { region, memory } = attached(2, 4);
    const { address } = region;
    const load = loader(memory);
    new Uint8Array(memory.buffer)[PAGE] = 11;
    region.close();
    region.close();
    expect(load(PAGE)).toBe(0);
    new Uint8Array(memory.buffer)[PAGE] = 12;
    expect(fileByte(PAGE)).toBe(11);
    memory.grow(1);
    new Uint8Array(memory.buffer)[2 * PAGE] = 13;
    expect(() => load(3 * PAGE)).toThrow(WebAssembly.RuntimeError);
    for (const { access, file } of mappings(address, address + 4 * PAGE)) {
      expect(file).toBe("");
      expect(access.endsWith("p")).toBe(true);
    }
    expect(() => region.flush()).toThrow(/invariant/);
  });

  test("the memory did not grow after the region had: the flush cuts the file back", () => {
    const { region } = attached(1, 4);
    expect(region.grow(3 * PAGE)).toBe(true);
    region.flush();
    expect(region.byteLength).toBe(PAGE);
    expect(statSync(path).size).toBe(PAGE);
  });

  test("the memory did not grow after the region had: closing follows the memory", () => {
    const { region, memory } = attached(1, 4);
    const { address } = region;
    expect(region.grow(3 * PAGE)).toBe(true);
    region.close();
    expect(memory.buffer.byteLength).toBe(PAGE);
    expect(mappings(address + PAGE, address + 4 * PAGE)[0]?.access).toBe("---p");
  });
});

describe("the engine's garbage collection", () => {
  /** In its own function, so that no register or stack slot keeps the memory alive. */
  function abandon(keep: boolean): { address: number; region: Region | undefined } {
    const region = Region.create(path);
    region.grow(PAGE);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    region.attach(memory, 4 * PAGE);
    region.grow(2 * PAGE);
    memory.grow(1); // the buffer that attach() saw is detached now
    new Uint8Array(memory.buffer)[PAGE] = 77;
    return { address: region.address, region: keep ? region : undefined };
  }

  async function collect(): Promise<void> {
    for (let round = 0; round < 5; round++) {
      await new Promise((done) => setTimeout(done, 5));
      collectGarbage();
    }
  }
  const mapped = (address: number) => mappings(address, address + 4 * PAGE).some(({ file }) => file === path);

  test("a region that is held keeps its mapping, though nobody holds the memory", async () => {
    const { address, region } = abandon(true);
    if (region !== undefined) open.push(region);
    await collect();
    expect(mapped(address)).toBe(true);
    expect(region?.byteLength).toBe(2 * PAGE);
  });

  test("a region that is forgotten goes with its memory; the file keeps what was stored", async () => {
    const { address } = abandon(false);
    expect(mapped(address)).toBe(true);
    await collect();
    expect(mapped(address)).toBe(false);
    expect(fileByte(PAGE)).toBe(77);
  });

  test("memories come and go over the same addresses: no mapping is left, none is torn down", async () => {
    const survivor = attached(1, 4);
    new Uint8Array(survivor.memory.buffer)[1] = 3;
    for (let round = 0; round < 30; round++) {
      const region = Region.create(join(scratch, `other-${round}`));
      region.grow(PAGE);
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 16 });
      region.attach(memory, 16 * PAGE);
      new Uint8Array(memory.buffer)[1] = round;
      if (round % 2 === 0) region.close();
      else open.push(region);
      if (round % 10 === 9) await collect();
    }
    for (const region of open.splice(1)) region.close();
    expect(new Uint8Array(survivor.memory.buffer)[1]).toBe(3);
    expect(readFileSync("/proc/self/maps", "latin1")).not.toContain(join(scratch, "other-"));
  });
});
