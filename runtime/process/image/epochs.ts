import { crc32 } from "node:zlib";
import { VermilionError } from "../../../pmem/error.js";
import { usedPages } from "../../../pmem/free-pages.js";
import { type PageMap, type PageRun, remainingRuns } from "../../../pmem/page-map.js";
import { damaged } from "./damage.js";
import { EpochLine, EpochTree } from "./epoch-kinship.js";
import type { EpochRecord, KeepPolicy } from "./epoch-record.js";
import type { ImageDirectory } from "./image-directory.js";
import { pinName, pinNumber, stateName, stateNumber } from "./names.js";
import { decodePageMaps } from "./page-maps.js";
import { BEGINNING_BYTE_LENGTH, type Beginning, decodeBeginning } from "./state-file.js";

/** Beyond that many epochs nobody reads all of their maps to find the pages that none of them needs. */
const MOST_EPOCHS_READ = 256;

/** Numbers of the state files that some header slot has named, ascending. */
export function keptEpochs(
  directory: ImageDirectory,
  highestEpoch: number,
  names: readonly string[] = directory.names(),
): number[] {
  return names
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

/** Where the memories of an epoch lie; `beginning`: of the same file. IMAGE_DAMAGED. */
export function readMaps(
  directory: ImageDirectory,
  epoch: number,
  { record, pages }: Beginning = readBeginning(directory, epoch),
): readonly PageMap[] {
  const name = stateName(epoch);
  const bytes = directory.readPart(name, pages.offset, pages.byteLength) ?? new Uint8Array(0);
  if (crc32(bytes) !== pages.checksum) throw damaged(directory.pathOf(name), `section "pages" has a wrong checksum`);
  return decodePageMaps(bytes, record.memoryByteLengths, directory.pathOf(name));
}

/** What is kept in mind of an epoch. */
interface Known {
  /** Wall clock, milliseconds since 1970. */
  readonly at: number;
  readonly keptFiles: readonly string[];
}

/**
 * The epochs that an image keeps, for whoever holds it: who goes when there is a new one, and which pages that leaves to
 * nobody (epoch-kinship.ts).
 *
 * E1  Mostly they all lie on one line, which the newest one's record says. Then no other need be read before it goes, and neither
 *     opening an image nor a point takes longer the more epochs there are, but for the list of the directory.
 * E2  Otherwise all of their records are read once.
 */
export class Epochs {
  readonly #directory: ImageDirectory;
  readonly #highest: number;
  readonly #names: readonly string[] | undefined;
  #listed: number[] | undefined;
  #kinship: EpochLine | EpochTree | undefined;
  /** As far as they were read. */
  readonly #known = new Map<number, Known>();
  /** Of the newest, which may not be on the disk yet. */
  readonly #maps = new Map<number, readonly PageMap[]>();
  /** How many of them need each file; undefined: nobody has asked yet. */
  #needs: Map<string, number> | undefined;

  /** `names`: of the directory's files, if somebody has just listed it. */
  constructor(directory: ImageDirectory, highestEpoch: number, names?: readonly string[]) {
    this.#directory = directory;
    this.#highest = highestEpoch;
    this.#names = names;
  }

  has(epoch: number): boolean {
    return this.#numbers.includes(epoch);
  }

  /** Pages that any of them needs, sorted and joined; undefined: they are too many to read. */
  usedPages(): readonly PageRun[] | undefined {
    const epochs = this.#numbers;
    if (epochs.length > MOST_EPOCHS_READ) return undefined;
    return usedPages(epochs.flatMap((epoch) => this.#mapsOf(epoch) ?? []));
  }

  /** A new one, which may not be on the disk yet. */
  add(epoch: number, { parent, at, keptFiles }: EpochRecord, maps: readonly PageMap[]): void {
    const kinship = this.#kin;
    const isOnLine = kinship instanceof EpochTree || kinship.newest === undefined || kinship.newest === parent;
    if (isOnLine) kinship.add(epoch, parent);
    else this.#branched().add(epoch, parent);
    this.#numbers.push(epoch);
    this.#known.set(epoch, { at, keptFiles });
    for (const name of keptFiles) this.#needs?.set(name, (this.#needs.get(name) ?? 0) + 1);
    this.#maps.set(epoch, maps);
    for (const other of this.#maps.keys()) if (other !== epoch && other !== parent) this.#maps.delete(other);
  }

  /**
   * Those of the line that leads to `current` that the policy does not keep, nor a pin; the oldest first, so that whoever dies
   * while they are removed leaves a line without a gap, of which the rest goes the next time. Behind one that is young enough, all
   * are taken to be.
   */
  expired(current: number, { epochs, milliseconds }: KeepPolicy, now: number): number[] {
    const line = this.#kin.lineTo(current) ?? this.#branched().lineTo(current) ?? [];
    const gone: number[] = [];
    for (let rank = line.length - 1, index = 0; rank >= epochs; rank--, index++) {
      const epoch = line[index] ?? current;
      const at = milliseconds === null ? undefined : this.#read(epoch)?.at;
      if (milliseconds !== null && at !== undefined && now - at <= milliseconds) break;
      if (epoch !== current && !this.#isPinned(epoch)) gone.push(epoch);
    }
    return gone;
  }

  /** Takes an epoch out, and says which pages nobody needs then. Its file must still be there, unless it never was. */
  drop(epoch: number): PageRun[] {
    const index = this.#numbers[0] === epoch ? 0 : this.#numbers.indexOf(epoch);
    if (index < 0) return [];
    let free: readonly PageRun[] = usedPages(this.#mapsOf(epoch) ?? []);
    for (const way of this.#kin.waysFrom(epoch)) {
      const neighbour = this.#firstReadable(way);
      if (neighbour !== undefined) free = remainingRuns(free, usedPages(neighbour));
    }
    const names = this.#needs === undefined ? [] : (this.#read(epoch)?.keptFiles ?? []);
    for (const name of names) this.#needs?.set(name, (this.#needs.get(name) ?? 0) - 1);
    this.#kin.remove(epoch);
    if (index === 0) this.#numbers.shift();
    else this.#numbers.splice(index, 1);
    this.#known.delete(epoch);
    this.#maps.delete(epoch);
    return [...free];
  }

  /** Names of files in `open-files` that any of them needs. */
  keptFiles(): Set<string> {
    if (this.#needs === undefined) {
      this.#needs = new Map();
      for (const epoch of this.#numbers) {
        for (const name of this.#read(epoch)?.keptFiles ?? []) this.#needs.set(name, (this.#needs.get(name) ?? 0) + 1);
      }
    }
    return new Set([...this.#needs].flatMap(([name, count]) => (count > 0 ? [name] : [])));
  }

  get #numbers(): number[] {
    this.#listed ??= keptEpochs(this.#directory, this.#highest, this.#names);
    return this.#listed;
  }

  get #kin(): EpochLine | EpochTree {
    if (this.#kinship !== undefined) return this.#kinship;
    const [oldest, newest] = [this.#numbers[0], this.#numbers.at(-1)];
    const record = newest === undefined ? undefined : whole(() => readBeginning(this.#directory, newest).record);
    const isLine = oldest === undefined || oldest === newest || oldest >= (record?.unbranchedSince ?? Infinity); // E1
    this.#kinship = isLine ? new EpochLine(this.#numbers) : this.#branched();
    return this.#kinship;
  }

  /** E2. */
  #branched(): EpochTree {
    if (this.#kinship instanceof EpochTree) return this.#kinship;
    const parents = this.#numbers.flatMap((epoch): [number, number | null][] => {
      const record = whole(() => readBeginning(this.#directory, epoch).record);
      return record === undefined ? [] : [[epoch, record.parent]];
    });
    this.#kinship = new EpochTree(parents);
    return this.#kinship;
  }

  /** Undefined: it is damaged. */
  #read(epoch: number): Known | undefined {
    const known = this.#known.get(epoch) ?? whole(() => readBeginning(this.#directory, epoch).record);
    if (known !== undefined) this.#known.set(epoch, { at: known.at, keptFiles: known.keptFiles });
    return known;
  }

  #firstReadable(way: Iterable<number>): readonly PageMap[] | undefined {
    for (const epoch of way) {
      const maps = this.#mapsOf(epoch);
      if (maps !== undefined) return maps;
    }
    return undefined;
  }

  /** Undefined: it is damaged. */
  #mapsOf(epoch: number): readonly PageMap[] | undefined {
    return this.#maps.get(epoch) ?? whole(() => readMaps(this.#directory, epoch));
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
