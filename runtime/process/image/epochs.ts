import { crc32 } from "node:zlib";
import { VermilionError } from "../../../pmem/error.js";
import { usedPages } from "../../../pmem/free-pages.js";
import { type PageMap, type PageRun, remainingRuns } from "../../../pmem/page-map.js";
import { damaged } from "./damage.js";
import type { EpochRecord, KeepPolicy } from "./epoch-record.js";
import type { ImageDirectory } from "./image-directory.js";
import { pinName, pinNumber, stateName, stateNumber } from "./names.js";
import { decodePageMaps } from "./page-maps.js";
import { BEGINNING_BYTE_LENGTH, type Beginning, decodeBeginning } from "./state-file.js";

/** Beyond that many epochs nobody reads all of their maps to find the pages that none of them needs. */
const MOST_EPOCHS_READ = 256;

/** Numbers of the state files that some header slot has named, ascending. */
export function keptEpochs(directory: ImageDirectory, highestEpoch: number): number[] {
  return directory
    .names()
    .flatMap((name) => stateNumber(name) ?? [])
    .filter((epoch) => epoch > 0 && epoch <= highestEpoch)
    .sort((a, b) => a - b);
}

export function pinnedEpochs(directory: ImageDirectory): Set<number> {
  return new Set(directory.names().flatMap((name) => pinNumber(name) ?? []));
}

/** What an epoch says about itself, without its state. IMAGE_DAMAGED. */
export function readBeginning(directory: ImageDirectory, epoch: number): Beginning {
  const name = stateName(epoch);
  const path = directory.pathOf(name);
  for (let byteLength = BEGINNING_BYTE_LENGTH; ; byteLength *= 16) {
    const bytes = directory.readPart(name, 0, byteLength);
    if (bytes === undefined) throw damaged(path, "the file is missing");
    const beginning = decodeBeginning(bytes, epoch, path);
    if (beginning !== undefined) return beginning;
    if (bytes.byteLength < byteLength) throw damaged(path, "it is cut");
  }
}

/** Where the memories of an epoch lie. IMAGE_DAMAGED. */
export function readMaps(directory: ImageDirectory, epoch: number): readonly PageMap[] {
  const { record, pages } = readBeginning(directory, epoch);
  const name = stateName(epoch);
  const bytes = directory.readPart(name, pages.offset, pages.byteLength) ?? new Uint8Array(0);
  if (crc32(bytes) !== pages.checksum) throw damaged(directory.pathOf(name), `section "pages" has a wrong checksum`);
  return decodePageMaps(bytes, record.memoryByteLengths, directory.pathOf(name));
}

interface Entry {
  readonly record: EpochRecord;
  /** The nearest epoch before it that is kept, as far as that is known. */
  parent: number | null;
  /** Read from its file when needed, but for the newest. */
  maps: readonly PageMap[] | undefined;
}

/**
 * The epochs that an image keeps, for whoever holds it: who goes when there is a new one, and which pages that leaves to
 * nobody.
 *
 * E1  A page is used by an epoch and by those that went on from it, until each of them has replaced it: by a part of the
 *     tree without gaps. So what an epoch shares with any other it shares with its parent or a child, if those are known.
 * E2  Whose parent is gone is the root of a tree of its own. Of two roots nobody knows what they share: with more than one,
 *     an epoch is compared with all others.
 */
export class Epochs {
  readonly #directory: ImageDirectory;
  readonly #highest: number;
  #entries: Map<number, Entry> | undefined;

  constructor(directory: ImageDirectory, highestEpoch: number) {
    this.#directory = directory;
    this.#highest = highestEpoch;
  }

  /** Pages that any of them needs, sorted and joined; undefined: they are too many to read. */
  usedPages(): readonly PageRun[] | undefined {
    const entries = this.#all();
    if (entries.size > MOST_EPOCHS_READ) return undefined;
    return usedPages([...entries.keys()].flatMap((epoch) => this.#mapsOf(epoch)));
  }

  /** A new one, which may not be on the disk yet. */
  add(epoch: number, record: EpochRecord, maps: readonly PageMap[]): void {
    const entries = this.#all();
    const { parent } = record;
    const before = parent === null ? undefined : entries.get(parent);
    const grandparent = before?.parent ?? null;
    if (grandparent !== null) {
      const entry = entries.get(grandparent);
      if (entry !== undefined) entry.maps = undefined; // those of the last two are at hand
    }
    entries.set(epoch, { record, parent, maps });
  }

  /**
   * Those of the line that leads to `current` that the policy does not keep, nor a pin; the oldest first, so that whoever dies
   * while they are removed leaves a line without a gap, of which the rest goes the next time.
   */
  expired(current: number, { epochs, milliseconds }: KeepPolicy, now: number): number[] {
    const entries = this.#all();
    const gone: number[] = [];
    let rank = 0;
    for (let epoch: number | null = current; epoch !== null; rank++) {
      const entry: Entry | undefined = entries.get(epoch);
      if (entry === undefined) break;
      const young = milliseconds !== null && now - entry.record.at <= milliseconds;
      if (epoch !== current && rank >= epochs && !young && !this.#isPinned(epoch)) gone.push(epoch);
      epoch = entry.parent;
    }
    return gone.reverse();
  }

  /** Takes an epoch out, and says which pages nobody needs then. Its file must still be there, unless it never was. */
  drop(epoch: number): PageRun[] {
    const entries = this.#all();
    const entry = entries.get(epoch);
    if (entry === undefined) return [];
    const own = usedPages([...this.#mapsOf(epoch)]);
    const neighbours = this.#neighbours(epoch, entry);
    let free: readonly PageRun[] = own;
    for (const neighbour of neighbours) free = remainingRuns(free, usedPages([...this.#mapsOf(neighbour)]));
    for (const child of entries.values()) if (child.parent === epoch) child.parent = entry.parent;
    entries.delete(epoch);
    return [...free];
  }

  /** Names of files in `open-files` that any of them needs. */
  keptFiles(): Set<string> {
    return new Set([...this.#all().values()].flatMap(({ record }) => record.keptFiles));
  }

  #neighbours(epoch: number, { parent }: Entry): number[] {
    const entries = this.#all();
    const others = [...entries].filter(([other]) => other !== epoch);
    const roots = [...entries].filter(([, entry]) => entry.parent === null || !entries.has(entry.parent));
    if (roots.length > 1) return others.map(([other]) => other); // E2
    return others.filter(([other, entry]) => other === parent || entry.parent === epoch).map(([other]) => other); // E1
  }

  #all(): Map<number, Entry> {
    this.#entries ??= new Map(
      keptEpochs(this.#directory, this.#highest).flatMap((epoch) => {
        const record = whole(() => readBeginning(this.#directory, epoch).record);
        return record === undefined ? [] : [[epoch, { record, parent: record.parent, maps: undefined }]];
      }),
    );
    return this.#entries;
  }

  #mapsOf(epoch: number): readonly PageMap[] {
    return this.#all().get(epoch)?.maps ?? whole(() => readMaps(this.#directory, epoch)) ?? [];
  }

  #isPinned(epoch: number): boolean {
    return this.#directory.statOf(pinName(epoch)) !== undefined;
  }
}

/** What is damaged needs no pages: it cannot be gone back to. */
function whole<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof VermilionError && error.code === "IMAGE_DAMAGED") return undefined;
    throw error;
  }
}
