import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FORMAT_VERSION, SLOT, SLOT_BYTE_LENGTH } from "../../../runtime/process/image/header.js";
import { EXTENT } from "../../../runtime/process/image/page-maps.js";
import { PREAMBLE, SECTION } from "../../../runtime/process/image/state-file.js";
import { LOG_HEADER, LOG_HEADER_BYTE_LENGTH } from "../../../runtime/process/log/format.js";

const text = readFileSync(new URL("../../../docs/image-format.md", import.meta.url), "utf8");

/** Rows of the tables with the columns offset, bytes, field: one list per table. */
const tables = text.split(/^\| Offset \| Bytes \| Field .*$/m).map((part) =>
  [...part.matchAll(/^\| (\d+) \| ([^|]+) \| `(\w+)` \|/gm)].map(([, offset, bytes, field]) => ({
    offset: Number(offset),
    bytes: Number.parseInt(bytes ?? "", 10),
    field: field ?? "",
  })),
);

test.each([
  ["a slot", 1, SLOT, SLOT_BYTE_LENGTH],
  ["the preamble", 2, PREAMBLE, 72],
  ["a section's entry", 3, SECTION, 32],
  ["an extent", 4, EXTENT, 24],
  ["a log's header", 5, LOG_HEADER, LOG_HEADER_BYTE_LENGTH],
] as const)(
  "docs/image-format.md, %s: the offsets of the code, without gap or overlap",
  (_what, index, offsets, end) => {
    const rows = tables[index] ?? [];
    expect(Object.fromEntries(rows.map(({ field, offset }) => [field, offset]))).toEqual(offsets);
    rows.forEach(({ offset, bytes }, row) => {
      expect(offset + bytes).toBe(rows[row + 1]?.offset ?? end);
    });
  },
);

test("docs/image-format.md: its version", () => {
  expect(text).toContain(`# Image format, version ${FORMAT_VERSION}\n`);
});
