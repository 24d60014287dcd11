/**
 * Who may share pages with whom, among the epochs that an image keeps. Pure: numbers only.
 *
 * A page is used by an epoch and by those that went on from it, until each of them has replaced it: by a part of the whole tree of
 * epochs, dropped ones included, without gaps. So on the way from one epoch that uses it to another all use it, and an epoch that
 * goes must be compared with the first kept one on each way that leads away from it, and with no others.
 */
export interface Kinship {
  /** The one with the highest number is new; `parent`: the epoch that it went on from. */
  add(epoch: number, parent: number | null): void;
  remove(epoch: number): void;
  /** The epochs that led to this one, and itself, ascending; undefined: it is not known here. */
  lineTo(epoch: number): readonly number[] | undefined;
  /** Each way by itself: the first epoch on it that can be read counts. */
  waysFrom(epoch: number): Iterable<number>[];
}

/** Epochs that all went on from each other, each from the one before it: nothing more need be known than their numbers. */
export class EpochLine implements Kinship {
  /** Ascending. */
  readonly #epochs: number[];

  constructor(ascending: readonly number[]) {
    this.#epochs = [...ascending];
  }

  get newest(): number | undefined {
    return this.#epochs.at(-1);
  }

  add(epoch: number): void {
    this.#epochs.push(epoch);
  }

  remove(epoch: number): void {
    if (this.#epochs[0] === epoch)
      this.#epochs.shift(); // as mostly: without a search
    else this.#epochs.splice(this.#epochs.indexOf(epoch), 1);
  }

  lineTo(epoch: number): readonly number[] | undefined {
    return epoch === this.newest ? this.#epochs : undefined;
  }

  waysFrom(epoch: number): Iterable<number>[] {
    const at = this.#epochs.indexOf(epoch);
    return [this.#way(at, -1), this.#way(at, 1)];
  }

  *#way(from: number, step: 1 | -1): Generator<number> {
    for (let at = from + step; ; at += step) {
      const epoch = this.#epochs[at];
      if (epoch === undefined) return;
      yield epoch;
    }
  }
}

/**
 * Epochs of which some went on from the same one.
 *
 * T1  The parent of an epoch is kept and on every way from it upwards, or is not kept; or null: the program's beginning.
 * T2  An epoch whose parent is not kept is an orphan. Through that parent a way may lead to any other orphan, or up to any epoch that
 *     is older. From every other epoch a way may lead down, through one that is not kept, to any orphan.
 * T3  When an epoch goes, its child takes its parent only if no other way can lead through the one that goes: there is one child, and
 *     there are no orphans. Otherwise its children are orphans.
 */
export class EpochTree implements Kinship {
  readonly #parents = new Map<number, number | null>();
  readonly #children = new Map<number, Set<number>>();
  readonly #orphans = new Set<number>();
  /** The one that was asked for last. */
  #line: number[] = [];

  /** Ascending. */
  constructor(parents: Iterable<readonly [number, number | null]>) {
    for (const [epoch, parent] of parents) this.add(epoch, parent);
  }

  add(epoch: number, parent: number | null): void {
    this.#parents.set(epoch, parent);
    if (this.#line.length > 0 && this.#line.at(-1) === parent) this.#line.push(epoch);
    if (parent === null) return;
    this.#children.set(parent, (this.#children.get(parent) ?? new Set()).add(epoch));
    if (!this.#parents.has(parent)) this.#orphans.add(epoch);
  }

  remove(epoch: number): void {
    const parent = this.#parents.get(epoch);
    if (parent === undefined) return;
    const children = this.#children.get(epoch) ?? new Set();
    const hasHeir = parent !== null && this.#parents.has(parent) && children.size <= 1 && this.#orphans.size === 0; // T3
    this.#parents.delete(epoch);
    this.#orphans.delete(epoch);
    if (parent !== null) this.#children.get(parent)?.delete(epoch);
    if (this.#line[0] === epoch) this.#line.shift();
    else this.#line = this.#line.filter((other) => other !== epoch);
    for (const child of children) {
      if (!hasHeir) {
        this.#orphans.add(child);
        continue;
      }
      this.#parents.set(child, parent);
      this.#children.get(parent)?.add(child);
    }
    if (hasHeir || children.size === 0) this.#children.delete(epoch);
  }

  lineTo(epoch: number): readonly number[] | undefined {
    if (!this.#parents.has(epoch)) return undefined;
    if (this.#line.at(-1) === epoch) return this.#line;
    const line: number[] = [];
    for (let at: number | null | undefined = epoch; at != null && this.#parents.has(at); at = this.#parents.get(at)) {
      line.push(at);
    }
    this.#line = line.reverse();
    return this.#line;
  }

  waysFrom(epoch: number): Iterable<number>[] {
    const parent = this.#parents.get(epoch);
    const near = new Set([...(this.#children.get(epoch) ?? []), ...this.#orphans]);
    if (this.#orphans.has(epoch)) {
      for (const other of this.#parents.keys()) if (other < epoch) near.add(other); // T2
    } else if (parent != null) near.add(parent);
    near.delete(epoch);
    return [...near].map((other) => [other]);
  }
}
