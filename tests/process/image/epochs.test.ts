import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PageMap, PageRun } from "../../../pmem/page-map.js";
import { CHECKSUM_PAGES } from "../../../pmem/segments.js";
import type { EpochRecord } from "../../../runtime/process/image/epoch-record.js";
import { Epochs, keptEpochs } from "../../../runtime/process/image/epochs.js";
import { ImageDirectory } from "../../../runtime/process/image/image-directory.js";
import { encodePageMaps } from "../../../runtime/process/image/page-maps.js";
import { encodeState } from "../../../runtime/process/image/state-file.js";
import { PAGE, scratchDirectory, stateOf } from "./support.js";

const PAGES = 4;
const KEEP = { epochs: 1, milliseconds: null };

/** An image's epochs, each with four pages of which it shares some with the epoch it went on from; and who uses what. */
class History {
  readonly path = scratchDirectory();
  readonly directory = ImageDirectory.open(this.path);
  readonly used = new Map<number, readonly number[]>();
  readonly #records = new Map<number, EpochRecord>();
  current: number | null = null;
  highest = 0;
  #freshPage = CHECKSUM_PAGES;
  epochs = new Epochs(this.directory, 0);
  reads = 0;

  constructor() {
    const { readPart } = this.directory;
    this.directory.readPart = (name, position, byteLength) => {
      this.reads++;
      return readPart.call(this.directory, name, position, byteLength);
    };
  }

  /** A point that replaces some of the pages. */
  add(replaced: readonly boolean[]): void {
    const before = this.current === null ? undefined : this.used.get(this.current);
    const pages = Array.from({ length: PAGES }, (_, index) => {
      const kept = before?.[index];
      return kept === undefined || replaced[index] === true ? this.#freshPage++ : kept;
    });
    const epoch = this.highest + 1;
    const straight = this.current !== null && this.current === this.highest;
    const record: EpochRecord = {
      parent: this.current,
      unbranchedSince: straight ? (this.#records.get(this.highest)?.unbranchedSince ?? this.highest) : epoch,
      ...{ at: epoch, why: "period", pagesWritten: 1, hostCalls: 1, memoryByteLengths: [PAGE] },
      ...{ keptFiles: [`file-${epoch.toString(16)}-0`], keep: KEEP, trap: null },
    };
    const map: PageMap = pages.map((storePage, page) => ({ page, storePage, count: 1 }));
    const { chunks } = encodeState(epoch, { record, state: stateOf(epoch), pages: encodePageMaps([map]) });
    writeFileSync(join(this.path, `state-${epoch}`), Buffer.concat(chunks));
    this.#records.set(epoch, record);
    this.used.set(epoch, pages);
    this.epochs.add(epoch, record, [map]);
    this.current = this.highest = epoch;
  }

  reopen(at: number | null): void {
    this.epochs = new Epochs(this.directory, this.highest);
    this.current = at;
  }

  /** The pages that are free then, as the epochs say and as they are. */
  drop(epoch: number): { found: number[]; free: number[] } {
    const found = this.epochs.drop(epoch).flatMap(({ page, count }: PageRun) => {
      return Array.from({ length: count }, (_, index) => page + index);
    });
    rmSync(join(this.path, `state-${epoch}`));
    const own = this.used.get(epoch) ?? [];
    this.used.delete(epoch);
    const others = new Set([...this.used.values()].flat());
    return { found, free: own.filter((page) => !others.has(page)).sort((a, b) => a - b) };
  }

  get kept(): number[] {
    return [...this.used.keys()];
  }
}

const replaced = fc.array(fc.boolean(), { minLength: PAGES, maxLength: PAGES });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("point" as const), replaced }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("drop" as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("expire" as const), epochs: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("go back" as const), which: fc.nat() }) },
);

describe("Epochs", () => {
  test("whatever branches and goes: exactly those pages are free that no other epoch needs", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const history = new History();
        for (const each of steps) {
          if (each.kind === "point") history.add(each.replaced);
          else if (each.kind === "reopen") history.reopen(history.current);
          else if (each.kind === "go back") history.reopen(history.kept[each.which % history.kept.length] ?? null);
          else {
            const { kept, current } = history;
            const chosen = each.kind === "drop" ? [kept[each.which % kept.length] ?? 0] : [];
            const policy = { epochs: each.kind === "expire" ? each.epochs : 1, milliseconds: null };
            const gone = each.kind === "drop" ? chosen : history.epochs.expired(current ?? 0, policy, 0);
            for (const epoch of gone) {
              if (!history.used.has(epoch) || epoch === current) continue;
              const { found, free } = history.drop(epoch);
              expect(found).toEqual(free);
            }
          }
          const files = [...history.epochs.keptFiles()].sort();
          expect(files).toEqual(history.kept.map((epoch) => `file-${epoch.toString(16)}-0`).sort());
        }
        history.directory.close();
      }),
      { numRuns: 60 },
    );
  });

  test("a damaged epoch between two others: what they share is not free", () => {
    const history = new History();
    history.add([]);
    for (const first of [true, true, false]) history.add([first]); // all share the last three pages
    writeFileSync(join(history.path, "state-3"), "damaged");
    history.reopen(4);
    expect(history.epochs.drop(2)).toEqual([{ page: history.used.get(2)?.[0], count: 1 }]);
    expect(history.epochs.drop(3)).toEqual([]);
  });

  test("a line: neither opening it, nor a point, nor one that drops the oldest reads more with more epochs", () => {
    const readsAt = (count: number): number[] => {
      const history = new History();
      for (let epoch = 1; epoch <= count; epoch++) history.add([true]);
      history.reopen(history.highest);
      history.reads = 0;
      expect(history.epochs.expired(count, { epochs: count, milliseconds: null }, 0)).toEqual([]);
      const opening = history.reads;
      history.add([false, true]);
      const point = history.reads;
      expect(history.epochs.expired(count + 1, { epochs: count, milliseconds: null }, 0)).toEqual([1]);
      history.drop(1);
      return [opening, point, history.reads];
    };
    expect(readsAt(300)).toEqual(readsAt(10));
  });

  test("young ones stay beyond the number of epochs; pinned ones too", () => {
    const history = new History();
    for (let epoch = 1; epoch <= 6; epoch++) history.add([true]);
    history.reopen(6);
    writeFileSync(join(history.path, "pinned-2"), "");
    expect(history.epochs.expired(6, { epochs: 1, milliseconds: 2 }, 6)).toEqual([1, 3]); // 4, 5 and 6 are at most 2 ms old
    expect(history.epochs.expired(6, { epochs: 5, milliseconds: null }, 6)).toEqual([1]);
    expect(keptEpochs(history.directory, 6)).toHaveLength(readdirSync(history.path).length - 1);
  });
});
