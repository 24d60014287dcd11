/**
 * The modules were built from debug-lines.c: clang --target=wasm32 -O1 -nostdlib -Wl,--no-entry -gdwarf-4 (and -5).
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DebugLines } from "../../runtime/wasm/debug-lines.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { functionAtByte } from "../../runtime/wasm/module.js";
import { readFunctionNames } from "../../runtime/wasm/names.js";

const source = readFileSync(new URL("debug-lines.c", import.meta.url), "utf8").split("\n");

function fixture(version: number): Uint8Array {
  return readFileSync(new URL(`debug-lines-${version}.wasm`, import.meta.url));
}

describe.each([4, 5])("DWARF %i", (version) => {
  const bytes = fixture(version);
  const lines = DebugLines.read(bytes);
  const module = decodeModule(bytes);
  const names = readFunctionNames(bytes);

  test("each line belongs to the function that its code is in", () => {
    const found = new Map<string, Set<string>>();
    for (let offset = 0; offset < bytes.length; offset++) {
      const index = functionAtByte(module, offset);
      const at = index === undefined ? null : lines.at(offset);
      if (index === undefined || at === null) continue;
      expect(at).toMatch(/^debug-lines\.c:\d+$/);
      const name = names.get(index) ?? "";
      found.set(name, (found.get(name) ?? new Set()).add(source[Number(at.split(":")[1]) - 1]?.trim() ?? ""));
    }
    expect(found.get("twice")).toContain("return value * 2;");
    expect(found.get("twice")).not.toContain("sum += twice(i);");
    expect(found.get("run")).toContain("sum += twice(i);");
  });

  test("outside of the code there is none", () => {
    expect(lines.at(8)).toBeNull();
  });
});

test("damaged or missing sections: no lines, no error", () => {
  const bytes = new Uint8Array(fixture(5));
  const at = Buffer.from(bytes).indexOf(".debug_line") + 11;
  expect(DebugLines.read(bytes.subarray(0, at + 20)).at(80)).toBeNull();
  for (let i = 0; i < 60; i++) {
    const broken = bytes.slice();
    broken[at + i] = (broken[at + i] as number) ^ 0xff;
    DebugLines.read(broken).at(80);
  }
});
