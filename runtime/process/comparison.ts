/** What changed between two epochs of an image. */
import { readSync } from "node:fs";
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { attempt } from "../../pmem/error.js";
import {
  appendRun,
  endOf,
  PAGE_BYTE_LENGTH,
  type PageMap,
  type PageRun,
  remainingRuns,
  unitedRuns,
} from "../../pmem/page-map.js";
import { pageInSegment, segmentOf } from "../../pmem/segments.js";
import { decodeModule } from "../wasm/decode.js";
import { ValueType } from "../wasm/value-types.js";
import type { FrameInspection } from "./frame-inspection.js";
import { Image } from "./image/image.js";
import { ImageDirectory } from "./image/image-directory.js";
import { segmentName } from "./image/names.js";
import type { ImageReading, SavedState } from "./image/reading.js";
import { type DescriptorInspection, describeDescriptors, framesOf } from "./inspect.js";

/** A plain object that JSON carries. */
export interface Comparison {
  readonly before: number;
  readonly after: number;
  readonly memories: readonly MemoryComparison[];
  readonly globals: readonly GlobalComparison[];
  /** Innermost first; how many of the outermost are the same in both. */
  readonly frames: {
    readonly before: readonly FrameInspection[];
    readonly after: readonly FrameInspection[];
    readonly same: number;
  };
  /** Those that are not the same; null: there is none of that number. */
  readonly descriptors: readonly {
    readonly number: number;
    readonly before: DescriptorInspection | null;
    readonly after: DescriptorInspection | null;
  }[];
}

export interface MemoryComparison {
  readonly byteLengthBefore: number;
  readonly byteLengthAfter: number;
  /** Pages of 4 KiB whose bytes differ, as runs. */
  readonly changed: readonly PageRun[];
}

export interface GlobalComparison {
  readonly index: number;
  readonly type: string;
  /** i32 and f32 as numbers are written, v128 in hexadecimal, a funcref as its function's index or "null". */
  readonly before: string;
  readonly after: string;
}

/** NO_SUCH_EPOCH, IMAGE_DAMAGED and the other IMAGE_ codes. */
export function compareEpochs(image: string, before: number, after: number): Comparison {
  const reading = Image.read(resolve(image));
  const [one, other] = [reading.readEpoch(before), reading.readEpoch(after)];
  return {
    before,
    after,
    memories: reading.header.inPlace ? [] : compareMemories(reading.path, one, other),
    globals: compareGlobals(reading, one, other),
    frames: compareFrames(framesOf(reading, one), framesOf(reading, other)),
    descriptors: compareDescriptors(describeDescriptors(one), describeDescriptors(other)),
  };
}

function compareMemories(path: string, before: SavedState, after: SavedState): MemoryComparison[] {
  const pages = new Pages(path);
  try {
    const count = Math.max(before.maps.length, after.maps.length);
    return Array.from({ length: count }, (_, index) => ({
      byteLengthBefore: before.record.memoryByteLengths[index] ?? 0,
      byteLengthAfter: after.record.memoryByteLengths[index] ?? 0,
      changed: changedPages(before.maps[index] ?? [], after.maps[index] ?? [], pages),
    }));
  } finally {
    pages.close();
  }
}

/** What lies in the same place in both is the same; all else is read. */
function changedPages(before: PageMap, after: PageMap, pages: Pages): PageRun[] {
  const same: PageRun[] = [];
  let at = 0;
  for (const extent of before) {
    while (at < after.length && endOf(after[at] as PageRun) <= extent.page) at++;
    for (let i = at; i < after.length; i++) {
      const other = after[i] as PageMap[number];
      if (other.page >= endOf(extent)) break;
      if (other.storePage - other.page !== extent.storePage - extent.page) continue;
      const page = Math.max(extent.page, other.page);
      appendRun(same, page, Math.min(endOf(extent), endOf(other)) - page);
    }
  }
  const all = unitedRuns(runsOf(before), runsOf(after));
  const changed: PageRun[] = [];
  for (const run of remainingRuns(all, same)) {
    for (let page = run.page; page < endOf(run); page++) {
      if (!pages.of(before, page).equals(pages.of(after, page))) appendRun(changed, page, 1);
    }
  }
  return changed;
}

function runsOf(map: PageMap): PageRun[] {
  return map.map(({ page, count }) => ({ page, count }));
}

/** Single pages of a store's segments. */
class Pages {
  readonly #directory: ImageDirectory;
  readonly #files = new Map<number, number>();
  readonly #open: { close(): void }[] = [];

  constructor(path: string) {
    this.#directory = ImageDirectory.open(path);
  }

  of(map: PageMap, page: number): Buffer {
    const bytes = Buffer.alloc(PAGE_BYTE_LENGTH);
    const extent = map.find((candidate) => candidate.page <= page && page < endOf(candidate));
    if (extent === undefined) return bytes;
    const storePage = extent.storePage + page - extent.page;
    const name = segmentName(segmentOf(storePage));
    const descriptor = this.#file(segmentOf(storePage));
    attempt("read", this.#directory.pathOf(name), () =>
      readSync(descriptor, bytes, 0, PAGE_BYTE_LENGTH, pageInSegment(storePage) * PAGE_BYTE_LENGTH),
    );
    return bytes;
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#directory.close();
  }

  #file(segment: number): number {
    const known = this.#files.get(segment);
    if (known !== undefined) return known;
    const file = this.#directory.openShared(segmentName(segment));
    this.#open.push(file);
    this.#files.set(segment, file.descriptor);
    return file.descriptor;
  }
}

function compareGlobals(reading: ImageReading, before: SavedState, after: SavedState): GlobalComparison[] {
  const [one, other] = [before, after].map(({ state }) => Buffer.from(state.machine.globals)) as [Buffer, Buffer];
  let offset = 0;
  return decodeModule(reading.readModule()).globals.flatMap(({ type, mutable }, index) => {
    if (!mutable) return [];
    const form = FORMS[type] ?? REFERENCE;
    const from = offset;
    offset += form.byteLength;
    const [old, now] = [one, other].map((bytes) => bytes.subarray(from, offset)) as [Buffer, Buffer];
    if (old.byteLength < form.byteLength || now.byteLength < form.byteLength || old.equals(now)) return [];
    return [{ index, type: form.name, before: form.read(old), after: form.read(now) }];
  });
}

interface Form {
  readonly name: string;
  readonly byteLength: number;
  read(bytes: Buffer): string;
}

const FORMS: Readonly<Record<number, Form>> = {
  [ValueType.i32]: { name: "i32", byteLength: 4, read: (bytes) => String(bytes.readInt32LE()) },
  [ValueType.i64]: { name: "i64", byteLength: 8, read: (bytes) => String(bytes.readBigInt64LE()) },
  [ValueType.f32]: { name: "f32", byteLength: 4, read: (bytes) => String(bytes.readFloatLE()) },
  [ValueType.f64]: { name: "f64", byteLength: 8, read: (bytes) => String(bytes.readDoubleLE()) },
  [ValueType.v128]: { name: "v128", byteLength: 16, read: (bytes) => Buffer.from(bytes).reverse().toString("hex") },
};

const REFERENCE: Form = {
  name: "ref",
  byteLength: 4,
  read: (bytes) => (bytes.readInt32LE() === -1 ? "null" : String(bytes.readUInt32LE())),
};

function compareFrames(before: readonly FrameInspection[], after: readonly FrameInspection[]): Comparison["frames"] {
  let same = 0;
  while (same < Math.min(before.length, after.length) && isDeepStrictEqual(before.at(-1 - same), after.at(-1 - same)))
    same++;
  return { before, after, same };
}

function compareDescriptors(
  before: readonly DescriptorInspection[],
  after: readonly DescriptorInspection[],
): Comparison["descriptors"] {
  const numbers = [...new Set([...before, ...after].map(({ number }) => number))].sort((a, b) => a - b);
  const find = (list: readonly DescriptorInspection[], number: number) =>
    list.find((one) => one.number === number) ?? null;
  return numbers
    .map((number) => ({ number, before: find(before, number), after: find(after, number) }))
    .filter((change) => !isDeepStrictEqual(change.before, change.after));
}
