/** A log that was cut, torn or made up: what is read is what was written, from its beginning up to somewhere. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test, vi } from "vitest";
import { LogWindow, MappedLog } from "../../../pmem/mapped-log.js";
import {
  BEGUN,
  checksumOf,
  Kind,
  LOG_HEADER,
  LOG_HEADER_BYTE_LENGTH,
  RECORD_HEAD,
  wordsOf,
} from "../../../runtime/process/log/format.js";
import { LogReader } from "../../../runtime/process/log/reader.js";
import { LogWriter } from "../../../runtime/process/log/writer.js";

const folder = mkdtempSync(join(tmpdir(), "vermilion-log-reader-"));
afterAll(() => rmSync(folder, { recursive: true }));
const window = new LogWindow();
const HEADER = { number: 7, epoch: 3, boot: "01234567-89ab-cdef-0123-456789abcdef", durability: "process" } as const;

type Entry =
  | { readonly kind: "word"; readonly call: number; readonly value: number; readonly times: number }
  | { readonly kind: "text"; readonly call: number; readonly text: string };

const entries: fc.Arbitrary<readonly Entry[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("word" as const),
      call: fc.integer({ min: 1, max: 46 }),
      value: fc.integer(),
      times: fc.integer({ min: 1, max: 4 }),
    }),
    fc.record({
      kind: fc.constant("text" as const),
      call: fc.integer({ min: 1, max: 46 }),
      text: fc.string({ maxLength: 700 }),
    }),
  ),
  { maxLength: 30 },
);

/** The file's bytes, and what should be read. */
function write(list: readonly Entry[], end?: number): { bytes: Buffer; expected: string[] } {
  const log = MappedLog.create(join(folder, "log"), window);
  const writer = LogWriter.begin(log, HEADER);
  const expected: string[] = [];
  for (const entry of list) {
    if (entry.kind === "word") {
      for (let time = 0; time < entry.times; time++) {
        writer.word(entry.call, 5, entry.value);
        expected.push(`${entry.call} ${entry.value >>> 0}`);
      }
    } else {
      writer.text(entry.call, 9, entry.text);
      expected.push(`${entry.call} ${entry.text}`);
    }
  }
  if (end !== undefined) writer.mark(end);
  const bytes = Buffer.from(Buffer.from(log.buffer, 0, writer.byteLength + 4096)); // a copy: the mapping goes
  log.close();
  return { bytes, expected };
}

function read(bytes: Buffer): string[] | undefined {
  const reader = LogReader.over(bytes);
  if (reader === undefined) return undefined;
  const found: string[] = [];
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    const { kind, check, payload } = record;
    found.push(`${kind} ${check === 5 ? payload.readUInt32LE() : payload.toString()}`);
    if (found.length > 10_000) throw new Error("a reader that does not end");
  }
  return found;
}

/** What the file is behind each store of words that `act` makes. */
function storesOf(act: (writer: LogWriter) => void): Buffer[] {
  const log = MappedLog.create(join(folder, "stores"), window);
  const states: Buffer[] = [];
  const look = () => states.push(Buffer.from(Buffer.from(log.buffer, 0, 4096))); // a copy
  const { Int32Array: Plain } = globalThis;
  const observed = (words: Int32Array) =>
    new Proxy(words, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
      set: (target, name, value) => {
        const done = Reflect.set(target, name, value, target);
        look();
        return done;
      },
    });
  vi.stubGlobal(
    "Int32Array",
    new Proxy(Plain, { construct: (target, args) => observed(Reflect.construct(target, args) as Int32Array) }),
  );
  try {
    const writer = LogWriter.begin(log, HEADER);
    look();
    vi.unstubAllGlobals();
    act(writer);
  } finally {
    vi.unstubAllGlobals();
    log.close();
  }
  return states;
}

/** With the checksums of records that its header, which has another one now, calls for. */
function resummed(bytes: Buffer): Buffer {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let sum = bytes.readInt32LE(LOG_HEADER.checksum);
  for (let at = LOG_HEADER_BYTE_LENGTH / 4; words[at]! > 0; ) {
    sum = checksumOf(sum, words, at, words[at]!, words[at + 1]!);
    at += RECORD_HEAD + wordsOf(words[at + 1]!);
    words[at++] = sum;
  }
  return bytes;
}

function expectPrefix(found: readonly string[] | undefined, expected: readonly string[]): void {
  expect(found).toEqual(expected.slice(0, found?.length ?? 0));
}

describe("a log", () => {
  test("whole: all that was written, repetitions as often as they were made", () => {
    fc.assert(
      fc.property(entries, (list) => {
        const { bytes, expected } = write(list);
        expect(read(bytes)).toEqual(expected);
      }),
    );
  });

  test("its header: what it was begun with", () => {
    expect(LogReader.over(write([]).bytes)?.header).toEqual(HEADER);
  });

  test("cut at any byte: a part from the beginning", () => {
    fc.assert(
      fc.property(entries, fc.nat(), (list, at) => {
        const { bytes, expected } = write(list);
        const cut = Buffer.from(bytes).fill(0, at % bytes.length);
        expectPrefix(read(cut) ?? [], expected);
      }),
    );
  });

  test("any sectors lost, of 512 or 4096 bytes, as by a power cut: a part from the beginning", () => {
    fc.assert(
      fc.property(
        entries,
        fc.array(fc.nat(200), { maxLength: 8 }),
        fc.constantFrom(512, 4096),
        (list, lost, sector) => {
          const { bytes, expected } = write(list);
          const torn = Buffer.from(bytes);
          for (const index of lost)
            torn.fill(0, Math.min(index * sector, torn.length), Math.min((index + 1) * sector, torn.length));
          expectPrefix(read(torn) ?? [], expected);
        },
      ),
    );
  });

  test("any byte changed: a part from the beginning, and records behind it only if it is a count", () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, at, bit) => {
        const { bytes, expected } = write(
          list.map((entry) => (entry.kind === "word" ? { ...entry, times: 1 } : entry)),
        );
        const changed = Buffer.from(bytes);
        changed[at % changed.length] = (changed[at % changed.length] ?? 0) ^ bit;
        const found = read(changed) ?? [];
        expect(found.length).toBeLessThanOrEqual(expected.length + 2);
        if (!hasNeighbours(expected)) expectPrefix(found, expected);
      }),
    );
  });

  test("garbage, with or without a header that is right: it ends, and nothing is read beyond it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), fc.boolean(), (garbage, withHeader) => {
        const { bytes } = write([]);
        const made = Buffer.alloc(Math.ceil((64 + garbage.length) / 4) * 4);
        if (withHeader) bytes.copy(made, 0, 0, 64);
        made.set(garbage, 64);
        expect(() => read(made)).not.toThrow();
      }),
    );
  });

  test("a call that was begun: its kind, and no record", () => {
    const { bytes, expected } = write([{ kind: "word", call: 27, value: 64, times: 2 }], 27);
    const reader = LogReader.over(bytes);
    expect(reader?.begun).toBe(27);
    expect(reader?.findDamage()).toBe(false);
    expect(read(bytes)).toEqual(expected);
  });

  test("a call that was begun and repeats the one before: a kill at any store finds it begun, or counted", () => {
    const stores = storesOf((writer) => {
      for (let time = 0; time < 5; time++) {
        writer.mark(27);
        writer.word(27, 5, 64);
      }
    });
    let counted = 0;
    let [begun, unknown] = [0, 0];
    for (const bytes of stores) {
      const reader = LogReader.over(bytes);
      expect(reader?.findDamage()).toBe(false);
      const found = read(bytes)?.length ?? 0;
      expect(found - counted).toBeOneOf([0, 1]);
      if (found > counted) expect(reader?.begun).toBeUndefined();
      counted = found;
      if (reader?.begun === undefined) unknown++;
      else begun++;
    }
    expect(counted).toBe(5);
    expect(begun).toBeGreaterThan(5);
    expect(unknown).toBe(counted + 1); // before the first mark, and from each count to the next mark
  });

  test("repeated calls, appended to again and repeated: the mark tells from where it counts", () => {
    const bytes = storesOf((writer) => {
      for (let time = 0; time < 3; time++) writer.word(27, 5, 64);
    }).at(-1)!;
    const log = MappedLog.create(join(folder, "again"), window);
    bytes.copy(Buffer.from(log.buffer));
    const reader = LogReader.over(Buffer.from(log.buffer, 0, log.byteLength))!;
    while (reader.next() !== undefined); // as a replay that reaches the end
    expect(reader.here).toEqual(reader.end);
    LogWriter.goOn(log, reader.here).mark(27);
    const again = Buffer.from(log.buffer, 0, log.byteLength);
    expect(LogReader.over(again)?.begun).toBe(27);
    expect(read(again)).toHaveLength(3);
    log.close();
  });

  test("a log of version 2, whose marks have no count: the call is unknown, as it always was", () => {
    const [bytes] = storesOf((writer) => {
      for (let time = 0; time < 3; time++) writer.word(27, 5, 64);
    }).slice(-1);
    bytes!.writeUInt32LE(2, LOG_HEADER.version);
    bytes!.writeUInt32LE(crc32(bytes!.subarray(0, LOG_HEADER.checksum)), LOG_HEADER.checksum);
    const old = resummed(bytes!);
    old.writeUInt32LE(0x8000001b, (LogReader.over(old)?.end.at ?? 0) * 4);
    expect(LogReader.over(old)?.begun).toBe(27);
    expect(read(old)).toHaveLength(3);
  });

  test("any byte changed before the last record: a shorter log is known to be damaged", () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, place, bits) => {
        const { bytes } = write([...list, { kind: "text", call: 3, text: "the last one but one" }]);
        const lengthBefore = LogReader.over(bytes)?.end.at ?? 0;
        const { bytes: longer } = write([
          ...list,
          { kind: "text", call: 3, text: "the last one but one" },
          { kind: "text", call: 4, text: "the last one" },
        ]);
        expect(LogReader.over(longer)?.findDamage()).toBe(false);
        const whole = LogReader.over(longer)?.end.at;
        const changed = Buffer.from(longer);
        const at = 64 + (place % (lengthBefore * 4 - 64));
        changed[at] = (changed[at] ?? 0) ^ bits;
        const reader = LogReader.over(changed);
        if (reader?.end.at !== whole) expect(reader?.findDamage()).toBe(true);
      }),
    );
  });

  test("a record that was being written when the process died: no damage", () => {
    const { bytes } = write([{ kind: "text", call: 3, text: "before" }], 27);
    const at = LogReader.over(bytes)?.end.at ?? 0;
    const dying = Buffer.concat([bytes.subarray(0, at * 4), Buffer.alloc(64)]);
    dying.writeUInt32LE(0x8000001b, at * 4);
    dying.write("a payload without a length", at * 4 + 12);
    expect(LogReader.over(dying)?.findDamage()).toBe(false);
  });

  test("a count that was being changed: the lower one", () => {
    const { bytes } = write([{ kind: "word", call: 27, value: 64, times: 5 }]);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const at = words.indexOf(~4);
    expect(words[at - 1]).toBe(4);
    words[at - 1] = 5; // the inversion was not stored yet
    expect(read(bytes)).toHaveLength(5);
    words[at - 1] = 9;
    expect(read(bytes)).toHaveLength(1);
  });

  test("appended to again: as if it had not been interrupted", () => {
    const { bytes } = write([{ kind: "text", call: 3, text: "before" }], 27);
    const log = MappedLog.create(join(folder, "again"), window);
    bytes.copy(Buffer.from(log.buffer));
    const reader = LogReader.over(Buffer.from(log.buffer, 0, log.byteLength));
    if (reader === undefined) throw new Error("no header");
    LogWriter.goOn(log, reader.end).text(4, 9, "behind");
    expect(read(Buffer.from(log.buffer, 0, log.byteLength))).toEqual(["3 before", "4 behind"]);
    log.close();
  });

  test("longer than it was made: it grows, and all is there", () => {
    const log = MappedLog.create(join(folder, "long"), window);
    const writer = LogWriter.begin(log, HEADER);
    for (let index = 0; index < 200_000; index++) writer.word(27, 5, index);
    expect(writer.byteLength).toBeGreaterThan(1 << 21);
    expect(LogReader.over(Buffer.from(log.buffer, 0, log.byteLength))?.recordCount).toBe(200_000);
    log.close();
  });
});

/** Calls that follow their like are counted in the one before. */
function hasNeighbours(expected: readonly string[]): boolean {
  return expected.some((text, index) => text === expected[index + 1]);
}

test("marks and kinds do not meet", () => {
  expect(BEGUN).toBeLessThan(0);
  expect(Math.max(...Object.values(Kind))).toBeLessThan(256);
});
