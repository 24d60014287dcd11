import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EpochLine, EpochTree, type Kinship } from "../../../runtime/process/image/epoch-kinship.js";

const PAGES = 4;

/** A history that nobody need read: which pages each epoch uses, and whom it went on from. */
class Model {
  readonly used = new Map<number, readonly number[]>();
  readonly #parents = new Map<number, number | null>();
  /** Of each epoch: from there on there was no branch. */
  readonly #since = new Map<number, number>();
  #highest = 0;
  #freshPage = 0;
  current: number | null = null;
  kinship: Kinship = new EpochTree([]);

  add(replaced: readonly boolean[]): void {
    const before = this.current === null ? [] : (this.used.get(this.current) ?? []);
    const epoch = ++this.#highest;
    const pages = replaced.map((isNew, index) => (isNew ? undefined : before[index]) ?? this.#freshPage++);
    const since = this.current === epoch - 1 ? (this.#since.get(epoch - 1) ?? epoch) : epoch;
    this.used.set(epoch, pages);
    this.#parents.set(epoch, this.current);
    this.#since.set(epoch, since);
    this.kinship.add(epoch, this.current);
    this.current = epoch;
  }

  /** Only what is kept says anything then. */
  reopen(current: number): void {
    this.current = current;
    const kept = [...this.used.keys()];
    const [oldest = 0, newest = 0] = [kept[0], kept.at(-1)];
    const isLine = newest === current && oldest >= (this.#since.get(newest) ?? 0);
    const parents = kept.map((epoch): [number, number | null] => [epoch, this.#parents.get(epoch) ?? null]);
    this.kinship = isLine ? new EpochLine(kept) : new EpochTree(parents);
  }

  /** The pages that only this epoch uses, as far as the kinship tells; and which of them others do use. */
  drop(epoch: number): { free: number[]; lost: number[] } {
    const compared = this.kinship.waysFrom(epoch).flatMap((way) => {
      const [first] = way;
      return first === undefined ? [] : (this.used.get(first) ?? []);
    });
    const free = (this.used.get(epoch) ?? []).filter((page) => !compared.includes(page));
    this.kinship.remove(epoch);
    this.used.delete(epoch);
    const others = [...this.used.values()].flat();
    return { free, lost: free.filter((page) => others.includes(page)) };
  }
}

const replaced = fc.array(fc.boolean(), { minLength: PAGES, maxLength: PAGES });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("point" as const), replaced }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("drop" as const), which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("go back" as const), which: fc.nat(50) }) },
);

describe("Kinship", () => {
  test("whatever branches, goes and is opened again: no page is taken for free that another epoch uses", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: "max" }), (steps) => {
        const model = new Model();
        for (const each of steps) {
          const kept = [...model.used.keys()];
          const chosen = "which" in each ? kept[each.which % kept.length] : undefined;
          if (each.kind === "point") model.add(each.replaced);
          else if (each.kind === "drop") {
            if (chosen !== undefined && chosen !== model.current) expect(model.drop(chosen).lost).toEqual([]);
          } else if (chosen !== undefined || model.current !== null) model.reopen(chosen ?? model.current ?? 0);
        }
      }),
      { numRuns: 20_000 },
    );
  });

  /** Adds epochs that change only their first page. */
  function grown(model: Model, ...parents: readonly (number | null)[]): Model {
    for (const parent of parents) {
      model.current = parent;
      model.add([true, false, false, false]);
    }
    return model;
  }

  test("two branches of an epoch that went: what they had of it, each still needs", () => {
    const model = grown(new Model(), null);
    model.add([true, true, true, true]);
    grown(model, 2, 2);
    model.drop(2);
    expect(model.drop(3).free).toHaveLength(1);
  });

  test("a line: each epoch is compared with two", () => {
    const line = new EpochLine([1, 2, 3, 4, 5]);
    line.remove(3);
    expect(line.waysFrom(2).map((way) => [...way])).toEqual([[1], [4, 5]]);
    expect(line.lineTo(5)).toEqual([1, 2, 4, 5]);
    expect(line.lineTo(4)).toBeUndefined();
  });

  test("a tree: the line to an epoch, also when others have come and gone", () => {
    const tree = new EpochTree([[1, null], [2, 1], [3, 2], [4, 2]]); // biome-ignore format: pairs
    expect(tree.lineTo(3)).toEqual([1, 2, 3]);
    expect(tree.lineTo(4)).toEqual([1, 2, 4]);
    tree.add(5, 4);
    tree.remove(1);
    expect(tree.lineTo(5)).toEqual([2, 4, 5]);
  });
});
