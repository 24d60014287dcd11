import { endOf, joinedRuns, type PageMap, type PageRun } from "./page-map.js";

/** A free run that is shorter is given only to a request that fits in it, so that extents do not fall to pieces. */
const LONG_RUN_PAGES = 16;

/**
 * The pages of a store that none of the given maps refers to, as far as they lie before `end`, and all pages from there
 * on: the file grows by being written. Nothing about free space is stored anywhere; it follows from the maps.
 */
export class FreePages {
  readonly #short: PageRun[] = [];
  readonly #long: PageRun[] = [];
  #end: number;
  readonly #alignment: number;

  /** `alignment`: in pages; what is taken begins at a multiple of it. */
  constructor(maps: readonly PageMap[], alignment: number) {
    this.#alignment = alignment;
    const used = usedPages(maps);
    let from = 0;
    for (const run of used) {
      this.#add(from, run.page);
      from = endOf(run);
    }
    this.#end = this.#aligned(from);
    // Taken from the end of the lists: those at the beginning of the file first.
    this.#short.reverse();
    this.#long.reverse();
  }

  /** Pages for a request of `count`: one run, or several of at least sixteen pages (the last may be shorter). */
  take(count: number): PageRun[] {
    const short = count < LONG_RUN_PAGES ? this.#takeShort(count) : undefined;
    if (short !== undefined) return [short];
    const taken: PageRun[] = [];
    let missing = count;
    for (let run = this.#long.at(-1); run !== undefined && missing > 0; run = this.#long.at(-1)) {
      taken.push({ page: run.page, count: Math.min(run.count, missing) });
      missing -= run.count;
      this.#long.pop();
      if (missing < 0) this.#add(run.page + run.count + missing, endOf(run));
    }
    if (missing > 0) {
      taken.push({ page: this.#end, count: missing });
      this.#end = this.#aligned(this.#end + missing);
    }
    return taken;
  }

  /** Requests that it is too short for have passed by when they got a later one: each run is looked at once. */
  #takeShort(count: number): PageRun | undefined {
    for (let run = this.#short.pop(); run !== undefined; run = this.#short.pop()) {
      if (run.count < count) continue;
      if (run.count > count) this.#add(run.page + count, endOf(run));
      return { page: run.page, count };
    }
    return undefined;
  }

  #add(from: number, end: number): void {
    const page = this.#aligned(from);
    const count = Math.floor((end - page) / this.#alignment) * this.#alignment;
    if (count <= 0) return;
    (count < LONG_RUN_PAGES ? this.#short : this.#long).push({ page, count });
  }

  #aligned(page: number): number {
    return Math.ceil(page / this.#alignment) * this.#alignment;
  }
}

/** The store's pages that a map refers to, sorted and joined. */
export function usedPages(maps: readonly PageMap[]): PageRun[] {
  const runs = maps.flatMap((map) => map.map(({ storePage, count }) => ({ page: storePage, count })));
  return joinedRuns(
    runs.sort((a, b) => a.page - b.page),
    0,
  );
}
