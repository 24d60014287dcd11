/** Whether saved pages are what was written: each has a checksum in its segment. */
import { readSync } from "node:fs";
import { attempt } from "../../../pmem/error.js";
import { usedPages } from "../../../pmem/free-pages.js";
import { PAGE_BYTE_LENGTH, type PageMap, type PageRun, pageCountOf } from "../../../pmem/page-map.js";
import {
  CHECKSUM_BYTE_LENGTH,
  checksumPosition,
  checksumsOf,
  pageInSegment,
  segmentOf,
} from "../../../pmem/segments.js";
import { damaged } from "./damage.js";
import type { ImageDirectory } from "./image-directory.js";
import { segmentName } from "./names.js";
import type { ImageStorage, StorageFile } from "./storage.js";

/** 16 MiB: some 10 ms. More are not read by a resume, which would take as long as the memory is large. */
const PAGES_CHECKED_BY_A_RESUME = 4096;

/** IMAGE_DAMAGED. Before a resume; a large memory is taken as it is: `verify` reads it. */
export function checkFewPages(directory: ImageDirectory, storage: ImageStorage, maps: readonly PageMap[]): void {
  if (pageCountOf(usedPages(maps)) > PAGES_CHECKED_BY_A_RESUME) return;
  const [problem] = new PageChecks(directory, storage).problemsOf(maps);
  if (problem !== undefined) throw damaged(directory.path, problem);
}

const PAGES_AT_ONCE = 1024;

/** Pages are read once, however many epochs need them. */
export class PageChecks {
  readonly #directory: ImageDirectory;
  readonly #storage: ImageStorage;
  readonly #checked = new Map<number, boolean>();

  constructor(directory: ImageDirectory, storage: ImageStorage) {
    this.#directory = directory;
    this.#storage = storage;
  }

  /** What is wrong, a line for each file. */
  problemsOf(maps: readonly PageMap[]): string[] {
    const wrong = new Map<number, number>();
    const files = new Map<number, StorageFile>();
    try {
      for (const run of usedPages(maps)) {
        for (const page of this.#damagedIn(run, files))
          wrong.set(segmentOf(page), (wrong.get(segmentOf(page)) ?? 0) + 1);
      }
    } finally {
      for (const file of files.values()) file.close();
    }
    return [...wrong].map(([segment, count]) => {
      const path = this.#directory.pathOf(segmentName(segment));
      return `${path}: ${count} of its pages have a wrong checksum`;
    });
  }

  /** `files`: the segments that are open already; a run may add one. */
  #damagedIn({ page, count }: PageRun, files: Map<number, StorageFile>): number[] {
    const damaged: number[] = [];
    for (let from = page; from < page + count; from += PAGES_AT_ONCE) {
      const length = Math.min(PAGES_AT_ONCE, page + count - from);
      const pages = Array.from({ length }, (_, index) => from + index);
      if (pages.some((each) => !this.#checked.has(each))) this.#check({ page: from, count: length }, files);
      damaged.push(...pages.filter((each) => this.#checked.get(each) === false));
    }
    return damaged;
  }

  /** A run lies in one segment. */
  #check({ page, count }: PageRun, files: Map<number, StorageFile>): void {
    const segment = segmentOf(page);
    const name = segmentName(segment);
    const file = files.get(segment) ?? this.#storage.openShared(name);
    files.set(segment, file);
    const read = (position: number, byteLength: number): Uint8Array => {
      const bytes = new Uint8Array(byteLength);
      attempt("read", this.#directory.pathOf(name), () => readSync(file.descriptor, bytes, 0, byteLength, position));
      return bytes;
    };
    const bytes = read(pageInSegment(page) * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH);
    const sums = read(checksumPosition(page), count * CHECKSUM_BYTE_LENGTH);
    const found = checksumsOf([bytes]);
    for (let index = 0; index < count; index++) {
      const at = index * CHECKSUM_BYTE_LENGTH;
      const isWhole = [0, 1, 2, 3].every((byte) => found[at + byte] === sums[at + byte]);
      this.#checked.set(page + index, isWhole);
    }
  }
}
