import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { CompilationRecorder } from "../../runtime/process/compilation-recorder.js";
import { FormCache } from "../../runtime/process/form-cache.js";
import { formFor, nameOfForm } from "../../runtime/process/forms.js";
import { contentHash } from "../../runtime/process/image/content-hash.js";
import { Program, precompile } from "../../runtime/process/program.js";
import { StartProfile } from "../../runtime/process/start-profile.js";
import { findHintRoom } from "../../runtime/wasm/compilation-hints.js";
import { assembleText } from "../support/guests.js";

const directory = mkdtempSync(join(tmpdir(), "vermilion-start-profile-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Four functions of 10, 20, 30 and 40 bytes, behind two imported ones. */
const BODIES = Uint32Array.of(100, 111, 132, 163, 203);
const IMPORTED = 2;

function profileOf(
  ...starts: readonly (readonly (readonly [index: number, bodyByteLength: number])[])[]
): StartProfile {
  const profile = new StartProfile();
  for (const start of starts) {
    const compiled = start.map(([index, bodyByteLength]) => ({ index, bodyByteLength }));
    profile.add(compiled, IMPORTED, BODIES);
  }
  return profile;
}

describe("what a profile says", () => {
  test("nothing before three starts were seen, then what two of them needed, as they first did", () => {
    const [a, b, c] = [[2, 10] as const, [3, 20] as const, [5, 40] as const];
    expect(profileOf([a, b], [a, b]).needed).toBeUndefined();
    expect(profileOf([c, a, b], [a, c], [c]).needed).toEqual(Uint32Array.of(3, 0));
    expect(profileOf([a, a, a], [], []).needed).toEqual(new Uint32Array());
  });

  test("nothing of other modules: what is no body of this one is passed over", () => {
    const start = [
      [0, 10],
      [1, 10],
      [2, 12],
      [3, 40],
      [4, 30],
      [6, 10],
    ] as const;
    expect(profileOf(start, start, start).needed).toEqual(Uint32Array.of(2));
  });

  test("it is kept, and one that is damaged or cut has seen nothing", () => {
    const file = Buffer.concat(
      profileOf(
        [
          [2, 10],
          [3, 20],
        ],
        [[2, 10]],
        [[3, 20]],
      ).encode(),
    );
    expect(StartProfile.decode(file).needed).toEqual(Uint32Array.of(0, 1));
    for (let length = 0; length < file.length; length++) {
      const { needed, learns } = StartProfile.decode(file.subarray(0, length));
      expect({ needed, learns }).toEqual({ needed: undefined, learns: true });
    }
    for (let at = 0; at < file.length; at++) {
      const damaged = Buffer.from(file);
      damaged[at]! ^= 4;
      expect(StartProfile.decode(damaged).learns).toBe(true);
    }
  });
});

/** A hundred functions of different lengths, each of which calls the next; one that is called by nobody calls the first. */
function manyFunctions(): Uint8Array {
  const work = (index: number) => "(global.set 0 (i32.add (global.get 0) (i32.const 1)))".repeat(1 + index);
  const next = (index: number) => (index < 99 ? `(call ${index + 2})` : "");
  const bodies = Array.from({ length: 100 }, (_, index) => `(func ${work(index)} ${next(index)})`);
  const imported = '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))';
  return assembleText(
    `(module ${imported} (global (mut i32) (i32.const 0)) ${bodies.join("")} (func (export "_start") (call 1)))`,
  );
}

describe("an instrumented form", () => {
  const bytes = manyFunctions();
  const options = { cacheDirectory: directory, exact: false };
  Program.load(bytes, options);
  const mode = nameOfForm(formFor("fast"));
  const hash = contentHash(bytes);
  const form = (needed: Uint32Array | undefined) => {
    const content = new FormCache(directory, hash).readForm(mode);
    if (content === undefined) throw new Error("there is no form");
    return { hash, mode, content, importedFunctions: 1, beginning: "start" as const, needed };
  };

  /** Functions, without the imported one, that compiling the form compiles at once. */
  async function compiledAtOnce(needed: Uint32Array | undefined): Promise<readonly number[]> {
    const recorder = CompilationRecorder.begin();
    const compiled = precompile(form(needed));
    expect(compiled?.hash).toBe(hash);
    return (await recorder?.end())?.map(({ index }) => index - 1).sort((a, b) => a - b) ?? [];
  }

  test("compiles at once what it is told to, in this version of the engine, and nothing else", async () => {
    expect(await compiledAtOnce(undefined)).toEqual([]);
    expect(await compiledAtOnce(Uint32Array.of(70, 3, 5, 0))).toEqual([0, 3, 5, 70]);
    expect(await compiledAtOnce(new Uint32Array())).toEqual([]);
    expect(await compiledAtOnce(undefined)).toEqual([]);
  });

  test("also with what a wrong profile says, and with more than there is room for", async () => {
    expect(await compiledAtOnce(Uint32Array.of(2, 100_000, 2 ** 32 - 1))).toEqual([2]);
    const all = Uint32Array.from({ length: 101 }, (_, index) => 100 - index);
    const many = await compiledAtOnce(all);
    expect(many.length).toBeGreaterThan(48);
    expect(many).toEqual([...many].sort((a, b) => a - b));
  });

  test("none of its code moves", () => {
    const hinted = form(Uint32Array.of(1, 2, 3));
    precompile(hinted);
    const plain = form(undefined);
    const { from, to } = findHintRoom(plain.content.bytes) ?? { from: 0, to: 0 };
    expect(to).toBeGreaterThan(from);
    expect(hinted.content.bytes.length).toBe(plain.content.bytes.length);
    for (const [begin, end] of [
      [0, from],
      [to, plain.content.bytes.length],
    ] as const) {
      const [before, after] = [plain, hinted].map(({ content }) => Buffer.from(content.bytes.subarray(begin, end)));
      expect(after?.equals(before ?? Buffer.alloc(0))).toBe(true);
    }
    expect(findHintRoom(hinted.content.bytes)).toBeUndefined();
  });
});
