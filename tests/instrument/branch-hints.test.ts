/** The hints stand where the engine looks for them: at branches, counted from each body's beginning. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildCallGraph } from "../../runtime/instrument/call-graph.js";
import { ContinuationBuilder } from "../../runtime/instrument/continuation.js";
import { instrument } from "../../runtime/instrument/instrument.js";
import { ByteReader } from "../../runtime/wasm/byte-reader.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { Op } from "../../runtime/wasm/opcodes.js";
import { root } from "../corpus/paths.js";

interface Hint {
  readonly functionIndex: number;
  readonly offset: number;
  readonly likely: number;
}

const guest = decodeModule(readFileSync(join(root, "guest-examples", "balanced-tree", "balanced-tree.wasm")));
const graph = buildCallGraph(guest);

function hintsOf(bytes: Uint8Array): Hint[] {
  const [section] = WebAssembly.Module.customSections(
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
    "metadata.code.branch_hint",
  );
  const reader = new ByteReader(new Uint8Array(section as ArrayBuffer), 0);
  const hints: Hint[] = [];
  for (let functions = reader.u32(); functions > 0; functions--) {
    const functionIndex = reader.u32();
    for (let count = reader.u32(); count > 0; count--) {
      const offset = reader.u32();
      expect(reader.u32()).toBe(1);
      hints.push({ functionIndex, offset, likely: reader.u32() });
    }
  }
  return hints;
}

function expectBranches(bytes: Uint8Array): void {
  const { bodies, importedFunctionCount } = decodeModule(bytes);
  const hints = hintsOf(bytes);
  expect(hints.length).toBeGreaterThan(0);
  let before: Hint | undefined;
  for (const hint of hints) {
    const from = bodies[2 * (hint.functionIndex - importedFunctionCount)] as number;
    expect(bytes[from + hint.offset]).toBe(hint.likely === 1 ? Op.brIf : Op.if);
    if (before?.functionIndex === hint.functionIndex) expect(hint.offset).toBeGreaterThan(before.offset);
    else expect(hint.functionIndex).toBeGreaterThan(before?.functionIndex ?? -1);
    before = hint;
  }
}

test.each(["flag", "fast", "exact"] as const)("in the %s form, each hint is at a branch, in order", (mode) => {
  expectBranches(instrument(guest, graph, { mode, tracking: false }, new Uint8Array(0)));
});

test("and in a continuation module", () => {
  const builder = new ContinuationBuilder(guest, graph, { tracking: false });
  const places: number[] = [];
  for (let name = 0; name < guest.bytes.length && places.length < 40; name++) {
    if (builder.place(name) !== undefined) places.push(name);
  }
  expectBranches(builder.build({ turns: [], places, apart: new Set() }, "flag").bytes);
});
