import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { contentHash } from "../../runtime/process/image/content-hash.js";
import { Image } from "../../runtime/process/image/image.js";
import { ModuleCache } from "../../runtime/process/module-cache.js";
import { Program } from "../../runtime/process/program.js";
import type { PrepareOrder } from "../../runtime/process/protocol.js";
import { readAhead, transferable } from "../../runtime/process/read-ahead.js";
import { assembleText } from "../support/guests.js";

let directory: string;
let modulePath: string;
let bytes: Uint8Array;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vermilion-read-ahead-"));
  modulePath = join(directory, "guest.wasm");
  bytes = assembleText('(module (memory 1) (func (export "_start") (loop (br 0))))');
  writeFileSync(modulePath, bytes);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const options = (exact: boolean) => ({ cacheDirectory: join(directory, "cache"), exact, flags: true });

function creating(more: { readonly exact?: boolean; readonly moduleBytes?: Uint8Array } = {}): PrepareOrder {
  return {
    ...{ kind: "create", command: { module: modulePath }, moduleBytes: undefined, image: join(directory, "image") },
    ...{ exact: false, cacheDirectory: join(directory, "cache"), ...more },
  } as PrepareOrder;
}

const opening = (image: string) => ({ kind: "open", image, exact: false, cacheDirectory: undefined }) as PrepareOrder;

describe("readAhead", () => {
  test("a program that was never run: its bytes and their hash", () => {
    const ahead = readAhead(creating());
    expect(Buffer.from(ahead?.module ?? []).equals(bytes)).toBe(true);
    expect(ahead?.hash).toBe(contentHash(bytes));
    expect(ahead?.form).toBeUndefined();
  });

  test.each([false, true])("one that was run, exact: %s: the form that a start needs", (exact) => {
    const first = Program.load(bytes, options(exact));
    const ahead = readAhead(creating({ exact }));
    expect(ahead?.form?.content).toMatchObject({ isValid: true });
    rmSync(join(directory, "cache"), { recursive: true });
    let instrumented = false;
    const again = Program.load(ahead?.module ?? new Uint8Array(), {
      ...options(exact),
      ahead,
      onInstrument: () => {
        instrumented = true;
      },
    });
    expect(instrumented).toBe(false);
    expect(again.mode).toBe(first.mode);
    expect(again.sites).toEqual(first.sites);
  });

  test("of another program: not used", () => {
    Program.load(bytes, options(false));
    const ahead = readAhead(creating());
    const other = assembleText('(module (func (export "_start")))');
    expect(new ModuleCache(join(directory, "cache"), other, ahead).readForm("flag")).toBeUndefined();
  });

  test("bytes that were given, no file, no plain file: nothing", () => {
    expect(readAhead(creating({ moduleBytes: bytes }))).toBeUndefined();
    rmSync(modulePath);
    expect(readAhead(creating())).toBeUndefined();
    mkdirSync(modulePath);
    expect(readAhead(creating())).toBeUndefined();
  });

  test("an image: its module, but not through a link", () => {
    const image = join(directory, "image");
    Image.create(image, { moduleBytes: bytes, command: {}, instrumenterVersion: 1 }).close();
    expect(readAhead(opening(image))?.hash).toBe(contentHash(bytes));
    const path = join(image, "module.wasm");
    renameSync(path, join(directory, "elsewhere"));
    symlinkSync(join(directory, "elsewhere"), path);
    expect(readAhead(opening(image))).toBeUndefined();
  });

  test("only what is large is handed over: small files share a buffer with others", () => {
    const ahead = readAhead(creating());
    expect(ahead && transferable(ahead)).toEqual([]);
    const module = readFileSync(modulePath);
    const large = { module: Buffer.alloc(2 ** 21), hash: "", form: undefined, copy: undefined };
    expect(ahead && transferable({ ...ahead, ...large })).toHaveLength(1);
    expect(ahead && transferable({ ...ahead, ...large, module })).toEqual([]);
  });
});

test("an image whose module is not what was read ahead is read itself, and found damaged", () => {
  const image = join(directory, "image");
  Image.create(image, { moduleBytes: bytes, command: {}, instrumenterVersion: 1 }).close();
  const known = (module: Uint8Array) => ({ module, hash: contentHash(module) });
  const open = (module: Uint8Array) => Image.open(image, { instrumenterVersion: 1, module: known(module) });
  const opened = open(bytes);
  expect(opened.moduleBytes).toBe(bytes);
  opened.close();
  const damaged = Buffer.from(bytes);
  damaged[damaged.length - 1]! ^= 1;
  writeFileSync(join(image, "module.wasm"), damaged);
  expect(() => open(damaged)).toThrow(expect.objectContaining({ code: "IMAGE_DAMAGED" }));
});
