import { join } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import { cacheDirectory } from "../process/cache-directory.js";
import { ScratchFolder } from "./scratch-folder.js";
import { Searcher } from "./searcher.js";
import type { SearcherData } from "./searcher-protocol.js";
import { Tally } from "./tally.js";

/** At least one. */
export type Searchers = readonly [Searcher, ...Searcher[]];

/** Has so many searchers for an action, all alike; when it is over, they and their files are gone. BAD_ARGUMENT: none. */
export async function withSearchers<Result>(
  jobs: number,
  data: Omit<SearcherData, "folder" | "cacheDirectory" | "tally">,
  action: (searchers: Searchers, tally: Tally) => Promise<Result>,
): Promise<Result> {
  const searchers: Searcher[] = [];
  const folder = new ScratchFolder(() => {
    for (const searcher of searchers) searcher.kill();
  });
  try {
    const tally = new Tally(join(folder.path, "tally"));
    for (let index = 0; index < jobs; index++) {
      const own = { folder: join(folder.path, `${index}`), cacheDirectory: cacheDirectory(), tally: tally.path };
      searchers.push(new Searcher({ ...data, ...own }));
    }
    const [first, ...others] = searchers;
    if (first === undefined) throw new VermilionError("BAD_ARGUMENT", "an exploration needs at least one job");
    return await action([first, ...others], tally);
  } finally {
    await Promise.all(searchers.map((searcher) => searcher.end()));
    folder.remove();
  }
}

/** Each takes the next item when it is done with one; that is only made then. */
export async function inParallel<Item>(
  searchers: Searchers,
  items: Iterable<Item>,
  work: (searcher: Searcher, item: Item) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  await Promise.all(
    searchers.map(async (searcher) => {
      for (let item = left.next(); item.done !== true; item = left.next()) await work(searcher, item.value);
    }),
  );
}
