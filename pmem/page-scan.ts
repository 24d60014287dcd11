import { closeSync, openSync, readSync } from "node:fs";
import { libc } from "./libc.js";
import { appendRun, endOf, joinedRuns, PAGE_BYTE_LENGTH, type PageRun } from "./page-map.js";

/**
 * Which pages of a private mapping its process has written, as the kernel's page tables know it.
 *
 * A page of the store that was only read is still the file's (FILE). One that was written is a copy of our own, in
 * memory or swapped out. Memory that was only read and is no file's is the kernel's page of zeros (PFNZERO), or not there
 * at all. So: there, and neither FILE nor PFNZERO. Where a huge page is used, all of its small ones count as written. Of
 * memory under write protection (write-protection.ts), only what was written since it was protected: WRITTEN, which all
 * other memory is.
 *
 * Three ways, each right, each slower than the one before: the PAGEMAP_SCAN ioctl (Linux 6.7) visits what is there;
 * /proc/self/pagemap has 8 bytes for each page, and knows nothing of protection; without either, every page counts as written.
 */
export type ScanWay = "ioctl" | "pagemap" | "all";

const WAYS: readonly ScanWay[] = ["ioctl", "pagemap", "all"];

/** The kernel's tables, open: to open them may take as long as to scan a small memory. */
export class PageScan {
  /** Undefined where the kernel, or who built its cage, does not let us. */
  readonly #pagemap: number | undefined;
  readonly #ways: readonly ScanWay[];

  constructor(ways: readonly ScanWay[] = WAYS) {
    this.#ways = ways;
    this.#pagemap = openPagemap();
  }

  /** In pages of 4 KiB from `address`, sorted; both numbers are multiples of the kernel's page. */
  written(address: number, byteLength: number): PageRun[] {
    const pagemap = this.#pagemap;
    let runs: PageRun[] | undefined;
    if (pagemap !== undefined && this.#ways.includes("ioctl")) runs = byIoctl(pagemap, address, byteLength);
    if (pagemap !== undefined && runs === undefined && this.#ways.includes("pagemap")) {
      runs = byReading(pagemap, address, byteLength);
    }
    return runs ?? [{ page: 0, count: byteLength / PAGE_BYTE_LENGTH }];
  }

  close(): void {
    if (this.#pagemap !== undefined) closeSync(this.#pagemap);
  }
}

/** Once. */
export function writtenPages(address: number, byteLength: number, ways: readonly ScanWay[] = WAYS): PageRun[] {
  const scan = new PageScan(ways);
  try {
    return scan.written(address, byteLength);
  } finally {
    scan.close();
  }
}

function openPagemap(): number | undefined {
  try {
    return openSync("/proc/self/pagemap", "r");
  } catch {
    return undefined;
  }
}

/** _IOWR('f', 16, struct pm_scan_arg), and bits, of linux/fs.h. */
const PAGEMAP_SCAN = 0xc0606610;
const CATEGORY = { WRITTEN: 2n, FILE: 4n, PRESENT: 8n, SWAPPED: 16n, PFNZERO: 32n } as const;
/** struct pm_scan_arg: twelve u64. */
const SCAN_WORDS = 12;
const SCAN_WALK_END = 4;
const RANGES_AT_ONCE = 4096;
/** struct page_region: start, end, categories. */
const RANGE_WORDS = 3;

/** Kept: a scan may take less time than to make 100 KB. */
let words: BigUint64Array<ArrayBuffer> | undefined;

/**
 * Two passes. The kernel answers a question for WRITTEN alone from the page tables (2 to 3 ns a page), any other from what it
 * knows of each page (50 ns: a miss of the cache), so the second pass looks only where the first has found something.
 */
function byIoctl(pagemap: number, address: number, byteLength: number): PageRun[] | undefined {
  const whole = [{ page: 0, count: byteLength / PAGE_BYTE_LENGTH }];
  const maybe = scanned(pagemap, address, whole, WRITTEN_AT_ALL);
  return maybe && scanned(pagemap, address, joinedRuns(maybe, MAX_GAP_PAGES), WRITTEN_AND_OURS);
}

/** What the kernel is asked: categories that are inverted, all of which are wanted, any of which, and that are returned. */
type Question = readonly [bigint, bigint, bigint, bigint];
const WRITTEN_AT_ALL: Question = [0n, CATEGORY.WRITTEN, 0n, CATEGORY.WRITTEN];
const EXCLUDED = CATEGORY.FILE | CATEGORY.PFNZERO;
const WRITTEN_AND_OURS: Question = [
  ...([EXCLUDED, EXCLUDED | CATEGORY.WRITTEN] as const),
  ...([CATEGORY.PRESENT | CATEGORY.SWAPPED, CATEGORY.FILE] as const),
];
/** To look at so many pages takes as long as another call. */
const MAX_GAP_PAGES = 16;

function scanned(
  pagemap: number,
  address: number,
  where: readonly PageRun[],
  question: Question,
): PageRun[] | undefined {
  const { control, addressOf } = libc();
  words ??= new BigUint64Array(SCAN_WORDS + RANGE_WORDS * RANGES_AT_ONCE);
  const base = addressOf(new Uint8Array(words.buffer));
  const ranges = BigInt(base + 8 * SCAN_WORDS);
  const runs: PageRun[] = [];
  for (const run of where) {
    const end = BigInt(address + endOf(run) * PAGE_BYTE_LENGTH);
    let start = BigInt(address + run.page * PAGE_BYTE_LENGTH);
    for (; start < end; start = words[SCAN_WALK_END] ?? end) {
      words.set([BigInt(8 * SCAN_WORDS), 0n, start, end, 0n, ranges, BigInt(RANGES_AT_ONCE), 0n, ...question]);
      const count = control(pagemap, PAGEMAP_SCAN, base);
      if (count < 0) return undefined;
      for (let at = SCAN_WORDS; at < SCAN_WORDS + RANGE_WORDS * count; at += RANGE_WORDS) {
        const [from, to] = [Number(words[at]) - address, Number(words[at + 1]) - address];
        appendRun(runs, from / PAGE_BYTE_LENGTH, (to - from) / PAGE_BYTE_LENGTH);
      }
    }
  }
  return runs;
}

/** Bits 61, 62 and 63 of an entry, in its upper half. Who may not see frame numbers sees these all the same. */
const ENTRY = { FILE: 0x20000000, SWAPPED: 0x40000000, PRESENT: 0x80000000 } as const;
const ENTRIES_AT_ONCE = 65_536;

function byReading(pagemap: number, address: number, byteLength: number): PageRun[] | undefined {
  const { pageByteLength } = libc();
  const scale = pageByteLength / PAGE_BYTE_LENGTH;
  const entries = new Uint32Array(2 * ENTRIES_AT_ONCE);
  const pageCount = byteLength / pageByteLength;
  const runs: PageRun[] = [];
  for (let page = 0; page < pageCount; page += ENTRIES_AT_ONCE) {
    const count = Math.min(ENTRIES_AT_ONCE, pageCount - page);
    const got = readSync(pagemap, entries, 0, 8 * count, 8 * (address / pageByteLength + page));
    if (got !== 8 * count) return undefined;
    for (let i = 0; i < count; i++) {
      const bits = entries[2 * i + 1] ?? 0;
      if ((bits & (ENTRY.PRESENT | ENTRY.SWAPPED)) === 0 || (bits & ENTRY.FILE) !== 0) continue;
      appendRun(runs, (page + i) * scale, scale);
    }
  }
  return runs;
}

const PAGE_WORDS = PAGE_BYTE_LENGTH / 4;

function isSurelyNonzero(at: number, words: Int32Array | undefined): boolean {
  if (words === undefined) return false;
  return (words[at] ?? 0) !== 0 || (words[at + PAGE_WORDS / 2] ?? 0) !== 0 || (words[at + PAGE_WORDS - 1] ?? 0) !== 0;
}

/** Zeros are looked for in blocks first: much of what a huge page brings along was never touched. */
const BLOCK_PAGES = 16;

/**
 * The parts of `runs` that are not all zeros, page by page; `unit`: the kernel's page, in pages of 4 KiB. `words`: those of the
 * memory, where most pages show at a glance what they are.
 */
export function nonzeroPages(address: number, runs: readonly PageRun[], unit: number, words?: Int32Array): PageRun[] {
  const { isZero } = libc();
  const found: PageRun[] = [];
  const zero = (page: number, count: number) =>
    !isSurelyNonzero(page * PAGE_WORDS, words) && isZero(address + page * PAGE_BYTE_LENGTH, count * PAGE_BYTE_LENGTH);
  const block = Math.max(BLOCK_PAGES, unit);
  for (const { page, count } of runs) {
    for (let from = page; from < page + count; from += block) {
      const end = Math.min(from + block, page + count);
      if (end - from > unit && zero(from, end - from)) continue;
      for (let at = from; at < end; at += unit) if (!zero(at, unit)) appendRun(found, at, unit);
    }
  }
  return found;
}
