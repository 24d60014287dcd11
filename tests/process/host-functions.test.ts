import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type CreateOptions, type FailurePlan, type Outcome, Process } from "vermilion";
import { afterAll, describe, expect, test } from "vitest";
import { assembleText } from "../support/guests.js";

const directory = mkdtempSync(join(tmpdir(), "vermilion-imports-"));
const cacheDirectory = join(tmpdir(), "vermilion-test-cache", "vermilion");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let made = 0;

/** Writes a JavaScript module and returns its path. */
function hostModule(source: string): string {
  const path = join(directory, `imports-${++made}.mjs`);
  writeFileSync(path, source);
  return path;
}

/** Options for a guest in text, which imports what it likes; without \`_start\` it is invoked as "run". */
function optionsFor(guest: string, imports: string | URL | undefined): CreateOptions & { readonly image: string } {
  const image = join(directory, `image-${++made}`);
  const moduleBytes = assembleText(`(module ${guest})`);
  return { module: `${image}.wasm`, moduleBytes, image, imports, invoke: "run", cacheDirectory, stdio: [-1, -1, 2] };
}

/** Runs to the end, in a new process after each failure. */
async function toTheEnd(options: CreateOptions, failure: FailurePlan = {}): Promise<{ end: Outcome; runs: number }> {
  for (let runs = 1; ; runs++) {
    const process = await Process.create({ ...options, failure });
    const end = await process.run();
    await process.close();
    if (end.kind !== "powerFailed") return { end, runs };
  }
}

const log = join(directory, "calls.log");

/** Each call is written down with its arguments; memory is read and written. */
const FAMILY = hostModule(`
  import { appendFileSync } from "node:fs";
  const note = (name, ...args) => appendFileSync(${JSON.stringify(log)}, [name, ...args].join(" ") + "\\n");
  export default (guest) => ({
    numbers: {
      minus: (value) => (note("minus", value), -1),
      long: (value) => (note("long", value), value + (1n << 64n)),
      single: (value) => (note("single", value), value / 2),
      double: (value) => (note("double", value), -1),
      all: (value) => (note("all", value), [value, -1n, 0.5, -0.25]),
    },
    text: {
      shout(at, byteLength) {
        const text = Buffer.from(guest.memory.buffer, at, byteLength);
        note("shout", text.toString());
        text.write(text.toString().toUpperCase());
      },
    },
  });`);

const GUEST = `
  (import "numbers" "minus" (func $minus (param i32) (result i32)))
  (import "numbers" "long" (func $long (param i64) (result i64)))
  (import "numbers" "single" (func $single (param f32) (result f32)))
  (import "numbers" "double" (func $double (param f64) (result f64)))
  (import "numbers" "all" (func $all (param i32) (result i32 i64 f32 f64)))
  (import "text" "shout" (func $shout (param i32 i32)))
  (memory (export "memory") 1 4)
  (data (i32.const 100) "quiet")
  (func (export "run") (result i32 i64 f32 f64 i32 i64 f32 f64 i32)
    (drop (memory.grow (i32.const 1)))
    (call $shout (i32.const 100) (i32.const 5))
    (call $minus (i32.const -7))
    (call $long (i64.const -9223372036854775808))
    (call $single (f32.const 3))
    (call $double (f64.const 1e300))
    (call $all (i32.const 5))
    (i32.load8_u (i32.const 100)))`;

const RESULTS = ["-1", "-9223372036854775808", "1.5", "-1", "5", "-1", "0.5", "-0.25", "81"];
const CALLS = ["shout quiet", "minus -7", "long -9223372036854775808", "single 3", "double 1e+300", "all 5"];

describe("functions that are given", () => {
  test.each<[string, FailurePlan, number]>([
    ["no failure", {}, 1],
    ["a failure before every call", { atCall: { name: "*", ordinal: 2, when: "before" } }, 6],
    ["a failure after every call", { atCall: { name: "*", ordinal: 1, when: "after" } }, 7],
    ["a failure at every third safepoint", { atSafepoint: 3 }, 3],
  ])("%s: values of every type, guest memory, each call once", async (_, failure, runs) => {
    writeFileSync(log, "");
    const ended = await toTheEnd(optionsFor(GUEST, FAMILY), failure);
    expect(ended.end).toEqual({ kind: "exited", status: 0, results: RESULTS });
    expect(readFileSync(log, "utf8").trimEnd().split("\n")).toEqual(CALLS);
    expect(ended.runs).toBe(runs);
  });

  test("open: they are given again, as a URL; without them the image stays as it was", async () => {
    const options = optionsFor(GUEST, pathToFileURL(FAMILY));
    const first = await Process.create(options);
    expect(await first.run({ failure: { atCall: { name: "long", ordinal: 1, when: "after" } } })).toMatchObject({
      kind: "powerFailed",
    });
    await first.close();
    const again = { cacheDirectory, stdio: [-1, -1, 2] } as const;
    await expect(Process.open(options.image, again)).rejects.toMatchObject({
      code: "UNKNOWN_IMPORT",
      message: expect.stringContaining('"numbers"."minus"'),
    });
    const opened = await Process.open(options.image, { ...again, imports: pathToFileURL(FAMILY) });
    expect(await opened.run()).toMatchObject({ kind: "exited", results: RESULTS });
  });

  test("one that is missing: refused by name, and no image is left", async () => {
    const options = optionsFor(`(import "numbers" "plus" (func (param i32))) ${GUEST}`, FAMILY);
    await expect(Process.create(options)).rejects.toMatchObject({
      code: "UNKNOWN_IMPORT",
      message: expect.stringContaining('"numbers"."plus"'),
    });
    await expect(Process.inspect(options.image)).rejects.toMatchObject({ code: "IMAGE_MISSING" });
  });
});

describe("functions that fail", () => {
  test.each([
    ["throws", '() => { throw new Error("out of ink"); }', "out of ink"],
    ["returns a bigint for an i32", "() => 1n", "bigint"],
    ["returns nothing for an i32", "() => {}", "undefined"],
    ["is async", "async () => 1", "promise"],
  ])("one that %s: a trap that names it", async (_, source, reason) => {
    const imports = hostModule(`export default { printer: { print: ${source} } };`);
    const guest = '(import "printer" "print" (func $print (result i32))) (func (export "run") (drop (call $print)))';
    const options = optionsFor(guest, imports);
    const { end } = await toTheEnd(options);
    expect(end).toEqual({ kind: "trapped", message: expect.stringMatching(/"printer"\."print"/) });
    expect(end).toMatchObject({ message: expect.stringContaining(reason) });
    expect(await Process.inspect(options.image)).toMatchObject({ status: "trapped" });
  });

  test("one that is async, of which no result is asked for: likewise", async () => {
    const imports = hostModule('export default { printer: { print: async () => { throw new Error("lost"); } } };');
    const guest = '(import "printer" "print" (func $print)) (func (export "run") (call $print))';
    const { end } = await toTheEnd(optionsFor(guest, imports));
    expect(end).toEqual({ kind: "trapped", message: expect.stringMatching(/"printer"\."print" returned a promise/) });
  });
});

describe("modules that are none: IMPORTS_INVALID", () => {
  test.each([
    ["no file", "/nowhere/imports.mjs"],
    ["no default export", hostModule("export const env = {};")],
    ["it throws", hostModule('throw new Error("no");')],
    ["its function throws", hostModule('export default () => { throw new Error("no"); };')],
    ["its function is async", hostModule("export default async () => ({ env: {} });")],
    ["a namespace that is a number", hostModule("export default { env: 5 };")],
    ["a function that is a number", hostModule("export default { env: { f: 5 } };")],
    ["the system interface's name", hostModule("export default { wasi_snapshot_preview1: { fd_write() {} } };")],
  ])("%s", async (_, imports) => {
    const options = optionsFor('(func (export "run"))', imports);
    await expect(Process.create(options)).rejects.toMatchObject({ code: "IMPORTS_INVALID" });
  });
});

test("replayable marks a function and returns it; the package can be imported by the module itself", async () => {
  const vermilion = new URL("../../dist/runtime/index.js", import.meta.url).href;
  const imports = hostModule(`
    import { replayable } from ${JSON.stringify(vermilion)};
    const marked = replayable(() => 6);
    if (marked[Symbol.for("vermilion.replayable")] !== true) throw new Error("not marked");
    export default { env: { six: marked } };`);
  const guest = '(import "env" "six" (func $six (result i32))) (func (export "run") (result i32) (call $six))';
  expect((await toTheEnd(optionsFor(guest, imports))).end).toMatchObject({ results: ["6"] });
});

describe("with a log", () => {
  const guest = `
    (import "clock" "now" (func $now (result f64)))
    (func (export "run") (result f64) (f64.add (call $now) (call $now)))`;
  const now = (mark: string) =>
    hostModule(`export default { clock: { now: ${mark}(() => 21) } }; function replayable(fn) {
      return Object.defineProperty(fn, Symbol.for("vermilion.replayable"), { value: true }); }`);

  test("a function that is not marked replayable: LOG_UNREPLAYABLE", async () => {
    const process = await Process.create({ ...optionsFor(guest, now("")), log: true });
    await expect(process.run()).rejects.toMatchObject({ code: "LOG_UNREPLAYABLE" });
  });

  test("implied by persistence points only: a notice, and the run goes on", async () => {
    const notices: string[] = [];
    const onNotice = (message: string) => notices.push(message);
    const options = { ...optionsFor(guest, now("")), persistEvery: { hostCalls: 1000 }, onNotice };
    expect(await (await Process.create(options)).run()).toMatchObject({ kind: "exited", results: ["42"] });
    expect(notices).toHaveLength(1);
  });

  test("one that is marked: as without", async () => {
    const process = await Process.create({ ...optionsFor(guest, now("replayable")), log: true });
    expect(await process.run()).toMatchObject({ kind: "exited", results: ["42"] });
  });
});
