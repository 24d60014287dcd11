import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Image } from "../../../runtime/process/image/image.js";

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vermilion-image-"));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const machine = (fill: number, byteLength = 100) => ({
  globals: new Uint8Array(byteLength).fill(fill),
  tables: new Uint8Array(3).fill(fill + 1),
  segments: new Uint8Array(0),
  stacks: new Uint8Array(byteLength * 10).fill(fill + 2),
});

describe("Image", () => {
  test("saved and opened again: state, regions, module and command as they were", () => {
    const path = join(scratch, "a", "image");
    const image = Image.create(path, {
      moduleBytes: new Uint8Array([0, 97]),
      command: { args: ["x"] },
      instrumenterVersion: 1,
    });
    const region = image.createRegion();
    expect(region.grow(65_536 * 2)).toBe(true);
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 10 });
    region.attach(memory, 65_536 * 10);
    image.markRunning();
    new Uint8Array(memory.buffer)[70_000] = 42;
    image.commit({ machine: machine(7), wasi: { a: ["1"] }, process: null });
    expect(image.header.status).toBe("saved");
    image.close();

    const again = Image.open(path, { instrumenterVersion: 1 });
    expect(again.header).toMatchObject({ status: "saved", epoch: 1, memoryByteLengths: [131_072] });
    expect(again.command).toEqual({ args: ["x"] });
    expect([...again.moduleBytes]).toEqual([0, 97]);
    expect(again.readState()).toEqual({ machine: machine(7), wasi: { a: ["1"] }, process: null });
    const second = new WebAssembly.Memory({ initial: 2, maximum: 10 });
    again.regions[0]!.attach(second, 65_536 * 10);
    expect(new Uint8Array(second.buffer)[70_000]).toBe(42);
    again.markRunning();
    expect(() => again.readState()).toThrow(expect.objectContaining({ code: "IMAGE_INTERRUPTED" }));
    again.finish(3);
    again.close();
    expect(Image.read(path)).toMatchObject({ header: { status: "finished", exitStatus: 3 }, holder: undefined });
    expect(Image.remove(path)).toBe(true);
  });
});
