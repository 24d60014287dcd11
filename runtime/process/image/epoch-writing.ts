/** What a save writes before the header slot that names it: linear memory and the state file. */
import type { UnsummedPages } from "../../../pmem/open-segments.js";
import { beyondLimit, imageError } from "./damage.js";
import type { EpochFiles } from "./epoch-files.js";
import type { EpochReason, EpochRecord, TrapRecord } from "./epoch-record.js";
import { type ImageHeader, MAX_STATE_BYTES } from "./header.js";
import type { MemoryStore } from "./memory-store.js";
import { TRAP_NAME } from "./names.js";
import { encodePageMaps } from "./page-maps.js";
import type { SavedState } from "./reading.js";
import { encodeState, type ImageState } from "./state-file.js";
import type { StorageFile } from "./storage.js";

/** What the history is told about a persistence point. */
export interface PointFacts {
  readonly why: EpochReason;
  /** Host calls that the program has made since its beginning. */
  readonly hostCalls: number;
  /** Files in `open-files` that the state names. */
  readonly keptFiles: readonly string[];
}

/** Where it is written, and behind what. */
export interface EpochPlace {
  readonly path: string;
  /** Whether the image is still there. */
  readonly exists: boolean;
  readonly store: MemoryStore;
  readonly files: EpochFiles;
  readonly header: ImageHeader;
  /** Of the header's epoch, if it goes on from there; undefined: from the program's beginning. */
  readonly before: EpochRecord | undefined;
}

export interface Saving {
  readonly status: "saved" | "running" | "trapped";
  readonly state: ImageState;
  readonly facts: PointFacts;
  readonly trap?: TrapRecord;
  /** Takes what it lacks: checksums that somebody else computes. */
  readonly later?: UnsummedPages[];
}

export interface WrittenEpoch {
  readonly saved: SavedState;
  /** To the header, for the slot that names it. */
  readonly changes: Partial<ImageHeader>;
  /** Of the state, open. */
  readonly file: StorageFile;
}

/** What is saved of a trapped guest: its frames are gone. */
export const MEMORY_ONLY: ImageState = {
  machine: {
    globals: new Uint8Array(0),
    tables: new Uint8Array(0),
    segments: new Uint8Array(0),
    stacks: new Uint8Array(0),
  },
  wasi: null,
  process: null,
};

/** Flushes nothing. IMAGE_MISSING: it was removed meanwhile. IMAGE_LIMIT, and the codes of the disk. */
export function writeEpoch({ path, exists, store, files, header, before }: EpochPlace, saving: Saving): WrittenEpoch {
  const { status, state, facts, trap = null, later } = saving;
  if (!exists) {
    const reason = "the image was removed while its program ran, and nothing can be saved";
    throw imageError("IMAGE_MISSING", path, reason, "start the program again");
  }
  const maps = store.write(later);
  const isTrap = status === "trapped"; // no persistence point, and of no epoch but the one that it came from
  const epoch = isTrap ? header.epoch : header.highestEpoch + 1;
  const goesStraightOn = before !== undefined && header.epoch === header.highestEpoch;
  const record: EpochRecord = {
    ...facts,
    parent: before === undefined ? null : header.epoch,
    unbranchedSince: goesStraightOn ? (before.unbranchedSince ?? header.epoch) : epoch,
    at: Date.now(),
    pagesWritten: store.writtenPageCount,
    memoryByteLengths: store.memories.map(({ byteLength }) => byteLength),
    keep: files.keep,
    trap,
  };
  const { chunks, byteLength, checksum } = encodeState(epoch, { record, state, pages: encodePageMaps(maps) });
  if (byteLength > MAX_STATE_BYTES) {
    throw beyondLimit(path, `its state has ${byteLength} bytes`, MAX_STATE_BYTES);
  }
  const file = isTrap ? files.create(TRAP_NAME) : files.prepareNext();
  file.write(chunks, 0);
  const named = isTrap ? {} : { epoch, highestEpoch: epoch };
  const message = trap?.message ?? "";
  return {
    saved: { record, state, maps, checksum },
    changes: { status, message, state: { checksum }, ...named },
    file,
  };
}
