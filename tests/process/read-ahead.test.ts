import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { contentHash } from "../../runtime/process/image/content-hash.js";
import { Image } from "../../runtime/process/image/image.js";
import { Program, precompile } from "../../runtime/process/program.js";
import type { PrepareOrder } from "../../runtime/process/protocol.js";
import { type FormAhead, type ReadAhead, readAhead, transferable } from "../../runtime/process/read-ahead.js";
import { SeenModule } from "../../runtime/process/seen-module.js";
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

function reading(order: PrepareOrder): { readonly ahead: ReadAhead | undefined; readonly forms: readonly FormAhead[] } {
  const forms: FormAhead[] = [];
  return { ahead: readAhead(order, (form) => forms.push(form)), forms };
}

/** Beyond what it takes for a file to be remembered. */
function large(text: string): Uint8Array {
  return assembleText(`(module (memory 32) (data (i32.const 0) "${"a".repeat(1 << 20)}") ${text})`);
}

describe("readAhead", () => {
  test("a program that was never run: its bytes and their hash", () => {
    const { ahead, forms } = reading(creating());
    expect(Buffer.from(ahead?.module ?? []).equals(bytes)).toBe(true);
    expect(ahead?.hash).toBe(contentHash(bytes));
    expect(forms).toEqual([]);
  });

  test.each([false, true])("one that was run, exact: %s: the form that a start needs", (exact) => {
    const first = Program.load(bytes, options(exact));
    const { ahead, forms } = reading(creating({ exact }));
    const [form] = forms;
    expect(forms).toHaveLength(1);
    expect(form).toMatchObject({ hash: contentHash(bytes), beginning: "start", needed: undefined });
    const compiled = form && precompile(form);
    rmSync(join(directory, "cache"), { recursive: true });
    let instrumented = false;
    const onInstrument = () => {
      instrumented = true;
    };
    const again = Program.load(ahead?.module ?? bytes, { ...options(exact), ahead, compiled, onInstrument });
    expect(instrumented).toBe(false);
    expect(again.compiled).toBe(compiled?.compiled);
    expect(again.mode).toBe(first.mode);
    expect(again.sites).toEqual(first.sites);
  });

  test("what was compiled for another program, or in another form, is not used", () => {
    Program.load(bytes, options(false));
    const [form] = reading(creating()).forms;
    const compiled = form && precompile(form);
    const other = assembleText('(module (func (export "_start")))');
    expect(Program.load(other, { ...options(false), compiled }).compiled).not.toBe(compiled?.compiled);
    expect(Program.load(bytes, { ...options(true), compiled }).compiled).not.toBe(compiled?.compiled);
    expect(Program.load(bytes, { ...options(false), compiled }).compiled).toBe(compiled?.compiled);
  });

  test("a large file that was read before: its form, before it is read; and the right one, if that was another program's", () => {
    const [first, second] = [large('(func (export "_start"))'), large('(func (export "_start") nop)')];
    for (const program of [first, second]) Program.load(program, options(false));
    const [firstHash, secondHash] = [contentHash(first), contentHash(second)];
    const read = () => reading(creating());
    const hashes = ({ forms }: ReturnType<typeof read>) => forms.map(({ hash }) => hash);
    const folder = join(directory, "cache", "seen");
    writeFileSync(modulePath, first);
    expect(hashes(read())).toEqual([firstHash]);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(hashes(read())).toEqual([firstHash]);
    const seen = new SeenModule(join(directory, "cache"), modulePath);
    seen.remember(secondHash);
    const wrong = read();
    expect(hashes(wrong)).toEqual([secondHash, firstHash]);
    expect(wrong.ahead?.hash).toBe(firstHash);
    expect(hashes(read())).toEqual([firstHash]);
    seen.remember("../../elsewhere");
    expect(hashes(read())).toEqual([firstHash]);
    writeFileSync(modulePath, second);
    expect(hashes(read())).toEqual([secondHash]);
    expect(readdirSync(folder)).toHaveLength(2);
    for (const name of readdirSync(folder)) {
      chmodSync(join(folder, name), 0o600);
      writeFileSync(join(folder, name), "damaged");
    }
    expect(hashes(read())).toEqual([secondHash]);
  });

  test("an image that goes on: its form by the header, and its module, but not through a link", () => {
    Program.load(bytes, options(false));
    const image = join(directory, "image");
    Image.create(image, { moduleBytes: bytes, command: {}, instrumenterVersion: 1 }).close();
    const { ahead, forms } = reading({ ...opening(image), cacheDirectory: join(directory, "cache") });
    expect(ahead?.hash).toBe(contentHash(bytes));
    expect(forms).toMatchObject([{ hash: contentHash(bytes), beginning: "resume" }]);
    const path = join(image, "module.wasm");
    renameSync(path, join(directory, "elsewhere"));
    symlinkSync(join(directory, "elsewhere"), path);
    expect(reading(opening(image)).ahead).toBeUndefined();
  });

  test("bytes that were given, no file, no plain file: nothing", () => {
    expect(reading(creating({ moduleBytes: bytes })).ahead).toBeUndefined();
    rmSync(modulePath);
    expect(reading(creating()).ahead).toBeUndefined();
    mkdirSync(modulePath);
    expect(reading(creating()).ahead).toBeUndefined();
  });

  test("only what is large is handed over: small files share a buffer with others", () => {
    expect(transferable(readFileSync(modulePath))).toEqual([]);
    expect(transferable(Buffer.alloc(2 ** 21), readFileSync(modulePath))).toHaveLength(1);
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
