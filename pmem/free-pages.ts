import { endOf, joinedRuns, type PageMap, type PageRun } from "./page-map.js";
import { CHECKSUM_PAGES, pageInSegment, SEGMENT_PAGES, segmentOf, withoutChecksumPages } from "./segments.js";

/** A free run that is shorter is given only to a request that fits in it, so that extents do not fall to pieces. */
const LONG_RUN_PAGES = 16;

export interface FreeSpace {
  /** Pages that may not be written, sorted and joined. */
  readonly used: readonly PageRun[];
  /** Segments that may be written, ascending. */
  readonly segments: readonly number[];
  /** Numbers of segments from here on were never used. */
  readonly nextSegment: number;
}

/**
 * The pages of a store's segments that nobody needs, as far as they lie before the last one in use, and all pages from
 * there on: a segment grows by being written, and when it is full there is another. No run crosses pages of checksums.
 */
export class FreePages {
  readonly #short: PageRun[] = [];
  readonly #long: PageRun[] = [];
  #end: number;
  #nextSegment: number;
  /** The segment at whose beginning `#end` may stand. */
  #opened: number;
  readonly #alignment: number;

  /** `alignment`: in pages; what is taken begins at a multiple of it. */
  constructor({ used, segments, nextSegment }: FreeSpace, alignment: number) {
    this.#alignment = alignment;
    this.#nextSegment = nextSegment;
    const last = segments.at(-1);
    this.#opened = last ?? -1;
    this.#end = last === undefined ? this.#newSegment() : last * SEGMENT_PAGES;
    let at = 0;
    for (const segment of segments) {
      const end = (segment + 1) * SEGMENT_PAGES;
      let from = segment * SEGMENT_PAGES;
      while (at < used.length && endOf(used[at] as PageRun) <= from) at++;
      for (; at < used.length && (used[at] as PageRun).page < end; at++) {
        const run = used[at] as PageRun;
        this.#add(from, run.page);
        from = endOf(run);
      }
      if (segment === last) this.#end = this.#aligned(from);
      else this.#add(from, end);
    }
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
    while (missing > 0) {
      const run = this.#append(missing);
      taken.push(run);
      missing -= run.count;
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

  #append(count: number): PageRun {
    if (this.#end % SEGMENT_PAGES === 0 && segmentOf(this.#end) !== this.#opened) this.#end = this.#newSegment();
    const checksums = CHECKSUM_PAGES - pageInSegment(this.#end);
    if (checksums > 0) this.#end = this.#aligned(this.#end + checksums);
    const page = this.#end;
    const room = SEGMENT_PAGES - pageInSegment(page);
    const taken = Math.min(count, room);
    this.#end = this.#aligned(page + taken);
    return { page, count: taken };
  }

  #newSegment(): number {
    this.#opened = this.#nextSegment++;
    return this.#opened * SEGMENT_PAGES;
  }

  #add(from: number, end: number): void {
    for (const usable of withoutChecksumPages(from, end)) {
      const page = this.#aligned(usable.page);
      const count = Math.floor((endOf(usable) - page) / this.#alignment) * this.#alignment;
      if (count > 0) (count < LONG_RUN_PAGES ? this.#short : this.#long).push({ page, count });
    }
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
