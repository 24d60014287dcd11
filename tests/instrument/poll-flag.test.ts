import { expect, test } from "vitest";
import { buildCallGraph } from "../../runtime/instrument/call-graph.js";
import { flagPlace } from "../../runtime/instrument/poll-flag.js";
import { decodeModule } from "../../runtime/wasm/decode.js";
import { assemble } from "../process/machine/harness.js";

function placeOf(text: string): ReturnType<typeof flagPlace> {
  const module = decodeModule(assemble(text));
  return flagPlace(module, buildCallGraph(module).features);
}

/** A load at an offset, of a memory with a maximum. */
const loading = (offset: number, maximum: string): string =>
  `(module (memory 1 ${maximum}) (func (export "run") (result i32) (i32.load offset=${offset} (i32.const -1))))`;

test.each(["", "65536"])("a maximum of '%s' pages: the last page that index and offset reach", (maximum) => {
  const place = placeOf(loading(1_000_000, maximum));
  expect(place).toEqual({ index: -65_536, offset: 2 ** 32 - 65_536, distance: 2 ** 33 - 2 * 65_536 });
});

test("a small maximum: behind the memory, and at an offset that the engine takes", () => {
  expect(placeOf(loading(1_000, "256"))).toMatchObject({ offset: 255 * 65_536 });
});

test.each([
  ["no memory", '(module (func (export "run")))'],
  ["one page", loading(0, "1")],
  ["two pages, with which any access could reach it", loading(0, "2")],
  ["an offset nearly as large as the memory may get", loading(2 ** 32 - 2 * 65_536 - 8, "")],
  [
    "the same, of a vector",
    loading(254 * 65_536, "256")
      .replaceAll("i32.load", "v128.load")
      .replace("result i32", "result v128"),
  ],
])("%s: none", (_, text) => {
  expect(placeOf(text)).toBeUndefined();
});
